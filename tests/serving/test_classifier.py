import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import CLASSES, make_texts

from bertline.modeling.encoder import build_classifier, save_classifier
from bertline.serving.classifier import Classifier


@pytest.fixture(scope="module")
def model_folder(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    save_classifier(build_classifier(tiny_encoder, CLASSES), tiny_encoder, 16, folder)
    (folder / "bertline.json").write_text(json.dumps({"max_length": 16}))
    return folder


def test_probabilities_are_those_of_the_transformers_pipeline(model_folder: Path) -> None:
    from transformers import pipeline

    texts = [text for text, _ in make_texts(40)] + ["cat " * 50]
    classify = pipeline("text-classification", model=str(model_folder), top_k=None, device="cpu")
    classifier = Classifier(model_folder, batch_size=7)
    theirs = [{each["label"]: each["score"] for each in row} for row in classify(texts, truncation=True)]
    expected = [[row[label] for label in classifier.labels] for row in theirs]
    np.testing.assert_allclose(classifier.probabilities(texts), expected, atol=1e-6)


def test_labels_are_words_people_read(model_folder: Path) -> None:
    assert Classifier(model_folder).labels == CLASSES


def test_rows_are_probabilities_in_the_order_of_the_texts(model_folder: Path) -> None:
    texts = [text for text, _ in make_texts(30)]
    together = Classifier(model_folder, batch_size=4).probabilities(texts)
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-6)
    alone = np.concatenate([Classifier(model_folder).probabilities([text]) for text in texts[:3]])
    np.testing.assert_allclose(together[:3], alone, atol=1e-6)


def test_no_texts_are_no_rows(model_folder: Path) -> None:
    assert Classifier(model_folder).probabilities([]).shape == (0, 3)


def test_a_folder_that_is_no_model_names_the_next_command(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dvc repro finetune"):
        Classifier(tmp_path / "missing")
