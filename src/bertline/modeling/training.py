"""The training loop: fine-tune an encoder with a classification head, survive being killed.

Guarantees the same bits for the same inputs, parameters, thread setting, hardware and libraries,
interrupted or not. Does not read the test split, write reports or print.

Shape suffixes: B texts, T tokens, C classes, N rows of a split.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from sklearn.metrics import f1_score
from torch.nn import functional
from transformers import PreTrainedModel

from bertline.modeling.batches import Batch, batches, sorted_order, training_order
from bertline.modeling.checkpoints import Checkpoints
from bertline.modeling.strategies import parameter_groups
from bertline.modeling.tokens import TokenizedSplit
from bertline.params.finetune import Params as FinetuneParams


@dataclass(frozen=True, kw_only=True)
class Step:
    """One optimizer step: number from 1, mean loss of its batch (nats), learning rate, texts seen."""

    step: int
    loss: float
    learning_rate: float
    examples: int


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One pass over the training split: number from 1, losses in nats, scores in 0 to 1."""

    epoch: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    validation_macro_f1: float

    def better_than(self, other: "Epoch", select_by: str) -> bool:
        """Say whether this epoch wins by `select_by`; on a tie the earlier one stays."""
        if select_by == "loss":
            return self.validation_loss < other.validation_loss
        name = f"validation_{select_by}"
        return bool(getattr(self, name) > getattr(other, name))


class TrainingDivergedError(ValueError):
    """The loss is no longer a number; the last checkpoint before it is kept."""


def learning_rate(step: int, steps: int, params: FinetuneParams) -> float:
    """Return the rate of `step` (from 1): linear warm-up, then linear decay to 0 after the last step."""
    warmup = round(params.warmup * steps)
    if step <= warmup:
        return params.learning_rate * step / warmup
    return params.learning_rate * (steps - step + 1) / (steps - warmup)


def train(
    model: PreTrainedModel,
    splits: dict[str, TokenizedSplit],
    params: FinetuneParams,
    checkpoints: Checkpoints,
) -> Iterator[Step | Epoch]:
    """Train `model` in place on `splits["train"]`; yield every step and epoch, also those of a resumed run.

    When the iterator ends, `model` holds the weights of the best epoch on `splits["validation"]`.

    Raises:
        TrainingDivergedError: the loss is NaN or infinite.
    """
    train_split, validation = splits["train"], splits["validation"]
    # AdamW: Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019.
    optimizer = torch.optim.AdamW(parameter_groups(model, params), lr=params.learning_rate, fused=True)
    steps_per_epoch = math.ceil(len(train_split) / params.batch_size)
    steps = params.epochs * steps_per_epoch
    history = _restore(checkpoints, model, optimizer)
    yield from history
    step = sum(isinstance(each, Step) for each in history)
    for epoch in range(step // steps_per_epoch + 1, params.epochs + 1):
        order = training_order(train_split.lengths, params.batch_size, seed=params.seed, epoch=epoch)
        model.train()
        for batch in batches(train_split, order[step % steps_per_epoch :], model.config):
            step += 1
            rate = learning_rate(step, steps, params)
            history.append(_step(model, optimizer, batch.to(model.device), step, rate, params))
            yield history[-1]
            if step % params.checkpoint_every == 0 and step % steps_per_epoch:
                _save(checkpoints, model, optimizer, history)
        done = _finish_epoch(model, validation, epoch, history, params.batch_size)
        best = best_epoch(history, params.select_by)
        if best is None or done.better_than(best, params.select_by):
            checkpoints.save_best(model.state_dict())
        history.append(done)
        _save(checkpoints, model, optimizer, history)
        yield done
    model.load_state_dict(checkpoints.load_best())


def _step(
    model: PreTrainedModel,
    optimizer: torch.optim.AdamW,
    batch: Batch,
    step: int,
    rate: float,
    params: FinetuneParams,
) -> Step:
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
    loss = _loss(_logits(model, batch), batch.labels_B, params.label_smoothing)
    if not math.isfinite(loss.item()):
        raise TrainingDivergedError(
            f"the loss is {loss.item()} at step {step}; lower finetune.learning_rate "
            f"({params.learning_rate:g}) or raise finetune.warmup ({params.warmup:g})"
        )
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), params.max_grad_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return Step(step=step, loss=loss.item(), learning_rate=rate, examples=len(batch))


