import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertline.evaluation.predictions import Predictions
from bertline.params.promote import Params
from bertline.promotion.decision import decide, mcnemar

ROWS = 400
PARAMS = Params(
    min_accuracy=0.7,
    min_gain_over_baseline=0.0,
    max_loss_to_champion=0.01,
    resamples=200,
    confidence=0.95,
    seed=1,
)


def model(wrong: int, *, start: int = 0, classes: tuple[str, ...] = ("ham", "spam")) -> Predictions:
    """Predictions that are wrong on `wrong` rows from row `start` on."""
    expected = np.arange(ROWS) % 2
    at = (np.arange(ROWS) - start) % ROWS < wrong
    predicted = np.where(at, 1 - expected, expected)
    return Predictions(
        ids=[str(row) for row in range(ROWS)],
        classes=classes,
        expected=expected,
        probabilities=np.eye(len(classes), dtype=np.float32)[predicted],
    )


def failed(wrong: int, baseline: int = 200, champion: Predictions | None = None) -> list[str]:
    verdict = decide(PARAMS, candidate=model(wrong), baseline=model(baseline), champion=champion)
    assert verdict.promote == all(gate.passed for gate in verdict.gates)
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
    assert not verdict.promote
    assert verdict.gates[1].value is not None
    assert verdict.gates[1].value < 0


def test_a_model_worse_than_the_champion_is_not_promoted() -> None:
    assert failed(40, champion=model(10)) == ["no loss to champion"]


def test_a_model_that_says_what_the_champion_says_is_promoted() -> None:
    assert failed(20, champion=model(20)) == []


def test_a_champion_that_knows_other_classes_is_compared_over_the_union() -> None:
    champion = model(20, classes=("ham", "spam"))
    wider = Predictions(
        ids=champion.ids,
        classes=("eggs", "ham", "spam"),
        expected=champion.expected + 1,
        probabilities=np.pad(champion.probabilities, ((0, 0), (1, 0))),
    )
    same, union = (
        decide(PARAMS, candidate=model(20), baseline=model(200), champion=each) for each in (champion, wider)
    )
    assert same == union


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


@given(st.integers(0, 200), st.integers(0, 200))
def test_one_more_error_never_turns_a_refusal_into_a_promotion(wrong: int, champion: int) -> None:
    better, worse = (
        decide(PARAMS, candidate=model(each), baseline=model(200), champion=model(champion)).promote
        for each in (wrong, wrong + 1)
    )
    assert better or not worse


def test_mcnemar_equals_the_binomial_by_hand() -> None:
    expected = np.zeros(10, dtype=int)
    a = np.array([0] * 8 + [1, 1])  # right where b is wrong: 4 rows; the other way round: 1 row
    b = np.array([1] * 4 + [0] * 5 + [1])
    assert mcnemar(expected, a, b) == pytest.approx(2 * (1 + 5) / 2**5)


def test_mcnemar_of_equal_predictions_is_one() -> None:
    assert mcnemar(np.zeros(3, dtype=int), np.ones(3, dtype=int), np.ones(3, dtype=int)) == 1.0
