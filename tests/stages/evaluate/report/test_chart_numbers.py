import numpy as np
import pytest

from bertline.metrics.predictions import Predictions
from bertline.stages.evaluate.report.chart_numbers import (
    MAX_CLASSES,
    MAX_STEPS,
    confusion_matrix,
    reliability_bins,
    thinned,
)
from bertline.stages.evaluate.training_curves import Curves


def predictions(classes: int, rows: int = 500, seed: int = 1) -> Predictions:
    random = np.random.default_rng(seed)
    return Predictions(
        ids=[str(row) for row in range(rows)],
        classes=tuple(f"{i:03}" for i in range(classes)),
        expected=random.integers(classes, size=rows),
        probabilities=random.dirichlet(np.ones(classes), size=rows).astype(np.float32),
    )


def test_the_cells_hold_every_row_once_and_their_shares_add_up_to_one() -> None:
    found = predictions(4)
    cells = confusion_matrix(found)["cells"]
    assert sum(cell["rows"] for cell in cells) == 500
    for label in found.classes:
        assert sum(cell["share"] for cell in cells if cell["actual"] == label) == pytest.approx(1, abs=1e-5)
    right = sum(cell["rows"] for cell in cells if cell["actual"] == cell["predicted"])
    assert right == found.right.sum()


def test_a_matrix_that_nobody_can_read_is_left_out_with_a_reason() -> None:
    found = confusion_matrix(predictions(MAX_CLASSES + 1))
    assert found["cells"] == []
    assert f"{MAX_CLASSES + 1} classes" in found["skipped"]


def test_the_bins_hold_every_row_once() -> None:
    found = reliability_bins({"candidate": predictions(3), "baseline": predictions(3, seed=2)})
    assert list(found) == ["candidate", "baseline"]
    assert [sum(each["rows"] for each in bins) for bins in found.values()] == [500, 500]


def test_the_loss_of_a_long_training_is_thinned_to_means_and_ends_at_its_last_step() -> None:
    loss = np.linspace(2, 1, 10 * MAX_STEPS + 7)
    curves = Curves(np.arange(1, len(loss) + 1), loss, [{"epoch": 1, "train_loss": 1.5}], {"best_epoch": 1})
    found = thinned(curves)
    assert len(found["loss"]) <= MAX_STEPS
    assert found["loss"][-1]["step"] == found["steps"] == len(loss)
    assert np.mean([each["loss"] for each in found["loss"][:-1]]) == pytest.approx(1.5, abs=0.01)
