"""Masked language modelling: which tokens are hidden, and what stands in their place.

Source: Devlin et al., BERT, 2019: 80 % of the chosen tokens become [MASK], 10 % a random token, 10 % stay;
whole words as in its later release. The mask changes in every epoch, as in Liu et al., RoBERTa, 2019.

Guarantees:

- The mask is a pure function of the tokens and the keys.
- Every text that has a regular token has a chosen one.
- Special tokens are neither chosen nor put in place of others.

Each word is chosen independently, so the share is met on average, and slightly exceeded by very short texts.

Shape suffixes: S sequences, T tokens of all of them, V vocabulary.
"""

from dataclasses import dataclass

import numpy as np

from bertline.stages.adapt.token_types import TokenTypes
from bertline.tokens.arrays import Tokens
from bertline.training.counter_rng import keys, uniform

IGNORED = -100
"""The target of a token that is not to be predicted, as in transformers."""
MASKED, REPLACED = 0.8, 0.1
CHOOSE, DISTORT, REPLACE = range(3)


@dataclass(frozen=True, kw_only=True, eq=False)
class Masking:
    """The tokens to hide: a `share` of the tokens, one by one or by `whole_words`."""

    types: TokenTypes
    share: float
    whole_words: bool

    def __call__(self, tokens: Tokens, keys_S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return ids with some hidden, int32 [T], and targets, int64 [T]: ids of chosen tokens, or IGNORED.

        `keys_S` uint64: what the mask of each sequence is drawn from.
        """
        ids_T = tokens.input_ids
        sequence_T = np.repeat(np.arange(len(keys_S)), np.diff(tokens.offsets))
        place_T = np.arange(len(ids_T)) - tokens.offsets[:-1][sequence_T]

        def draw(purpose: int) -> np.ndarray:
            return uniform(keys(keys_S, purpose)[sequence_T], place_T)

        chosen_T = self._choose(ids_T, tokens.offsets[:-1], sequence_T, draw(CHOOSE))
        how_T = draw(DISTORT)
        hidden_T = np.where(chosen_T & (how_T < MASKED), self.types.mask, ids_T)
        other_T = self.types.regular_ids[(draw(REPLACE) * len(self.types.regular_ids)).astype(np.int64)]
        replaced_T = chosen_T & (how_T >= MASKED) & (how_T < MASKED + REPLACED)
        hidden_T = np.where(replaced_T, other_T, hidden_T).astype(np.int32)
        return hidden_T, np.where(chosen_T, ids_T, IGNORED).astype(np.int64)

    def _choose(
        self, ids_T: np.ndarray, starts_S: np.ndarray, sequence_T: np.ndarray, draw_T: np.ndarray
    ) -> np.ndarray:
        special_T = self.types.special[ids_T]
        if self.whole_words:  # a word's draw is that of its first token
            start_T = self.types.starts_word[ids_T] | special_T
            start_T[1:] |= special_T[:-1]
            start_T[starts_S] = True
            draw_T = draw_T[start_T][np.cumsum(start_T) - 1]
        draw_T = np.where(special_T, np.inf, draw_T)
        least_S = np.minimum.reduceat(draw_T, starts_S)
        chosen_T: np.ndarray = ~special_T & (draw_T <= np.maximum(self.share, least_S)[sequence_T])
        return chosen_T
