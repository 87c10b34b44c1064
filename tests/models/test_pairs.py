"""Sentence pairs: an encoder sees which text a word is in, the same in training, serving and transformers."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig, RobertaConfig

from bertline.encoder.classifier import build_classifier, save_classifier
from bertline.encoder.collate import collate_padded
from bertline.models.classifier import Classifier
from bertline.params.finetune import Params
from bertline.stages.finetune.prepare import fine_tune
from bertline.stages.finetune.task import predict
from bertline.tokens.arrays import TokenizedSplit
from bertline.tokens.truncation import Truncator
from bertline.training.checkpoints import Checkpoints
from bertline.training.determinism import make_deterministic
from tests.support.tiny import FILLERS

CLASSES = ("first", "second")
Pair = tuple[str, str]


def make_pairs(count: int, seed: int) -> list[tuple[Pair, str]]:
    """Return distinct pairs with one cat each; the label says which text it is in, and nothing else tells."""
    draw = random.Random(seed)
    rows: dict[Pair, str] = {}
    while len(rows) < count:
        label = draw.choice(CLASSES)
        first, second = (draw.choices(FILLERS, k=draw.randint(1, 5)) for _ in CLASSES)
        text = first if label == "first" else second
        text.insert(draw.randint(0, len(text)), "cat")
        rows[" ".join(first), " ".join(second)] = label
    return list(rows.items())


TESTED = make_pairs(120, seed=3)
PAIRS = [pair for pair, _ in TESTED]


@pytest.fixture(scope="module")
def model_folder(
    tiny_encoder: Path,
    tokenized: Callable[..., TokenizedSplit],
    params: Callable[..., Params],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A classifier fine-tuned on pairs, as `finetune` leaves it."""
    folder = tmp_path_factory.mktemp("pairs")
    splits = {
        "train": tokenized(make_pairs(400, seed=1), CLASSES),
        "validation": tokenized(make_pairs(60, seed=2), CLASSES),
    }
    make_deterministic(1, 1)
    model = build_classifier(tiny_encoder, CLASSES)
    for _ in fine_tune(model, splits, params(epochs=6, device="cpu"), Checkpoints("run", folder / "scratch")):
        pass
    save_classifier(model, tiny_encoder, 32, folder)
    (folder / "bertline.json").write_text(json.dumps({"max_length": 32, "pairs": True}))
    return folder


def test_which_text_a_word_is_in_is_learnt(model_folder: Path) -> None:
    classifier = Classifier(model_folder)
    assert classifier.pairs
    predicted = [classifier.space.classes[i] for i in classifier.probabilities(PAIRS).argmax(axis=1)]
    assert np.mean([one == label for one, (_, label) in zip(predicted, TESTED, strict=True)]) > 0.9


def test_a_pair_is_classified_as_by_transformers_own_tokenizer_and_model(model_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    model = AutoModelForSequenceClassification.from_pretrained(model_folder).eval()
    expected = []
    with torch.inference_mode():
        for first, second in PAIRS:
            expected.append(model(**tokenizer(first, second, return_tensors="pt")).logits.softmax(dim=1)[0])
    probabilities = Classifier(model_folder, batch_size=7).probabilities(PAIRS)
    np.testing.assert_allclose(probabilities, torch.stack(expected).numpy(), atol=1e-6)


def test_training_and_serving_see_a_pair_alike(
    model_folder: Path, tokenized: Callable[..., TokenizedSplit]
) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(model_folder)
    logits = torch.from_numpy(predict(model, tokenized(TESTED, CLASSES), 8, collate_padded(model.config)))
    served = Classifier(model_folder, batch_size=8).probabilities(PAIRS)
    np.testing.assert_allclose(logits.softmax(dim=1).numpy(), served, atol=1e-6)


def test_texts_and_pairs_can_be_mixed(model_folder: Path) -> None:
    classifier = Classifier(model_folder, batch_size=4)
    mixed = [each for pair in PAIRS[:10] for each in (pair, pair[0])]
    together = classifier.probabilities(mixed)
    alone = np.concatenate([classifier.probabilities([each]) for each in mixed])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_the_segments_of_a_pair_are_padded_with_its_tokens(tiny_encoder: Path) -> None:
    truncator = Truncator(tiny_encoder, max_length=32, long_texts="head", stride=0)
    tokens = truncator.encode([("the cat", "a dog is"), "the cat"])
    inputs = collate_padded(BertConfig(pad_token_id=0))(tokens, np.array([0, 1]))
    assert inputs["token_type_ids"].tolist() == [[0, 0, 0, 0, 1, 1, 1, 1], [0] * 8]
    assert inputs["attention_mask"].tolist() == [[1] * 8, [1] * 4 + [0] * 4]


def test_only_pairs_have_segments_and_only_encoders_that_know_them_see_them(tiny_encoder: Path) -> None:
    truncator, row = Truncator(tiny_encoder, max_length=32, long_texts="head", stride=0), np.array([0])
    pair, text = truncator.encode([("the cat", "a dog")]), truncator.encode(["the cat"])
    assert "token_type_ids" in collate_padded(BertConfig())(pair, row)
    assert "token_type_ids" not in collate_padded(BertConfig())(text, row)
    assert "token_type_ids" not in collate_padded(RobertaConfig(type_vocab_size=1))(pair, row)
