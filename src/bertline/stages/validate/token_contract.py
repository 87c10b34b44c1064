"""The token contract: the tokenizer knows the words of the texts, keeps them distinct, and cuts few texts.

Meant for a random sample of the rows (sampling.py), because tokenising takes longer than all other
checks together; `tokenize` counts the texts cut among all rows. Does not guarantee that a tokenizer suits
the texts because it knows every token: one that falls back to bytes (GPT-2's, RoBERTa's) has no unknown
token and gets 0, and where a tokenizer makes one token of several unknown characters, it counts as one.
"""

import json

import pyarrow as pa
from tokenizers import Tokenizer

from bertline.rows.io import inputs
from bertline.stages.validate.merged_words import measure_merged_words
from bertline.stages.validate.result import BatchMetric

AT_ONCE = 1_000  # texts whose tokens are in memory
MUCH = 0.01  # unknown tokens: English text on an English vocabulary has under 0.0001 of them, Chinese 0.65


def measure_tokens(tokenizer: Tokenizer, max_length: int | None, sample: pa.Table) -> dict[str, BatchMetric]:
    """Return `unknown_tokens`, a share of all but the special tokens, and `truncated`, a share of the texts.

    It also returns `merged_words`, from the module of that name.

    Args:
        tokenizer: from `load_tokenizer`, without truncation and padding.
        max_length: tokens from which on a text counts as truncated; None if texts of any length are read
            whole: then `truncated` is absent.
        sample: with at least the columns text and text_pair of `ROW_SCHEMA`, no text null.
    """
    unknown_id = _unknown_id(tokenizer)
    tokens = unknown = cut = 0
    for start in range(0, len(sample), AT_ONCE):
        for encoding in tokenizer.encode_batch_fast(inputs(sample.slice(start, AT_ONCE))):
            ids = encoding.ids
            tokens += len(ids) - sum(encoding.special_tokens_mask)
            unknown += 0 if unknown_id is None else ids.count(unknown_id)
            cut += max_length is not None and len(ids) > max_length
    metrics = {"unknown_tokens": _unknown(unknown / max(tokens, 1))}
    if max_length is not None:
        metrics["truncated"] = _truncated(cut / max(len(sample), 1), max_length)
    return metrics | {"merged_words": measure_merged_words(tokenizer, sample)}


def _unknown_id(tokenizer: Tokenizer) -> int | None:
    """Return the id of the unknown token; None if the tokenizer can spell everything."""
    model = json.loads(tokenizer.to_str())["model"]
    if model.get("byte_fallback"):
        return None
    if model["type"] == "Unigram":
        unknown_id: int | None = model["unk_id"]
    else:
        unknown_id = tokenizer.token_to_id(model.get("unk_token") or "")
    return unknown_id


def _unknown(share: float) -> BatchMetric:
    found = f"{_percent(share)} of the tokens are unknown to the tokenizer"
    advice = (
        ": its vocabulary was not made for this text; choose another tokenize.weights, "
        "or train a tokenizer on it (tokenize.vocabulary)"
    )
    return BatchMetric(share, found + advice * (share >= MUCH))


def _truncated(share: float, longest: int) -> BatchMetric:
    return BatchMetric(
        share,
        f"{_percent(share)} of the texts are longer than {longest} tokens and are cut there "
        "(tokenize.max_length)",
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0") + " %"
