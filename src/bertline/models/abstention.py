"""When a model refuses to answer: a text that is out of scope, or an answer that is not probable enough.

`export` sets the thresholds. Shape suffixes: N texts, C classes.
"""

import numpy as np

from bertline.models.folder import Answering

REASONS = (None, "out_of_scope", "not_sure")
"""Why a text is refused, by the number that `refusals` gives; the first is an answer."""


def answer_probability(probabilities_NC: np.ndarray, *, multi_label: bool) -> np.ndarray:
    """Return how probable the answer to each text is, [N]; with several labels, its least sure decision."""
    if multi_label:
        return np.asarray(np.maximum(probabilities_NC, 1 - probabilities_NC).min(axis=1, initial=1))
    return np.asarray(probabilities_NC.max(axis=1, initial=0))


def refusals(
    answering: Answering | None,
    probabilities_NC: np.ndarray,
    out_of_scope_N: np.ndarray | None,
    *,
    multi_label: bool,
) -> np.ndarray:
    """Return for each text the place of its reason in `REASONS`, [N]; out of scope comes first."""
    refused_N = np.zeros(len(probabilities_NC), np.int64)
    if answering is None:
        return refused_N
    if answering.min_probability is not None:
        sure_N = answer_probability(probabilities_NC, multi_label=multi_label)
        refused_N[sure_N < answering.min_probability] = REASONS.index("not_sure")
    if answering.max_out_of_scope is not None and out_of_scope_N is not None:
        refused_N[out_of_scope_N > answering.max_out_of_scope] = REASONS.index("out_of_scope")
    return refused_N


def reasons(refused_N: np.ndarray) -> list[str | None]:
    """Return the reason of each text, None where it is answered."""
    return [REASONS[each] for each in refused_N]
