"""Texts of a batch end to end in one row, with no padding, and no attention from one text to another.

Hugging Face keeps owning the model code: an attention function of ours keeps the texts apart, and forward
hooks hand the head one state per text. There is no list of the architectures that
can run this way: `enable_unpadding` compares the outputs with those of the padded forward pass.

Guarantees the logits and gradients of padded batches, up to rounding, independent of the other texts in the
batch. Source: Zeng et al., Boosting Distributed Training Performance of the Unpadded BERT Model, 2022.

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

from bertline.encoder.attention.varlen import NAME, LengthGroups, has_kernel, register
from bertline.encoder.layers import eval_mode

TOLERANCE = 1e-4
"""Largest difference from the padded outputs, as a share of the largest of them, that counts as rounding."""

MIN_BUCKET_STEP = 128
"""Smallest step between two bucket sizes, in tokens."""

Pool = Callable[[Tensor, Tensor], Tensor]
"""Makes one state of each text, [S, H], from those of tokens [T, H] and the cumulative lengths [S + 1]."""


def unpad(
    sequences: list[np.ndarray],
    type_ids: list[np.ndarray] | None,
    config: PretrainedConfig,
    *,
    bucketed: bool = False,
) -> dict[str, Any]:
    """Return the arguments of a forward pass over the tokens of some texts, for an unpadded model.

    - `input_ids`, `position_ids` and, if the encoder learnt them, `token_type_ids`: int64 [1, T].
    - `cu_seqlens` int32 [S + 1], the cumulative lengths, and `max_seqlen`: for kernels.
    - `length_groups`, neighbours of one length: for the CPU, where each group is a call per layer. So it is
      faster to sort the texts by length.
    - `num_padding_texts`, if `bucketed`.

    `bucketed` pads T and `max_seqlen` up to a bucket size with dummy texts at the end, so that few shapes
    occur, as CUDA graphs need. Heads never see the dummy texts.
    """
    padding: list[int] = []
    if bucketed:
        bound, padding = _padding_lengths([len(sequence) for sequence in sequences])
        sequences = [*sequences, *(np.full(length, config.pad_token_id or 0) for length in padding)]
        type_ids = None if type_ids is None else [*type_ids, *(np.zeros(length) for length in padding)]
    lengths = [len(sequence) for sequence in sequences]
    cu_seqlens = np.concatenate([[0], np.cumsum(lengths)])

    def row(values_T: np.ndarray) -> Tensor:
        return torch.from_numpy(values_T.astype(np.int64))[None]

    inputs: dict[str, Any] = {
        "input_ids": row(np.concatenate(sequences)),
        "position_ids": row(np.arange(cu_seqlens[-1]) - np.repeat(cu_seqlens[:-1], lengths)),
        "cu_seqlens": torch.from_numpy(cu_seqlens.astype(np.int32)),
        "max_seqlen": bound if bucketed else max(lengths),
        "length_groups": LengthGroups(
            tuple((len(list(group)), length) for length, group in groupby(lengths) if length)
        ),
    }
    if bucketed:
        inputs["position_ids"][:, cu_seqlens[-1] - sum(padding) :] = 0  # may be more than the encoder has
        inputs["num_padding_texts"] = len(padding)
    if type_ids is not None and getattr(config, "type_vocab_size", 0) > 1:
        inputs["token_type_ids"] = row(np.concatenate(type_ids))
    return inputs


def round_up(size: int, least: int) -> int:
    """Return `size` or up to an eighth (or `least`) more: one of eight sizes between two powers of two."""
    step = _step(size, least)
    return -(-size // step) * step


def _step(size: int, least: int) -> int:
    return max(least, 1 << max(0, size.bit_length() - 4))


def _padding_lengths(lengths: list[int]) -> tuple[int, list[int]]:
    """Return a bound of the lengths, and the lengths of the dummy texts (as many for all of one size)."""
    longest, size = max(lengths), round_up(sum(lengths), MIN_BUCKET_STEP)
    bound = max(16, 1 << (longest - 1).bit_length()) if longest <= 128 else -(-longest // 128) * 128
    texts = -(-_step(size, MIN_BUCKET_STEP) // bound)
    missing = size - sum(lengths)
    return bound, [min(bound, max(0, missing - i * bound)) for i in range(texts)]


def is_unpadding_enabled(model: PreTrainedModel) -> bool:
    """Return whether `model` takes what `unpad` returns."""
    return bool(model.config._attn_implementation == NAME)


def enable_unpadding(model: PreTrainedModel) -> bool:
    """Make `model` take what `unpad` returns, and return whether it can.

    - If it can, outputs per text are [S, ...] and outputs per token [1, T, ...]; padded batches still work.
    - If it cannot, because outputs differ from the padded ones or something raises, it stays as it was: pad.
    - No random number is drawn, no module changes its mode, and a saved model shows no trace.
    - Call it in full precision, before the model goes to a GPU: half precision and TF32 round so much that
      the model would be refused.
    """
    if is_unpadding_enabled(model):
        return True
    register()
    try:
        with eval_mode(model):
            return _attach_hooks(model)
    except Exception:  # architectures raise errors of any type; their batches are padded
        return False


def _attach_hooks(model: PreTrainedModel) -> bool:
    """Attach the hooks with which `model` agrees with its padded self, and return whether any do."""
    inputs, expected = _probe_batch(model)
    before, handles, agreed = model.config._attn_implementation, _offset_positions(model), False
    try:
        model.config._attn_implementation = NAME
        for attach in (
            partial(_pool_stack, pool=_first),
            partial(_pool_stack, pool=_mean),
            _keep_all_states,
            _pool_cls_again,
        ):
            attached = attach(model)
            handles += attached
            if agreed := _outputs_match(model, inputs, expected):
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


def supports_buckets(model: PreTrainedModel) -> bool:
    """Return whether the kernels depend on the shape of a batch alone, as CUDA graphs need.

    It is a question of the device that `model` is on now.
    """
    if not is_unpadding_enabled(model):
        return False
    config = model.config
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return has_kernel(model.device, width)


def _texts(kwargs: dict[str, Any]) -> Tensor | None:
    """Return the cumulative lengths of the texts in an unpadded batch, without the dummy texts."""
    cu_seqlens: Tensor | None = kwargs.get("cu_seqlens")
    return None if cu_seqlens is None else cu_seqlens[: len(cu_seqlens) - kwargs.get("num_padding_texts", 0)]


def _first(states_TH: Tensor, cu_seqlens: Tensor) -> Tensor:
    return states_TH.index_select(0, cu_seqlens[:-1])


def _mean(states_TH: Tensor, cu_seqlens: Tensor) -> Tensor:
    return torch.segment_reduce(states_TH, "mean", offsets=cu_seqlens.long(), axis=0)


def _pool_stack(model: PreTrainedModel, pool: Pool) -> list[RemovableHandle]:
    """Let everything after the stack of layers see one token per text, which is what classifiers read."""

    def hook(_module: nn.Module, _args: Any, kwargs: dict[str, Any], output: ModelOutput) -> ModelOutput:
        if (cu_seqlens := _texts(kwargs)) is not None:
            output["last_hidden_state"] = pool(output[0][0], cu_seqlens)[:, None]
        return output

    base = model.base_model
    stack = next(name for name, module in base.named_modules() if isinstance(module, nn.ModuleList))
    parent = base.get_submodule(stack.rpartition(".")[0])
    return [parent.register_forward_hook(hook, with_kwargs=True)]


def _keep_all_states(_model: PreTrainedModel) -> list[RemovableHandle]:
    """Let heads see every token, which is what language models read."""
    return []


def _pool_cls_again(model: PreTrainedModel) -> list[RemovableHandle]:
    """Let only the pooler see one token per text: for pre-training with heads of both kinds."""

    def hook(module: nn.Module, _args: Any, kwargs: dict[str, Any], output: ModelOutput) -> ModelOutput:
        if (cu_seqlens := _texts(kwargs)) is not None:
            pooler: nn.Module = module.get_submodule("pooler")
            output["pooler_output"] = pooler(_first(output[0][0], cu_seqlens)[:, None])
        return output

    return [model.base_model.register_forward_hook(hook, with_kwargs=True)]


def _offset_positions(model: PreTrainedModel) -> list[RemovableHandle]:
    """Count positions from behind the padding id in encoders that learnt them so, as RoBERTa did."""
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


def _probe_batch(model: PreTrainedModel) -> tuple[dict[str, Any], list[Tensor]]:
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


def _outputs_match(model: PreTrainedModel, inputs: dict[str, Any], expected: list[Tensor]) -> bool:
    """Return whether unpadded outputs are the expected ones, and would not be if texts saw each other."""
    outputs = _outputs(model, inputs)
    if [x.shape for x in outputs] != [x.shape for x in expected]:
        return False
    total = inputs["input_ids"].shape[1]
    one_text = {
        "cu_seqlens": inputs["cu_seqlens"].new_tensor([0, total]),
        "max_seqlen": total,
        "length_groups": LengthGroups(((1, total),)),
    }
    mixed = _outputs(model, inputs | one_text)  # outputs per text: the first text's
    wrong = max((a - b).abs().max().item() for a, b in zip(outputs, expected, strict=True))
    mixing = max((a - b[:1]).abs().max().item() for a, b in zip(mixed, expected, strict=True))
    return wrong < min(TOLERANCE * max(x.abs().max().item() for x in expected), mixing / 20)
