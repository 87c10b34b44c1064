"""The classes that a value of the label column names: one, or with `ingest.label_separator` several.

- A class has the name that `rows.labels.class_name` gives it, or that `ingest.label_map` renames it to.
- A blank label is a missing one in every kind of file: "" with one label a row, null with several.
- With several labels a row, an empty list (`[]`) says that no label applies: "".
- `OUT_OF_SCOPE` is read like another label, but it is a fault beside others on a row.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from bertline.params.ingest import Params
from bertline.rows.labels import MULTI_LABEL, OUT_OF_SCOPE, SINGLE_LABEL, class_name
from bertline.stages.ingest.label_lists import is_list, is_piece_of_list, read_list
from bertline.stages.ingest.values import as_text

NEEDS_SEPARATOR = "is a list; set ingest.label_separator to have several labels a row"
CUT_LIST = "is written like a list but is none; write it as JSON, or without brackets and quotes"
NOT_ALONE = f"has {OUT_OF_SCOPE} beside other labels; it says that no class is right, so it stands alone"


class Unreadable(NamedTuple):
    """Why a label cannot be read, and what stands there."""

    reason: str
    value: str


class LabelColumn:
    """Reads the labels of one source, and remembers which keys of `ingest.label_map` were met.

    `space` says whether a row may have several labels.
    """

    def __init__(self, params: Params) -> None:
        """Take `label_separator` and `label_map`.

        Raises:
            ValueError: two keys of `label_map` are one label and name different classes.
        """
        self._separator = params.label_separator
        self.space = SINGLE_LABEL if self._separator is None else MULTI_LABEL
        self._keys = {key: class_name(key) for key in params.label_map}
        self._renamed: dict[str, str] = {}
        for key, name in params.label_map.items():
            label, new = self._keys[key], class_name(name)
            if self._renamed.setdefault(label, new) != new:
                same = [repr(other) for other in self._keys if self._keys[other] == label]
                raise ValueError(
                    f"ingest.label_map has two names for one label: keep one of {', '.join(same)}"
                )
        self._met: set[str] = set()
        read = self._read_one if self._separator is None else self._read_several
        self._read_text = lru_cache(maxsize=10_000)(read)

    def read(self, value: object) -> str | Unreadable | None:
        """Return the label, or several of them joined by `LabelSpace`; null or "" for none."""
        if isinstance(value, list):
            return self._join(map(as_text, value))
        return self._read_text(as_text(value) or "")

    def unused_keys(self) -> list[str]:
        """Return the keys of `ingest.label_map` that no label was, once all rows are read."""
        return [key for key, name in self._keys.items() if name not in self._met]

    def _read_one(self, text: str) -> str | Unreadable:
        if is_list(text, self.space):
            return Unreadable(NEEDS_SEPARATOR, text)
        return self._rename(class_name(text))

    def _read_several(self, text: str) -> str | Unreadable | None:
        if is_list(text, self.space):
            try:
                return self._join(read_list(text))
            except ValueError:
                return Unreadable(CUT_LIST, text)
        parts = text.split(self._separator)
        if any(map(is_piece_of_list, parts)):
            return Unreadable(CUT_LIST, text)
        return self._join(parts)

    def _join(self, values: Iterable[str | None]) -> str | Unreadable | None:
        """Return the distinct labels, sorted; "" for an empty list, None where each value is missing."""
        names = [class_name(value or "") for value in values]
        if names and not any(names):
            return None
        distinct = sorted({self._rename(name) for name in names if name})
        if OUT_OF_SCOPE in distinct and len(distinct) > 1:
            return Unreadable(NOT_ALONE, ", ".join(distinct))
        return self.space.join(distinct)

    def _rename(self, name: str) -> str:
        if name in self._renamed:
            self._met.add(name)
            return self._renamed[name]
        return name
