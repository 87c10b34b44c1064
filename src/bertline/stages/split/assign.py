"""Decide on which side a row lies: train, validation or test.

Guarantees that the side of a row is a pure function of the row, the params and which sides the source
itself has split off: no other row, no order and no later batch can move it. The first that applies:

1. The row's own `side`: the source's official split.
2. Time: rows from `test_from` on are test, from `validation_from` on validation, older ones train.
3. With `group_column`, a hash of the seed and the row's group (a customer, a thread, a document): the rows of
   one group lie on one side. A row without a group goes on to 4.
4. A hash of the seed and the row's template (its letters alone): so "Your code is 1234" and "your code is
   99!" lie on one side.

A side that the source has split off officially gets no rows by hash; so name the official split from the
first run on, or rows that already have a side change it.

Does not guarantee:

- That near-duplicates lie on one side. To keep groups together, it would have to move rows when others
  arrive. It hashes the template, which needs no other row; `near_duplicates` removes a row of each similar
  pair that still lies on two sides.
- That a group lies on one side where rules 1 or 2 assign some of its rows.
- That a template lies on one side where its rows are of several groups.
- That the row of a text stays in its group: of exact duplicates in several groups, `ingest` keeps the first,
  and a file whose name sorts before the others may bring another first.
- Exact shares per class or, with large groups, of the sides. A quota would have to move old rows when new
  ones arrive. Each class gets its share in expectation; `count_classes` returns what it got, and
  `missing_sides` warns where it got none.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bertline.core.bounds import parse_date
from bertline.params.split import GROUP_COLUMNS, Params
from bertline.rows.extra import extra_column
from bertline.rows.io import read_chunks
from bertline.rows.text_key import PAIR_SEPARATOR, content_key

SIDES = ("train", "validation", "test")
"""If similar rows lie on two sides, the row on the earlier of these sides is removed."""

GROUP = "\x1fgroup:"  # a template holds no control character before letters, so no group hashes as a template

_ADDRESS = re.compile(
    r"(?:https?://|www\.)[!-~]+"
    # The look-behind and the possessive quantifiers keep this linear in texts without spaces.
    r"|(?<![\w.%+-])[\w.%+-]++@[\w-]++(?:\.[\w-]++)+",
    re.ASCII,
)

_NO_LETTERS = bytes(code for code in range(128) if not chr(code).isalpha())


def template(text: str) -> str:
    """Return the letters of a text's `content_key`, addresses left out; the key if it has none."""
    key = content_key(text)
    plain = _ADDRESS.sub("", key) if "@" in key or "://" in key or "www." in key else key
    if plain.isascii():  # ten times as fast
        return plain.encode().translate(None, _NO_LETTERS).decode() or key
    return "".join(filter(str.isalpha, plain)) or key


def official_sides(path: Path) -> frozenset[str]:
    """Return the sides that rows of the file `path` name as their own.

    Raises:
        ValueError: a row names something else.
    """
    found: set[str] = set()
    for chunk in read_chunks(path, columns=["side"]):
        found.update(pc.unique(chunk["side"].drop_null()).to_pylist())
    if unknown := sorted(found - {"validation", "test"}):
        raise ValueError(f"{path}: column 'side' holds {unknown[0]!r}; allowed: validation, test, null")
    return frozenset(found)


def deal(chunks: Iterable[pa.Table], params: Params, official: Collection[str]) -> npt.NDArray[np.uint8]:
    """Return the side of each row of `chunks`, [rows] positions in `SIDES`.

    `official` is what `official_sides` found.

    Raises:
        ValueError: the split is by time, and some rows have no time stamp.
    """
    intervals = _intervals(params, official)
    timeless = 0
    dealt = [np.empty(0, np.uint8)]
    for rows in chunks:
        own = pc.index_in(rows["side"], pa.array(SIDES))
        if params.test_from is None:
            rest = pa.array(_by_hash(rows, params, intervals), pa.int32())
        else:
            rest = _by_time(rows["timestamp"], params)
        sides = pc.coalesce(own, rest)
        timeless += sides.null_count
        dealt.append(sides.fill_null(0).to_numpy().astype(np.uint8))
    if timeless:
        raise ValueError(
            f"{timeless} rows have no timestamp, so split.test_from cannot assign them to a side; set"
            " ingest.timestamp_column, have validate quarantine them, or set split.test_from and"
            " split.validation_from to null in params.yaml"
        )
    return np.concatenate(dealt)


