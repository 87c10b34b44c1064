"""What a toy model answers: it is a number of epochs, not a network."""

from pathlib import Path

import numpy as np
import pytest

from bertline.comparison import answers
from bertline.metrics.predictions import Predictions, read_predictions
from bertline.models import classifier
from bertline.rows.io import write_rows
from bertline.rows.labels import OUT_OF_SCOPE, LabelSpace
from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids


@pytest.fixture
def toy_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of the toy project answers the test rows as its stage does, and other texts as `Toy`."""
    monkeypatch.setattr(answers, "predict_test_rows", answer)
    monkeypatch.setattr(classifier, "Classifier", Toy)


class Toy:
    """Says ham; a model of at most 3 epochs says spam where the text is in capitals."""

    space = LabelSpace(("ham", "spam"))

    def __init__(self, folder: Path, *, threads: int, batch_size: int) -> None:
        self._takes_capitals_for_spam = int((folder / "model.txt").read_text()) <= 3

    def probabilities(self, texts: list[str]) -> np.ndarray:
        """Return the probabilities [N, 2] of `texts`."""
        spam = [self._takes_capitals_for_spam and text.isupper() for text in texts]
        return np.eye(2, dtype=np.float32)[np.array(spam, np.int64)]


def answer(model: Path, rows: Path, params: object) -> Predictions:
    """Stand in for `predict_test_rows`: the more epochs, the more rows are right."""
    candidate = read_predictions(Path("data/predictions/candidate.parquet"))
    wrong = 5 - int((model / "model.txt").read_text())
    probabilities = candidate.probabilities.copy()
    for row in range(len(candidate.ids)):
        right = candidate.expected[row]
        probabilities[row] = 0
        probabilities[row, 1 - right if row % 10 < wrong else right] = 1
    return Predictions(
        ids=candidate.ids,
        classes=candidate.classes,
        expected=candidate.expected,
        probabilities=probabilities,
    )


def add_test_rows(root: Path) -> None:
    """Write rows like those that the stage `evaluate` of the toy project predicts, and one out of scope."""
    labels = ["spam" if i // 10 % 2 else "ham" for i in range(300)]
    texts = [f"<b>a row</b> {i}" for i in range(301)]
    rows = add_ids(make_rows(texts, [*labels, OUT_OF_SCOPE], source="raw.txt", batch="raw"))
    write_rows(rows, root / "data/splits/test.parquet")
    (root / "slices.yaml").write_text("[]\n")
    (root / "behaviour.yaml").write_text("off: [typos]\n")
