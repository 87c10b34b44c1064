import warnings

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bertline.metrics.predictions import Predictions
from bertline.metrics.summary import summarize
from bertline.stages.evaluate.plots import _confusion, _labels, _reliability, _scores, _validation, draw
from bertline.stages.evaluate.training_curves import Curves


@pytest.fixture
def axes() -> Axes:
    return Figure().subplots()


def _sure(expected: list[int], predicted: list[int], sure: float, classes: str = "abc") -> Predictions:
    """Predictions that are all as `sure` of their class."""
    probabilities = np.full((len(expected), len(classes)), (1 - sure) / (len(classes) - 1))
    probabilities[np.arange(len(expected)), predicted] = sure
    return Predictions(
        ids=[str(i) for i in range(len(expected))],
        classes=tuple(classes),
        expected=np.array(expected),
        probabilities=probabilities.astype(np.float32),
    )


def _epochs(count: int) -> Curves:
    names = ("train_loss", "validation_loss", "validation_accuracy", "validation_macro_f1")
    epochs = [{"epoch": i + 1, **dict.fromkeys(names, 0.5)} for i in range(count)]
    return Curves(np.array([1, 2]), np.array([1.0, 0.5]), epochs, {"best_epoch": 1})


def test_a_row_of_the_confusion_matrix_is_an_actual_class_a_column_a_predicted_one(axes: Axes) -> None:
    _confusion(axes, _sure([0, 0, 0, 0, 1, 2], [0, 2, 2, 2, 1, 1], 0.9))
    shares = [[0.25, 0, 0.75], [0, 1, 0], [0, 1, 0]]
    assert np.asarray(axes.images[0].get_array()).tolist() == shares
    counts = {text.get_position(): text.get_text() for text in axes.texts}
    assert (counts[2, 0], counts[0, 2]) == ("3", "0")  # at (x, y): a was taken for c, c never for a


def test_each_reliability_curve_is_that_of_the_model_in_the_legend(axes: Axes) -> None:
    right, half = [0, 1] * 4, [0, 0] * 4
    _reliability(axes, candidate=_sure(right, right, 0.9), baseline=_sure(right, half, 0.6))
    curves = {str(line.get_label()): line.get_xydata() for line in axes.lines}
    np.testing.assert_allclose(curves["candidate"], [[0.9, 1.0]], atol=1e-6)
    np.testing.assert_allclose(curves["baseline"], [[0.6, 0.5]], atol=1e-6)


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_epochs_are_counted_in_whole_numbers(axes: Axes, epochs: int) -> None:
    _validation(axes, _epochs(epochs))
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert ticks == list(range(1, epochs + 1))


def test_a_level_between_two_percents_is_drawn_as_it_is(axes: Axes) -> None:
    predictions = _sure([0, 1, 2], [0, 1, 1], 0.9)
    metrics = summarize(predictions, predictions, resamples=100, confidence=0.995, seed=1)
    _scores(axes, predictions, metrics)
    assert axes.get_title(loc="left") + axes.get_title() == "Scores with 99.5% intervals"


def test_a_name_that_the_font_lacks_is_drawn_as_its_number(axes: Axes) -> None:
    _confusion(axes, _sure([0, 1, 2, 3], [0, 1, 2, 3], 0.9, classes="aéж体"))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "é", "ж", "#4"]
    labels = Figure().subplots()
    _labels(labels, {name: {"f1": 0.5, "support": 1} for name in ("a", "sport 🎨")})
    assert {"a", "#2"} <= {text.get_text() for text in labels.texts}


def test_names_of_any_script_are_drawn_without_a_warning() -> None:
    predictions = _sure([0, 1, 2, 3], [0, 1, 2, 3], 0.9, classes="a体日🎨")
    metrics = summarize(predictions, predictions, resamples=100, confidence=0.95, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(predictions, predictions, metrics, _epochs(1))
