"""The temperature of the baseline, from the out-of-fold predictions of its training rows.

A fit to the other folds has seen four fifths of the rows (of five folds), so its probabilities are a little
less sure than those of the model that is calibrated. Shape suffixes: N rows, C classes.
"""

import numpy as np
import numpy.typing as npt

from bertline.metrics.classification import Targets
from bertline.metrics.temperature import Temperature, fit_temperature, to_logits


def fit_out_of_fold(probabilities_NC: npt.NDArray[np.float32], expected: Targets) -> Temperature:
    """Return the temperature of predictions that did not see their rows.

    Where the other folds knew only one answer, its probability is exactly 0 or 1 and no temperature changes
    it: such an answer does not count, and where a row has one label, neither does a row whose class they
    did not know.
    """
    several = expected.ndim == 2
    logits_NC = to_logits(probabilities_NC, multi_label=several)
    if several:
        logits_NC[(probabilities_NC == 0) | (probabilities_NC == 1)] = np.nan
    else:
        logits_NC[np.take_along_axis(probabilities_NC, expected[:, None], axis=1)[:, 0] == 0] = np.nan
    return fit_temperature(logits_NC, expected)
