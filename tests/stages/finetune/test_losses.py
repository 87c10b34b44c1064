"""The losses against other people's formulas, and that a batch in parts has the gradients of the whole."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit, log_softmax, rel_entr, softmax
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight

from bertline.encoder.classifier import build_classifier
from bertline.encoder.collate import collate_padded
from bertline.encoder.ordering import parts
from bertline.params.finetune import Params
from bertline.stages.finetune.losses import class_weights, row_losses, row_weights, symmetric_kl
from bertline.stages.finetune.task import Classification
from bertline.tokens.arrays import TokenizedSplit
from tests.support.tiny import CLASSES

MakeParams = Callable[..., Params]

RANDOM = np.random.default_rng(0)
LOGITS = 3 * RANDOM.standard_normal((40, 3)).astype(np.float32)
OTHERS = 3 * RANDOM.standard_normal((40, 3)).astype(np.float32)
LABELS = np.repeat([0, 1, 1, 2, 2, 2, 2, 2], 5)
PRESENT = (RANDOM.random((40, 3)) < [0.1, 0.5, 0.8]).astype(np.uint8)


def losses(labels: np.ndarray, params: Params, weights: np.ndarray | None = None) -> np.ndarray:
    targets = torch.from_numpy(labels).float() if labels.ndim == 2 else torch.from_numpy(labels)
    weights_C = None if weights is None else torch.from_numpy(weights.astype(np.float32))
    return row_losses(torch.from_numpy(LOGITS), targets, params, weights_C).numpy()


def likelihoods() -> np.ndarray:
    """Natural logarithms of what the logits give each label, being there or not as in PRESENT."""
    return np.log(np.where(PRESENT == 1, expit(LOGITS.astype(float)), expit(-LOGITS.astype(float))))


def test_cross_entropy_is_the_log_loss_of_the_softmax(params: MakeParams) -> None:
    expected = log_loss(LABELS, softmax(LOGITS.astype(float), axis=1))
    assert losses(LABELS, params()).mean() == pytest.approx(expected, rel=1e-5)


def test_a_multi_label_loss_is_the_mean_log_loss_of_its_labels(params: MakeParams) -> None:
    each = [log_loss(PRESENT[:, i], expit(LOGITS[:, i].astype(float))) for i in range(3)]
    assert losses(PRESENT, params()).mean() == pytest.approx(np.mean(each), rel=1e-5)


def test_a_weighted_mean_is_the_weighted_log_loss(params: MakeParams) -> None:
    weights = np.array([4.0, 2.0, 0.5])
    weighted = losses(LABELS, params(), weights)
    rows = row_weights(torch.from_numpy(LABELS), torch.from_numpy(weights)).numpy()
    expected = log_loss(LABELS, softmax(LOGITS.astype(float), axis=1), sample_weight=weights[LABELS])
    assert weighted.sum() / rows.sum() == pytest.approx(expected, rel=1e-5)


def test_a_weight_of_a_label_counts_the_rows_that_have_it(params: MakeParams) -> None:
    weights = np.array([4.0, 2.0, 0.5])
    expected = -(np.where(PRESENT == 1, weights, 1) * likelihoods()).mean(axis=1)
    np.testing.assert_allclose(losses(PRESENT, params(), weights), expected, rtol=1e-5)


def test_balanced_weights_are_scikit_learns(params: MakeParams) -> None:
    expected = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    weights = class_weights(LABELS, params(class_weights="balanced"))
    assert weights is not None
    np.testing.assert_allclose(weights.numpy(), expected, rtol=1e-6)
    assert class_weights(LABELS, params()) is None


def test_balanced_labels_weigh_as_much_present_as_absent(params: MakeParams) -> None:
    weights = class_weights(PRESENT, params(class_weights="balanced"))
    assert weights is not None
    np.testing.assert_allclose(weights.numpy() * PRESENT.sum(axis=0), (1 - PRESENT).sum(axis=0), rtol=1e-6)


def test_a_label_that_no_row_has_gets_a_finite_weight(params: MakeParams) -> None:
    weights = class_weights(np.zeros((4, 2), np.uint8), params(class_weights="balanced"))
    assert weights is not None
    assert weights.isfinite().all()


@pytest.mark.parametrize("labels", [LABELS, PRESENT], ids=["one", "several"])
@pytest.mark.parametrize("weights", [None, np.array([4.0, 2.0, 0.5])], ids=["equal", "weighted"])
def test_a_focal_loss_of_gamma_0_is_cross_entropy(
    params: MakeParams, labels: np.ndarray, weights: np.ndarray | None
) -> None:
    focal = losses(labels, params(loss="focal", focal_gamma=0.0), weights)
    np.testing.assert_array_equal(focal, losses(labels, params(), weights))


def test_a_focal_loss_counts_a_row_by_what_is_still_wrong(params: MakeParams) -> None:
    right = softmax(LOGITS.astype(float), axis=1)[np.arange(40), LABELS]
    focal = losses(LABELS, params(loss="focal", focal_gamma=2.0))
    np.testing.assert_allclose(focal, -((1 - right) ** 2) * np.log(right), rtol=1e-4)


def test_a_focal_loss_of_several_labels_counts_each_by_what_is_still_wrong(params: MakeParams) -> None:
    right = likelihoods()
    expected = -((1 - np.exp(right)) ** 2 * right).mean(axis=1)
    np.testing.assert_allclose(losses(PRESENT, params(loss="focal", focal_gamma=2.0)), expected, rtol=1e-4)


def test_gradients_of_a_focal_loss_are_finite_where_the_model_is_certain(params: MakeParams) -> None:
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    for targets in (torch.tensor([0, 0]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])):
        row_losses(logits, targets, params(loss="focal", focal_gamma=0.5), None).sum().backward()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()


def test_smoothing_spreads_a_share_of_the_target_over_all_classes(params: MakeParams) -> None:
    targets = 0.8 * np.eye(3)[LABELS] + 0.2 / 3
    expected = -(targets * log_softmax(LOGITS.astype(float), axis=1)).sum(axis=1)
    np.testing.assert_allclose(losses(LABELS, params(label_smoothing=0.2)), expected, rtol=1e-5)


def test_smoothing_makes_a_label_a_little_uncertain(params: MakeParams) -> None:
    targets, there = 0.8 * PRESENT + 0.1, expit(LOGITS.astype(float))
    expected = -(targets * np.log(there) + (1 - targets) * np.log(1 - there)).mean(axis=1)
    np.testing.assert_allclose(losses(PRESENT, params(label_smoothing=0.2)), expected, rtol=1e-4)


def apart(one: np.ndarray, other: np.ndarray, *, multi_label: bool) -> np.ndarray:
    return symmetric_kl(torch.from_numpy(one), torch.from_numpy(other), multi_label=multi_label).numpy()


def test_disagreement_is_the_mean_of_both_divergences() -> None:
    one, other = softmax(LOGITS.astype(float), axis=1), softmax(OTHERS.astype(float), axis=1)
    expected = (rel_entr(one, other) + rel_entr(other, one)).sum(axis=1) / 2
    np.testing.assert_allclose(apart(LOGITS, OTHERS, multi_label=False), expected, rtol=1e-4)


def test_disagreement_about_labels_is_the_mean_of_theirs() -> None:
    one, other = expit(LOGITS.astype(float)), expit(OTHERS.astype(float))
    both = (rel_entr(a, b) + rel_entr(b, a) for a, b in ((one, other), (1 - one, 1 - other)))
    np.testing.assert_allclose(
        apart(LOGITS, OTHERS, multi_label=True), (sum(both) / 2).mean(axis=1), rtol=1e-4
    )


@pytest.mark.parametrize("multi_label", [False, True])
def test_disagreement_is_symmetric_positive_and_0_only_between_equals(multi_label: bool) -> None:
    there = apart(LOGITS, OTHERS, multi_label=multi_label)
    np.testing.assert_array_equal(there, apart(OTHERS, LOGITS, multi_label=multi_label))
    assert (there > 0).all()
    np.testing.assert_array_equal(apart(LOGITS, LOGITS, multi_label=multi_label), 0)


KNOBS: list[dict[str, object]] = [
    {},
    {"class_weights": "balanced"},
    {"class_weights": "balanced", "loss": "focal", "label_smoothing": 0.1},
    {"class_weights": "balanced", "r_drop": 1.0},
]


@pytest.mark.parametrize("size", [1, 3, 7])
@pytest.mark.parametrize("several", [False, True], ids=["one-label", "labels"])
@pytest.mark.parametrize("knobs", KNOBS, ids=lambda knobs: "-".join(knobs) or "plain")
def test_a_batch_in_parts_has_the_loss_and_gradients_of_the_whole(
    tiny_encoder: Path,
    splits: dict[str, TokenizedSplit],
    params: MakeParams,
    knobs: dict[str, object],
    several: bool,
    size: int,
) -> None:
    torch.manual_seed(0)
    model = build_classifier(tiny_encoder, CLASSES).eval()  # without dropout
    task = Classification(_labelled(splits, several), params(**knobs), collate_padded(model.config))
    rows = np.arange(10)
    whole = _loss_and_gradients(model, task, [rows])
    in_parts = _loss_and_gradients(model, task, parts(rows, size))
    for one, other in zip(whole, in_parts, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


def _labelled(splits: dict[str, TokenizedSplit], several: bool) -> dict[str, TokenizedSplit]:
    if not several:
        return splits
    return {
        name: replace(split, labels=PRESENT[np.arange(len(split)) % len(PRESENT)])
        for name, split in splits.items()
    }


def _loss_and_gradients(
    model: torch.nn.Module, task: Classification, in_parts: list[np.ndarray]
) -> list[torch.Tensor]:
    batches = [task.batch(rows, epoch=1) for rows in in_parts]
    total = sum(map(task.weight, batches))
    model.zero_grad()
    loss = torch.zeros(())
    for batch in batches:
        part = task.loss(model, batch) / total
        part.backward()
        loss += part.detach()
    return [loss] + [each.grad.clone() for each in model.parameters() if each.grad is not None]
