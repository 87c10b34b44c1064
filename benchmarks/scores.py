"""How long the numbers of an evaluation take, and whether drawing blocks gives the interval of rows.

`python -m benchmarks.scores` makes a million predictions of 50 classes, with one class a row and with several
labels, and prints the seconds of the full set of scores with 1,000 resamples, of the intervals of
calibration, and of scikit-learn's functions without any interval. Then it compares, on 30,000 rows with
label sets, the width of intervals from blocks with that from rows.
"""

import time
from collections.abc import Callable
from unittest.mock import patch

import numpy as np

from bertline.metrics.calibration_intervals import calibration_numbers
from bertline.metrics.intervals import Settings, count_intervals
from bertline.metrics.predictions import Predictions
from bertline.metrics.scores import model_scores

ROWS, CLASSES = 1_000_000, 50
SETTINGS = Settings(resamples=1000, confidence=0.95, seed=1)
MANY = Settings(
    resamples=20_000, confidence=0.95, seed=1
)  # the ends of 1,000 differ by some 4 % of the width


def main() -> None:
    """Print the numbers."""
    model_scores(predictions(100, multi_label=False), **SETTINGS)  # what is imported late
    for multi_label in (False, True):
        rows = predictions(ROWS, multi_label=multi_label)
        print(f"{ROWS:,} rows, {CLASSES} classes, {'several labels' if multi_label else 'one class'} a row")
        report("all scores, 1,000 resamples", lambda rows=rows: model_scores(rows, **SETTINGS))
        report(
            "calibration, 1,000 resamples",
            lambda rows=rows: calibration_numbers(rows.expected, rows.probabilities, **SETTINGS),
        )
        report("scikit-learn, no interval", lambda rows=rows: scikit(rows))
    compare_blocks()


def report(what: str, call: Callable[[], object]) -> None:
    """Print how long `call` takes."""
    start = time.perf_counter()
    call()
    print(f"  {what:30} {time.perf_counter() - start:6.1f} s", flush=True)


def predictions(rows: int, *, multi_label: bool) -> Predictions:
    """Return predictions that are right in some nine of ten decisions; frequent and rare classes."""
    random = np.random.default_rng(1)
    shares = 1 / np.arange(1, CLASSES + 1)
    logits = random.normal(size=(rows, CLASSES)).astype(np.float32)
    if multi_label:
        expected = (random.random((rows, CLASSES)) < shares / 3).astype(np.uint8)
        probabilities = 1 / (1 + np.exp(2 - logits - 4 * expected))
    else:
        expected = random.choice(CLASSES, size=rows, p=shares / shares.sum())
        logits[np.arange(rows), expected] += 4
        exponents = np.exp(logits)
        probabilities = exponents / exponents.sum(axis=1, keepdims=True)
    names = tuple(f"{i:02}" for i in range(CLASSES))
    return Predictions(
        ids=["row"] * rows, classes=names, expected=expected, probabilities=probabilities.astype(np.float32)
    )


def scikit(rows: Predictions) -> None:
    """Compute with scikit-learn the scores of `model_scores` that take it longest, each once."""
    from sklearn import metrics

    metrics.classification_report(rows.expected, rows.predicted, zero_division=0)
    has = rows.expected if rows.multi_label else np.eye(CLASSES, dtype=np.uint8)[rows.expected]
    metrics.roc_auc_score(has, rows.probabilities, average="macro")
    metrics.average_precision_score(has, rows.probabilities, average="macro")
    if rows.multi_label:
        metrics.roc_auc_score(has, rows.probabilities, average="micro")
        metrics.average_precision_score(has, rows.probabilities, average="micro")
        metrics.label_ranking_average_precision_score(has, rows.probabilities)
        metrics.jaccard_score(has, rows.predicted, average="samples", zero_division=0)
    else:
        metrics.matthews_corrcoef(rows.expected, rows.predicted)
        metrics.cohen_kappa_score(rows.expected, rows.predicted)
        metrics.log_loss(rows.expected, rows.probabilities)


def compare_blocks() -> None:
    """Print the widths of intervals from rows, and from blocks of 1.5 and 15 rows."""
    rows = predictions(30_000, multi_label=True)
    for blocks in (30_000, 20_000, 2_000):
        with (
            patch("bertline.metrics.blocks.BLOCKS", blocks),
            patch("bertline.metrics.intervals.BLOCKS", blocks),
        ):
            found = count_intervals(rows.expected, rows.predicted, CLASSES, **MANY)
        widths = (f"{name} {found[name].high - found[name].low:.5f}" for name in ("macro_f1", "micro_f1"))
        print(f"30,000 rows in {blocks:,} blocks: widths of {', '.join(widths)}")


if __name__ == "__main__":
    main()
