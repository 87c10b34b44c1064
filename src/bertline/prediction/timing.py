"""How quickly a model answers on this machine, now: latency of one text a call, and rows a second in batches.

Measured on demand and printed, never written into an output: another machine, or another load of this one,
gives other numbers.
"""

import time
from dataclasses import dataclass

import numpy as np

from bertline.models.classifier import Classifier, Texts

CALLS = 200  # one text each, the texts in turn
WARM_UP = 5  # calls that are not counted: the first ones allocate
ROWS = 2000  # that are predicted at once, at most


@dataclass(frozen=True)
class Timing:
    """Milliseconds of a call with one text, and rows a second in batches."""

    median: float
    p95: float
    p99: float
    rows_per_second: float
    calls: int
    rows: int

    def __str__(self) -> str:
        return (
            f"one text a call: median {self.median:.1f} ms, 95 % under {self.p95:.1f} ms, "
            f"99 % under {self.p99:.1f} ms ({self.calls} calls)\n"
            f"in batches: {self.rows_per_second:,.0f} texts a second ({self.rows:,} texts)"
        )


def measure(classifier: Classifier, texts: Texts) -> Timing:
    """Return how long `classifier` takes for `texts`, which are not empty; tokenization included."""
    seconds = []
    for i in range(WARM_UP + CALLS):
        start = time.perf_counter()
        classifier.probabilities([texts[i % len(texts)]])
        seconds.append(time.perf_counter() - start)
    median, p95, p99 = np.quantile(seconds[WARM_UP:], [0.5, 0.95, 0.99]) * 1000
    batch = texts[:ROWS] if len(texts) >= ROWS else list(texts) * (1 + ROWS // len(texts))
    start = time.perf_counter()
    classifier.probabilities(batch)
    speed = len(batch) / (time.perf_counter() - start)
    return Timing(float(median), float(p95), float(p99), speed, CALLS, len(batch))
