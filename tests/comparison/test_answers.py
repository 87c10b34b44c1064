import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bertline.comparison import answers as scoring
from bertline.metrics.predictions import Predictions
from bertline.models import classifier
from bertline.params.evaluate import Params
from bertline.rows.io import write_rows
from bertline.rows.labels import MULTI_LABEL, OUT_OF_SCOPE, SINGLE_LABEL, LabelSpace
from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids
from tests.support.params import section

PARAMS: Params = section("evaluate", batch_size=8, threads=1, resamples=100)


class Spam:
    """Stands in for a champion: surely spam where the text says so, else a little surer of ham."""

    space = LabelSpace(("ham", "spam"))

    def __init__(self, folder: Path, *, threads: int, batch_size: int) -> None:
        pass

    def probabilities(self, texts: list[str]) -> np.ndarray:
        return np.array([[0.1, 0.9] if "spam" in text else [0.55, 0.45] for text in texts], dtype=np.float32)


class SpamSets(Spam):
    """The same of a multi-label target: surely spam, or neither."""

    space = LabelSpace(("ham", "spam"), multi_label=True)

    def probabilities(self, texts: list[str]) -> np.ndarray:
        return np.array([[0.1, 0.9] if "spam" in text else [0.2, 0.1] for text in texts], dtype=np.float32)


def _score(
    model: type[Spam],
    labels: list[str],
    folder: Path,
    patch: pytest.MonkeyPatch,
    space: LabelSpace = SINGLE_LABEL,
) -> Predictions:
    rows = add_ids(make_rows([f"{i} spam" if i % 2 else f"{i}" for i in range(len(labels))], labels))
    write_rows(rows, folder / "test.parquet", space=space)
    patch.setattr(classifier, "Classifier", model)
    found = scoring.predict_test_rows(folder / "model", folder / "test.parquet", PARAMS)
    assert found.ids == rows["id"].to_pylist()
    assert found.space.decode(found.expected) == labels
    return found


def test_without_a_champion_it_imports_no_torch() -> None:
    script = "import sys, bertline.comparison.answers; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_label_the_champion_does_not_know_counts_against_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _score(Spam, ["ham", "spam", "eggs", "eggs"], tmp_path, monkeypatch)
    assert found.classes == ("eggs", "ham", "spam")
    assert found.right.tolist() == [True, True, False, False]


def test_rows_out_of_scope_are_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = add_ids(make_rows(["one", "two", "spam"], ["ham", OUT_OF_SCOPE, "spam"]))
    write_rows(rows, tmp_path / "test.parquet")
    monkeypatch.setattr(classifier, "Classifier", Spam)
    found = scoring.predict_test_rows(tmp_path / "model", tmp_path / "test.parquet", PARAMS)
    assert (found.ids, found.classes) == ([rows["id"][0].as_py(), rows["id"][2].as_py()], ("ham", "spam"))


@pytest.mark.parametrize("labels", [("False", "True"), ("0.0", "1.0")])
def test_labels_that_an_older_champion_spells_otherwise_are_the_same_classes(
    labels: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Older(Spam):
        space = LabelSpace(labels)

    names = ["false", "true"] if labels[0] == "False" else ["0", "1"]
    found = _score(Older, names * 2, tmp_path, monkeypatch)
    assert found.classes == tuple(names)
    assert found.right.all()


def test_labels_of_an_older_champion_are_compared_as_ingest_writes_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Decomposed(Spam):
        space = LabelSpace(("the\u0301", "spam"))

    found = _score(Decomposed, ["th\u00e9", "spam"], tmp_path, monkeypatch)
    assert found.right.tolist() == [True, True]


def test_labels_of_an_older_champion_that_are_one_by_now_answer_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Twice(Spam):
        space = LabelSpace(("spam", "the\u0301", "th\u00e9"))

        def probabilities(self, texts: list[str]) -> np.ndarray:
            return np.array([[0.4, 0.35, 0.25] for _ in texts], dtype=np.float32)

    class TwiceSets(Twice):
        space = replace(Twice.space, multi_label=True)

        def probabilities(self, texts: list[str]) -> np.ndarray:
            return np.array([[0.1, 0.9, 0.3], [0.1, 0.3, 0.4]], dtype=np.float32)

    found = _score(Twice, ["th\u00e9", "spam"], tmp_path, monkeypatch)
    np.testing.assert_allclose(found.probabilities, [[0.4, 0.6]] * 2)
    assert found.right.tolist() == [True, False]
    found = _score(TwiceSets, ["th\u00e9", ""], tmp_path, monkeypatch, MULTI_LABEL)
    np.testing.assert_allclose(found.probabilities, [[0.1, 0.9], [0.1, 0.4]])


def test_label_sets_are_scored_over_the_labels_of_rows_and_champion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = ["", "spam", "eggs", "eggs\x1fspam"]
    found = _score(SpamSets, labels, tmp_path, monkeypatch, MULTI_LABEL)
    assert found.classes == ("eggs", "ham", "spam")
    assert found.space.decode(found.predicted) == ["", "spam", "", "spam"]
    assert found.right.tolist() == [True, True, False, False]


def test_a_champion_of_single_labels_answers_multi_label_rows_with_its_most_probable_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _score(Spam, ["ham", "ham\x1fspam", ""], tmp_path, monkeypatch, MULTI_LABEL)
    assert found.space.decode(found.predicted) == ["ham", "spam", "ham"]


def test_a_multi_label_champion_answers_single_label_rows_with_its_most_probable_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _score(SpamSets, ["ham", "spam"], tmp_path, monkeypatch)
    assert found.space.decode(found.predicted) == ["ham", "spam"]