def predict(model: PreTrainedModel, split: TokenizedSplit, batch_size: int) -> np.ndarray:
    """Return the logits of every row, float32 [N, C], in the order of `split`."""
    order = sorted_order(split.lengths, batch_size)
    logits_NC = np.empty((len(split), model.config.num_labels), dtype=np.float32)
    model.eval()
    with torch.inference_mode():
        for rows, batch in zip(order, batches(split, order, model.config), strict=True):
            logits_NC[rows] = _logits(model, batch.to(model.device)).float().cpu().numpy()
    return logits_NC


def _logits(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    with torch.autocast("cuda", dtype=torch.bfloat16, enabled=model.device.type == "cuda"):
        logits_BC: torch.Tensor = model(**batch.inputs).logits
    return logits_BC


def _loss(logits_BC: torch.Tensor, labels_B: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    return functional.cross_entropy(logits_BC.float(), labels_B, label_smoothing=smoothing)


def _finish_epoch(
    model: PreTrainedModel,
    validation: TokenizedSplit,
    epoch: int,
    history: list[Step | Epoch],
    batch_size: int,
) -> Epoch:
    logits_NC = torch.from_numpy(predict(model, validation, 2 * batch_size))
    labels_N = validation.labels
    predicted_N = logits_NC.argmax(dim=1).numpy()
    done = max((i for i, each in enumerate(history) if isinstance(each, Epoch)), default=-1)
    steps = [each for each in history[done + 1 :] if isinstance(each, Step)]
    examples = sum(each.examples for each in steps)
    return Epoch(
        epoch=epoch,
        train_loss=sum(each.loss * each.examples for each in steps) / examples,
        validation_loss=_loss(logits_NC, torch.tensor(labels_N)).item(),
        validation_accuracy=float((predicted_N == labels_N).mean()),
        validation_macro_f1=float(
            f1_score(labels_N, predicted_N, average="macro", labels=np.unique(labels_N))
        ),
    )


def best_epoch(history: list[Step | Epoch], select_by: str) -> Epoch | None:
    """Return the epoch that wins by `select_by`, the earliest on a tie; None before the first has ended."""
    best: Epoch | None = None
    for each in history:
        if isinstance(each, Epoch) and (best is None or each.better_than(best, select_by)):
            best = each
    return best


def _save(
    checkpoints: Checkpoints,
    model: PreTrainedModel,
    optimizer: torch.optim.AdamW,
    history: list[Step | Epoch],
) -> None:
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for i, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{name}": tensor for name, tensor in moments.items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    events = [[type(each).__name__, asdict(each)] for each in history]
    checkpoints.save(tensors, {"history": events})


def _restore(
    checkpoints: Checkpoints, model: PreTrainedModel, optimizer: torch.optim.AdamW
) -> list[Step | Epoch]:
    saved = checkpoints.load()
    if saved is None:
        return []
    tensors, state = saved
    parts: dict[str, dict[str, Any]] = {"model": {}, "optimizer": {}, "random": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    model.load_state_dict(parts["model"])
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in parts["optimizer"].items():
        i, _, rest = name.partition(".")
        moments.setdefault(int(i), {})[rest] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    torch.set_rng_state(parts["random"]["cpu"])
    if "cuda" in parts["random"]:
        torch.cuda.set_rng_state(parts["random"]["cuda"])
    kinds: dict[str, type[Step] | type[Epoch]] = {"Step": Step, "Epoch": Epoch}
    return [kinds[kind](**fields) for kind, fields in state["history"]]
