"""Learning from texts without labels: masked tokens, and next sentences with them, as a task.

Source: Devlin et al., BERT, 2019. The vocabulary is only scored where a token is to be predicted: a hook
hands the head of any architecture those states alone. The loss is the mean over the masked tokens of their
cross-entropy (nats), plus, with next sentences, the cross-entropy of the pair each of them stands in: where
the pairs of a batch are alike in length that is the paper's sum of two means, and it is the same however a
batch is cut in parts.

Does not guarantee that a lower loss makes a better classifier: benchmarks/adapt.py measures that.

Shape suffixes: S sequences (texts, pairs, or windows of texts), T tokens of all of them, M masked tokens,
V vocabulary, H width of the encoder.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from bertline.encoder.collate import Batch, Collate
from bertline.encoder.ordering import sorted_order, training_order
from bertline.encoder.precision import autocast
from bertline.encoder.unpadding import round_up
from bertline.params.adapt import Params
from bertline.stages.adapt.mlm import IGNORED, Masking
from bertline.stages.adapt.nsp import SpanPairs
from bertline.stages.adapt.token_types import TokenTypes
from bertline.tokens.arrays import Tokens
from bertline.training.counter_rng import keys
from bertline.training.micro_batching import BatchedInference
from bertline.training.optimizer import parameter_groups
from bertline.training.process_group import World

VALIDATION = 0  # an epoch that no training has: the mask is the same whenever validation is scored


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskedBatch(Batch):
    """A batch of tokens, some of them hidden and to be predicted.

    `targets` int64 [M]: the hidden tokens; IGNORED where padded. `places_M` int64: where they
    stand along the flattened states. `masked_S` int64: how many each sequence has. `next_S` int64: NEXT,
    RANDOM or IGNORED.
    """

    places_M: torch.Tensor
    masked_S: torch.Tensor
    next_S: torch.Tensor


class Pretraining:
    """The `task.Task` of `adapt`; its rows are the sequences that have anything to predict.

    Args:
        splits: `train` and `validation`; labels are not looked at.
        params: of the section adapt.
        types: of the tokens in the vocabulary.
        max_length: tokens of a pair of spans, at most.
        collate: makes the model's inputs from tokens.

    Raises:
        ValueError: there is nothing to predict, or there are no pairs to be made.
    """

    select_by = "loss"

    def __init__(
        self,
        splits: Mapping[str, Tokens],
        params: Params,
        types: TokenTypes,
        max_length: int,
        collate: Collate,
    ) -> None:
        self._params, self._collate = params, collate
        self._masking = Masking(types=types, share=params.mlm_probability, whole_words=params.whole_words)
        paired = params.objective == "mlm_nsp"
        self._pairs = {
            name: SpanPairs(tokens, types, max_length) if paired else None for name, tokens in splits.items()
        }
        self._splits = splits
        self._sequences = {name: _predictable(tokens, types) for name, tokens in splits.items()}

    def __len__(self) -> int:
        return len(self._sequences["train"])

    def parameter_groups(self, model: PreTrainedModel) -> list[dict[str, Any]]:
        """Return AdamW's groups; all layers learn at one rate."""
        return parameter_groups(model, self._params)

    def start_epoch(self, model: PreTrainedModel, epoch: int) -> None:
        """Switch dropout on."""
        model.train()

    def order(self, epoch: int) -> list[np.ndarray]:
        """Return the rows of each batch: like lengths together, in random order."""
        lengths = np.diff(self._splits["train"].offsets)[self._sequences["train"]]
        return training_order(lengths, self._params.batch_size, seed=self._params.seed, epoch=epoch)

    def batch(self, rows: np.ndarray, epoch: int) -> MaskedBatch:
        """Return `rows`, paired and masked as `epoch` has it."""
        return self._batch("train", rows, epoch)

    def _batch(self, split: str, rows: np.ndarray, epoch: int) -> MaskedBatch:
        sequences, pairs = self._sequences[split][rows], self._pairs[split]
        keys_S = keys(self._params.seed, epoch, sequences)
        if pairs is None:
            tokens, next_S = self._splits[split].pick(sequences), np.full(len(rows), IGNORED)
        else:
            tokens, next_S = pairs(sequences, keys_S)
        hidden_T, targets_T = self._masking(tokens, keys_S)
        masked_T = targets_T != IGNORED
        inputs = self._collate(replace(tokens, input_ids=hidden_T), np.arange(len(rows)))
        targets_M, places_M = targets_T[masked_T], _places(inputs, len(hidden_T))[masked_T]
        if "num_padding_texts" in inputs:
            missing = round_up(len(targets_M), least=32) - len(targets_M)
            targets_M = np.pad(targets_M, (0, missing), constant_values=IGNORED)
            places_M = np.pad(places_M, (0, missing))
        return MaskedBatch(
            inputs=inputs,
            targets=torch.from_numpy(targets_M),
            places_M=torch.from_numpy(places_M),
            masked_S=torch.from_numpy(np.add.reduceat(masked_T, tokens.offsets[:-1], dtype=np.int64)),
            next_S=torch.from_numpy(next_S),
        )

    def weight(self, batch: Batch) -> float:
        """Return the number of masked tokens of `batch`."""
        return _masked(batch) or 1e-9  # a pair cut short may have none; a batch of such has no loss

    def loss(self, model: PreTrainedModel, batch: Batch) -> torch.Tensor:
        """Return the loss summed over masked tokens."""
        assert isinstance(batch, MaskedBatch), "the batches of this task"
        logits_MV, next_logits = _logits(model, batch)
        total = cross_entropy(logits_MV, batch.targets, reduction="sum")
        if next_logits is not None:
            total = total + (_next_losses(next_logits, batch) * batch.masked_S).sum()
        return total

    @torch.inference_mode()
    def validate(self, model: PreTrainedModel) -> dict[str, float]:
        """Return loss, perplexity and accuracy on masked tokens and on next sentences; always of one mask."""
        model.eval()
        lengths = np.diff(self._splits["validation"].offsets)[self._sequences["validation"]]
        at_once, world = self._params.rows_at_once, World.current()
        inference, sums = BatchedInference(model, at_once, world), np.zeros(6)

        def score(local: np.ndarray, weight: float) -> np.ndarray:
            return weight * _sums(model, self._batch("validation", local, VALIDATION).to(model.device))

        for rows in sorted_order(lengths, at_once):
            sums += sum(inference.run(rows, score))
        loss, right, masked, next_loss, next_right, pairs = world.sum(sums).tolist()
        scores = {
            "loss": (loss + next_loss) / masked,
            "perplexity": math.exp(min(loss / masked, 50.0)),
            "masked_accuracy": right / masked,
        }
        return scores | ({"next_sentence_accuracy": next_right / pairs} if pairs else {})


