"""Deal rows to train, validation and test by a hash of their content.

Guarantees that the side of a row is a pure function of its content, the seed and the shares: no other
row, no order and no later batch can move it, and equal texts never straddle a split. Does not guarantee
exact shares per class: a quota would have to move old rows when new ones arrive. Each class gets its
share in expectation; `count_classes` says what it got.
"""

import hashlib
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from bertline.corpus.rows import content_keys
from bertline.params.split import Params

SIDES = ("train", "validation", "test")


def side(key: str, params: Params) -> str:
    """Return the side on which the row with this `content_key` lies."""
    digest = hashlib.sha256(f"{params.seed}:{key}".encode()).digest()
    uniform = (int.from_bytes(digest[:8]) >> 11) / 2**53  # 53 bits: exact in a float, never 1
    if uniform < params.test:
        return "test"
    return "validation" if uniform < params.test + params.validation else "train"


def split_rows(rows: pa.Table, params: Params) -> dict[str, pa.Table]:
    """Return the rows of each of `SIDES`, sorted by id."""
    sides = pa.array([side(key, params) for key in content_keys(rows["text"]).to_pylist()], pa.string())
    return {name: rows.filter(pc.equal(sides, name)).sort_by("id") for name in SIDES}


def count_classes(splits: Mapping[str, pa.Table]) -> dict[str, dict[str, int]]:
    """Return how many rows of each label lie on each of `SIDES`: `{label: {side: rows}}`, labels sorted.

    Raises:
        ValueError: a label has no row on one of the sides.
    """
    counts = {name: _value_counts(splits[name]["label"]) for name in SIDES}
    labels = sorted(set().union(*counts.values()))
    classes = {label: {name: counts[name].get(label, 0) for name in SIDES} for label in labels}
    for label, dealt in classes.items():
        for name in SIDES:
            if not dealt[name]:
                found = ", ".join(f"{each} {rows}" for each, rows in dealt.items())
                raise ValueError(
                    f"label {label!r} has no row in {name} ({found}); add rows of it, change the shares"
                    " (split.validation, split.test) or set another split.seed in params.yaml"
                )
    return classes


def _value_counts(labels: pa.ChunkedArray) -> dict[str, int]:
    return {each["values"]: each["counts"] for each in pc.value_counts(labels).to_pylist()}
