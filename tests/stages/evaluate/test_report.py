import re
from html.parser import HTMLParser
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pyarrow as pa
import pytest

from bertline.metrics.predictions import Predictions
from bertline.metrics.summary import summarize
from bertline.stages.evaluate.label_issues import LabelIssues
from bertline.stages.evaluate.plots import draw
from bertline.stages.evaluate.report import most_confident_mistakes, render, slices_by_length
from bertline.stages.evaluate.training_curves import Curves

EVIL = "<script>alert('x')</script> & \"quoted\""
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


def _predictions(classes: tuple[str, ...], seed: int, rows: int = 80) -> Predictions:
    expected = np.random.default_rng(0).integers(len(classes), size=rows)
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(len(classes)), size=rows)
    return Predictions(
        ids=[str(i) for i in range(rows)],
        classes=classes,
        expected=expected,
        probabilities=probabilities.astype(np.float32),
    )


def _issues(texts: list[str], label: str = "a", source: str = "raw.csv") -> LabelIssues:
    columns = {name: [label] * len(texts) for name in ("id", "given", "suggested")}
    columns |= {"side": ["train"] * len(texts), "text": texts, "source": [source] * len(texts)}
    worst = pa.table(columns).append_column("score", [[i / 1000 for i in range(len(texts))]])
    return LabelIssues(
        found={"test": 0, "train": 2 * len(texts)}, rows={"test": 80, "train": 4000}, worst=worst
    )


def _page(classes: tuple[str, ...], texts: list[str], issues: LabelIssues | None = None) -> str:
    candidate, baseline = _predictions(classes, 1), _predictions(classes, 2)
    metrics = summarize(candidate, baseline, resamples=100, confidence=0.95, seed=1)
    png = draw(candidate, baseline, metrics, CURVES)
    return render(metrics, candidate, texts, issues or _issues(texts), png, CURVES)


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


def test_the_page_shows_the_calibration_of_both_models_and_what_chance_makes_of_it():
    candidate, baseline = _predictions(("a", "b"), 1), _predictions(("a", "b"), 2)
    found = summarize(candidate, baseline, resamples=100, confidence=0.95, seed=1)["calibration"]
    page = _page(("a", "b"), ["text"] * 80)
    part = page[page.index("<h2>Calibration</h2>") : page.index("<h2>By class</h2>")]
    assert re.findall("<td>(.+?)</td>", part) == ["Candidate", "TF-IDF baseline"]
    chance = [f"{found[model]['calibration_floor_high']:.3f}" for model in ("candidate", "baseline")]
    assert re.findall(r"\(up to (.+?)\)", part) == chance


def test_texts_and_labels_are_escaped():
    page = _page((EVIL, "plain"), [EVIL] * 80, _issues([EVIL] * 3, EVIL, EVIL))
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 10


def test_doubtful_labels_are_counted_and_the_most_suspicious_shown():
    page = _page(("a", "b"), ["text"] * 80, _issues([f"doubtful {i}" for i in range(60)]))
    assert "0 of 80 test rows, 120 of 4,000 train rows" in page
    shown = re.findall(r"doubtful \d+", page)
    assert shown == [f"doubtful {i}" for i in range(30)]
    assert "the 30 most suspicious; the first 60 of 120 are in label_issues.csv" in page
    assert "raw.csv" in page


def test_no_doubtful_label_is_said():
    page = _page(("a", "b"), ["text"] * 80, _issues([]))
    assert "None of 80 test rows and 4,000 train rows." in page
    assert "Suggested" not in page


def test_the_page_needs_no_network():
    page = _page(("a", "b"), ["text"] * 80)
    found: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend(value or "" for name, value in attrs if name in {"src", "href", "srcset"})

    Links().feed(page)
    assert len(found) == 1
    assert found[0].startswith("data:image/png;base64,")
    assert not re.search(r"url\(|@import|https?:", page)


def test_the_page_is_the_same_every_time():
    assert _page(("a", "b"), ["text"] * 80) == _page(("a", "b"), ["text"] * 80)


def test_mistakes_come_surest_first_and_hold_no_right_answer():
    predictions = Predictions(
        ids=["1", "2", "3", "4"],
        classes=("a", "b"),
        expected=np.array([0, 0, 1, 1]),
        probabilities=np.array([[0.9, 0.1], [0.4, 0.6], [0.8, 0.2], [0.3, 0.7]], dtype=np.float32),
    )
    found = most_confident_mistakes(predictions, ["one", "two", "three", "four"])
    assert [(mistake.text, mistake.expected, mistake.predicted) for mistake in found] == [
        ("three", "b", "a"),
        ("two", "a", "b"),
    ]