def _predictable(tokens: Tokens, types: TokenTypes) -> np.ndarray:
    """Return the indices of the sequences of `tokens` that are more than special tokens, int64 [S]."""
    found = np.flatnonzero(np.logical_or.reduceat(~types.special[tokens.input_ids], tokens.offsets[:-1]))
    if not len(found):
        raise ValueError("adapt: the texts have no token that the vocabulary knows; set tokenize.vocabulary")
    return found


def _masked(batch: Batch) -> int:
    return int((batch.targets != IGNORED).sum())


def _places(inputs: dict[str, Any], tokens: int) -> np.ndarray:
    """Return where each of `tokens` tokens stands along the flattened states, int64 [T]."""
    if "attention_mask" not in inputs:  # end to end
        return np.arange(tokens)
    return np.flatnonzero(inputs["attention_mask"].numpy())


def _logits(model: PreTrainedModel, batch: MaskedBatch) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the logits of masked tokens, float32 [M, V], and of next sentences [S, 2], if there are any."""
    with autocast(model.device), _only_masked(model.base_model, batch.places_M):
        output = model(**batch.inputs)
    if "seq_relationship_logits" in output:
        return output.prediction_logits.flatten(0, 1).float(), output.seq_relationship_logits.float()
    return output.logits.flatten(0, 1).float(), None


@contextmanager
def _only_masked(encoder: nn.Module, places_M: torch.Tensor) -> Iterator[None]:
    """Let `encoder` return the states of masked tokens only, [1, M, H]; what it pools stays."""

    def pick(_module: nn.Module, _inputs: object, output: Any) -> Any:
        output["last_hidden_state"] = output[0].flatten(0, 1)[places_M][None]
        return output

    hook = encoder.register_forward_hook(pick)
    try:
        yield
    finally:
        hook.remove()


def _sums(model: PreTrainedModel, batch: MaskedBatch) -> np.ndarray:
    """Return loss, right and all masked tokens, and the same of next sentences, float64 [6]."""
    logits_MV, next_logits = _logits(model, batch)
    sums = np.zeros(6)
    loss = cross_entropy(logits_MV, batch.targets, reduction="sum").item()
    right = (logits_MV.argmax(1) == batch.targets).sum().item()
    sums[:3] = loss, right, _masked(batch)
    if next_logits is not None:
        next_loss = (_next_losses(next_logits, batch) * batch.masked_S).sum().item()
        right = (next_logits.argmax(1) == batch.next_S).sum().item()
        sums[3:] = next_loss, right, (batch.next_S != IGNORED).sum().item()
    return sums


def _next_losses(next_logits: torch.Tensor, batch: MaskedBatch) -> torch.Tensor:
    return cross_entropy(next_logits, batch.next_S, ignore_index=IGNORED, reduction="none")
