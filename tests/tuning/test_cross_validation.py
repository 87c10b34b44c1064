"""Settings that are refused before a run, and joining the folds; the whole command: tests/pipeline."""

from pathlib import Path

import numpy as np
import pytest

from bertline.metrics.predictions import Predictions
from bertline.tuning.cross_validation import check_folds, pooled
from tests.support.params import write_params


def predictions(ids: list[str], classes: str, expected: list[int], given: list[int]) -> Predictions:
    probabilities = np.eye(len(classes), dtype=np.float32)[given]
    return Predictions(
        ids=ids, classes=tuple(classes), expected=np.array(expected), probabilities=probabilities
    )


def test_folds_are_put_together_over_the_classes_of_any() -> None:
    whole = pooled([predictions(["1", "2"], "ac", [0, 1], [1, 1]), predictions(["3"], "bc", [0], [1])])
    assert whole.ids == ["1", "2", "3"]
    assert whole.classes == ("a", "b", "c")
    assert whole.expected.tolist() == [0, 2, 1]
    assert whole.predicted.tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("section", "knobs", "says"),
    [
        (
            "split",
            {"validation_from": "2026-01-01", "test_from": "2026-02-01"},
            r"^split\.folds is 3; allowed: null where rows are split by time$",
        ),
        (
            "ingest",
            {"source": "data/incoming/a.csv", "test_source": "data/incoming/test.csv"},
            r"^ingest\.test_source is data/incoming/test\.csv, so every fold would be tested on",
        ),
    ],
)
def test_rows_whose_test_split_is_given_cannot_be_cross_validated(
    section: str, knobs: dict[str, object], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path)
    check_folds(3)
    write_params(tmp_path, **{section: knobs})
    with pytest.raises(ValueError, match=says):
        check_folds(3)
