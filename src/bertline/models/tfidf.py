"""The baseline that BERT must beat: a linear classifier of TF-IDF weights. `stages/baseline` fits it.

An input is a text or a sentence pair, which is read as one text of two lines. Guarantees: a saved model loads
to the same probabilities; memory grows with the inputs only by their probabilities. The folder holds
JSON and safetensors, no pickle, so loading one runs no code from it.

Source: Salton & Buckley, Term-weighting approaches in automatic text retrieval, 1988 (TF-IDF).
Shape suffixes: N rows, V terms, C classes.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import regex
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.special import expit, softmax
from sklearn.feature_extraction.text import TfidfVectorizer

from bertline.core.files import replacing
from bertline.rows.labels import LabelSpace
from bertline.rows.words import TERM, find_terms, spell

_SETTINGS = "baseline.json"
_WEIGHTS = "baseline.safetensors"

_NORMALIZATION = "NFC"  # texts are read as `spell` returns them; older folders lack it: lower case, `re`
CHARACTERS = r"\S"  # where there is no word, only emoji or single letters

READ_AT_ONCE = 8_192  # rows whose terms are in memory at once

Floats = npt.NDArray[np.floating]


class Baseline:
    """A linear classifier of texts; `load_baseline` reads one, the stage `baseline` fits one.

    The classes of `space` are sorted; `weights` holds float arrays idf [V], coef [C, V] and intercept [C].
    A label that all rows of a multi-label target had has an infinite intercept: its probability is 1.
    """

    def __init__(
        self,
        space: LabelSpace,
        vectorizer: TfidfVectorizer,
        weights: dict[str, Floats],
        *,
        token_pattern: str,
    ) -> None:
        self.space = space
        self._token_pattern = token_pattern
        self._vectorizer = vectorizer
        self._weights = weights

    def probabilities(self, inputs: Sequence[str | tuple[str, str]]) -> npt.NDArray[np.float32]:
        """Return the probabilities [N, C] of `inputs`, in the order of `space.classes`."""
        coef_VC = np.ascontiguousarray(self._weights["coef"].T)
        probabilities_NC = np.empty((len(inputs), len(self.space.classes)), dtype=np.float32)
        for start in range(0, len(inputs), READ_AT_ONCE):
            part = slice(start, start + READ_AT_ONCE)
            logits_NC = self._vectorizer.transform(joined(inputs[part])) @ coef_VC
            logits_NC = logits_NC + self._weights["intercept"]
            probabilities_NC[part] = to_probabilities(logits_NC, self.space)
        return probabilities_NC

    def scale_logits(self, factors_C: Floats) -> None:
        """Multiply the logits by one factor a class; an infinite one stays as it is."""
        for name in ("coef", "intercept"):
            weights = self._weights[name]
            weights *= factors_C.reshape(-1, *[1] * (weights.ndim - 1)).astype(weights.dtype)

    def save(self, folder: Path) -> None:
        """Write the model to `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "labels": self.space.classes,
            "multi_label": self.space.multi_label,
            "ngrams": self._vectorizer.ngram_range[1],
            "normalization": _NORMALIZATION,
            "token_pattern": self._token_pattern,
            "vocabulary": self._vectorizer.get_feature_names_out().tolist(),
        }
        text = json.dumps(settings, ensure_ascii=False, indent=0)
        (folder / _SETTINGS).write_text(text + "\n", encoding="utf-8")
        with replacing(folder / _WEIGHTS) as new:
            save_file(self._weights, new)


def joined(inputs: Sequence[str | tuple[str, str]]) -> list[str]:
    """Return each input as one text: the two of a sentence pair with a line break between them."""
    return [each if isinstance(each, str) else "\n".join(each) for each in inputs]


def to_probabilities(logits_NC: Floats, space: LabelSpace) -> Floats:
    """Return the probabilities [N, C]: those of a row add up to 1, or are independent if multi-label."""
    return np.asarray(expit(logits_NC) if space.multi_label else softmax(logits_NC, axis=1))


def load_baseline(folder: Path) -> Baseline:
    """Read what `Baseline.save` wrote.

    Raises:
        ValueError: `folder` does not hold a baseline.
    """
    try:
        settings = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))
        weights = load_file(folder / _WEIGHTS)
    except (FileNotFoundError, NotADirectoryError, ValueError, SafetensorError):
        raise ValueError(f"{folder} does not hold a baseline; run `dvc repro baseline`") from None
    make = make_vectorizer if settings.get("normalization") == _NORMALIZATION else _old_vectorizer
    vectorizer = make(settings["ngrams"], settings["token_pattern"], settings["vocabulary"])
    vectorizer.idf_ = weights["idf"]
    space = LabelSpace(tuple(settings["labels"]), settings["multi_label"])
    return Baseline(space, vectorizer, weights, token_pattern=settings["token_pattern"])


def make_vectorizer(
    ngrams: int, token_pattern: str, vocabulary: list[str] | None = None, *, max_terms: int | None = None
) -> TfidfVectorizer:
    """Return what turns texts into TF-IDF weights of 1- to `ngrams`-grams of what `token_pattern` finds.

    At most `max_terms` terms are kept, the most frequent ones.
    """
    return TfidfVectorizer(
        ngram_range=(1, ngrams),
        preprocessor=spell,
        tokenizer=find_terms if token_pattern == TERM else regex.compile(token_pattern).findall,
        token_pattern=None,
        sublinear_tf=True,
        max_features=max_terms,
        vocabulary=vocabulary,
    )


def _old_vectorizer(ngrams: int, token_pattern: str, vocabulary: list[str]) -> TfidfVectorizer:
    """Return what reads texts as a folder without "normalization" asks for: by `re`, which knows no marks."""
    return TfidfVectorizer(
        ngram_range=(1, ngrams), token_pattern=token_pattern, sublinear_tf=True, vocabulary=vocabulary
    )