def groups(rows: pa.Table, column: str) -> pa.Array | pa.ChunkedArray:
    """Return the group of each row, [rows] strings, null for none; `column` is split.group_column."""
    return rows[column] if column in GROUP_COLUMNS else extra_column(rows, column)


def _by_time(stamps: pa.ChunkedArray, params: Params) -> pa.ChunkedArray:
    assert params.validation_from is not None and params.test_from is not None  # noqa: PT018  one condition
    codes = pc.if_else(pc.greater_equal(stamps, pa.scalar(parse_date(params.test_from), stamps.type)), 2, 1)
    old = pc.less(stamps, pa.scalar(parse_date(params.validation_from), stamps.type))
    return pc.if_else(old, 0, codes).cast(pa.int32())


def _by_hash(rows: pa.Table, params: Params, intervals: list[tuple[int, float, float]]) -> Iterator[int]:
    names: list[str | None] = [None] * len(rows)
    if params.group_column is not None:
        names = groups(rows, params.group_column).to_pylist()
    texts = zip(rows["text"].to_pylist(), rows["text_pair"].to_pylist(), names, strict=True)
    for text, pair, group in texts:
        if group is not None:
            key = f"{GROUP}{group}"
        else:
            key = template(text) if pair is None else f"{template(text)}{PAIR_SEPARATOR}{template(pair)}"
        digest = hashlib.sha256(f"{params.seed}:{key}".encode()).digest()
        uniform = (int.from_bytes(digest[:8]) >> 11) / 2**53  # 53 bits: exact in a float, never 1
        yield next((code for code, low, high in intervals if low <= uniform < high), 0)


def _intervals(params: Params, official: Collection[str]) -> list[tuple[int, float, float]]:
    """Return which hashes, as numbers in [0, 1), go to which side; the rest goes to train.

    With k folds, `fold` is test and the next fold is validation; the first fold follows the last. With
    shares, test comes first, so that another share of validation moves no test row.
    """
    sides = [name for name in ("test", "validation") if name not in official]
    k = params.folds
    if k is not None:
        numbers = [(params.fold + place) % k for place in range(len(sides))]
        bounds = [(number / k, (number + 1) / k) for number in numbers]
    else:
        starts = (0.0, params.test) if len(sides) == 2 else (0.0,)
        shares = {"test": params.test, "validation": params.validation}
        bounds = [(start, start + shares[name]) for start, name in zip(starts, sides, strict=False)]
    return [(SIDES.index(name), *bound) for name, bound in zip(sides, bounds, strict=True)]


def count_classes(counts: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """Turn what `LabelSpace.count` found on each of `SIDES` into `{label: {side: rows}}`, labels sorted.

    Raises:
        ValueError: a class has no row to train on, or no class has a row to validate or to test with.
    """
    labels = sorted(set().union(*counts.values()))
    classes = {label: {name: counts[name].get(label, 0) for name in SIDES} for label in labels}
    for label, dealt in classes.items():
        if not dealt["train"]:
            raise ValueError(
                f"label {label!r} has no row in train ({_list_counts(dealt)}); add rows of it, change the"
                " shares or dates (split.validation, split.test, ...) or set another split.seed in"
                " params.yaml; texts with the same letters lie on one side, so texts that differ only in"
                " numbers do not help"
            )
    for name in SIDES:
        if not any(dealt[name] for dealt in classes.values()):
            raise ValueError(
                f"{name} has no row; add rows, or change split.{name}, split.seed or split.group_column in"
                " params.yaml: rows of one group lie on one side, so a few groups may leave a side empty"
            )
    return classes


def missing_sides(classes: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return a line for each class that lacks validation or test rows; `classes` as of `count_classes`.

    Such a class is trained on. A rule that deals it a row on each side would take the row back when others
    arrive, so no rule without memory does it.
    """
    means = {
        "validation": "the choice of the epoch and the thresholds do not see it",
        "test": "nothing is known about how well it is predicted",
    }
    return [
        f"warning: label {label!r} has no row in {name} ({_list_counts(dealt)}): {what}; add rows of it"
        for label, dealt in classes.items()
        for name, what in means.items()
        if not dealt[name]
    ]


def _list_counts(dealt: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {rows}" for name, rows in dealt.items())
