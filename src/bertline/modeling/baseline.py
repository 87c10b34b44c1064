"""What BERT must beat: TF-IDF and multinomial logistic regression, on the CPU, in seconds.

An input is a text or, of a sentence pair, two, which are read as one text of two lines. Guarantees: the
same inputs and params give the same bits; a saved model loads to the same probabilities; an out-of-fold
prediction knows nothing of its row, nor of one with the same content. The folder holds JSON and
safetensors, no pickle, so loading one runs no code from it. Does not guarantee the best linear model: its
knobs are not searched.

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

    def probabilities(self, inputs: Sequence[str | tuple[str, str]]) -> npt.NDArray[np.float32]:
        """Return the class probabilities [N, C] of `inputs`, in the order of `labels`."""
        terms_NV = self._vectorizer.transform(joined(inputs))
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


def joined(inputs: Sequence[str | tuple[str, str]]) -> list[str]:
    """Return each input as one text: the two of a sentence pair with a line break between them."""
    return [each if isinstance(each, str) else "\n".join(each) for each in inputs]


def fit_baseline(inputs: Sequence[str | tuple[str, str]], labels: Sequence[str], params: Params) -> Baseline:
    """Fit TF-IDF weights and a logistic regression to `inputs` and their `labels`.

    Raises:
        ValueError: the inputs hold no words, or the labels are all the same.

    """
    vectorizer = _vectorizer(params.ngrams)
    regression = LogisticRegression(C=params.regularization, max_iter=1000)
    with threadpool_limits(1):  # sums in another order, by another number of threads, are other bits
        regression.fit(vectorizer.fit_transform(joined(inputs)), labels)
    coef, intercept = regression.coef_, regression.intercept_
    if len(coef) == 1:  # two classes: the first has logit 0
        coef, intercept = np.vstack([np.zeros_like(coef), coef]), np.concatenate([[0.0], intercept])
    weights = {"idf": vectorizer.idf_, "coef": np.ascontiguousarray(coef), "intercept": intercept}
    return Baseline(tuple(str(label) for label in regression.classes_), vectorizer, weights)


def predict_out_of_fold(
    inputs: Sequence[str | tuple[str, str]],
    labels: Sequence[str],
    content_ids: Sequence[str],
    params: Params,
) -> npt.NDArray[np.float32]:
    """Return the probabilities [N, C] of each row by a fit to the rows of the other folds.

    The C columns are the sorted `labels`. A row's fold depends on its content id alone. A class without rows
    in the other folds has probability 0 there.

    Raises:
        ValueError: as in `fit_baseline`.

    """
    index = {label: i for i, label in enumerate(sorted(set(labels)))}
    fold_N = np.array([int(content_id, 16) % params.folds for content_id in content_ids])
    probabilities_NC = np.zeros((len(labels), len(index)), dtype=np.float32)
    for fold in np.unique(fold_N):
        inside, outside = (np.flatnonzero(part).tolist() for part in (fold_N == fold, fold_N != fold))
        known = [labels[i] for i in outside]
        columns = [index[label] for label in sorted(set(known))]
        predicted = np.ones((len(inside), len(columns)), dtype=np.float32)
        if len(columns) > 1:  # else there is nothing to tell apart
            predicted = fit_baseline([inputs[i] for i in outside], known, params).probabilities(
                [inputs[i] for i in inside]
            )
        for column, values_N in zip(columns, predicted.T, strict=True):
            probabilities_NC[inside, column] = values_N
    return probabilities_NC


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
