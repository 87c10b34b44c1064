"""What makes the comparison of two models on today's test rows less than fair, in sentences."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from bertline.comparison.cached import read_columns
from bertline.comparison.compared_rows import ComparedRows
from bertline.comparison.sides import Side
from bertline.models.folder import read_config, read_settings
from bertline.rows.labels import LabelSpace, class_name

_LEARNT_FROM = (Path("data/splits/train.parquet"), Path("data/splits/validation.parquet"))
_NAMED = 5  # labels that a sentence names


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a model folder says of the model: its labels, whether it reads pairs, and whether ONNX answers."""

    space: LabelSpace  # its classes as `ingest` writes them, in its own order
    pairs: bool
    exported: bool

    @classmethod
    def of(cls, folder: Path) -> "Reading":
        """Read it from `folder`; ValueError if that is no model."""
        settings = read_settings(folder)
        space = read_config(folder).space
        space = replace(space, classes=tuple(map(class_name, space.classes)))
        return cls(space=space, pairs=settings.pairs, exported=settings.is_exported)


def cautions(
    sides: tuple[Side, Side], readings: tuple[Reading, Reading], compared: ComparedRows
) -> list[str]:
    """Return a sentence on each reason; `readings` are what the folders of the two models say."""
    found: list[str] = []
    for side, reading in zip(sides, readings, strict=True):
        title = side.subject
        found += _seen(side, title, sides, compared.rows["content_id"])
        found += _unknown_labels(reading, title, compared)
        if reading.pairs != compared.pairs:
            kinds = ("single texts", "sentence pairs")
            mine, rows = kinds[reading.pairs], kinds[compared.pairs]
            found.append(f"{title} was trained on {mine}, and these rows are {rows}.")
        if reading.space.multi_label != compared.space.multi_label:
            kinds = ("one label a row", "several labels a row")
            mine, rows = kinds[reading.space.multi_label], kinds[compared.space.multi_label]
            found.append(f"{title} was trained on {mine}, and these rows have {rows}.")
        if not reading.exported:
            found.append(f"{title} has no ONNX file that answers, so torch does.")
    if compared.out_of_scope:
        found.append(f"{compared.out_of_scope:,} more test rows are out of scope, and are not compared.")
    return found


def _seen(side: Side, title: str, sides: tuple[Side, Side], content_ids: pa.ChunkedArray) -> Iterator[str]:
    """Yield a sentence if the model learnt from test rows, or may have."""
    if side.kind == "folder":
        yield f"{title} may have seen some of these rows: nobody knows which it was trained on."
    if not side.commit:  # the candidate's own test rows are what these are
        return
    tables = [read_columns(side, path, ["content_id"]) for path in _LEARNT_FROM]
    known = [table["content_id"] for table in tables if table is not None]
    if len(known) == len(_LEARNT_FROM):
        learnt = pa.concat_arrays([chunk for column in known for chunk in column.chunks])
        if seen := pc.sum(pc.is_in(content_ids, value_set=learnt)).as_py():
            yield (
                f"{title} learnt from {seen:,} of these {len(content_ids):,} rows, in training or in the "
                "choice of its epoch, so it looks better than it is."
            )
    elif not all(has_same_split(side.params(), each.params()) for each in sides if each.kind != "folder"):
        yield f"{title} was trained on another split, so it may have seen some of these rows."


def _unknown_labels(reading: Reading, title: str, compared: ComparedRows) -> Iterator[str]:
    """Yield a sentence if rows have labels that the model does not know."""
    unknown = sorted(compared.space.count(compared.rows).keys() - set(reading.space.classes))
    if unknown:
        labels = compared.rows["label"].to_pylist()
        having = sum(not compared.space.allows(label, reading.space.classes) for label in labels)
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        names = ", ".join(unknown[:_NAMED]) + more
        yield f"{title} does not know the labels of {having:,} rows ({names}), so these count against it."


def has_same_split(params: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Return whether two params.yaml choose the same rows for testing; a setting that one lacks is null."""
    return _split_params(params) == _split_params(others)


def _split_params(params: Mapping[str, Any]) -> list[object]:
    """Return the params that decide which rows are test rows."""
    ingest = params.get("ingest") or {}
    split = {name: value for name, value in (params.get("split") or {}).items() if value is not None}
    return [split, ingest.get("validation_source"), ingest.get("test_source")]
