"""The tokens of a vocabulary by type: special ones, those that begin a word, those that end a sentence.

Decided from the strings in tokenizer.json: WordPiece marks what continues a word ("##"), SentencePiece ("▁")
and byte-level BPE ("Ġ") what follows a space. A token that begins with a Chinese or Japanese character is
always a word. Does not guarantee more than those marks say: byte-level punctuation counts to the word before
it.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from bertline.tokens.truncation import load_tokenizer

IDEOGRAPHS = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
SENTENCE_ENDS = frozenset(".!?…。\uff01\uff1f\uff0e")  # the last three are full-width
SPACES = ("▁", "Ġ")


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenTypes:
    """Types of the V tokens of a vocabulary.

    Attributes:
        special: bool [V]: [CLS], [UNK] and the like.
        starts_word: bool [V].
        ends_sentence: bool [V].
        regular_ids: int64: ids of tokens that stand for text, without unused ones.
        mask: the id of [MASK].
        pair_template: the special tokens around a pair of texts: before, between and after.
    """

    special: np.ndarray
    starts_word: np.ndarray
    ends_sentence: np.ndarray
    regular_ids: np.ndarray
    mask: int
    pair_template: list[int]

    @classmethod
    def read(cls, folder: Path, mask: int | None) -> "TokenTypes":
        """Read the tokenizer.json of `folder`; `mask` is the id of its mask token.

        Raises:
            ValueError: the vocabulary has no mask token.
        """
        tokenizer = load_tokenizer(folder)
        vocabulary = tokenizer.get_vocab()
        if mask is None:
            raise ValueError(
                "adapt.objective: the tokenizer has no [MASK] token to hide words with; set "
                "tokenize.vocabulary for one of your own, or adapt.objective: none"
            )
        special = np.zeros(max(vocabulary.values()) + 1, bool)
        special[[i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special]] = True
        special[mask] = True
        kind, prefix = _marking(tokenizer, vocabulary)
        starts_word, ends_sentence = np.ones_like(special), np.zeros_like(special)
        for token, i in vocabulary.items():
            marked = token.startswith(prefix)
            text = _text(token.removeprefix(prefix) if marked else token, byte_level=prefix == "Ġ")
            starts_word[i] = marked != (kind == "continues") or IDEOGRAPHS.match(text) is not None
            ends_sentence[i] = text != "" and SENTENCE_ENDS.issuperset(text)
        used = (i for token, i in vocabulary.items() if not special[i] and not token.startswith("[unused"))
        return cls(
            special=special,
            starts_word=starts_word,
            ends_sentence=ends_sentence,
            regular_ids=np.array(sorted(used)),
            mask=mask,
            pair_template=tokenizer.encode("", "").ids,
        )


def _marking(tokenizer: Tokenizer, vocabulary: dict[str, int]) -> tuple[str, str]:
    """Return whether tokens are marked that continue a word or that start one, and the mark before them."""
    prefix = json.loads(tokenizer.to_str())["model"].get("continuing_subword_prefix")
    if prefix:
        return "continues", prefix
    counts = {mark: sum(token.startswith(mark) for token in vocabulary) for mark in SPACES}
    mark = max(counts, key=lambda mark: counts[mark])
    return ("starts", mark) if counts[mark] else ("continues", "##")  # no marks at all: each token is a word


def _text(token: str, *, byte_level: bool) -> str:
    """Return what a token stands for; of a byte-level one, roughly: it may be a part of a character."""
    if not byte_level:
        return token
    try:
        known = bytes(_BYTES[each] for each in token)
        # Half a Chinese character is completed to some one; what follows a whole one is ignored.
        return (known + b"\x80\x80").decode("utf-8", errors="ignore")
    except KeyError:  # an added token is not in bytes
        return token


def _byte_characters() -> dict[str, int]:
    """Return the byte behind each character of a byte-level vocabulary (GPT-2, Radford et al., 2019)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


_BYTES = _byte_characters()
