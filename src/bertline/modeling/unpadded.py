"""Texts of a batch end to end in one row, with no padding, and no attention from one text to another.

Hugging Face keeps owning the model code: an attention function of ours keeps the texts apart, and forward
hooks hand the head one state per text. Which architectures can be run this way is not a list of names here,
but found out by numbers: `enable` compares with the padded forward pass.

Guarantees the logits and gradients of padded batches, up to rounding, whatever else is in the batch. Source:
Zeng et al., Boosting Distributed Training Performance of the Unpadded BERT Model, 2022.

Shape suffixes: S texts, T tokens of all texts, L tokens of the longest, H width of the encoder.
"""

from collections.abc import Callable
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.hooks import RemovableHandle
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from bertline.modeling.encoder import evaluating
from bertline.modeling.packed_attention import NAME, Runs, has_kernel, register

TOLERANCE = 1e-4
"""Largest difference from the padded outputs, as a share of the largest of them, that counts as rounding."""

LEAST = 128
"""Tokens by which the sizes differ, at least, that batches are filled up to."""

Pool = Callable[[Tensor, Tensor], Tensor]
"""Makes one state of each text, [S, H], from those of tokens [T, H] and the cumulative lengths [S + 1]."""


def unpad(
    sequences: list[np.ndarray],
    type_ids: list[np.ndarray] | None,
    config: PretrainedConfig,
    *,
    filled: bool = False,
) -> dict[str, Any]:
    """Return the arguments of a forward pass over some texts' tokens, for a model that `enable` accepted.

    Beside ids, positions and, if the encoder learnt them, types, all int64 [1, T], they are `cu_seqlens`
    int32 [S + 1], cumulative lengths, and `longest`, both for kernels, and `runs`, the lengths as plain
    numbers for the CPU, where every run of one length is a call per layer: sort texts by length.

    `filled` is for steps that are recorded for batches of one shape (`recording`): T is rounded up to one of
    a few sizes, `longest` too, by some `tail` texts of padding behind the others, of which nothing is said.
    """
    tail: list[int] = []
    if filled:
        bound, tail = _tail([len(sequence) for sequence in sequences])
        sequences = [*sequences, *(np.full(length, config.pad_token_id or 0) for length in tail)]
        type_ids = None if type_ids is None else [*type_ids, *(np.zeros(length) for length in tail)]
    lengths = [len(sequence) for sequence in sequences]
    cu_seqlens = np.concatenate([[0], np.cumsum(lengths)])

    def row(values_T: np.ndarray) -> Tensor:
        return torch.from_numpy(values_T.astype(np.int64))[None]

    inputs: dict[str, Any] = {
        "input_ids": row(np.concatenate(sequences)),
        "position_ids": row(np.arange(cu_seqlens[-1]) - np.repeat(cu_seqlens[:-1], lengths)),
        "cu_seqlens": torch.from_numpy(cu_seqlens.astype(np.int32)),
        "longest": bound if filled else max(lengths),
        "runs": Runs(tuple((len(list(run)), length) for length, run in groupby(lengths) if length)),
    }
    if filled:
        inputs["position_ids"][:, cu_seqlens[-1] - sum(tail) :] = 0  # may be more than the encoder knows
        inputs["tail"] = len(tail)
    if type_ids is not None and getattr(config, "type_vocab_size", 0) > 1:
        inputs["token_type_ids"] = row(np.concatenate(type_ids))
    return inputs


