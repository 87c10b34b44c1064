"""The metrics of a batch: numbers about the rows kept that are in scope, gathered chunk by chunk.

A model is trained on these alone, so rows out of scope are counted and left out: they fill no bound.

Memory does not grow with the rows: counts of labels, a sample of texts, and the two profiles that drift is
measured between.
"""

from collections import Counter
from collections.abc import Callable, Iterable

import pyarrow as pa
import pyarrow.compute as pc

from bertline.rows.labels import OUT_OF_SCOPE, LabelSpace, in_scope
from bertline.stages.validate.batch_drift import Profile, measure_drift
from bertline.stages.validate.result import BatchMetric
from bertline.stages.validate.sampling import RandomSample

MeasureTokens = Callable[[pa.Table], dict[str, BatchMetric]]


class Observer:
    """Gathers metrics on rows kept; `batches` are all batches of the table, the newest last."""

    def __init__(self, batches: list[str | None], space: LabelSpace) -> None:
        self.rows = 0  # in scope
        self.out_of_scope = 0
        self.classes: Counter[str] = Counter()
        self._sample = RandomSample()
        self._batches = batches
        self._space = space
        self._before, self._newest = Profile(), Profile()

    def update(self, kept: pa.Table) -> None:
        """Take in the rows of `kept`, a table of `ROW_SCHEMA`."""
        rows = in_scope(kept)
        self.rows += len(rows)
        self.out_of_scope += len(kept) - len(rows)
        self.classes.update(self._space.count(rows))
        self._sample.update(rows)
        if len(self._batches) > 1:
            newest = pc.equal(pc.fill_null(rows["batch"], ""), self._batches[-1] or "")
            self._newest.update(rows.filter(newest))
            self._before.update(rows.filter(pc.invert(newest)))

    def metrics(self, labels: Iterable[str], measure_tokens: MeasureTokens | None) -> dict[str, BatchMetric]:
        """Return the metrics that can be measured; add the `labels` without rows to `classes`."""
        # A label that params.yaml names and no row has is a class with 0 rows.
        self.classes.update({label: 0 for label in labels if label != OUT_OF_SCOPE})
        metrics = {
            "rows_kept": BatchMetric(self.rows),
            "labels": BatchMetric(sum(rows > 0 for rows in self.classes.values())),
        }
        if self.rows and min(self.classes.values(), default=0):
            ordered = sorted(self.classes, key=lambda label: (self.classes[label], label))
            few, many = ordered[0], ordered[-1]
            detail = f"{self.classes[many]} rows of {many!r} and {self.classes[few]} of {few!r}"
            metrics["imbalance"] = BatchMetric(self.classes[many] / self.classes[few], detail)
        if measure_tokens is not None and self.rows:
            metrics |= measure_tokens(self._sample.rows)
        if self._before.rows and self._newest.rows:
            metrics |= measure_drift(self._before, self._newest)
        return metrics
