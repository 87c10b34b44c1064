from typing import Any

import numpy as np
import pytest

from bertline.evaluation import comparison
from bertline.evaluation.comparison import Pairs, compare_models, differences
from bertline.evaluation.slices import Slice
from bertline.metrics.intervals import Settings
from bertline.metrics.predictions import Predictions

SETTINGS: Settings = {"resamples": 200, "confidence": 0.95, "seed": 1}
CLASSES = ("ham", "news", "spam")
ROWS = 600
EXPECTED = np.arange(ROWS) % 3


def answering(predicted: np.ndarray, *, sure: float = 0.9, expected: np.ndarray = EXPECTED) -> Predictions:
    """Predictions of these classes, each with the probability `sure`, a number or one of each row."""
    rows = np.arange(len(predicted))
    probabilities = np.repeat((1 - np.broadcast_to(sure, rows.shape))[:, None] / 2, 3, axis=1)
    probabilities[rows, predicted] = sure
    ids = [f"row {i}" for i in rows]
    return Predictions(
        ids=ids, classes=CLASSES, expected=expected, probabilities=probabilities.astype(np.float32)
    )


def wrong_on(which: np.ndarray, **more: Any) -> Predictions:
    """A model that takes the rows `which`, a mask or places, for the next class."""
    predicted = EXPECTED.copy()
    predicted[which] = (predicted[which] + 1) % 3
    return answering(predicted, **more)


def compared(a: Predictions, b: Predictions, **more: Any) -> dict[str, Any]:
    texts = [f"text {i}" for i in range(len(a.ids))]
    return compare_models(a, b, texts=texts, **({"slices": [], "behaviour": []} | more), **SETTINGS)


def named(document: dict[str, Any], name: str, measure: str = "recall") -> dict[str, Any]:
    [found] = [each for each in document["differences"] if (each["name"], each["measure"]) == (name, measure)]
    return found


def test_a_class_that_broke_is_found_and_no_other() -> None:
    document = compared(wrong_on([]), wrong_on(np.flatnonzero(EXPECTED == 1)[:20]))
    worse = [
        (each["name"], each["measure"]) for each in document["differences"] if each["verdict"] == "worse"
    ]
    assert worse == [("news", "recall"), ("spam", "false alarms")]
    assert not [each for each in document["differences"] if each["verdict"] == "better"]
    assert named(document, "news") | {"a": 1.0, "b": 0.9, "only_a": 20, "only_b": 0} == named(
        document, "news"
    )


def test_a_model_compared_with_itself_shows_nothing() -> None:
    document = compared(wrong_on(np.arange(30)), wrong_on(np.arange(30)))
    assert (document["broken"]["rows"], document["fixed"]["rows"]) == (0, 0)
    assert {each["verdict"] for each in document["differences"]} == {"not shown"}


def test_swapping_the_models_swaps_better_and_worse() -> None:
    a, b = wrong_on(np.arange(10)), wrong_on(np.arange(60))
    there, back = compared(a, b), compared(b, a)
    swapped = {"better": "worse", "worse": "better", "not shown": "not shown"}
    assert [each["verdict"] for each in back["differences"]] == [
        swapped[each["verdict"]] for each in there["differences"]
    ]
    assert [row["id"] for row in there["broken"]["shown"]] == [row["id"] for row in back["fixed"]["shown"]]


def test_a_lower_failure_rate_is_better() -> None:
    fails = np.arange(100) < 30
    part = Pairs(
        kind="behaviour", group="behaviour", name="typos", measure="failure rate", a=fails, b=fails & False
    )
    [found] = differences([part], **SETTINGS)
    assert (found["difference"], found["verdict"]) == (-0.3, "better")


def test_the_broken_rows_begin_with_the_surest_mistake_and_the_others_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(comparison, "SHOWN", 2)
    sure = np.where(np.arange(ROWS) == 3, 0.99, 0.8)
    document = compared(wrong_on([]), wrong_on(np.arange(5), sure=sure))
    assert document["broken"]["rows"] == 5
    assert [row["id"] for row in document["broken"]["shown"]] == ["row 3", "row 0"]
    first = document["broken"]["shown"][0]
    assert (first["text"], first["label"], first["a"], first["b"]) == ("text 3", ["ham"], ["ham"], ["news"])
    assert (first["a_probability"], first["b_probability"]) == (0.9, 0.99)


def test_slices_are_compared_by_accuracy_and_those_by_class_only_once() -> None:
    slices = [
        Slice(group="class", name="ham", rows=np.arange(30)),
        Slice(group="source", name="a.csv", rows=np.arange(30)),
    ]
    document = compared(wrong_on([]), wrong_on(np.arange(15)), slices=slices)
    found = [each for each in document["differences"] if each["kind"] == "slice"]
    assert [(each["group"], each["name"], each["rows"]) for each in found] == [("source", "a.csv", 30)]
    assert (found[0]["difference"], found[0]["verdict"]) == (-0.5, "worse")


def test_a_class_that_one_model_does_not_know_is_compared() -> None:
    without = Predictions(
        ids=[f"row {i}" for i in range(4)],
        classes=("ham", "news"),
        expected=np.array([0, 0, 1, 1]),
        probabilities=np.eye(2, dtype=np.float32)[[0, 0, 1, 1]],
    )
    three = answering(np.array([0, 0, 1, 2]), expected=np.array([0, 0, 1, 1]))
    found = named(compared(without, three), "spam", "false alarms")
    assert (found["rows"], found["a"], found["b"]) == (4, 0.0, 0.25)


def test_each_of_several_labels_is_compared_by_itself() -> None:
    expected = np.array([[1, 1], [1, 0], [0, 0], [0, 1]], np.uint8)
    says = expected.astype(np.float32) * 0.8 + 0.1
    more = says.copy()
    more[2, 0] = 0.6
    a, b = (
        Predictions(ids=list("wxyz"), classes=("rude", "spam"), expected=expected, probabilities=each)
        for each in (says, more)
    )
    document = compared(a, b)
    assert named(document, "rude", "false alarms")["only_b"] == 1
    assert named(document, "rude")["difference"] == 0
    [row] = document["broken"]["shown"]
    assert (row["id"], row["label"], row["a"], row["b"]) == ("y", [], [], ["rude"])
    assert row["b_probability"] == pytest.approx(0.6)


def test_two_equally_good_models_seldom_differ_by_more_than_chance() -> None:
    draw = np.random.default_rng(0)

    def family() -> list[Pairs]:
        a, b = draw.random((2, ROWS)) < 0.1
        parts = [np.flatnonzero(draw.random(ROWS) < 0.3) for _ in range(12)]
        return [
            Pairs(kind="slice", group="g", name=str(i), measure="accuracy", a=a[rows], b=b[rows])
            for i, rows in enumerate(parts)
        ]

    settings: Settings = {"resamples": 100, "confidence": 0.95, "seed": 1}
    shown = sum(
        any(each["verdict"] != "not shown" for each in differences(family(), **settings)) for _ in range(60)
    )
    assert shown <= 6  # 5 % of 60 are 3; more than 6 would happen once in 30 if it were as much as that
