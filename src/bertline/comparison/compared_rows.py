"""The rows on which two models are compared: today's test rows in scope."""

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from bertline.evaluation.behaviour import Behaviour, sample_cases
from bertline.evaluation.behaviour_file import read_behaviour
from bertline.models.folder import read_config
from bertline.models.tfidf import joined
from bertline.params.evaluate import Params
from bertline.project.layout import BEHAVIOUR, CANDIDATE, TEST_ROWS
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

    def behaviour(self, root: Path, params: Params) -> Behaviour:
        """Return the behavioural tests of behaviour.yaml in `root` and their cases, as `evaluate` has them.

        Raises:
            ValueError: the file is wrong.
        """
        classes = set(self.space.count(self.rows))
        with suppress(ValueError):  # without a candidate: a class may have no test row
            classes |= set(read_config(root / CANDIDATE).space.classes)
        tests = read_behaviour(root / BEHAVIOUR, self.space.with_classes(classes))
        return sample_cases(self.rows, tests, params)

    @property
    def pairs(self) -> bool:
        """Whether rows are sentence pairs."""
        return bool(self.rows["text_pair"].null_count < len(self.rows))
