"""When two texts are "the same", and the ids that follow from it.

The ids of existing rows, and with them their side of the split, depend on every byte that is hashed here.
"""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterator
from json.encoder import encode_basestring_ascii as _quote  # a third of the time of json.dumps

import pyarrow as pa

from bertline.rows.schema import ROW_SCHEMA, SOURCE_SCHEMA

PAIR_SEPARATOR = "\x1f"
"""Stands between the keys of the two texts of a pair where an id is hashed from them."""

# Soft hyphen, zero-width space, word joiner, byte order mark; not the joiners that some scripts spell with.
INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))


def content_key(text: str) -> str:
    """Return what makes two texts "the same"; blank text gives ''.

    Invisible characters are left out, NFKC and case folding applied, and white space collapsed.

    Normalised before and after the folding, so that the key of a key is the key (Unicode 3.13, D146).
    """
    if text.isascii():  # nothing to normalise, and most texts
        return " ".join(text.lower().split())
    visible = unicodedata.normalize("NFKC", text.translate(INVISIBLE))
    return " ".join(unicodedata.normalize("NFKC", visible.casefold()).split())


def content_id(text: str | None, text_pair: str | None = None) -> str | None:
    """Return the id that all rows of "the same" text share, 32 hex digits; None for a null or blank text."""
    key = content_key(text or "")
    if not key:
        return None
    if text_pair is not None:
        key = f"{key}{PAIR_SEPARATOR}{content_key(text_pair)}"
    return hashlib.sha256(key.encode()).hexdigest()[:32]


class IdAssigner:
    """Gives rows their ids; one for each table, because a row without text or label may come twice.

    `id` is the first 32 hex digits of SHA-256 over the JSON list [text, label] (of a pair: [text,
    text_pair, label]), so a row has the same id in every batch. Where the same null or blank row comes
    again (duplicates of others are dropped), the number of its earlier occurrences goes into the hash too.
    """

    def __init__(self) -> None:
        self._earlier: Counter[tuple[str | None, ...]] = Counter()

    def identify(self, sourced: pa.Table) -> pa.Table:
        """Return the rows of `sourced` (a table of `SOURCE_SCHEMA`) as `ROW_SCHEMA`, in the same order."""
        texts, pairs, labels = (sourced[name].to_pylist() for name in ("text", "text_pair", "label"))
        content_ids = [content_id(*both) for both in zip(texts, pairs, strict=True)]
        ids = pa.array(self._ids(texts, pairs, labels, content_ids), pa.string())
        columns = [ids, pa.array(content_ids, pa.string()), *sourced.select(SOURCE_SCHEMA.names).columns]
        return pa.table(columns, schema=ROW_SCHEMA)

    def _ids(
        self,
        texts: list[str | None],
        pairs: list[str | None],
        labels: list[str | None],
        content_ids: list[str | None],
    ) -> Iterator[str]:
        for text, pair, label, content in zip(texts, pairs, labels, content_ids, strict=True):
            key = (text, label) if pair is None else (text, pair, label)
            parts = ["null" if part is None else _quote(part) for part in key]
            if content is None or not label:
                if self._earlier[key]:
                    parts.append(str(self._earlier[key]))
                self._earlier[key] += 1
            yield hashlib.sha256(f"[{', '.join(parts)}]".encode()).hexdigest()[:32]


def add_ids(sourced: pa.Table) -> pa.Table:
    """Return the rows of `sourced`, a whole table of `SOURCE_SCHEMA`, as `ROW_SCHEMA` in the same order."""
    return IdAssigner().identify(sourced)
