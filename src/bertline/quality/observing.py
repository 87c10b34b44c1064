"""What can be said of the rows kept as a whole, gathered chunk by chunk: the facts of a batch.

Memory does not grow with the rows: counts of labels, a sample of texts, and the two profiles that drift is
measured between.
"""

from collections import Counter
from collections.abc import Callable, Iterable

import pyarrow as pa
import pyarrow.compute as pc

from bertline.corpus.rows import count_labels
from bertline.quality.drift import Profile, measure_drift
from bertline.quality.sampling import RandomSample
from bertline.quality.verdict import Fact

MeasureTokens = Callable[[pa.Table], dict[str, Fact]]


class Observer:
    """Gathers facts on rows kept; `batches` are all batches of the table, the newest last."""

    def __init__(self, batches: list[str | None], *, multi_label: bool) -> None:
        self.rows = 0
        self.classes: Counter[str] = Counter()
        self._sample = RandomSample()
        self._batches = batches
        self._multi_label = multi_label
        self._before, self._newest = Profile(), Profile()

    def update(self, kept: pa.Table) -> None:
        """Take in the rows of `kept`, a table of `ROWS`."""
        self.rows += len(kept)
        self.classes.update(count_labels(kept, multi_label=self._multi_label))
        self._sample.update(kept)
        if len(self._batches) > 1:
            newest = pc.equal(pc.fill_null(kept["batch"], ""), self._batches[-1] or "")
            self._newest.update(kept.filter(newest))
            self._before.update(kept.filter(pc.invert(newest)))

    def facts(self, labels: Iterable[str], measure_tokens: MeasureTokens | None) -> dict[str, Fact]:
        """Return the facts that can be observed, and complete `classes` by those of `labels` without rows."""
        # A label that params.yaml names and no row has is a class with 0 rows.
        self.classes.update(dict.fromkeys(labels, 0))
        facts = {
            "rows_kept": Fact(self.rows),
            "labels": Fact(sum(rows > 0 for rows in self.classes.values())),
        }
        if self.rows and min(self.classes.values(), default=0):
            ordered = sorted(self.classes, key=lambda label: (self.classes[label], label))
            few, many = ordered[0], ordered[-1]
            detail = f"{self.classes[many]} rows of {many!r} and {self.classes[few]} of {few!r}"
            facts["imbalance"] = Fact(self.classes[many] / self.classes[few], detail)
        if measure_tokens is not None and self.rows:
            facts |= measure_tokens(self._sample.rows)
        if self._before.rows and self._newest.rows:
            facts |= measure_drift(self._before, self._newest)
        return facts
