"""What BERT must beat: TF-IDF and multinomial logistic regression, on the CPU, in seconds.

Guarantees: the same texts and params give the same bits; a saved model loads to the same probabilities.
The folder holds JSON and safetensors, no pickle, so loading one runs no code from it. Does not guarantee
the best linear model: its knobs are not searched.

Source: Salton & Buckley, Term-weighting approaches in automatic text retrieval, 1988 (TF-IDF).
Shape suffixes: N rows, V terms, C classes.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.special import softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from bertline.params.baseline import Params

_SETTINGS = "baseline.json"
_WEIGHTS = "baseline.safetensors"


class Baseline:
    """A linear classifier of texts; made by `fit_baseline` or `load_baseline`.

    `labels` [C] are sorted; `weights` holds float64 arrays idf [V], coef [C, V] and intercept [C].
    """

    def __init__(
        self,
        labels: tuple[str, ...],
        vectorizer: TfidfVectorizer,
        weights: dict[str, npt.NDArray[np.float64]],
    ) -> None:
        self.labels = labels
        self._vectorizer = vectorizer
        self._weights = weights

    def probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the class probabilities [N, C] of `texts`, in the order of `labels`."""
        terms_NV = self._vectorizer.transform(texts)
        logits_NC = terms_NV @ self._weights["coef"].T + self._weights["intercept"]
        return np.asarray(softmax(logits_NC, axis=1), dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Write the model to `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "labels": self.labels,
            "ngrams": self._vectorizer.ngram_range[1],
            "vocabulary": self._vectorizer.get_feature_names_out().tolist(),
        }
        text = json.dumps(settings, ensure_ascii=False, indent=0)
        (folder / _SETTINGS).write_text(text + "\n", encoding="utf-8")
        save_file(self._weights, folder / _WEIGHTS)


def fit_baseline(texts: Sequence[str], labels: Sequence[str], params: Params) -> Baseline:
    """Fit TF-IDF weights and a logistic regression to `texts` and their `labels`.

    Raises:
        ValueError: the texts hold no words, or the labels are all the same.

    """
    vectorizer = _vectorizer(params.ngrams)
    regression = LogisticRegression(C=params.regularization, max_iter=1000)
    with threadpool_limits(1):  # sums in another order, by another number of threads, are other bits
        regression.fit(vectorizer.fit_transform(texts), labels)
    coef, intercept = regression.coef_, regression.intercept_
    if len(coef) == 1:  # two classes: the first has logit 0
        coef, intercept = np.vstack([np.zeros_like(coef), coef]), np.concatenate([[0.0], intercept])
    weights = {"idf": vectorizer.idf_, "coef": np.ascontiguousarray(coef), "intercept": intercept}
    return Baseline(tuple(str(label) for label in regression.classes_), vectorizer, weights)


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
    vectorizer = _vectorizer(settings["ngrams"], settings["vocabulary"])
    vectorizer.idf_ = weights["idf"]
    return Baseline(tuple(settings["labels"]), vectorizer, weights)


def _vectorizer(ngrams: int, vocabulary: list[str] | None = None) -> TfidfVectorizer:
    return TfidfVectorizer(ngram_range=(1, ngrams), sublinear_tf=True, vocabulary=vocabulary)
