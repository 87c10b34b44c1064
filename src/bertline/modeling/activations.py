"""What frozen layers say of every token, computed once and kept on disk instead of again in every epoch.

The frozen part then runs without dropout, where it has some if it is computed in training. States are kept
in half precision. Their file has no name, so nothing is left of it however a run ends, and none is ever used
again: a run that continues computes its own, and so does each of several processes. Source: Liu et al.,
AutoFreeze: Automatically Freezing Model Blocks to Accelerate Fine-tuning, 2021.

Shape suffixes: S sequences, T tokens of the longest or of all, H width of the encoder.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from bertline.modeling.batches import Collate, sorted_order
from bertline.modeling.encoder import autocast
from bertline.modeling.memory import Room
from bertline.modeling.out_of_memory import is_out_of_memory
from bertline.modeling.strategies import layer_stack
from bertline.modeling.tokens import TokenizedSplit, Tokens, spans
from bertline.params.finetune import Params as FinetuneParams

SCRATCH = Path(".bertline")
PROBE = 8
"""Rows on which the model is compared with and without its frozen layers."""
TOLERANCE = 0.05
"""Largest difference of logits, relative to their size; half precision and bfloat16 stay under it."""


def disk_bytes(model: PreTrainedModel, splits: dict[str, TokenizedSplit]) -> int:
    """Return how large the file of `cached` will be."""
    tokens = sum(int(split.offsets[-1]) for split in splits.values())
    return tokens * int(model.config.hidden_size) * np.dtype(np.float16).itemsize


@contextmanager
def cached(
    model: PreTrainedModel,
    splits: dict[str, TokenizedSplit],
    params: FinetuneParams,
    collate: Collate,
    scratch: Path = SCRATCH,
) -> Iterator[Collate]:
    """Let `model` read what its frozen layers say of `splits` from a file in `scratch`, within the block.

    Yields the collate to use there instead of `collate`, for these very splits; no others can be read. The
    `state_dict` of the model keeps its names and values: checkpoints and what is saved are of the whole one.
    Padded and unpadded inputs will do. Freezing is up to `strategies.freeze`, before.

    Raises:
        ValueError: the lower layers of this architecture do not stand on their own, or some are trained, or
            their states overflow half precision.
        OSError: the disk is full.
    """
    assert params.frozen_layers is not None, "params.finetune sees to it"
    lower = _lower(model, params.frozen_layers)
    scratch.mkdir(parents=True, exist_ok=True)
    needed, free = disk_bytes(model, splits), shutil.disk_usage(scratch).free
    if needed > free:
        raise OSError(
            f"finetune.cache_activations needs {needed / 1e9:.1f} GB in {scratch}, where {free / 1e9:.1f} GB "
            "are free; make room, or set it to false"
        )
    model.eval()
    split = splits["train"]
    probe = split.sequences(np.arange(min(PROBE, params.rows_at_once, len(split))))
    whole_SC, returned = _try_out(model, lower, collate(split, probe))
    with tempfile.TemporaryFile(dir=scratch) as file:
        with lower[-1].register_forward_hook(_stop):
            placed = {id(each): _write(file, model, each, params, collate) for each in splits.values()}
        file.flush()
        states_TH = np.asarray(np.memmap(file, np.float16, mode="r")).reshape(-1, model.config.hidden_size)

    def look_up(tokens: Tokens, sequences: np.ndarray) -> dict[str, Any]:
        inputs = collate(placed[id(tokens)], sequences)
        places = inputs.pop("input_ids").numpy()  # those of padding are clipped: nothing attends to it
        return inputs | {"inputs_embeds": torch.from_numpy(states_TH.take(places, axis=0, mode="clip"))}

    with _skipped(lower, returned):
        try:
            with torch.no_grad():
                apart_SC = _logits(model, look_up(split, probe)) - whole_SC
        except Exception as error:  # whatever an architecture raises without its lower layers
            if is_out_of_memory(error):
                raise
            raise ValueError(_inseparable(model)) from error
        if not apart_SC.norm() <= TOLERANCE * whole_SC.norm():
            raise ValueError(_inseparable(model))
        yield look_up


class _Reached(Exception):  # noqa: N818 - no error: the lower layers have said all that is wanted of the model
    def __init__(self, output: Any) -> None:
        self.output = output


def _stop(module: nn.Module, args: Any, output: Any) -> None:
    raise _Reached(output)


def _try_out(
    model: PreTrainedModel, modules: list[nn.Module], inputs: dict[str, Any]
) -> tuple[torch.Tensor, dict[nn.Module, int]]:
    """Return the logits of `inputs`, and of modules that return a tuple, states first, how long it is."""
    returned = {}

    def note(module: nn.Module, _args: Any, output: Any) -> None:
        if isinstance(output, tuple):
            returned[module] = len(output)

    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(module.register_forward_hook(note))
        stack.enter_context(torch.no_grad())
        return _logits(model, inputs), returned


def _lower(model: PreTrainedModel, frozen: int) -> list[nn.Module]:
    """Return the modules that embed, and the lowest `frozen` layers, in the order in which they run."""
    embeddings = [each for name, each in model.base_model.named_children() if "embed" in name]
    return [*embeddings, *model.get_submodule(layer_stack(model))[:frozen]]


def _inseparable(model: PreTrainedModel) -> str:
    return (
        f"the lower layers of {type(model).__name__} cannot be replaced by states on disk: they do more than "
        "hand them upwards, or some of their weights are trained; set finetune.cache_activations: false"
    )


def _write(
    file: IO[bytes],
    model: PreTrainedModel,
    split: TokenizedSplit,
    params: FinetuneParams,
    collate: Collate,
) -> TokenizedSplit:
    """Append the states of every token of `split`; return it with their places in the file for token ids."""
    places_T = np.empty(split.offsets[-1], np.int64)
    room = Room(params.rows_at_once)

    def compute(in_parts: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        return [_states(model, split, split.sequences(part), collate) for part in in_parts]

    for rows in sorted_order(split.lengths, params.rows_at_once):
        for tokens, states_TH in room.fit(rows, compute):
            places_T[tokens] = file.tell() // states_TH[0].nbytes + np.arange(len(tokens))
            file.write(states_TH.data)
    return replace(split, input_ids=places_T, type_ids=None)


def _states(
    model: PreTrainedModel, split: TokenizedSplit, sequences: np.ndarray, collate: Collate
) -> tuple[np.ndarray, np.ndarray]:
    """Return the tokens of some sequences, and what the lower layers say of each, float16 [T, H]."""
    inputs, states = collate(split, sequences), None
    try:
        _logits(model, inputs)
    except _Reached as reached:
        states = reached.output[0] if isinstance(reached.output, tuple) else reached.output
    mask_ST = inputs.get("attention_mask")
    shape = (*inputs["input_ids"].shape, model.config.hidden_size)
    if not isinstance(states, torch.Tensor) or states.shape != shape or states.requires_grad:
        raise ValueError(_inseparable(model))  # with a gradient: a trained weight has a part in them
    states_TH = states.flatten(0, 1) if mask_ST is None else states[mask_ST.bool().to(states.device)]
    half_TH: np.ndarray = states_TH.half().cpu().numpy()
    if not np.isfinite(half_TH).all():
        raise ValueError(
            "the states of the frozen layers are too large for half precision; "
            "set finetune.cache_activations: false"
        )
    tokens = spans(split.offsets[sequences], split.offsets[sequences + 1])
    return tokens, half_TH[: len(tokens)]


def _logits(model: PreTrainedModel, inputs: dict[str, Any]) -> torch.Tensor:
    moved = {
        n: each.to(model.device) if isinstance(each, torch.Tensor) else each for n, each in inputs.items()
    }
    with autocast(model.device):
        logits_SC: torch.Tensor = model(**moved).logits
    return logits_SC.detach().float()


@contextmanager
def _skipped(modules: list[nn.Module], returned: dict[nn.Module, int]) -> Iterator[None]:
    """Let `modules` pass on the states that they are given, within the block; `returned` as of `_try_out`."""

    def states(*args: Any, **kwargs: Any) -> torch.Tensor:
        return next(
            each.float()
            for each in (*args, *kwargs.values())
            if isinstance(each, torch.Tensor) and each.ndim == 3
        )

    def in_tuple(size: int, *args: Any, **kwargs: Any) -> tuple[torch.Tensor | None, ...]:
        return states(*args, **kwargs), *[None] * (size - 1)

    for module in modules:
        module.forward = partial(in_tuple, returned[module]) if module in returned else states
    try:
        yield
    finally:
        for module in modules:
            del module.forward
