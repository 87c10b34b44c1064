"""Every score against scikit-learn, and the laws that scores obey."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from bertline.metrics.count_scores import SEVERAL, SINGLE
from bertline.metrics.predictions import Predictions
from bertline.metrics.scores import POINTS, POINTS_OF_SEVERAL, model_scores, per_class

QUICK = {"resamples": 2, "confidence": 0.95, "seed": 1}
Scikit = Callable[[Predictions], float]


def of(function: Any, **options: Any) -> Scikit:
    return lambda rows: function(rows.expected, rows.predicted, **options)


def over_present(function: Any, average: str) -> Scikit:
    def score(rows: Predictions) -> float:
        labels = np.flatnonzero(
            rows.expected.any(axis=0) if rows.multi_label else np.bincount(rows.expected, minlength=9)
        )
        if not len(labels):
            return 0.0
        return function(rows.expected, rows.predicted, labels=labels, average=average, zero_division=0)

    return score


def one_vs_rest(function: Any) -> Scikit:
    def score(rows: Predictions) -> float:
        has = rows.expected if rows.multi_label else np.eye(len(rows.classes), dtype=int)[rows.expected]
        both = (has.min(axis=0) == 0) & (has.max(axis=0) == 1)
        return float(np.mean([function(has[:, i], rows.probabilities[:, i]) for i in np.flatnonzero(both)]))

    return score


def flat(function: Any) -> Scikit:
    return lambda rows: function(rows.expected.ravel(), rows.probabilities.ravel())


def mean_answers(function: Any) -> Scikit:
    def score(rows: Predictions) -> float:
        columns = zip(rows.expected.T, rows.probabilities.T, strict=True)
        return float(np.mean([function(has, said, labels=[0, 1]) for has, said in columns]))

    return score


AVERAGES = {
    f"{average}_{name}": over_present(function, average)
    if average != "micro"
    else of(function, average=average, zero_division=0)
    for average in ("macro", "weighted", "micro")
    for name, function in {
        "precision": reference.precision_score,
        "recall": reference.recall_score,
        "f1": reference.f1_score,
        "jaccard": reference.jaccard_score,
    }.items()
}
AREAS = {
    "macro_roc_auc": one_vs_rest(reference.roc_auc_score),
    "macro_average_precision": one_vs_rest(reference.average_precision_score),
}
SCIKIT_SINGLE: dict[str, Scikit] = (
    AVERAGES
    | AREAS
    | {
        "accuracy": of(reference.accuracy_score),
        "balanced_accuracy": of(reference.balanced_accuracy_score),
        "mcc": of(reference.matthews_corrcoef),
        "kappa": of(reference.cohen_kappa_score),
        "log_loss": lambda rows: reference.log_loss(
            rows.expected, rows.probabilities, labels=range(len(rows.classes))
        ),
        "brier": lambda rows: reference.brier_score_loss(
            rows.expected, rows.probabilities, labels=range(len(rows.classes))
        ),
    }
)
SCIKIT_SEVERAL: dict[str, Scikit] = (
    AVERAGES
    | AREAS
    | {
        "accuracy": of(reference.accuracy_score),
        "hamming_loss": of(reference.hamming_loss),
        "samples_jaccard": of(reference.jaccard_score, average="samples", zero_division=0),
        "micro_roc_auc": flat(reference.roc_auc_score),
        "micro_average_precision": flat(reference.average_precision_score),
        "label_ranking_average_precision": lambda rows: reference.label_ranking_average_precision_score(
            rows.expected, rows.probabilities
        ),
        "log_loss": mean_answers(reference.log_loss),
        "brier": mean_answers(reference.brier_score_loss),
    }
)


@st.composite
def predicted_rows(draw: st.DrawFn, *, multi_label: bool) -> Predictions:
    """Return rows with missing classes, constant answers and equal probabilities now and then."""
    rows, classes = draw(st.integers(4, 40)), draw(st.integers(2, 5))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    present = draw(st.integers(1, classes))
    levels = draw(st.sampled_from([0, 3, 1000]))  # 0: the same probabilities for every row
    chances = np.ones(classes) + random.integers(0, max(1, levels), size=(rows, classes))
    if multi_label:
        expected = (random.random((rows, classes)) < 0.4).astype(np.uint8)
        expected[:, present:] = 0
        probabilities = chances / (levels + 1)
    else:
        expected = random.integers(present, size=rows)
        probabilities = chances / chances.sum(axis=1, keepdims=True)
    return Predictions(
        ids=[str(i) for i in range(rows)],
        classes=tuple("abcdefgh"[:classes]),
        expected=expected,
        probabilities=probabilities,
    )


@pytest.mark.filterwarnings("ignore")  # scikit-learn warns of a class that no row has
@settings(max_examples=40, deadline=None)
@given(st.booleans().flatmap(lambda several: predicted_rows(multi_label=several)))
def test_every_score_is_that_of_scikit_learn(rows: Predictions) -> None:
    found = model_scores(rows, **QUICK)
    scikit = SCIKIT_SEVERAL if rows.multi_label else SCIKIT_SINGLE
    names = {name for name in found if not name.endswith(("_low", "_high"))}
    assert len(names) >= 9
    for name in names:
        expected = scikit[name](rows)
        assert found[name] == pytest.approx(0 if np.isnan(expected) else expected, abs=1e-9), name


@settings(max_examples=15, deadline=None)
@given(st.booleans().flatmap(lambda several: predicted_rows(multi_label=several)), st.randoms())
def test_the_order_of_the_rows_changes_no_score(rows: Predictions, random: Any) -> None:
    order = np.array(random.sample(range(len(rows.ids)), len(rows.ids)))
    shuffled = dataclasses.replace(
        rows, expected=rows.expected[order], probabilities=rows.probabilities[order]
    )
    assert model_scores(shuffled, **QUICK) == pytest.approx(model_scores(rows, **QUICK), abs=1e-12)


@settings(max_examples=15, deadline=None)
@given(st.booleans().flatmap(lambda several: predicted_rows(multi_label=several)))
def test_the_names_of_the_classes_change_no_value(rows: Predictions) -> None:
    flipped = rows.probabilities[:, ::-1]
    expected = rows.expected[:, ::-1] if rows.multi_label else len(rows.classes) - 1 - rows.expected
    if (
        not rows.multi_label
    ):  # of equal probabilities the first class is predicted, which has another name now
        best = rows.probabilities == rows.probabilities.max(axis=1, keepdims=True)
        kept = best.sum(axis=1) == 1
        if not kept.any():
            return
        rows, expected, flipped = (
            dataclasses.replace(
                rows,
                ids=[str(i) for i in range(kept.sum())],
                expected=rows.expected[kept],
                probabilities=rows.probabilities[kept],
            ),
            expected[kept],
            flipped[kept],
        )
    renamed = dataclasses.replace(rows, expected=expected, probabilities=flipped)
    found, before = model_scores(renamed, **QUICK), model_scores(rows, **QUICK)
    values = (SEVERAL | POINTS_OF_SEVERAL) if rows.multi_label else (SINGLE | POINTS)
    assert {name: found.get(name) for name in values} == pytest.approx(
        {name: before.get(name) for name in values}, abs=1e-12
    )


@settings(max_examples=15, deadline=None)
@given(predicted_rows(multi_label=False))
def test_one_hot_label_sets_have_the_scores_of_single_labels(rows: Predictions) -> None:
    width = len(rows.classes)
    certain = np.eye(width)[rows.predicted]
    sets = dataclasses.replace(
        rows, expected=np.eye(width, dtype=np.uint8)[rows.expected], probabilities=certain
    )
    one, several = (
        model_scores(each, **QUICK) for each in (dataclasses.replace(rows, probabilities=certain), sets)
    )
    same = set(SINGLE) & set(SEVERAL) & set(one)
    assert {name: several[name] for name in same} == pytest.approx({name: one[name] for name in same})
    assert several["macro_recall"] == pytest.approx(one["balanced_accuracy"])
    assert several["micro_f1"] == pytest.approx(one["accuracy"])


def test_the_scores_of_a_class_without_rows_are_zero() -> None:
    rows = Predictions(
        ids=["1", "2"], classes=("a", "b", "c"), expected=np.array([0, 1]), probabilities=np.eye(3)[:2]
    )
    assert per_class(rows)["c"] == {"precision": 0, "recall": 0, "f1": 0, "support": 0}


def test_an_area_that_the_rows_cannot_have_is_left_out() -> None:
    rows = Predictions(ids=["1", "2"], classes=("a", "b"), expected=np.array([0, 0]), probabilities=np.eye(2))
    assert "macro_roc_auc" not in model_scores(rows, **QUICK)
