"""What one can say of a row in a few words: the conditions that a weak slice is described by.

They are properties of the text, frequent words, and the slices by source, delivery, script, time, kept
columns and rules. The label is none of them: it is not known of a new text, and the classes have a table of
their own.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from bertline.evaluation.slices import Slice
from bertline.rows.words import find_terms, find_words, spell

MAX_WORDS = 300
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)

Bools = npt.NDArray[np.bool_]
Property = tuple[str, Bools]
"""A condition in words, and whether each row [N] meets it."""

_PATTERNS = {
    "a digit": r"\d",
    "a question mark": r"[?\uff1f\u061f]",
    "an exclamation mark": r"[!\uff01]",
    "a comma": r"[,\u060c\u3001\uff0c]",
    "a quotation mark": r"[\"\u201c\u201d\u201e\u00ab\u00bb]|``|''",
    "brackets": r"[()\[\]{}\uff08\uff09]",
    "a web address": r"(?i)https?://|www\.",
    "an e-mail address": r"\S@\S+\.\w",
    "a line break": r"\n",
    "a run of capitals": r"[^\W\d_a-z\u00df-\u00ff]{3,}",
    "a repeated character": r"(\S)\1\1",
    "a character that is not ASCII": r"[^\x00-\x7f]",
}
_GROUPS = ("class", "length")  # slices that are no conditions here: see above; lengths are cut more finely


def describe_rows(
    texts: Sequence[str], slices: Sequence[Slice], proposing: Bools, support: int
) -> list[Property]:
    """Return the conditions that at least `support` rows meet and as many do not, in the proposing part.

    Where the same rows meet several conditions, the first is kept.

    Args:
        texts: of each row [N].
        slices: of the same rows.
        proposing: the rows [N] that quantiles and frequent words are taken from.
        support: the number of rows that a condition must meet.
    """
    kept: dict[bytes, Property] = {}
    for name, meets in conditions(texts, slices, proposing, support):
        if support <= meets[proposing].sum() <= proposing.sum() - support:
            kept.setdefault(np.packbits(meets).tobytes(), (name, meets))
    return list(kept.values())


def conditions(
    texts: Sequence[str], slices: Sequence[Slice], proposing: Bools, support: int
) -> Iterator[Property]:
    """Yield every condition; the arguments are those of `describe_rows`."""
    for each in slices:  # first: the user's own names are better than ours
        if each.group not in _GROUPS:
            meets = np.zeros(len(texts), np.bool_)
            meets[each.rows] = True
            is_rule = each.group == "rule"
            yield f"matches the rule {each.name!r}" if is_rule else f"{each.group} is {each.name}", meets
    if proposing.any():
        yield from _amounts(texts, proposing)
        yield from _signs(texts)
        yield from _words(texts, proposing, support)


def _amounts(texts: Sequence[str], proposing: Bools) -> Iterator[Property]:
    amounts: dict[str, Callable[[str], int]] = {
        "characters": len,
        "words": lambda text: len(find_words(text)),
    }
    for noun, count in amounts.items():
        counts = np.array([count(text) for text in texts])
        cuts = np.unique(np.quantile(counts[proposing], QUANTILES, method="lower"))
        yield from ((f"at most {cut:,} {noun}", counts <= cut) for cut in cuts)
        yield from ((f"more than {cut:,} {noun}", counts > cut) for cut in cuts)


def _signs(texts: Sequence[str]) -> Iterator[Property]:
    for name, pattern in _PATTERNS.items():
        search = re.compile(pattern).search
        meets = np.array([search(text) is not None for text in texts])
        yield f"has {name}", meets
        yield f"has no {name.removeprefix('a ').removeprefix('an ')}", ~meets


def _words(texts: Sequence[str], proposing: Bools, support: int) -> Iterator[Property]:
    """Yield the most frequent words of the proposing rows, by the number of rows that have them."""
    terms = [set(find_terms(spell(text))) for text in texts]
    counts = Counter(word for row in np.flatnonzero(proposing) for word in terms[row])
    frequent = sorted(
        (word for word in counts if counts[word] >= support), key=lambda word: (-counts[word], word)
    )
    places = {word: place for place, word in enumerate(frequent[:MAX_WORDS])}
    has = np.zeros((len(places), len(texts)), np.bool_)
    for row, words in enumerate(terms):
        has[[places[word] for word in words & places.keys()], row] = True
    yield from ((f"has the word {word!r}", has[place]) for word, place in places.items())
