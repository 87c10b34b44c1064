import dataclasses
import json

import numpy as np
import pytest

from bertline.metrics.predictions import Predictions
from bertline.metrics.summary import summarize

SETTINGS = {"resamples": 200, "confidence": 0.9, "seed": 3}


def _predictions(seed: int, classes: tuple[str, ...] = ("a", "b", "c")) -> Predictions:
    expected = np.random.default_rng(0).integers(len(classes), size=120)
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(len(classes)), size=120)
    probabilities[:60] = np.eye(len(classes))[expected[:60]] * 0.5 + probabilities[:60] * 0.5
    ids = [str(i) for i in range(120)]
    return Predictions(
        ids=ids, classes=classes, expected=expected, probabilities=probabilities.astype(np.float32)
    )


def test_every_score_lies_in_its_interval():
    found = summarize(_predictions(1), _predictions(2), **SETTINGS)
    for model in ("candidate", "baseline", "difference"):
        for metric in ("accuracy", "macro_f1"):
            row = found[model]
            assert row[f"{metric}_low"] < row[metric] < row[f"{metric}_high"]


def test_the_difference_is_candidate_minus_baseline():
    found = summarize(_predictions(1), _predictions(2), **SETTINGS)
    for metric in ("accuracy", "macro_f1"):
        gain = found["candidate"][metric] - found["baseline"][metric]
        assert found["difference"][metric] == pytest.approx(gain, abs=2e-6)


def test_it_is_plain_json_and_the_same_every_time():
    first, second = (json.dumps(summarize(_predictions(1), _predictions(2), **SETTINGS)) for _ in range(2))
    assert first == second


def test_models_on_other_rows_are_not_compared():
    candidate = _predictions(1)
    baseline = dataclasses.replace(_predictions(2), ids=[f"other {i}" for i in range(120)])
    with pytest.raises(ValueError, match="different rows"):
        summarize(candidate, baseline, **SETTINGS)


def test_a_multi_label_summary_has_micro_f1_in_the_place_of_mcc():
    random = np.random.default_rng(1)
    expected = (random.random((120, 3)) < 0.4).astype(np.uint8)
    candidate, baseline = (
        dataclasses.replace(
            _predictions(1),
            expected=expected,
            probabilities=(0.7 * expected + random.random((120, 3)) * noise).clip(0, 1).astype(np.float32),
        )
        for noise in (0.6, 0.9)
    )
    found = summarize(candidate, baseline, **SETTINGS)
    single = summarize(_predictions(1), _predictions(2), **SETTINGS)
    assert list(found) == list(single)
    assert set(single["candidate"]) - set(found["candidate"]) == {"mcc"}
    assert set(found["candidate"]) - set(single["candidate"]) == {"micro_f1"}
    for metric in ("accuracy", "macro_f1"):
        row = found["difference"]
        assert 0 < row[f"{metric}_low"] < row[metric] < row[f"{metric}_high"]
