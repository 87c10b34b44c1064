"""Continued pre-training as a whole, on texts in which every word says much of the others."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from transformers import (
    AlbertConfig,
    AlbertModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DistilBertConfig,
    DistilBertModel,
    PreTrainedModel,
    RobertaConfig,
    RobertaModel,
)

from bertline.encoder.classifier import save_classifier
from bertline.encoder.ordering import parts
from bertline.params.adapt import Params
from bertline.stages.adapt.build import build_pretraining, build_task
from bertline.stages.adapt.task import Pretraining
from bertline.tokens.arrays import TokenizedSplit
from bertline.training.checkpoints import Checkpoints
from bertline.training.determinism import make_deterministic
from bertline.training.history import Epoch, Step
from bertline.training.loop import train
from tests.support.tiny import FILLERS, SIZES, TOPICS

Splits = dict[str, TokenizedSplit]


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


class Learner(NamedTuple):
    model: PreTrainedModel
    task: Pretraining
    params: Params


def echoes(count: int, seed: int) -> list[tuple[str, str]]:
    """Return texts of 6 to 14 words of one pair: each of them predicts the others."""
    draw = np.random.default_rng(seed)
    words = FILLERS + [word for topic in TOPICS.values() for word in topic]
    pairs = [words[i : i + 2] for i in range(0, len(words), 2)]
    sizes = draw.integers(6, 15, count)
    return [
        (" ".join(draw.choice(pairs[i], size)), "animal")
        for i, size in zip(draw.integers(len(pairs), size=count), sizes, strict=True)
    ]


def of_one_topic(count: int, seed: int) -> list[tuple[str, str]]:
    """Return texts of 8 words of one topic: the first half predicts the second."""
    draw = np.random.default_rng(seed)
    return [(" ".join(draw.choice(TOPICS[topic], 8)), topic) for topic in draw.choice(sorted(TOPICS), count)]


@pytest.fixture(scope="module")
def corpus(tokenized: Callable[..., TokenizedSplit]) -> Splits:
    return {"train": tokenized(echoes(300, 0)), "validation": tokenized(echoes(60, 1))}


@pytest.fixture(scope="module")
def learner(
    tiny_encoder: Path, token_folder: Path, corpus: Splits, adapt_params: Callable[..., Params]
) -> Callable[..., Learner]:
    def learner(splits: Splits = corpus, *, dropout: bool = True, **knobs: object) -> Learner:
        params = adapt_params(**knobs)
        make_deterministic(params.seed, params.threads)
        model = build_pretraining(tiny_encoder, token_folder, params)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout) and not dropout:
                module.p = 0.0
        return Learner(model, build_task(model, splits, token_folder, params), params)

    return learner


def fit(learner: Learner, scratch: Path) -> list[Step | Epoch]:
    return list(train(*learner, Checkpoints("run", scratch)))


def bits(model: PreTrainedModel) -> dict[str, bytes]:
    return {name: each.numpy().tobytes() for name, each in model.state_dict().items()}


def test_masked_words_are_learnt(learner: Callable[..., Learner], tmp_path: Path) -> None:
    events = fit(learner(epochs=10), tmp_path)
    scores = [event.scores for event in events if isinstance(event, Epoch)]
    assert scores[-1]["masked_accuracy"] > 0.3  # at best one half, by chance 1 in 30
    assert scores[-1]["perplexity"] < scores[0]["perplexity"] / 2


def test_next_sentences_are_learnt(
    learner: Callable[..., Learner], tokenized: Callable[..., TokenizedSplit], tmp_path: Path
) -> None:
    splits = {"train": tokenized(of_one_topic(600, 0)), "validation": tokenized(of_one_topic(300, 1))}
    events = fit(learner(splits, objective="mlm_nsp", epochs=8), tmp_path)
    scores = [event.scores for event in events if isinstance(event, Epoch)]
    assert scores[-1]["next_sentence_accuracy"] > 0.7  # 0.5 by chance; at best 0.83, as topics recur


@pytest.mark.parametrize("unpadded", [True, False])
@pytest.mark.parametrize("objective", ["mlm", "mlm_nsp"])
@pytest.mark.parametrize("micro", [1, 4, 5])
def test_loss_and_gradients_are_the_same_in_parts(
    learner: Callable[..., Learner], objective: str, micro: int, unpadded: bool
) -> None:
    model, task, _ = learner(objective=objective, dropout=False, unpadded=unpadded)
    task.start_epoch(model, 1)
    rows = task.order(1)[0]

    def compute(size: int) -> tuple[float, torch.Tensor]:
        model.zero_grad()
        batches = [task.batch(part, 1) for part in parts(rows, size)]
        total = sum(map(task.weight, batches))
        loss = sum(task.loss(model, batch) for batch in batches) / total
        loss.backward()
        return loss.item(), model.get_input_embeddings().weight.grad.clone()

    (whole, gradient), (part, same) = compute(len(rows)), compute(micro)
    assert part == pytest.approx(whole, rel=1e-5)
    torch.testing.assert_close(same, gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("objective", ["mlm", "mlm_nsp"])
def test_the_loss_is_that_of_transformers(learner: Callable[..., Learner], objective: str) -> None:
    model, task, _ = learner(objective=objective, dropout=False, unpadded=False)
    batch = task.batch(np.array([5]), 1)  # one row: its mean over masked tokens is that of transformers
    labels = torch.full(batch.inputs["input_ids"].shape, -100).flatten()
    labels[batch.places_M] = batch.targets
    labels = labels.view_as(batch.inputs["input_ids"])
    extra = {"next_sentence_label": batch.next_S} if objective == "mlm_nsp" else {}
    theirs = model.eval()(**batch.inputs, labels=labels, **extra).loss
    assert task.loss(model, batch).item() / task.weight(batch) == pytest.approx(theirs.item(), rel=1e-5)


def test_unpadded_and_padded_batches_have_the_same_loss(learner: Callable[..., Learner]) -> None:
    for objective in ("mlm", "mlm_nsp"):
        losses = []
        for unpadded in (True, False):
            model, task, _ = learner(objective=objective, dropout=False, unpadded=unpadded)
            batch = task.batch(np.arange(30), 1)
            assert ("attention_mask" in batch.inputs) == (not unpadded)
            losses.append(task.loss(model.eval(), batch).item())
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_validation_has_the_same_mask_every_time_and_training_another_each_epoch(
    learner: Callable[..., Learner],
) -> None:
    model, task, _ = learner()
    assert task.validate(model) == task.validate(model)
    first, second = (task.batch(np.arange(30), epoch).inputs["input_ids"] for epoch in (1, 2))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("killed_at", [3, 8, 13])
def test_a_killed_run_ends_in_the_same_bits(
    learner: Callable[..., Learner], tmp_path: Path, killed_at: int
) -> None:
    whole = learner()
    events = fit(whole, tmp_path / "whole")
    cut = learner()
    with pytest.raises(Killed):
        for event in train(*cut, Checkpoints("run", tmp_path / "cut")):
            if isinstance(event, Step) and event.step == killed_at:
                raise Killed
    torch.rand(7)  # the process that continues has drawn other random numbers
    continued = learner()
    assert fit(continued, tmp_path / "cut") == events
    assert bits(continued.model) == bits(whole.model)


@pytest.mark.parametrize("objective", ["mlm", "mlm_nsp"])
def test_what_is_written_loads_as_a_classifier_with_the_weights_that_were_learnt(
    learner: Callable[..., Learner], token_folder: Path, tmp_path: Path, objective: str
) -> None:
    model, *_ = learner(objective=objective)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    save_classifier(model.base_model, token_folder, 32, tmp_path)
    classifier, found = AutoModelForSequenceClassification.from_pretrained(
        tmp_path, num_labels=3, output_loading_info=True
    )
    assert set(found["missing_keys"]) == {"classifier.weight", "classifier.bias"}
    assert not found["unexpected_keys"]
    assert {name: bits(classifier.base_model)[name] for name in bits(model.base_model)} == bits(
        model.base_model
    )
    ids = AutoTokenizer.from_pretrained(tmp_path)("my cat", return_tensors="pt")
    assert classifier(**ids).logits.shape == (1, 3)


def test_masked_tokens_alone_leave_the_pooler_of_the_weights_as_it_is(
    learner: Callable[..., Learner], tiny_encoder: Path, tmp_path: Path
) -> None:
    trained = learner()
    fit(trained, tmp_path)
    before = learner().model.base_model.pooler.dense.weight
    assert torch.equal(trained.model.base_model.pooler.dense.weight, before)


OTHERS = {
    "albert": lambda: AlbertModel(AlbertConfig(vocab_size=35, embedding_size=16, **SIZES)),
    "roberta": lambda: RobertaModel(RobertaConfig(vocab_size=35, pad_token_id=0, **SIZES)),
    "distilbert": lambda: DistilBertModel(
        DistilBertConfig(vocab_size=35, dim=32, n_layers=2, n_heads=2, hidden_dim=64)
    ),
}


@pytest.fixture(params=sorted(OTHERS))
def other_encoder(request: pytest.FixtureRequest, tiny_encoder: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_encoder, tmp_path / "other", ignore=shutil.ignore_patterns("model*"))
    torch.manual_seed(0)
    OTHERS[request.param]().save_pretrained(tmp_path / "other")
    return tmp_path / "other"


def test_masked_words_are_learnt_by_other_architectures(
    other_encoder: Path,
    token_folder: Path,
    corpus: Splits,
    adapt_params: Callable[..., Params],
    tmp_path: Path,
) -> None:
    make_deterministic(1, 1)
    params = adapt_params(epochs=6)
    model = build_pretraining(other_encoder, token_folder, params)
    learner = Learner(model, build_task(model, corpus, token_folder, params), params)
    before = learner.task.validate(model)
    assert before["loss"] == pytest.approx(math.log(35), rel=0.1)  # a head that knows nothing
    fit(learner, tmp_path)
    assert learner.task.validate(model)["loss"] < before["loss"] - 0.5


def test_next_sentences_are_refused_where_the_architecture_has_no_head_for_them(
    other_encoder: Path, token_folder: Path, adapt_params: Callable[..., Params]
) -> None:
    with pytest.raises(ValueError, match="no next-sentence head as BERT has; set mlm"):
        build_pretraining(other_encoder, token_folder, adapt_params(objective="mlm_nsp"))


def test_texts_of_unknown_words_alone_are_refused(
    learner: Callable[..., Learner], tokenized: Callable[..., TokenizedSplit], corpus: Splits
) -> None:
    unknown = tokenized([("zebra lion", "animal"), ("tiger", "animal")])
    with pytest.raises(ValueError, match=r"set tokenize\.vocabulary"):
        learner({"train": unknown, "validation": corpus["validation"]})