def test_classes_come_weakest_first_and_with_the_number_the_picture_has_for_them():
    classes = ("aa", "bb", "体育")
    expected, predicted = np.array([0, 0, 1, 1, 2, 2, 2, 2]), np.array([0, 0, 1, 0, 1, 1, 1, 0])
    candidate = Predictions(
        ids=[str(i) for i in range(8)],
        classes=classes,
        expected=expected,
        probabilities=np.eye(3, dtype=np.float32)[predicted],
    )
    metrics = summarize(candidate, candidate, resamples=100, confidence=0.95, seed=1)
    page = render(metrics, candidate, ["text"] * 8, _issues([]), b"", CURVES)
    by_class = page[page.index("By class") : page.index("Most confident mistakes")]
    assert re.findall('<span class="tag">(.+?)</span>', by_class) == ["体育", "bb", "aa"]
    assert '<span class="quiet">#3</span> <span class="tag">体育</span>' in by_class
    assert "its font lacks" not in _page(("a", "b"), ["text"] * 80)


def test_a_long_doubtful_text_is_cut():
    page = _page(("a", "b"), ["text"] * 80, _issues(["x" * 5000]))
    assert re.findall("x{20,}…?", page) == ["x" * 279 + "…"]


def test_a_text_as_long_as_a_quartile_belongs_to_the_quarter_below_it():
    predictions = _predictions(("a", "b"), 1, rows=5)
    found = slices_by_length(predictions, ["x" * length for length in (1, 2, 3, 4, 5)])  # quartiles: 2, 3, 4
    assert [(each.low, each.high) for each in found] == [(1, 2), (3, 3), (4, 4), (5, 5)]


def test_a_long_text_is_cut():
    predictions = _predictions(("a", "b"), 1)
    assert {len(mistake.text) for mistake in most_confident_mistakes(predictions, ["x" * 5000] * 80)} == {280}


def test_slices_hold_every_row_once_and_do_not_overlap():
    lengths = np.random.default_rng(2).integers(1, 300, size=80)
    slices = slices_by_length(_predictions(("a", "b"), 1), ["x" * length for length in lengths])
    assert sum(each.rows for each in slices) == 80
    assert len(slices) == 4
    assert all(one.high < two.low for one, two in pairwise(slices))


def test_texts_of_one_length_are_one_slice():
    predictions = _predictions(("a", "b"), 1)
    (only,) = slices_by_length(predictions, ["same"] * 80)
    assert (only.low, only.high, only.rows) == (4, 4, 80)
    assert only.accuracy == (predictions.predicted == predictions.expected).mean()


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


def _sets_page(classes: tuple[str, ...], texts: list[str], issues: LabelIssues | None = None) -> str:
    candidate, baseline = _label_sets(classes, 1), _label_sets(classes, 2)
    metrics = summarize(candidate, baseline, resamples=100, confidence=0.95, seed=1)
    png = draw(candidate, baseline, metrics, CURVES)
    return render(metrics, candidate, texts, issues or _issues(texts), png, CURVES)


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


def test_the_multi_label_page_speaks_of_labels_not_of_confusion():
    page = _sets_page(("a", "b", "c"), ["text"] * 80)
    assert "Exact match" in page
    assert "Micro-F1" in page
    assert not re.search("confusion|Matthews", page, re.IGNORECASE)
    by_class = page[page.index("By class") : page.index("Most confident mistakes")]
    assert re.findall('<span class="tag">(.)</span>', by_class)[-1] == "c"  # without rows: not the weakest


def test_every_label_of_a_mistake_or_a_doubtful_row_is_a_tag_of_its_own_and_escaped():
    page = _sets_page((EVIL, "b", "c"), [EVIL] * 80, _issues([EVIL] * 3, f"{EVIL}\x1fb", EVIL))
    assert "<script" not in page
    assert "\x1f" not in page
    assert page.count('<span class="tag">b</span>') >= 3
    assert '<span class="quiet">none</span>' in page


def test_multi_label_mistakes_come_by_their_surest_wrong_answer():
    predictions = Predictions(
        ids=["1", "2", "3", "4"],
        classes=("a", "b"),
        expected=np.array([[1, 0], [0, 0], [1, 1], [0, 1]], dtype=np.uint8),
        probabilities=np.array([[0.9, 0.6], [0.2, 0.1], [0.05, 0.3], [0.99, 0.8]], dtype=np.float32),
    )
    found = most_confident_mistakes(predictions, ["one", "two", "three", "four"])
    assert [(each.text, each.expected, each.predicted, round(each.probability, 2)) for each in found] == [
        ("four", "b", "a\x1fb", 0.99),
        ("three", "a\x1fb", "", 0.95),
        ("one", "a", "a\x1fb", 0.6),
    ]
