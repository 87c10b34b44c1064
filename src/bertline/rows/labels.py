"""Labels: how they are spelt, and several of them on a row."""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bertline.rows.text_key import INVISIBLE

LABEL_SEPARATOR = "\x1f"

OUT_OF_SCOPE = "__out_of_scope__"
"""The label of a row that belongs to no class and that a model should not answer. It is no class itself.

Such a row has no other label. With several labels a row, it is not "", which says that the row is in scope
and that none of the classes applies.
"""

_BOOLEANS = {"True": "true", "TRUE": "true", "False": "false", "FALSE": "false"}
_SCIENTIFIC = re.compile(r"-?\d\.\d+[eE][+-]?\d{1,3}", re.ASCII)
_WHOLE = re.compile(r"(-?)(0|[1-9]\d*)(?:\.0+)?", re.ASCII)


def label_name(value: str) -> str:
    """Return a label in NFC, without invisible characters and surrounding white space, as people see it."""
    if value.isascii():
        return value.strip()
    return unicodedata.normalize("NFC", value.translate(INVISIBLE)).strip()


def class_name(value: str) -> str:
    """Return the name of the class that a label means: equal values are one class, however they are spelt.

    - A boolean is `true` or `false`, also where it is written `True` or `TRUE`.
    - A whole number is written without a fraction: `1.0`, `1.00` and `1.0e0` are `1`, and `-0.0` is `0`.
    - Any other label is as `label_name` returns it. `01`, `1.10` and `1e5` are no spelling in which a tool
      writes a number, so they are names and stay.

    The name depends on the label alone, never on other rows or on the kind of file: a column that became
    floats because one label is missing has the classes that it had as integers.
    """
    name = label_name(value)
    if _SCIENTIFIC.fullmatch(name):
        name = repr(float(name))
    if whole := _WHOLE.fullmatch(name):
        sign, digits = whole.groups()
        return digits if digits == "0" else sign + digits
    return _BOOLEANS.get(name, name)


@dataclass(frozen=True)
class LabelSpace:
    """The classes that rows may have, and whether a row has exactly one of them or any number.

    A table holds the label of a row as one string. With several labels a row they are sorted and joined by
    LABEL_SEPARATOR, and "" stands for none. `classes` is empty until they are known: only `encode`, `matrix`
    and `decode` need them.
    """

    classes: tuple[str, ...] = ()
    multi_label: bool = False

    @classmethod
    def from_metadata(cls, metadata: Mapping[bytes, bytes] | None) -> "LabelSpace":
        """Return the space of a Parquet file by its metadata, without the classes."""
        return cls(multi_label=(metadata or {}).get(b"target") == b"multi_label")

    @property
    def metadata(self) -> dict[str, str]:
        """What `from_metadata` reads."""
        return {"target": "multi_label" if self.multi_label else "single_label"}

    @property
    def labelled(self) -> str:
        """The condition in SQL that a row has a label; with several labels a row, "" is one: none applies."""
        return "label IS NOT NULL" if self.multi_label else "label <> ''"

    def with_classes(self, classes: Iterable[str]) -> "LabelSpace":
        """Return the same space with `classes`, sorted."""
        return replace(self, classes=tuple(sorted(classes)))

    def with_classes_of(self, labels: Iterable[str]) -> "LabelSpace":
        """Return the same space with the classes of rows in scope, sorted, by their `labels`."""
        return self.with_classes({each for label in labels for each in self.split(label)})

    def split(self, label: str) -> list[str]:
        """Return the classes of a row in scope by its `label`; `OUT_OF_SCOPE` is returned as it is."""
        if not self.multi_label:
            return [label]
        return label.split(LABEL_SEPARATOR) if label else []

    def allows(self, label: str, classes: Collection[str]) -> bool:
        """Return whether all classes of a row, by its `label`, are among `classes`, or it is out of scope."""
        return label == OUT_OF_SCOPE or all(each in classes for each in self.split(label))

    def join(self, names: Iterable[str]) -> str:
        """Return the label of a row by its classes, which are sorted; it is what `split` takes apart."""
        return LABEL_SEPARATOR.join(names)

    def shown(self, label: str) -> str:
        """Return the label of a row as people read it: several classes with a semicolon between."""
        return "; ".join(self.split(label))

    def named(self, text: str, classes: Collection[str]) -> str:
        """Return the label of a row whose classes a person wrote as `shown` does, in any order.

        Raises:
            ValueError: one of them is not among `classes`.
        """
        names = {text}
        if self.multi_label and text not in classes:
            names = {each.strip() for each in text.split(";")} - {""}
        if unknown := sorted(names - set(classes)):
            raise ValueError(f"{unknown[0]!r} is no class; there are: {', '.join(classes)}")
        return self.join(sorted(names))

    def count(self, rows: pa.Table) -> Counter[str]:
        """Return how many rows have each class; a row with several classes counts for each of them.

        Rows out of scope count for none.
        """
        labels = pc.drop_null(in_scope(rows)["label"])
        if self.multi_label:
            labels = pc.list_flatten(
                pc.split_pattern(pc.filter(labels, pc.not_equal(labels, "")), LABEL_SEPARATOR)
            )
        return Counter({each["values"]: each["counts"] for each in pc.value_counts(labels).to_pylist()})

    def encode(self, labels: Sequence[str]) -> npt.NDArray[np.integer]:
        """Return the class index of each row, int64 [N]; with several classes a row `matrix`.

        Raises:
            KeyError: a row has a label that is not among the classes.
        """
        if self.multi_label:
            return self.matrix(labels)
        column = {label: i for i, label in enumerate(self.classes)}
        return np.array([column[label] for label in labels], dtype=np.int64)

    def matrix(self, labels: Sequence[str]) -> npt.NDArray[np.uint8]:
        """Return which of the classes each row has: uint8 [N, C] of 0 and 1.

        Raises:
            KeyError: a row has a label that is not among the classes.
        """
        column = {label: i for i, label in enumerate(self.classes)}
        matrix = np.zeros((len(labels), len(self.classes)), dtype=np.uint8)
        for row, label in enumerate(labels):
            matrix[row, [column[each] for each in self.split(label)]] = 1
        return matrix

    def decode(self, targets: npt.NDArray[np.integer]) -> list[str]:
        """Return the label of each row: the reverse of `encode`."""
        names = np.array(self.classes, dtype=object)
        if not self.multi_label:
            return list(names[targets])
        return [self.join(names[row]) for row in targets.astype(bool)]


def in_scope(rows: pa.Table) -> pa.Table:
    """Return the rows that are not labelled `OUT_OF_SCOPE`, in the same order: all that a class may be about.

    A row without a label is among them.
    """
    return rows.filter(pc.invert(is_out_of_scope(rows)))


def out_of_scope(rows: pa.Table) -> pa.Table:
    """Return the rows that are labelled `OUT_OF_SCOPE`, in the same order."""
    return rows.filter(is_out_of_scope(rows))


def is_out_of_scope(rows: pa.Table) -> pa.ChunkedArray:
    """Return whether each row is labelled `OUT_OF_SCOPE`, never null."""
    return pc.fill_null(pc.equal(rows["label"], OUT_OF_SCOPE), False)


SINGLE_LABEL = LabelSpace()
MULTI_LABEL = LabelSpace(multi_label=True)
"""`split` and `count` of it read single labels too: these have no separator."""
