"""Distinct words that a tokenizer makes equal, because it normalises texts before it looks up tokens.

Uncased BERT tokenizers remove all combining marks. In English these are accents; in Hindi they are vowels and
in Japanese they make g of k, so different words become one for a model. No token is
unknown then, so `unknown_tokens` does not show it. Does not see words that only share their tokens.
"""

from collections import Counter

import pyarrow as pa
from tokenizers import Tokenizer

from bertline.rows.io import inputs
from bertline.rows.words import find_words
from bertline.stages.validate.result import BatchMetric


def measure_merged_words(tokenizer: Tokenizer, sample: pa.Table) -> BatchMetric:
    """Return the share of the distinct words in `sample` that become equal to another word.

    A word is what `rows.words` finds; two spellings of one word (case, composed or not) count once.
    """
    counts: Counter[str] = Counter()
    for each in inputs(sample):
        for text in (each,) if isinstance(each, str) else each:
            counts.update(find_words(text))
    merged = _find_merged(tokenizer, counts)
    share = sum(map(len, merged)) / max(len(counts), 1)
    detail = f"{100 * share:.1f}".removesuffix(".0") + " % of the distinct words become equal to another word"
    if merged:
        one, other = _most_frequent(merged, counts)
        detail += (
            f", for instance {one} and {other}: the tokenizer removes what tells them apart; choose "
            "tokenize.weights made for this language, or train a tokenizer on it (tokenize.vocabulary)"
        )
    return BatchMetric(share, detail)


def _find_merged(tokenizer: Tokenizer, counts: Counter[str]) -> list[list[str]]:
    """Return the groups of words that are the same once `tokenizer` has normalised them."""
    normalizer = tokenizer.normalizer
    if normalizer is None:
        return []
    groups: dict[str, list[str]] = {}
    for word in sorted(counts):
        groups.setdefault(normalizer.normalize_str(word), []).append(word)
    return [group for group in groups.values() if len(group) > 1]


def _most_frequent(groups: list[list[str]], counts: Counter[str]) -> list[str]:
    """Return two words of the group whose second word is the most frequent: the pair that costs most."""
    pairs = [sorted(group, key=lambda word: (-counts[word], word))[:2] for group in groups]
    return min(pairs, key=lambda pair: (-counts[pair[1]], pair))
