"""The rows on which two models are compared: today's test rows in scope."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from bertline.models.tfidf import joined
from bertline.project.layout import TEST_ROWS
from bertline.rows.io import inputs, read_label_space, read_rows
from bertline.rows.labels import LabelSpace, in_scope


@dataclass(frozen=True, kw_only=True)
class ComparedRows:
    """The N rows in scope, and how many test rows are not."""

    rows: pa.Table  # [N]
    space: LabelSpace
    out_of_scope: int

    @classmethod
    def read(cls, root: Path) -> "ComparedRows":
        """Read the test rows of the checkout `root`; ValueError if they are not there."""
        everything = read_rows(root / TEST_ROWS)
        rows = in_scope(everything)
        space = read_label_space(root / TEST_ROWS)
        return cls(rows=rows, space=space, out_of_scope=len(everything) - len(rows))

    @cached_property
    def texts(self) -> list[str]:
        """The text of each row [N]; the two texts of a pair in one."""
        return joined(inputs(self.rows))

    @property
    def pairs(self) -> bool:
        """Whether rows are sentence pairs."""
        return bool(self.rows["text_pair"].null_count < len(self.rows))