def round_up(size: int, least: int) -> int:
    """Return `size` or up to an eighth (or `least`) more: one of eight sizes between two powers of two."""
    step = _step(size, least)
    return -(-size // step) * step


def _step(size: int, least: int) -> int:
    return max(least, 1 << max(0, size.bit_length() - 4))


def _tail(lengths: list[int]) -> tuple[int, list[int]]:
    """Return a bound of the lengths, and those of texts that fill a batch up; as many for all of its size."""
    longest, size = max(lengths), round_up(sum(lengths), LEAST)
    bound = max(16, 1 << (longest - 1).bit_length()) if longest <= 128 else -(-longest // 128) * 128
    texts = -(-_step(size, LEAST) // bound)
    missing = size - sum(lengths)
    return bound, [min(bound, max(0, missing - i * bound)) for i in range(texts)]


def is_enabled(model: PreTrainedModel) -> bool:
    """Say whether `enable` has accepted `model`."""
    return bool(model.config._attn_implementation == NAME)


def enable(model: PreTrainedModel) -> bool:
    """Make `model` take what `unpad` returns, and say whether it can.

    If it can, outputs per text are [S, ...] and outputs per token [1, T, ...]; padded batches still work. If
    it cannot, since outputs differ from the padded ones or something raises, it is left as it was: pad.
    Neither draws random numbers nor changes which modules are in training mode, and what `model` saves has
    no trace of it. To be called in full precision, before the model goes to a GPU: half precision and TF32
    round so much that a model would be refused.
    """
    if is_enabled(model):
        return True
    register()
    try:
        with evaluating(model):
            return _connect(model)
    except Exception:  # whatever an architecture raises, it is one to pad
        return False


def _connect(model: PreTrainedModel) -> bool:
    """Attach to `model` what makes it agree with its padded self; nothing if nothing does."""
    inputs, expected = _trial(model)
    before, handles, agreed = model.config._attn_implementation, _offset_positions(model), False
    try:
        model.config._attn_implementation = NAME
        for attach in (
            partial(_pool_stack, pool=_first),
            partial(_pool_stack, pool=_mean),
            _keep,
            _pool_again,
        ):
            attached = attach(model)
            handles += attached
            if agreed := _agrees(model, inputs, expected):
                break
            _remove(attached)
    finally:
        if not agreed:
            model.config._attn_implementation = before
            _remove(handles)
    return agreed


def _remove(handles: list[RemovableHandle]) -> None:
    for handle in handles:
        handle.remove()


def can_fill(model: PreTrainedModel) -> bool:
    """Say whether the same kernels run all batches of one shape through `model`, where it is."""
    if not is_enabled(model):
        return False
    config = model.config
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return has_kernel(model.device, width)


def _texts(kwargs: dict[str, Any]) -> Tensor | None:
    """Return the cumulative lengths of the texts in an unpadded batch, without those that fill it up."""
    cu_seqlens: Tensor | None = kwargs.get("cu_seqlens")
    return None if cu_seqlens is None else cu_seqlens[: len(cu_seqlens) - kwargs.get("tail", 0)]


def _first(states_TH: Tensor, cu_seqlens: Tensor) -> Tensor:
    return states_TH.index_select(0, cu_seqlens[:-1])


def _mean(states_TH: Tensor, cu_seqlens: Tensor) -> Tensor:
    return torch.segment_reduce(states_TH, "mean", offsets=cu_seqlens.long(), axis=0)


def _pool_stack(model: PreTrainedModel, pool: Pool) -> list[RemovableHandle]:
    """Let all that follows the stack of layers see texts of one token: what classifiers read."""

    def hook(_module: nn.Module, _args: Any, kwargs: dict[str, Any], output: ModelOutput) -> ModelOutput:
        if (cu_seqlens := _texts(kwargs)) is not None:
            output["last_hidden_state"] = pool(output[0][0], cu_seqlens)[:, None]
        return output

    base = model.base_model
    stack = next(name for name, module in base.named_modules() if isinstance(module, nn.ModuleList))
    parent = base.get_submodule(stack.rpartition(".")[0])
    return [parent.register_forward_hook(hook, with_kwargs=True)]


def _keep(_model: PreTrainedModel) -> list[RemovableHandle]:
    """Let heads see every token: what language models read."""
    return []


def _pool_again(model: PreTrainedModel) -> list[RemovableHandle]:
    """Let only the pooler see texts of one token: for pre-training with heads of both kinds."""

    def hook(module: nn.Module, _args: Any, kwargs: dict[str, Any], output: ModelOutput) -> ModelOutput:
        if (cu_seqlens := _texts(kwargs)) is not None:
            pooler: nn.Module = module.get_submodule("pooler")
            output["pooler_output"] = pooler(_first(output[0][0], cu_seqlens)[:, None])
        return output

    return [model.base_model.register_forward_hook(hook, with_kwargs=True)]


def _offset_positions(model: PreTrainedModel) -> list[RemovableHandle]:
    """Count positions from behind the padding id in encoders that learnt them so (RoBERTa and its kin)."""
    base = model.base_model
    embeddings = (module for name, module in base.named_modules() if name.endswith("position_embeddings"))
    padding: int | None = getattr(next(embeddings, None), "padding_idx", None)
    if padding is None:
        return []
    offset = padding + 1

    def hook(_module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if "cu_seqlens" in kwargs:
            kwargs["position_ids"] = kwargs["position_ids"] + offset
        return args, kwargs

    return [base.register_forward_pre_hook(hook, with_kwargs=True)]


def _trial(model: PreTrainedModel) -> tuple[dict[str, Any], list[Tensor]]:
    """Return an unpadded batch of short texts, and the outputs of the padded model for it, unpadded.

    One text is longer than the window of layers that attend locally, and two are of one length.
    """
    config, random = model.config, np.random.default_rng(0)
    longest = min((getattr(config, "sliding_window", None) or 0) + 8, config.max_position_embeddings)
    longest -= longest == config.num_labels  # so that classes are not taken for tokens below
    lengths = [5, 5, 3, longest]
    pad = config.pad_token_id or 0
    ids = [random.integers(config.vocab_size, size=length) for length in lengths]
    ids = [np.where(values == pad, (pad + 1) % config.vocab_size, values) for values in ids]
    inputs = unpad(ids, [np.arange(length) % 2 for length in lengths], config)
    inputs |= {name: v.to(model.device) for name, v in inputs.items() if isinstance(v, Tensor)}

    def padded(row_1T: Tensor, value: int = 0) -> Tensor:
        return pad_sequence(list(torch.split(row_1T[0], lengths)), batch_first=True, padding_value=value)

    mask_SL = padded(torch.ones_like(inputs["input_ids"]))
    batch = {"input_ids": padded(inputs["input_ids"], pad), "attention_mask": mask_SL}
    if "token_type_ids" in inputs:
        batch["token_type_ids"] = padded(inputs["token_type_ids"])
    expected = _outputs(model, batch)
    return inputs, [x[mask_SL > 0][None] if x.shape[:2] == mask_SL.shape else x for x in expected]


def _outputs(model: PreTrainedModel, inputs: dict[str, Any]) -> list[Tensor]:
    with torch.no_grad():
        return [x for x in model(**inputs, return_dict=True).values() if isinstance(x, Tensor)]


def _agrees(model: PreTrainedModel, inputs: dict[str, Any], expected: list[Tensor]) -> bool:
    """Whether the unpadded outputs are the expected ones, and would not be if texts saw each other."""
    outputs = _outputs(model, inputs)
    if [x.shape for x in outputs] != [x.shape for x in expected]:
        return False
    total = inputs["input_ids"].shape[1]
    one_text = {
        "cu_seqlens": inputs["cu_seqlens"].new_tensor([0, total]),
        "longest": total,
        "runs": Runs(((1, total),)),
    }
    mixed = _outputs(model, inputs | one_text)  # of outputs per text, the first
    wrong = max((a - b).abs().max().item() for a, b in zip(outputs, expected, strict=True))
    mixing = max((a - b[:1]).abs().max().item() for a, b in zip(mixed, expected, strict=True))
    return wrong < min(TOLERANCE * max(x.abs().max().item() for x in expected), mixing / 20)
