"""Fit TF-IDF and logistic regression, and predict each row by a fit that has not seen it.

The regression is multinomial; of several labels a row, it is one per label, of the rows that have it against
the rest. Guarantees: the same inputs and params give the same bits; an out-of-fold prediction knows nothing
of its row, nor of one with the same content. Does not guarantee the best linear model: its settings are not
searched. The solver is exact (L-BFGS), and its cost grows with rows, classes and terms together: beyond
`EXACT` the stage takes `large.py`.

Source: Boutell, Luo, Shen & Brown, Learning multi-label scene classification, 2004 (one classifier per label:
binary relevance). Shape suffixes: N rows, V terms, C classes.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from bertline.models.tfidf import CHARACTERS, Baseline, Floats, joined, make_vectorizer
from bertline.params.baseline import Params
from bertline.rows.labels import SINGLE_LABEL, LabelSpace
from bertline.rows.words import TERM, find_terms, spell
from bertline.stages.baseline.training_rows import folds_of, require_two

EXACT = 50_000
"""Rows x classes up to which the stage fits exactly: a few seconds a fit."""


def fit_baseline(
    inputs: Sequence[str | tuple[str, str]],
    labels: Sequence[str],
    params: Params,
    space: LabelSpace = SINGLE_LABEL,
) -> Baseline:
    """Fit TF-IDF weights and logistic regression to `inputs` and their `labels`, as a table of rows has them.

    The model knows the classes of `labels`, whichever `space` has.

    Raises:
        ValueError: the inputs are all blank, or there are not two different labels.
    """
    space = space.with_classes_of(labels)
    require_two(space.classes)
    texts = joined(inputs)
    token_pattern = TERM if any(find_terms(spell(text)) for text in texts) else CHARACTERS
    vectorizer = make_vectorizer(params.ngrams, token_pattern)
    with threadpool_limits(1):  # sums in another order, by another number of threads, are other bits
        terms_NV = vectorizer.fit_transform(texts)
        if space.multi_label:
            coef, intercept = _fit_each(terms_NV, space.matrix(labels), params)
        else:
            coef, intercept = _fit_one(terms_NV, labels, params)
    if len(coef) < len(space.classes):  # two classes: the first has logit 0
        coef, intercept = np.vstack([np.zeros_like(coef), coef]), np.concatenate([[0.0], intercept])
    weights = {"idf": vectorizer.idf_, "coef": np.ascontiguousarray(coef), "intercept": intercept}
    return Baseline(space, vectorizer, weights, token_pattern=token_pattern)


def predict_out_of_fold(
    inputs: Sequence[str | tuple[str, str]],
    labels: Sequence[str],
    content_ids: Sequence[str],
    params: Params,
    space: LabelSpace = SINGLE_LABEL,
) -> npt.NDArray[np.float32]:
    """Return the probabilities [N, C] of each row by a fit to the rows of the other folds.

    The C columns are the sorted labels. A row's fold depends on its content id alone. A class without rows
    in the other folds has probability 0 there.

    Raises:
        ValueError: the inputs are all blank.
    """
    index = {label: i for i, label in enumerate(space.with_classes_of(labels).classes)}
    fold_N = folds_of(content_ids, params.folds)
    probabilities_NC = np.zeros((len(labels), len(index)), dtype=np.float32)
    for fold in np.unique(fold_N):
        inside, outside = (np.flatnonzero(part).tolist() for part in (fold_N == fold, fold_N != fold))
        known = [labels[i] for i in outside]
        columns = [index[label] for label in space.with_classes_of(known).classes]
        predicted = np.ones((len(inside), len(columns)), dtype=np.float32)
        if len(columns) > 1:  # else there is nothing to tell apart
            fitted = fit_baseline([inputs[i] for i in outside], known, params, space)
            predicted = fitted.probabilities([inputs[i] for i in inside])
        for column, values_N in zip(columns, predicted.T, strict=True):
            probabilities_NC[inside, column] = values_N
    return probabilities_NC


def _fit_one(terms_NV: csr_matrix, target: npt.ArrayLike, params: Params) -> tuple[Floats, Floats]:
    regression = LogisticRegression(C=params.C, max_iter=1000).fit(terms_NV, target)
    return regression.coef_, regression.intercept_


def _fit_each(
    terms_NV: csr_matrix, targets_NC: npt.NDArray[np.uint8], params: Params
) -> tuple[Floats, Floats]:
    coef_CV = np.zeros((targets_NC.shape[1], terms_NV.shape[1]))
    intercept_C = np.full(len(coef_CV), np.inf)
    for i in np.flatnonzero(~targets_NC.all(axis=0)):  # else there is nothing to tell apart
        coef_CV[i], intercept_C[i] = (each[0] for each in _fit_one(terms_NV, targets_NC[:, i], params))
    return coef_CV, intercept_C
