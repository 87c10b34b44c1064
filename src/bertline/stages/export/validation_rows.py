"""The validation rows that decide what is served: rows with a class, and rows out of scope."""

from dataclasses import dataclass
from pathlib import Path

from bertline.metrics.classification import Targets
from bertline.rows.io import inputs, read_rows
from bertline.rows.labels import LabelSpace, in_scope, out_of_scope

Texts = list[str | tuple[str, str]]


@dataclass(frozen=True, eq=False)
class ValidationRows:
    """The texts of rows with a class, N, and those labelled as out of scope; `expected` [N] or [N, C]."""

    inside: Texts
    outside: Texts
    expected: Targets

    @property
    def all(self) -> Texts:
        """Those with a class first."""
        return self.inside + self.outside


def read_validation_rows(path: Path, space: LabelSpace, limit: int) -> ValidationRows:
    """Return the first `limit` rows of each kind. Rows are sorted by a hash, so these are a random sample.

    Raises:
        ValueError: no row has a class.
    """
    rows = read_rows(path)
    inside, outside = in_scope(rows)[:limit], out_of_scope(rows)[:limit]
    if inside.num_rows == 0:
        raise ValueError(f"{path} has no rows with a class; raise split.validation in params.yaml")
    return ValidationRows(inputs(inside), inputs(outside), space.encode(inside["label"].to_pylist()))
