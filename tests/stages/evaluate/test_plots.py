import warnings

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bertline.metrics.predictions import Predictions
from bertline.metrics.summary import summarize
from bertline.stages.evaluate.plots import _confusion, _labels, _reliability, _scores, _validation, draw
from bertline.stages.evaluate.training_curves import Curves

CURVES = Curves(
    steps=np.arange(1, 21),
    loss=np.linspace(1.5, 0.2, 20),
    epochs=[
        {
            "epoch": 1,
            "train_loss": 0.9,
            "validation_loss": 0.6,
            "validation_accuracy": 0.8,
            "validation_macro_f1": 0.7,
        },
        {
            "epoch": 2,
            "train_loss": 0.3,
            "validation_loss": 0.4,
            "validation_accuracy": 0.9,
            "validation_macro_f1": 0.8,
        },
    ],
    summary={"best_epoch": 2, "epochs": 2, "steps": 20},
)


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


def _predictions(classes: tuple[str, ...], seed: int, rows: int = 80) -> Predictions:
    expected = np.random.default_rng(0).integers(len(classes), size=rows)
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(len(classes)), size=rows)
    return Predictions(
        ids=[str(i) for i in range(rows)],
        classes=classes,
        expected=expected,
        probabilities=probabilities.astype(np.float32),
    )


def _label_sets(classes: tuple[str, ...], seed: int, rows: int = 80) -> Predictions:
    """Return rows with any number of labels, the first with none; the last label does not occur."""
    random = np.random.default_rng(0)
    expected = (random.random((rows, len(classes))) < 0.3).astype(np.uint8)
    expected[:, -1] = expected[0] = 0
    probabilities = np.random.default_rng(seed).beta(1 + 2 * expected, 3 - 2 * expected)
    ids = [str(i) for i in range(rows)]
    return Predictions(
        ids=ids, classes=classes, expected=expected, probabilities=probabilities.astype(np.float32)
    )


@pytest.mark.parametrize(
    "classes",
    [
        ("ham", "spam"),
        ("$x^{$", "_{", "a rather long label, cut"),
        tuple(f"intent {i:02}" for i in range(30)),
    ],
)
def test_the_picture_is_1600_by_1000_and_the_same_bytes_every_time(classes: tuple[str, ...]):
    candidate, baseline = _predictions(tuple(sorted(classes)), 1), _predictions(tuple(sorted(classes)), 2)
    metrics = summarize(candidate, baseline, resamples=100, confidence=0.95, seed=1)
    first, second = (draw(candidate, baseline, metrics, CURVES) for _ in range(2))
    assert first == second
    assert first[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(first[16:20]), int.from_bytes(first[20:24])) == (1600, 1000)
    assert b"tEXt" not in first  # neither software nor date


def test_the_picture_does_not_follow_the_settings_of_the_user(monkeypatch: pytest.MonkeyPatch):
    candidate, baseline = _predictions(("a", "b"), 1), _predictions(("a", "b"), 2)
    metrics = summarize(candidate, baseline, resamples=100, confidence=0.95, seed=1)
    plain = draw(candidate, baseline, metrics, CURVES)
    monkeypatch.setitem(mpl.rcParams, "axes.linewidth", 9.0)
    assert draw(candidate, baseline, metrics, CURVES) == plain


@pytest.mark.parametrize("labels", [2, 6, 60])
def test_the_multi_label_picture_is_1600_by_1000_and_the_same_bytes_every_time(labels: int):
    classes = tuple(f"{i:02} $x^{{$ with a name that is rather long" for i in range(labels))
    candidate, baseline = _label_sets(classes, 1), _label_sets(classes, 2)
    metrics = summarize(candidate, baseline, resamples=100, confidence=0.95, seed=1)
    first, second = (draw(candidate, baseline, metrics, CURVES) for _ in range(2))
    assert first == second
    assert (int.from_bytes(first[16:20]), int.from_bytes(first[20:24])) == (1600, 1000)


def test_rows_that_all_have_no_label_can_be_drawn():
    predictions = _label_sets(("a", "b"), 1)
    predictions.expected[:] = 0
    metrics = summarize(predictions, predictions, resamples=100, confidence=0.95, seed=1)
    assert draw(predictions, predictions, metrics, CURVES)[:8] == b"\x89PNG\r\n\x1a\n"
