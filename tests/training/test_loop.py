import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from bertline.encoder.classifier import build_classifier
from bertline.encoder.collate import collate_padded
from bertline.encoder.precision import pick_device
from bertline.encoder.unpadding import enable_unpadding
from bertline.params.finetune import Params
from bertline.stages.finetune.prepare import fine_tune
from bertline.stages.finetune.task import predict
from bertline.tokens.arrays import TokenizedSplit
from bertline.training.checkpoints import Checkpoints
from bertline.training.determinism import make_deterministic
from bertline.training.history import Epoch, Step
from bertline.training.loop import TrainingDivergedError
from tests.support.tiny import CLASSES

Splits = dict[str, TokenizedSplit]
MakeParams = Callable[..., Params]


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


def fresh(encoder: Path, params: Params) -> PreTrainedModel:
    make_deterministic(params.seed, params.threads)
    model = build_classifier(encoder, CLASSES)
    enable_unpadding(model)  # as `prepare` does
    return model.to(pick_device(params.device))


def digest(model: PreTrainedModel) -> str:
    tensors = (tensor.detach().cpu().numpy().tobytes() for tensor in model.state_dict().values())
    return hashlib.sha256(b"".join(tensors)).hexdigest()


def run(encoder: Path, splits: Splits, params: Params, scratch: Path) -> tuple[str, list[Step | Epoch]]:
    model = fresh(encoder, params)
    events = list(fine_tune(model, splits, params, Checkpoints("run", scratch)))
    return digest(model), events


def test_the_model_learns(tiny_encoder: Path, splits: Splits, params: MakeParams, tmp_path: Path) -> None:
    _, events = run(tiny_encoder, splits, params(epochs=15), tmp_path)
    epochs = [event for event in events if isinstance(event, Epoch)]
    assert epochs[-1].train_loss < epochs[0].train_loss / 2
    assert epochs[-1].scores["accuracy"] > 0.75  # chance is a third


def test_two_runs_end_in_the_same_bits(
    tiny_encoder: Path, splits: Splits, params: MakeParams, tmp_path: Path
) -> None:
    first = run(tiny_encoder, splits, params(), tmp_path / "a")
    assert run(tiny_encoder, splits, params(), tmp_path / "b") == first
    assert run(tiny_encoder, splits, params(), tmp_path / "b") == first  # again, when it has ended
    assert run(tiny_encoder, splits, params(seed=2), tmp_path / "c")[0] != first[0]


@pytest.mark.parametrize("killed_at", [1, 5, 7, 10, 14, 15, 16, 23, 27, 28])
def test_a_killed_run_ends_in_the_same_bits(
    tiny_encoder: Path, splits: Splits, params: MakeParams, tmp_path: Path, killed_at: int
) -> None:
    whole = run(tiny_encoder, splits, params(), tmp_path / "whole")
    with pytest.raises(Killed):
        for event in fine_tune(
            fresh(tiny_encoder, params()), splits, params(), Checkpoints("run", tmp_path / "cut")
        ):
            if isinstance(event, Step) and event.step == killed_at:
                raise Killed
    torch.rand(7)  # the process that continues has drawn other random numbers
    assert run(tiny_encoder, splits, params(), tmp_path / "cut") == whole


def test_a_resumed_run_does_not_train_the_saved_steps_again(
    tiny_encoder: Path, splits: Splits, params: MakeParams, tmp_path: Path
) -> None:
    run(tiny_encoder, splits, params(), tmp_path)
    model = fresh(tiny_encoder, params())
    optimizer_steps: list[int] = []
    torch.optim.AdamW.step, step = lambda *_: optimizer_steps.append(1), torch.optim.AdamW.step  # type: ignore[method-assign,assignment]
    try:
        assert len(list(fine_tune(model, splits, params(), Checkpoints("run", tmp_path)))) == 30
    finally:
        torch.optim.AdamW.step = step  # type: ignore[method-assign]
    assert optimizer_steps == []


