"""What BERT must beat: TF-IDF and logistic regression, on the CPU, in seconds.

The regression is multinomial; of a multi-label target, it is one per label, of those who have it against the
rest. An input is a text or, of a sentence pair, two, which are read as one text of two lines. Guarantees: the
same inputs and params give the same bits; a saved model loads to the same probabilities; an out-of-fold
prediction knows nothing of its row, nor of one with the same content. The folder holds JSON and
safetensors, no pickle, so loading one runs no code from it. Does not guarantee the best linear model: its
knobs are not searched.

Sources: Salton & Buckley, Term-weighting approaches in automatic text retrieval, 1988 (TF-IDF); Boutell, Luo,
Shen & Brown, Learning multi-label scene classification, 2004 (one classifier per label: binary relevance).
Shape suffixes: N rows, V terms, C classes.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_matrix
from scipy.special import expit, softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from bertline.corpus.rows import label_matrix, split_labels
from bertline.corpus.scripts import UNSPACED
from bertline.params.baseline import Params

_SETTINGS = "baseline.json"
_WEIGHTS = "baseline.safetensors"

_WORDS = rf"[{UNSPACED}]|[^\W{UNSPACED}]{{2,}}"  # of spaced scripts two letters or more, as in scikit-learn
_CHARACTERS = r"\S"  # where there is no word, only emoji or single letters

Floats = npt.NDArray[np.float64]


class Baseline:
    """A linear classifier of texts; made by `fit_baseline` or `load_baseline`.

    `labels` [C] are sorted; `weights` holds float64 arrays idf [V], coef [C, V] and intercept [C]. A label
    that all rows of a multi-label target had has an infinite intercept: its probability is 1.
    """

    def __init__(
        self,
        labels: tuple[str, ...],
        vectorizer: TfidfVectorizer,
        weights: dict[str, Floats],
        *,
        multi_label: bool,
    ) -> None:
        self.labels = labels
        self.multi_label = multi_label
        self._vectorizer = vectorizer
        self._weights = weights

    def probabilities(self, inputs: Sequence[str | tuple[str, str]]) -> npt.NDArray[np.float32]:
        """Return the probabilities [N, C] of `inputs`, in the order of `labels`."""
        terms_NV = self._vectorizer.transform(joined(inputs))
        logits_NC = terms_NV @ self._weights["coef"].T + self._weights["intercept"]
        probabilities_NC = expit(logits_NC) if self.multi_label else softmax(logits_NC, axis=1)
        return np.asarray(probabilities_NC, dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Write the model to `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "labels": self.labels,
            "multi_label": self.multi_label,
            "ngrams": self._vectorizer.ngram_range[1],
            "token_pattern": self._vectorizer.token_pattern,
            "vocabulary": self._vectorizer.get_feature_names_out().tolist(),
        }
        text = json.dumps(settings, ensure_ascii=False, indent=0)
        (folder / _SETTINGS).write_text(text + "\n", encoding="utf-8")
        save_file(self._weights, folder / _WEIGHTS)


def joined(inputs: Sequence[str | tuple[str, str]]) -> list[str]:
    """Return each input as one text: the two of a sentence pair with a line break between them."""
    return [each if isinstance(each, str) else "\n".join(each) for each in inputs]


def fit_baseline(
    inputs: Sequence[str | tuple[str, str]],
    labels: Sequence[str],
    params: Params,
    *,
    multi_label: bool = False,
) -> Baseline:
    """Fit TF-IDF weights and logistic regression to `inputs` and their `labels`, as a table of rows has them.

    Raises:
        ValueError: the inputs are all blank, or there are not two different labels.

    """
    classes = _classes(labels, multi_label=multi_label)
    if len(classes) < 2:
        found = f"only the label {classes[0]!r}" if classes else "no label"
        raise ValueError(f"the training rows have {found}; at least two are needed")
    texts = joined(inputs)
    has_words = any(re.search(_WORDS, text.lower()) for text in texts)
    vectorizer = _vectorizer(params.ngrams, _WORDS if has_words else _CHARACTERS)
    with threadpool_limits(1):  # sums in another order, by another number of threads, are other bits
        terms_NV = vectorizer.fit_transform(texts)
        if multi_label:
            coef, intercept = _fit_each(terms_NV, label_matrix(labels, classes), params)
        else:
            coef, intercept = _fit_one(terms_NV, labels, params)
    if len(coef) < len(classes):  # two classes: the first has logit 0
        coef, intercept = np.vstack([np.zeros_like(coef), coef]), np.concatenate([[0.0], intercept])
    weights = {"idf": vectorizer.idf_, "coef": np.ascontiguousarray(coef), "intercept": intercept}
    return Baseline(classes, vectorizer, weights, multi_label=multi_label)


def predict_out_of_fold(
    inputs: Sequence[str | tuple[str, str]],
    labels: Sequence[str],
    content_ids: Sequence[str],
    params: Params,
    *,
    multi_label: bool = False,
) -> npt.NDArray[np.float32]:
    """Return the probabilities [N, C] of each row by a fit to the rows of the other folds.

    The C columns are the sorted labels. A row's fold depends on its content id alone. A class without rows
    in the other folds has probability 0 there.

    Raises:
        ValueError: the inputs are all blank.

    """
    index = {label: i for i, label in enumerate(_classes(labels, multi_label=multi_label))}
    fold_N = np.array([int(content_id, 16) % params.folds for content_id in content_ids])
    probabilities_NC = np.zeros((len(labels), len(index)), dtype=np.float32)
    for fold in np.unique(fold_N):
        inside, outside = (np.flatnonzero(part).tolist() for part in (fold_N == fold, fold_N != fold))
        known = [labels[i] for i in outside]
        columns = [index[label] for label in _classes(known, multi_label=multi_label)]
        predicted = np.ones((len(inside), len(columns)), dtype=np.float32)
        if len(columns) > 1:  # else there is nothing to tell apart
            fitted = fit_baseline([inputs[i] for i in outside], known, params, multi_label=multi_label)
            predicted = fitted.probabilities([inputs[i] for i in inside])
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
    vectorizer = _vectorizer(settings["ngrams"], settings["token_pattern"], settings["vocabulary"])
    vectorizer.idf_ = weights["idf"]
    return Baseline(tuple(settings["labels"]), vectorizer, weights, multi_label=settings["multi_label"])


def _vectorizer(ngrams: int, token_pattern: str, vocabulary: list[str] | None = None) -> TfidfVectorizer:
    return TfidfVectorizer(
        ngram_range=(1, ngrams), token_pattern=token_pattern, sublinear_tf=True, vocabulary=vocabulary
    )


def _classes(labels: Sequence[str], *, multi_label: bool) -> tuple[str, ...]:
    return tuple(
        sorted({each for label in labels for each in split_labels(label)} if multi_label else set(labels))
    )


def _fit_one(terms_NV: csr_matrix, target: npt.ArrayLike, params: Params) -> tuple[Floats, Floats]:
    regression = LogisticRegression(C=params.regularization, max_iter=1000).fit(terms_NV, target)
    return regression.coef_, regression.intercept_


def _fit_each(
    terms_NV: csr_matrix, targets_NC: npt.NDArray[np.uint8], params: Params
) -> tuple[Floats, Floats]:
    coef_CV = np.zeros((targets_NC.shape[1], terms_NV.shape[1]))
    intercept_C = np.full(len(coef_CV), np.inf)
    for i in np.flatnonzero(~targets_NC.all(axis=0)):  # else there is nothing to tell apart
        coef_CV[i], intercept_C[i] = (each[0] for each in _fit_one(terms_NV, targets_NC[:, i], params))
    return coef_CV, intercept_C
