"""Tokenise texts and sentence pairs, and truncate long ones as `tokenize.long_texts` says.

Guarantees:

- Training and serving truncate a text alike.
- Every sequence has at most `max_length` tokens, its special tokens among them.
- Every truncated text is marked. The longer text of a pair is truncated first, as transformers does.

The tokenizer's own truncation is not used. It also builds what it removes, for a pair every part of one text
with every part of the other: 5 GB and 34 s for 100 pairs of 2,000 words each, here 53 MB and 0.9 s.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from tokenizers import Encoding, Tokenizer

from bertline.tokens.arrays import Encoded, join, to_offsets

ENCODE_BATCH = 2048
"""Texts given to the tokenizer together: its encodings take about 100 bytes a token, removed ones too."""


def load_tokenizer(folder: Path) -> Tokenizer:
    """Return the tokenizer of `folder` without truncation and padding; ValueError if there is none."""
    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library has no exception of its own
        raise ValueError(f"{path} cannot be read: {error}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


class Truncator:
    """The tokenizer of a folder, and the part of a longer text that is read.

    Args:
        folder: holds tokenizer.json.
        max_length: tokens of a sequence, special tokens included.
        long_texts: `head` or `tail` (the beginning or the end), `head_tail` (the first quarter of the room,
            then the end: Sun et al., How to Fine-Tune BERT for Text Classification?, 2019, read 128 and 382
            of 510 tokens), or `windows` (all of it, in several sequences).
        stride: tokens that neighbouring windows share; fewer than a window has room for.
    """

    def __init__(self, folder: Path, *, max_length: int, long_texts: str, stride: int) -> None:
        self._tokenizer = load_tokenizer(folder)
        self._max_length = max_length
        self._long_texts = long_texts
        self._stride = stride

    def encode(self, inputs: Sequence[str | tuple[str, str]]) -> Encoded:
        """Return the tokens of each text or pair of texts.

        Raises:
            ValueError: `windows` for pairs: they would need all combinations of two windows.
        """
        if self._long_texts == "windows" and not all(isinstance(each, str) for each in inputs):
            raise ValueError(
                "tokenize.long_texts is 'windows', which is for single texts; "
                "set head, tail or head_tail for sentence pairs"
            )
        starts = range(0, len(inputs), ENCODE_BATCH)
        return join([self._encode(inputs[start : start + ENCODE_BATCH]) for start in starts])

    def _encode(self, inputs: Sequence[str | tuple[str, str]]) -> Encoded:
        encodings = self._tokenizer.encode_batch_fast(list(inputs))
        ids = [each.ids for each in encodings]
        offsets = to_offsets(np.fromiter(map(len, ids), np.int64, len(ids)))
        types = np.fromiter(chain.from_iterable(each.type_ids for each in encodings), np.uint8, offsets[-1])
        whole = Encoded(
            input_ids=np.fromiter(chain.from_iterable(ids), np.int32, offsets[-1]),
            offsets=offsets,
            type_ids=types if types.any() else None,
            truncated=np.zeros(len(ids), np.uint8),
        )
        return self._shorten(whole, encodings) if (whole.lengths > self._max_length).any() else whole

    def _shorten(self, whole: Encoded, encodings: Sequence[Encoding]) -> Encoded:
        """Return the rows of `whole` with the long ones truncated."""
        long = whole.lengths > self._max_length
        windowed = self._long_texts == "windows"
        rows = [
            [start + places for places in self._sequences(encodings[row])]
            if long[row]
            else [np.arange(start, whole.offsets[row + 1])]
            for row, start in enumerate(whole.offsets[:-1])
        ]
        sequences = list(chain.from_iterable(rows))
        kept = np.concatenate(sequences)
        return Encoded(
            input_ids=whole.input_ids[kept],
            offsets=to_offsets(np.fromiter(map(len, sequences), np.int64, len(sequences))),
            type_ids=None if whole.type_ids is None else whole.type_ids[kept],
            row_offsets=to_offsets(np.fromiter(map(len, rows), np.int64, len(rows))) if windowed else None,
            truncated=np.zeros_like(whole.truncated) if windowed else long.astype(np.uint8),
        )

    def _sequences(self, encoding: Encoding) -> Iterator[np.ndarray]:
        """Yield the places of the tokens of each sequence that a long text becomes."""
        text_T = np.array([-1 if text is None else text for text in encoding.sequence_ids])
        texts = [np.flatnonzero(text_T == i) for i in range(encoding.n_sequences)]
        special_T = text_T < 0
        room = self._max_length - int(special_T.sum())
        if self._long_texts == "windows":
            step = room - self._stride
            for start in range(0, len(texts[0]) - self._stride, step):
                yield _merge(special_T, [texts[0][start : start + room]])
        else:
            shares = zip(texts, _share(room, [len(text) for text in texts]), strict=True)
            yield _merge(special_T, [self._ends(text, share) for text, share in shares])

    def _ends(self, text: np.ndarray, share: int) -> np.ndarray:
        front = {"head": share, "tail": 0, "head_tail": -(-share // 4)}[self._long_texts]
        return text if share >= len(text) else np.delete(text, np.s_[front : front + len(text) - share])


def _share(room: int, lengths: list[int]) -> list[int]:
    """Return how many tokens are kept of each text: the longer one of a pair is truncated first."""
    if len(lengths) == 1:
        return [room]
    shorter = min(*lengths, room // 2)
    return [shorter, room - shorter] if lengths[0] <= lengths[1] else [room - shorter, shorter]


def _merge(special_T: np.ndarray, kept: list[np.ndarray]) -> np.ndarray:
    """Return the places of the special tokens and of those kept, in order."""
    mask_T = special_T.copy()
    mask_T[np.concatenate(kept)] = True
    return np.flatnonzero(mask_T)