@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_the_room_asked_for_is_what_the_checkpoints_take(
    tiny_encoder: Path,
    splits: Splits,
    params: MakeParams,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ema_decay: float | None,
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(Checkpoints, "require_space", lambda self, *sizes: asked.append(sizes))
    training = params(ema_decay=ema_decay)
    events = fine_tune(fresh(tiny_encoder, training), splits, training, Checkpoints("run", tmp_path))
    next(event for event in events if isinstance(event, Epoch))
    written = [(tmp_path / f"run/{name}.safetensors").stat().st_size for name in ("latest", "best")]
    assert written == pytest.approx(asked[0], abs=40_000)  # the history and the names of tensors


def test_the_best_epoch_is_kept(
    tiny_encoder: Path, splits: Splits, params: MakeParams, tmp_path: Path
) -> None:
    spoilt = params(epochs=3, learning_rate=0.02, select_by="loss")
    model = fresh(tiny_encoder, spoilt)
    epochs = [
        e for e in fine_tune(model, splits, spoilt, Checkpoints("run", tmp_path)) if isinstance(e, Epoch)
    ]
    logits = torch.from_numpy(predict(model, splits["validation"], 16, collate_padded(model.config)))
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(splits["validation"].labels)).item()
    tolerance = 1e-5 if model.device.type == "cpu" else 2e-2
    assert loss == pytest.approx(min(each.scores["loss"] for each in epochs), rel=tolerance)


def test_predictions_do_not_depend_on_the_batch_size(
    tiny_encoder: Path, splits: Splits, params: MakeParams
) -> None:
    model = fresh(tiny_encoder, params())
    one, many = (
        torch.from_numpy(predict(model, splits["validation"], size, collate_padded(model.config)))
        for size in (1, 64)
    )
    tolerance = 1e-5 if model.device.type == "cpu" else 2e-2  # bf16 autocast
    torch.testing.assert_close(one, many, rtol=tolerance, atol=tolerance)


def test_a_diverging_loss_says_what_to_change_and_keeps_the_checkpoint(
    tiny_encoder: Path, splits: Splits, params: MakeParams, tmp_path: Path
) -> None:
    model, scratch = fresh(tiny_encoder, params()), Checkpoints("run", tmp_path)
    with pytest.raises(TrainingDivergedError, match="lower learning_rate"):
        for event in fine_tune(model, splits, params(), scratch):
            if isinstance(event, Step) and event.step == 7:
                with torch.no_grad():
                    model.classifier.weight.fill_(float("nan"))
    saved = scratch.load()
    assert saved is not None
    assert saved[0]["steps.step"].tolist() == [1, 2, 3, 4, 5]


def test_gradients_that_are_no_numbers_spoil_neither_weights_nor_checkpoint(
    tiny_encoder: Path, splits: Splits, params: MakeParams, tmp_path: Path
) -> None:
    params = partial(params, cuda_graphs=False)  # or the hook would come too late
    whole = run(tiny_encoder, splits, params(), tmp_path / "whole")
    model, scratch = fresh(tiny_encoder, params()), Checkpoints("run", tmp_path / "spoilt")
    before = ""
    with pytest.raises(TrainingDivergedError, match=r"norm of its gradients (inf|nan) at step 8"):
        for event in fine_tune(model, splits, params(), scratch):
            if isinstance(event, Step) and event.step == 7:
                model.classifier.weight.register_hook(lambda gradient: gradient * float("inf"))
                before = digest(model)
    assert digest(model) == before
    assert run(tiny_encoder, splits, params(), tmp_path / "spoilt") == whole


def test_a_step_adds_numbers_to_a_checkpoint_not_text(
    tiny_encoder: Path, splits: Splits, params: MakeParams, tmp_path: Path
) -> None:
    scratch, headers = Checkpoints("run", tmp_path), []
    for event in fine_tune(fresh(tiny_encoder, params()), splits, params(checkpoint_every=1), scratch):
        if isinstance(event, Step) and event.step in (3, 13):
            headers.append(int.from_bytes((scratch.folder / "latest.safetensors").read_bytes()[:8], "little"))
    assert abs(headers[1] - headers[0]) < 200
