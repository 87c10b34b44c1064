"""Next-sentence prediction: pairs of spans, half of which belong together.

Source: Devlin et al., BERT, 2019, where a "sentence" is any contiguous span. A text is cut in two at the
sentence end nearest its middle or, without one, at the word nearest it. A is always the first part of a text
and B the second part of the same or of another text, so that only their content tells the two cases apart.
For sentence pairs, A and B are the two texts. A text of a single word cannot be cut and is used for masking
only.

Guarantees pairs that are a pure function of the tokens and the keys, and no B from the text of A unless it is
the next. Two rows of the same text count as different texts.

Shape suffixes: S sequences, T tokens.
"""

import numpy as np

from bertline.stages.adapt.mlm import IGNORED
from bertline.stages.adapt.token_types import TokenTypes
from bertline.tokens.arrays import Tokens, windows_of
from bertline.training.counter_rng import keys, uniform

NEXT, RANDOM = 0, 1
"""The classes of transformers' BertForPreTraining."""
SCANNED_AT_ONCE = 65_536
MORE_TOKENS = 1 << 20  # than any encoder reads
DECIDE, PICK = range(3, 5)  # purposes beside those of masking


class SpanPairs:
    """Makes pairs of at most `max_length` tokens from `tokens`.

    Raises:
        ValueError: the tokenizer does not write a pair as [CLS] A [SEP] B [SEP], or there are no two texts.
    """

    def __init__(self, tokens: Tokens, types: TokenTypes, max_length: int) -> None:
        if len(types.pair_template) != 3:
            raise ValueError(
                "adapt.objective mlm_nsp needs a tokenizer that writes pairs [CLS] A [SEP] B [SEP]; set mlm"
            )
        self._tokens, self._types, self._max_length = tokens, types, max_length
        self._before, self._between, self._after = np.array(types.pair_template, np.int32)[:, None]
        self._cuts_S = np.concatenate(
            [
                self._cut(np.arange(start, min(start + SCANNED_AT_ONCE, len(tokens.offsets) - 1)))
                for start in range(0, len(tokens.offsets) - 1, SCANNED_AT_ONCE)
            ]
        )
        self._cuttable = np.flatnonzero(self._cuts_S)
        self._texts_S = np.repeat(np.arange(len(tokens)), windows_of(tokens))  # the row of each sequence
        self._cuttable_texts = self._texts_S[self._cuttable]  # sorted, as the sequences are
        if not len(self._cuttable) or self._cuttable_texts[0] == self._cuttable_texts[-1]:
            raise ValueError("adapt.objective mlm_nsp needs two texts of two words each, at least; set mlm")

    def __call__(self, sequences: np.ndarray, keys_S: np.ndarray) -> tuple[Tokens, np.ndarray]:
        """Return a pair for each of `sequences` [S], and int64 [S]: NEXT, RANDOM, or IGNORED (a single word).

        `keys_S` uint64: what each pair is drawn from.
        """
        cuttable_S = self._cuts_S[sequences] > 0
        random_S = cuttable_S & (uniform(keys(keys_S, DECIDE), 0) < 0.5)
        seconds_S = np.where(random_S, self._others(sequences, uniform(keys(keys_S, PICK), 0)), sequences)
        spans = [
            self._join(int(first), int(second)) if cuttable else self._whole(int(first))
            for first, second, cuttable in zip(sequences, seconds_S, cuttable_S, strict=True)
        ]
        pairs = Tokens(
            input_ids=np.concatenate([ids for ids, _ in spans]),
            offsets=np.cumsum([0, *(len(ids) for ids, _ in spans)]),
            type_ids=np.concatenate([np.arange(len(ids)) >= second for ids, second in spans]).view(np.uint8),
        )
        return pairs, np.where(cuttable_S, np.where(random_S, RANDOM, NEXT), IGNORED)

    def _others(self, sequences: np.ndarray, draw_S: np.ndarray) -> np.ndarray:
        """Return a sequence of another text for each of `sequences`."""
        texts = self._cuttable_texts
        own_S = self._texts_S[sequences]
        first_S, behind_S = np.searchsorted(texts, own_S), np.searchsorted(texts, own_S, side="right")
        others_S = len(texts) - (behind_S - first_S)
        picked_S = (behind_S + (draw_S * others_S).astype(np.int64)) % len(texts)
        picked: np.ndarray = self._cuttable[picked_S]
        return picked

    def _join(self, first: int, second: int) -> tuple[np.ndarray, int]:
        """Return [CLS] A [SEP] B [SEP] and where B begins; if it is too long, the longer span is cut first.

        A loses its beginning and B its end: the border between them stays.
        """
        a, b = self._spans(first)[0], self._spans(second)[1]
        room = self._max_length - 3
        a = a[max(0, len(a) - max(room - len(b), room - room // 2)) :]
        b = b[: room - len(a)]
        return np.concatenate([self._before, a, self._between, b, self._after]), len(a) + 2

    def _spans(self, sequence: int) -> tuple[np.ndarray, np.ndarray]:
        start, end = self._tokens.offsets[sequence], self._tokens.offsets[sequence + 1]
        cut = self._cuts_S[sequence]
        ids = self._tokens.input_ids[start:end]
        between = 0 if self._tokens.type_ids is None else 1  # a pair of texts has its [SEP] there already
        return ids[1 : cut - between], ids[cut:-1]

    def _whole(self, sequence: int) -> tuple[np.ndarray, int]:
        ids = self._tokens.input_ids[self._tokens.offsets[sequence] : self._tokens.offsets[sequence + 1]]
        return ids, len(ids)

    def _cut(self, sequences: np.ndarray) -> np.ndarray:
        """Return where B begins in each of `sequences`, which are neighbours; 0 where there is no B."""
        offsets = self._tokens.offsets[sequences[0] : sequences[-1] + 2]
        lengths_S = np.diff(offsets)
        place_T = np.arange(offsets[0], offsets[-1]) - np.repeat(offsets[:-1], lengths_S)
        length_T = np.repeat(lengths_S, lengths_S)
        ids_T = self._tokens.input_ids[offsets[0] : offsets[-1]]
        if self._tokens.type_ids is not None:
            type_T = self._tokens.type_ids[offsets[0] : offsets[-1]]
            first_T = np.concatenate([[False], (type_T[1:] == 1) & (type_T[:-1] == 0)])
            possible_T = first_T & (place_T > 2) & (place_T < length_T - 1)  # neither text is empty
            cost_T = place_T
        else:
            possible_T = self._types.starts_word[ids_T] & (place_T > 1) & (place_T < length_T - 1)
            ended_T = np.concatenate([[False], self._types.ends_sentence[ids_T[:-1]]])
            far_T = np.abs(2 * place_T - length_T)
            cost_T = (np.where(ended_T, 0, MORE_TOKENS) + far_T) * MORE_TOKENS + place_T
        least_S = np.minimum.reduceat(
            np.where(possible_T, cost_T, np.iinfo(np.int64).max), offsets[:-1] - offsets[0]
        )
        return np.where(least_S == np.iinfo(np.int64).max, 0, least_S % MORE_TOKENS).astype(np.int32)
