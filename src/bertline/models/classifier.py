"""Classify texts or sentence pairs with a model folder: the engine of evaluation, promotion and prediction.

Texts are truncated exactly as in training. The ONNX file answers where the folder has one, otherwise torch,
which takes seconds to import. Does not fetch models: `registry` does.
Shape suffixes: N texts, S sequences (one a text, or its windows), C classes, H the width of the states.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, get_args

import numpy as np

from bertline.encoder.ordering import sorted_order
from bertline.head.out_of_scope import Kind, Reader, Statistics, score
from bertline.models.abstention import refusals
from bertline.models.folder import SERVED, read_config, read_settings
from bertline.tokens.arrays import Tokens, windows_of
from bertline.tokens.pretrained import FILES, WEIGHTS
from bertline.tokens.truncation import Truncator

Texts = Sequence[str | tuple[str, str]]
Floats = np.ndarray


class Backend(Protocol):
    """What runs a model on padded token ids."""

    def run(self, inputs: dict[str, np.ndarray], /) -> tuple[Floats, Floats | None]:
        """Return logits [S, C] and, if they are kept, the states [S, H] that the last layer read."""


@dataclass(frozen=True, eq=False)
class Outputs:
    """Logits float32 [N, C] of N texts, and the states float32 [N, H] that they were made from, if kept."""

    logits: Floats
    states: Floats | None


@dataclass(frozen=True, eq=False)
class Answers:
    """Probabilities float32 [N, C], out-of-scope scores float32 [N], refusals [N] (`models.abstention`)."""

    probabilities: Floats
    out_of_scope: Floats
    refused: np.ndarray


class Classifier:
    """A model folder, ready to classify.

    `space` has its classes; `scores` the out-of-scope scores that it can compute, the best first.

    Args:
        folder: as `finetune`, `export` or `package` writes it, or an older version did.
        threads: CPU threads. With ONNX each computes a batch of its own, so that none waits for another, and
            the result does not depend on their number.
        batch_size: sequences of a forward pass (texts, or windows of long texts). What 16 texts of usual
            length need fits into the cache of a core: a fifth faster than 64.
        onnx: an ONNX file of the same model that answers instead of the one that `export` chose.

    Raises:
        ValueError: `folder` is not such a folder.
    """

    def __init__(
        self, folder: Path, *, threads: int = 1, batch_size: int = 16, onnx: Path | None = None
    ) -> None:
        self.settings = read_settings(folder)
        if onnx is None and self.settings.is_exported:
            onnx = folder / SERVED
        for path in (*(folder / name for name in FILES[:2]), onnx or folder / WEIGHTS):
            if not path.is_file():
                raise ValueError(f"the model in {folder} has no {path.name}; fetch or train it again")
        self._truncator = Truncator(
            folder,
            max_length=self.settings.max_length,
            long_texts=self.settings.long_texts,
            stride=self.settings.stride,
        )
        self._statistics = Statistics.load(folder)
        self._backend = _load_backend(folder, onnx, threads, self.reader)
        config = read_config(folder)  # later: a folder that asks to run code has its own error
        self.space, self._padding = config.space, config.padding
        self._workers = 1 if onnx is None else threads
        self._folder = folder
        self._batch_size = batch_size

    def one_by_one(self) -> "Classifier":
        """Return the same model with a forward pass for each text: its answer depends on no other text.

        int8 rounds a batch by one scale: 12 of 1,500 answers of the sample's model changed in other batches.
        """
        alone = copy(self)
        alone._batch_size = 1
        return alone

    @property
    def reader(self) -> Reader:
        """Which linear layer of the head reads the states that the statistics are of."""
        return Statistics.reader if self._statistics is None else self._statistics.reader

    @property
    def pairs(self) -> bool:
        """Whether the model reads sentence pairs."""
        return self.settings.pairs

    @property
    def has_thresholds(self) -> bool:
        """Whether `export` set a threshold, so that a text can be refused."""
        answering = self.settings.answering
        return answering is not None and (answering.max_out_of_scope, answering.min_probability) != (
            None,
            None,
        )

    @property
    def scores(self) -> tuple[Kind, ...]:
        """The out-of-scope scores that this model has, the best one first."""
        kinds: tuple[Kind, ...] = get_args(Kind)
        return tuple(each for each in kinds if each != "mahalanobis" or self._statistics is not None)

    def probabilities(self, texts: Texts) -> Floats:
        """Return the probability of each label, float32 [N, C], in the order of `space.classes`.

        - A text is a string, or the two strings of a sentence pair if the model was trained on `pairs`.
        - The probabilities of a row add up to 1, except in a multi-label model, where each is independent.

        Raises:
            ValueError: as of `outputs`.
        """
        return self.to_probabilities(self.outputs(texts).logits)

    def answers(self, texts: Texts) -> Answers:
        """Return probabilities, out-of-scope scores and refusals for `texts`; the thresholds are `export`'s.

        Raises:
            ValueError: as of `outputs`.
        """
        return self.to_answers(self.outputs(texts))

    def to_answers(self, outputs: Outputs) -> Answers:
        """Return what `answers` returns for the texts that `outputs` are of."""
        answering = self.settings.answering
        probabilities_NC = self.to_probabilities(outputs.logits)
        scores_N = self.out_of_scope(outputs, answering.score if answering else self.scores[0])
        refused_N = refusals(answering, probabilities_NC, scores_N, multi_label=self.space.multi_label)
        return Answers(probabilities_NC, scores_N, refused_N)

    def to_probabilities(self, logits_NC: Floats) -> Floats:
        """Return the probabilities float32 [N, C] of the logits of this model."""
        if self.space.multi_label:
            return np.asarray(np.exp(-np.logaddexp(0, -logits_NC)), np.float32)
        exponents_NC = np.exp(logits_NC - logits_NC.max(axis=1, keepdims=True))
        return np.asarray(exponents_NC / exponents_NC.sum(axis=1, keepdims=True), np.float32)

    def out_of_scope(self, outputs: Outputs, kind: Kind) -> Floats:
        """Return the out-of-scope score `kind` float32 [N]; it is one of `scores`."""
        if not len(outputs.logits):  # no forward pass has made states
            return np.empty(0, np.float32)
        return score(
            kind,
            outputs.logits,
            outputs.states,
            multi_label=self.space.multi_label,
            statistics=self._statistics,
        )

    def count_tokens(self, texts: Texts) -> np.ndarray:
        """Return how many tokens of each text the model reads, special ones included, int64 [N]."""
        return self._truncator.encode(texts).lengths

    def outputs(self, texts: Texts) -> Outputs:
        """Return logits and states of `texts`; of a long text, the mean over its windows.

        Raises:
            ValueError: a logit is not a number, or the texts are pairs and the model reads windows.
        """
        tokens = self._truncator.encode(texts)
        sequences = Tokens(input_ids=tokens.input_ids, offsets=tokens.offsets, type_ids=tokens.type_ids)
        if self._batch_size == 1:  # nothing else has an influence, so equal tokens have equal outputs
            firsts, places_S = _distinct(sequences)
            found = self._run(sequences.pick(firsts))
            logits_SC, states_SH = found[0][places_S], None if found[1] is None else found[1][places_S]
        else:
            logits_SC, states_SH = self._run(sequences)
        if tokens.row_offsets is None:
            return Outputs(logits_SC, states_SH)
        windows_N = windows_of(tokens)
        return Outputs(
            _mean(logits_SC, windows_N), None if states_SH is None else _mean(states_SH, windows_N)
        )

    def _run(self, sequences: Tokens) -> tuple[Floats, Floats | None]:
        """Return logits [S, C] and, if the model keeps them, states [S, H] of S sequences."""
        logits_SC = np.empty((len(sequences), len(self.space.classes)), np.float32)
        states_SH = None
        batches = sorted_order(sequences.lengths, self._batch_size)
        with ThreadPoolExecutor(self._workers) as pool:
            results = pool.map(lambda each: self._backend.run(self._padding.inputs(sequences, each)), batches)
            for each, (logits, states) in zip(batches, results, strict=True):
                logits_SC[each] = logits
                if states is not None:
                    if states_SH is None:
                        states_SH = np.empty((len(sequences), states.shape[1]), np.float32)
                    states_SH[each] = states
        if not np.isfinite(logits_SC).all():
            raise ValueError(
                f"the model in {self._folder} gives NaN or infinity for these texts; fine-tune it again"
            )
        return logits_SC, states_SH


def _distinct(sequences: Tokens) -> tuple[np.ndarray, np.ndarray]:
    """Return the first of each set of equal sequences, and for each sequence [S] its place among these."""
    places: dict[tuple[bytes, bytes], int] = {}
    types_T, bounds = sequences.type_ids, zip(sequences.offsets, sequences.offsets[1:], strict=False)
    keys = [
        (sequences.input_ids[start:end].tobytes(), b"" if types_T is None else types_T[start:end].tobytes())
        for start, end in bounds
    ]
    places_S = np.array([places.setdefault(key, len(places)) for key in keys], np.int64)
    return np.unique(places_S, return_index=True)[1], places_S


def _mean(values_S: Floats, windows_N: np.ndarray) -> Floats:
    """Return the means [N, ...] of `values_S` [S, ...] over the windows of each text, of which it has one."""
    starts_N = windows_N.cumsum() - windows_N
    return np.add.reduceat(values_S, starts_N, axis=0) / windows_N[:, None].astype(np.float32)


def _load_backend(folder: Path, onnx: Path | None, threads: int, reader: Reader) -> Backend:
    if onnx is not None:
        from bertline.models.onnx_backend import OnnxBackend

        return OnnxBackend(onnx)
    from bertline.models.torch_backend import TorchBackend  # six seconds of a core

    return TorchBackend(folder, threads=threads, reader=reader)
