from dataclasses import replace
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertline.metrics.predictions import Predictions
from bertline.params.promote import Params
from bertline.promotion.decision import decide
from tests.support.params import section

ROWS = 400
PARAMS: Params = section("promote", max_loss_to_champion=0.01, resamples=200)


def says(expected: np.ndarray, wrong: np.ndarray) -> Predictions:
    """Predictions that are wrong on the rows `wrong`, a mask."""
    return Predictions(
        ids=[str(row) for row in range(len(expected))],
        classes=("ham", "spam"),
        expected=expected,
        probabilities=np.eye(2, dtype=np.float32)[np.where(wrong, 1 - expected, expected)],
    )


def model(wrong: int, *, start: int = 0, rows: int = ROWS) -> Predictions:
    """Predictions that are wrong on `wrong` rows from row `start` on."""
    return says(np.arange(rows) % 2, (np.arange(rows) - start) % rows < wrong)


def failed(wrong: int, baseline: int = 200, champion: Predictions | None = None) -> list[str]:
    verdict = decide(PARAMS, candidate=model(wrong), baseline=model(baseline), champion=champion)
    assert (verdict.decision == "promote") == all(gate.passed for gate in verdict.gates)
    return [gate.name for gate in verdict.gates if not gate.passed]


def test_a_good_first_model_is_promoted() -> None:
    assert failed(20) == []


def test_a_model_below_the_floor_is_not_promoted() -> None:
    assert failed(130) == ["accuracy"]


def test_a_model_no_better_than_the_baseline_is_not_promoted() -> None:
    assert failed(20, baseline=18) == ["gain over baseline"]


def test_a_gain_within_the_noise_is_no_gain() -> None:
    baseline = model(22, start=200)  # two rows worse, on other rows
    verdict = decide(PARAMS, candidate=model(20), baseline=baseline, champion=None)
    assert verdict.decision == "keep"
    assert verdict.gates[1].value is not None
    assert verdict.gates[1].value < 0


def test_a_model_worse_than_the_champion_is_not_promoted() -> None:
    assert failed(40, champion=model(10)) == ["no loss to champion"]


def test_a_loss_that_the_rows_cannot_rule_out_is_a_loss() -> None:
    candidate, champion = model(22), model(20, start=200)  # 0.005 worse, on other rows; 0.01 is allowed
    verdict = decide(PARAMS, candidate=candidate, baseline=model(200), champion=champion)
    assert [gate.passed for gate in verdict.gates] == [True, True, False]


def test_a_model_with_the_champions_accuracy_and_less_macro_f1_is_not_promoted() -> None:
    expected = (np.arange(ROWS) >= 360).astype(np.int64)  # 40 rows of spam
    candidate = says(expected, np.arange(ROWS) >= 380)  # takes 20 of them for ham
    champion = says(expected, np.arange(ROWS) < 20)  # takes 20 rows of ham for spam
    only_ham, params = says(expected, expected == 1), replace(PARAMS, max_loss_to_champion=0.05)
    verdict = decide(params, candidate=candidate, baseline=only_ham, champion=champion)
    assert [gate.passed for gate in verdict.gates] == [True, True, False]


@pytest.mark.parametrize(("baseline", "gate"), [(0, 1), (15, 2)])
def test_agreement_on_a_few_rows_shows_nothing(baseline: int, gate: int) -> None:
    verdict = decide(
        replace(PARAMS, max_loss_to_champion=0.03),
        candidate=model(0, rows=15),
        baseline=model(baseline, rows=15),
        champion=model(0, rows=15),
    )
    assert not verdict.gates[gate].passed
    assert "[-0.218, +0.218]" in verdict.gates[gate].reason
    assert "15 test rows are too few to show that it does" in verdict.gates[gate].reason


def test_a_first_model_far_above_the_baseline_is_promoted_on_a_few_rows() -> None:
    verdict = decide(PARAMS, candidate=model(1, rows=15), baseline=model(8, rows=15, start=7), champion=None)
    assert verdict.decision == "promote"


def test_a_model_that_says_what_the_champion_says_is_promoted() -> None:
    assert failed(20, champion=model(20)) == []


def test_a_champion_that_knows_other_classes_is_compared_over_the_union() -> None:
    champion = model(20)
    wider = Predictions(
        ids=champion.ids,
        classes=("eggs", "ham", "spam"),
        expected=champion.expected + 1,
        probabilities=np.pad(champion.probabilities, ((0, 0), (1, 0))),
    )
    same, union = (
        decide(PARAMS, candidate=model(20), baseline=model(200), champion=each) for each in (champion, wider)
    )
    assert same.gates == union.gates


@pytest.mark.parametrize(
    ("candidate", "champion", "question"),
    [
        (("ham", "spam"), ("eggs", "ham", "spam"), "candidate does not: eggs"),
        (("eggs", "ham", "spam"), ("ham", "spam"), "champion does not: eggs"),
    ],
)
def test_other_labels_are_for_a_person_to_decide(
    candidate: tuple[str, ...], champion: tuple[str, ...], question: str
) -> None:
    mine, theirs = (model(20).over(classes) for classes in (candidate, champion))
    verdict = decide(PARAMS, candidate=mine, baseline=model(200), champion=theirs)
    assert verdict.decision == "ask"
    assert verdict.questions[0].reason.endswith(question)


