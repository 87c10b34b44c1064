from pathlib import Path

import numpy as np
import pytest

from bertline.corpus.rows import make_rows, with_ids, write_rows
from bertline.evaluation.predictions import Predictions, decode
from bertline.params.evaluate import Params
from bertline.promotion import scoring

PARAMS = Params(batch_size=8, threads=1, resamples=100, confidence=0.95, seed=1)


class Spam:
    """Stands in for a champion: surely spam where the text says so, else a little surer of ham."""

    labels = ("ham", "spam")
    multi_label = False

    def __init__(self, folder: Path, *, threads: int, batch_size: int) -> None:
        pass

    def probabilities(self, texts: list[str]) -> np.ndarray:
        return np.array([[0.1, 0.9] if "spam" in text else [0.55, 0.45] for text in texts], dtype=np.float32)


class SpamSets(Spam):
    """The same of a multi-label target: surely spam, or neither."""

    multi_label = True

    def probabilities(self, texts: list[str]) -> np.ndarray:
        return np.array([[0.1, 0.9] if "spam" in text else [0.2, 0.1] for text in texts], dtype=np.float32)


def _score(
    model: type[Spam], labels: list[str], folder: Path, patch: pytest.MonkeyPatch, *, multi_label: bool
) -> Predictions:
    rows = with_ids(make_rows([f"{i} spam" if i % 2 else f"{i}" for i in range(len(labels))], labels))
    write_rows(rows, folder / "test.parquet", multi_label=multi_label)
    patch.setattr(scoring, "Classifier", model)
    found = scoring.score(folder / "model", folder / "test.parquet", PARAMS)
    assert found.ids == rows["id"].to_pylist()
    assert decode(found.expected, found.classes) == labels
    return found


def test_a_label_the_champion_does_not_know_counts_against_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _score(Spam, ["ham", "spam", "eggs", "eggs"], tmp_path, monkeypatch, multi_label=False)
    assert found.classes == ("eggs", "ham", "spam")
    assert found.right.tolist() == [True, True, False, False]


def test_labels_of_an_older_champion_are_compared_as_ingest_writes_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Decomposed(Spam):
        labels = ("the\u0301", "spam")

    found = _score(Decomposed, ["th\u00e9", "spam"], tmp_path, monkeypatch, multi_label=False)
    assert found.right.tolist() == [True, True]


def test_labels_of_an_older_champion_that_are_one_by_now_answer_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Twice(Spam):
        labels = ("spam", "the\u0301", "th\u00e9")

        def probabilities(self, texts: list[str]) -> np.ndarray:
            return np.array([[0.4, 0.35, 0.25] for _ in texts], dtype=np.float32)

    class TwiceSets(Twice):
        multi_label = True

        def probabilities(self, texts: list[str]) -> np.ndarray:
            return np.array([[0.1, 0.9, 0.3], [0.1, 0.3, 0.4]], dtype=np.float32)

    found = _score(Twice, ["th\u00e9", "spam"], tmp_path, monkeypatch, multi_label=False)
    np.testing.assert_allclose(found.probabilities, [[0.4, 0.6]] * 2)
    assert found.right.tolist() == [True, False]
    found = _score(TwiceSets, ["th\u00e9", ""], tmp_path, monkeypatch, multi_label=True)
    np.testing.assert_allclose(found.probabilities, [[0.1, 0.9], [0.1, 0.4]])


def test_label_sets_are_scored_over_the_labels_of_rows_and_champion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = ["", "spam", "eggs", "eggs\x1fspam"]
    found = _score(SpamSets, labels, tmp_path, monkeypatch, multi_label=True)
    assert found.classes == ("eggs", "ham", "spam")
    assert decode(found.predicted, found.classes) == ["", "spam", "", "spam"]
    assert found.right.tolist() == [True, True, False, False]


def test_a_champion_of_single_labels_answers_multi_label_rows_with_its_most_probable_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _score(Spam, ["ham", "ham\x1fspam", ""], tmp_path, monkeypatch, multi_label=True)
    assert decode(found.predicted, found.classes) == ["ham", "spam", "ham"]


def test_a_multi_label_champion_answers_single_label_rows_with_its_most_probable_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _score(SpamSets, ["ham", "spam"], tmp_path, monkeypatch, multi_label=False)
    assert decode(found.predicted, found.classes) == ["ham", "spam"]
