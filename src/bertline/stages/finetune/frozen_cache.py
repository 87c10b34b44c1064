"""The output of frozen layers for every token, computed once and kept on disk for all epochs.

- Cached states are computed without dropout; without the cache, frozen layers do apply it in training.
- States are kept in half precision.
- The file has no name, so nothing is left of it however a run ends. A run that continues computes its own,
  and so does each of several processes.

Source: Liu et al., AutoFreeze: Automatically Freezing Model Blocks to Accelerate Fine-tuning, 2021.
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

from bertline.encoder.collate import Collate
from bertline.encoder.layers import layer_stack
from bertline.encoder.oom import is_out_of_memory
from bertline.encoder.ordering import sorted_order
from bertline.encoder.precision import autocast
from bertline.params.finetune import Params as FinetuneParams
from bertline.tokens.arrays import TokenizedSplit, Tokens, spans
from bertline.training.micro_batching import MicroBatcher

SCRATCH = Path(".bertline")
PROBE = 8
"""Rows on which the model is compared with and without its frozen layers."""
TOLERANCE = 0.05
"""Largest difference of logits, relative to their size; half precision and bfloat16 stay under it."""
PLACES = np.dtype(np.int64)
"""The type of places in the file, by which they differ from token ids (int32)."""


def disk_bytes(model: PreTrainedModel, splits: dict[str, TokenizedSplit]) -> int:
    """Return how large the file of `frozen_layer_cache` will be."""
    tokens = sum(int(split.offsets[-1]) for split in splits.values())
    return tokens * int(model.config.hidden_size) * np.dtype(np.float16).itemsize


@contextmanager
def frozen_layer_cache(
    model: PreTrainedModel,
    splits: dict[str, TokenizedSplit],
    params: FinetuneParams,
    collate: Collate,
    scratch: Path = SCRATCH,
) -> Iterator[tuple[dict[str, TokenizedSplit], Collate]]:
    """Let `model` read the states after its frozen layers from a file in `scratch`, within the block.

    Yields what to use in the block instead of `splits` and `collate`: splits whose token ids are places in
    the file, and a collate that reads them. The `state_dict` of the model keeps its names and values, so
    checkpoints and saved models are whole. `layers.freeze` comes before; `collate` may be of either kind.

    Raises:
        ValueError: the lower layers of this architecture do not stand on their own, or some are trained, or
            their states overflow half precision.
        OSError: the disk is full.
    """
    assert params.frozen_layers is not None, "params.finetune checks it"
    lower = _frozen_modules(model, params.frozen_layers)
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
    whole_SC, returned = _probe(model, lower, collate(split, probe))
    with tempfile.TemporaryFile(dir=scratch) as file:
        with lower[-1].register_forward_hook(_stop):
            placed = {name: _write(file, model, each, params, collate) for name, each in splits.items()}
        file.flush()
        states_TH = np.asarray(np.memmap(file, np.float16, mode="r")).reshape(-1, model.config.hidden_size)

    def cached_collate(tokens: Tokens, sequences: np.ndarray) -> dict[str, Any]:
        assert tokens.input_ids.dtype == PLACES, "token ids, where places in the file are wanted"
        inputs = collate(tokens, sequences)
        places = inputs.pop("input_ids").numpy()  # padding is clipped: nothing attends to it
        return inputs | {"inputs_embeds": torch.from_numpy(states_TH.take(places, axis=0, mode="clip"))}

    with _skipped(lower, returned):
        try:
            with torch.no_grad():
                apart_SC = _logits(model, cached_collate(placed["train"], probe)) - whole_SC
        except Exception as error:  # without its lower layers, an architecture may raise any error
            if is_out_of_memory(error):
                raise
            raise ValueError(_inseparable(model)) from error
        if not apart_SC.norm() <= TOLERANCE * whole_SC.norm():
            raise ValueError(_inseparable(model))
        yield placed, cached_collate


class _StopForward(Exception):  # noqa: N818 - no error: the states that are wanted have been computed
    def __init__(self, output: Any) -> None:
        self.output = output


def _stop(module: nn.Module, args: Any, output: Any) -> None:
    raise _StopForward(output)


def _probe(
    model: PreTrainedModel, modules: list[nn.Module], inputs: dict[str, Any]
) -> tuple[torch.Tensor, dict[nn.Module, int]]:
    """Return the logits of `inputs`, and for modules that return a tuple (states first) its length."""
    returned = {}

    def note(module: nn.Module, _args: Any, output: Any) -> None:
        if isinstance(output, tuple):
            returned[module] = len(output)

    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(module.register_forward_hook(note))
        stack.enter_context(torch.no_grad())
        return _logits(model, inputs), returned


def _frozen_modules(model: PreTrainedModel, frozen: int) -> list[nn.Module]:
    """Return the embeddings and the lowest `frozen` layers, in the order in which they run."""
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
    """Append the states of every token of `split`; return it with places in the file instead of token ids."""
    places_T = np.empty(split.offsets[-1], PLACES)
    micro_batcher = MicroBatcher(params.rows_at_once)

    def compute(in_parts: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        return [_states(model, split, split.sequences(part), collate) for part in in_parts]

    for rows in sorted_order(split.lengths, params.rows_at_once):
        for tokens, states_TH in micro_batcher.run(rows, compute):
            places_T[tokens] = file.tell() // states_TH[0].nbytes + np.arange(len(tokens))
            file.write(states_TH.data)
    return replace(split, input_ids=places_T, type_ids=None)


def _states(
    model: PreTrainedModel, split: TokenizedSplit, sequences: np.ndarray, collate: Collate
) -> tuple[np.ndarray, np.ndarray]:
    """Return the tokens of some sequences, and the state after the frozen layers of each, float16 [T, H]."""
    inputs, states = collate(split, sequences), None
    try:
        _logits(model, inputs)
    except _StopForward as reached:
        states = reached.output[0] if isinstance(reached.output, tuple) else reached.output
    mask_ST = inputs.get("attention_mask")
    shape = (*inputs["input_ids"].shape, model.config.hidden_size)
    if not isinstance(states, torch.Tensor) or states.shape != shape or states.requires_grad:
        raise ValueError(_inseparable(model))  # a gradient: a trained weight takes part
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
    """Let `modules` return the states that they are given, within the block; `returned` as in `_probe`."""

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