def test_a_champion_that_may_have_seen_the_rows_is_for_a_person_to_judge() -> None:
    verdict = decide(PARAMS, candidate=model(20), baseline=model(200), champion=model(20), same_split=False)
    assert verdict.decision == "ask"
    assert "may have seen these rows" in verdict.reasons.splitlines()[-1]


def test_where_a_gate_failed_nobody_is_asked() -> None:
    verdict = decide(PARAMS, candidate=model(130), baseline=model(200), champion=model(130), same_split=False)
    assert verdict.decision == "keep"


def test_predictions_of_other_rows_are_refused() -> None:
    other = model(20)
    other.ids.reverse()
    with pytest.raises(ValueError, match="in another order"):
        decide(PARAMS, candidate=model(20), baseline=model(200), champion=other)


def test_every_gate_gives_its_number_what_is_allowed_and_mcnemars_p() -> None:
    verdict = decide(PARAMS, candidate=model(20), baseline=model(200), champion=model(20))
    assert [gate.allowed for gate in verdict.gates] == [0.7, 0.0, -0.01]
    assert all(gate.value is not None for gate in verdict.gates)
    assert "McNemar's p = 1" in verdict.gates[2].reason


@settings(deadline=None)
@given(st.integers(0, 200), st.integers(0, 200))
def test_one_more_error_never_turns_a_refusal_into_a_promotion(wrong: int, champion: int) -> None:
    better, worse = (
        decide(PARAMS, candidate=model(each), baseline=model(200), champion=model(champion)).decision
        == "promote"
        for each in (wrong, wrong + 1)
    )
    assert better or not worse


def label_sets(
    wrong: int, *, classes: tuple[str, ...] = ("rude", "spam", "threat"), start: int = 0
) -> Predictions:
    """Multi-label predictions with one label wrong in `wrong` rows from row `start` on."""
    expected = np.random.default_rng(5).integers(2, size=(ROWS, 3), dtype=np.uint8)
    at = (np.arange(ROWS) - start) % ROWS < wrong
    predicted = expected ^ (at[:, np.newaxis] & (np.arange(3) == np.arange(ROWS)[:, np.newaxis] % 3))
    columns = [classes.index(label) for label in ("rude", "spam", "threat")]
    wide = np.zeros((2, ROWS, len(classes)), dtype=np.uint8)
    wide[:, :, columns] = expected, predicted
    return Predictions(
        ids=[str(row) for row in range(ROWS)],
        classes=classes,
        expected=wide[0],
        probabilities=(0.1 + 0.8 * wide[1]).astype(np.float32),
    )


def test_multi_label_models_pass_the_same_gates() -> None:
    verdict = decide(
        PARAMS, candidate=label_sets(20), baseline=label_sets(200), champion=label_sets(24, start=4)
    )
    assert verdict.decision == "promote"
    accuracy, gain, loss = verdict.gates
    assert accuracy.value == 1 - 20 / ROWS  # a row with one label wrong is wrong
    assert gain.value is not None
    assert gain.value > 0.1
    # Rows 0 to 3 are the champion's alone, 20 to 27 the candidate's.
    assert f"McNemar's p = {2 * sum(comb(12, i) for i in range(5)) / 2**12:.3g}" in loss.reason


@pytest.mark.parametrize(
    ("wrong", "baseline", "champion", "failing"),
    [
        (130, 300, 130, ["accuracy"]),
        (20, 18, 20, ["gain over baseline"]),
        (60, 200, 10, ["no loss to champion"]),
    ],
)
def test_a_multi_label_model_is_refused_by_the_gate_it_fails(
    wrong: int, baseline: int, champion: int, failing: list[str]
) -> None:
    verdict = decide(
        PARAMS,
        candidate=label_sets(wrong),
        baseline=label_sets(baseline),
        champion=label_sets(champion),
    )
    assert [gate.name for gate in verdict.gates if not gate.passed] == failing


def test_a_multi_label_champion_with_other_labels_is_compared_over_the_union() -> None:
    wider = label_sets(20, classes=("abuse", "rude", "spam", "threat"))
    same, union = (
        decide(PARAMS, candidate=label_sets(20), baseline=label_sets(200), champion=each)
        for each in (label_sets(20), wider)
    )
    assert same.gates == union.gates


def test_what_a_champion_says_of_a_label_that_no_row_has_counts_against_it() -> None:
    candidate, wider = label_sets(20), label_sets(20, classes=("abuse", "rude", "spam", "threat"))
    wider.probabilities[:50, 0] = 0.9
    verdict = decide(PARAMS, candidate=candidate, baseline=label_sets(200), champion=wider)
    assert "McNemar's p = 1.86e-09" in verdict.gates[2].reason  # right alone in 30 rows: 2 / 2**30
