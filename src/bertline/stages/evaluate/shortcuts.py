"""Shortcuts: a property of the text that predicts a label in train, and not in test.

A property is a length, a sign, a frequent word, a source, delivery, script or kept column
(`row_properties`). The training rows are cut into two halves by their texts:

- One half proposes: pairs of property and label where the property raises the share of the label by `GAIN`
  or more, by the lower end of its interval.
- The other half is compared with the test rows: Fisher's exact test, one-sided, of the share of the label
  among the rows with the property. The first half could not be: a pair was chosen because it is strong there.
  Benjamini and Hochberg's procedure over all proposals holds the false discovery rate.
- A pair is reported if it is significant and has lost half of its gain or more over the label's share of all
  rows. So a label that became rarer is no shortcut by itself.

Guarantees the same findings for the same rows. Does not guarantee that a shortcut is found (a property that
few test rows have is not judged), nor that one that is as strong in test is no shortcut: only texts from
elsewhere show that. Error rates: benchmarks/shortcuts.py.

Source: Geirhos et al., Shortcut learning in deep neural networks, Nature Machine Intelligence 2 (2020).
Shape suffixes: N rows, F properties, C classes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bertline.metrics.intervals import wilson_low
from bertline.metrics.rounding import rounded, two_digits
from bertline.metrics.significance import q_values
from bertline.stages.evaluate.row_properties import Bools, Property

GAIN = 0.2  # of a label's share, by which a property is strong
KEPT = 0.5  # share of the gain that a property keeps in test if it is no shortcut
MIN_TEST_ROWS = 5  # with the property
NEAR_PERFECT = 0.95  # lower end of the share, in train and in test
LIMIT = 20  # findings of each kind that are listed

Floats = npt.NDArray[np.float64]
PROPOSING, COMPARED, TEST = 0, 1, 2
"""The parts of the rows: the two halves of train, and test."""


class Shares:
    """How often each class [C] occurs among the rows of a part with each property [F], and among all."""

    def __init__(self, meets_NF: Bools, labels_NC: Bools) -> None:
        meets, labels = meets_NF.astype(np.float32), labels_NC.astype(np.float32)  # exact up to 2**24 rows
        self.rows_F = meets_NF.sum(axis=0)
        self.hits_FC = np.rint(meets.T @ labels).astype(np.int64)
        self.share_FC = self.hits_FC / np.maximum(self.rows_F, 1)[:, None]
        self.base_C = labels_NC.mean(axis=0) if len(labels_NC) else np.zeros(labels_NC.shape[1])

    @property
    def gain(self) -> Floats:
        """By how much each property raises the share of each class."""
        gain: Floats = self.share_FC - self.base_C
        return gain

    def lowest(self, confidence: float) -> Floats:
        """Return the lower end of Wilson's interval of each share."""
        return wilson_low(self.hits_FC, np.maximum(self.rows_F, 1)[:, None], confidence)


def find_shortcuts(
    properties: Sequence[Property],
    labels_NC: Bools,
    parts: npt.NDArray[np.integer],
    predicted_TC: Bools,
    classes: Sequence[str],
    confidence: float,
) -> dict[str, Any]:
    """Return the part of data_checks.json about shortcuts.

    Args:
        properties: of the N rows of train and test.
        labels_NC: which classes each row has.
        parts: of each row [N], one of `PROPOSING`, `COMPARED` and `TEST`.
        predicted_TC: which classes the candidate predicts for each test row, in their order.
        classes: their names [C].
        confidence: of the intervals; 1 - confidence is the false discovery rate.
    """
    if not properties:
        counts = {"shortcuts_judged": 0, "shortcuts_found": 0, "near_perfect_found": 0}
        return {"shortcuts": [], "near_perfect": []} | counts
    names = [name for name, _ in properties]
    meets_NF = np.stack([meets for _, meets in properties], axis=1)
    proposing, compared, test = (
        Shares(meets_NF[parts == part], labels_NC[parts == part]) for part in (PROPOSING, COMPARED, TEST)
    )
    predicted = Shares(meets_NF[parts == TEST], predicted_TC)
    strong_FC = proposing.lowest(confidence) >= proposing.base_C + GAIN
    strong_FC &= ((test.rows_F >= MIN_TEST_ROWS) & (compared.rows_F > 0))[:, None]
    f, c = np.nonzero(strong_FC)
    p_values = _fewer(compared, test, f, c)
    adjusted = np.array(q_values(p_values))
    lost = test.gain[f, c] < KEPT * compared.gain[f, c]
    found = np.flatnonzero((adjusted <= round(1 - confidence, 10)) & lost)
    order = found[np.argsort(p_values[found], kind="stable")]

    def pair(at: tuple[int, int]) -> dict[str, Any]:
        numbers = {"train": float(compared.share_FC[at]), "test": float(test.share_FC[at])}
        bases = {"train_all": float(compared.base_C[at[1]]), "test_all": float(test.base_C[at[1]])}
        shown: dict[str, Any] = rounded(numbers | bases | {"predicted": float(predicted.share_FC[at])})
        return {"property": names[at[0]], "label": classes[at[1]], "rows": int(test.rows_F[at[0]])} | shown

    shortcuts = [
        pair((f[i], c[i])) | {"p_value": two_digits(p_values[i]), "q_value": two_digits(adjusted[i])}
        for i in order[:LIMIT]
    ]
    perfect = _near_perfect(names, compared, test, confidence)
    return {
        "shortcuts": shortcuts,
        "near_perfect": [pair(at) for at in perfect[:LIMIT]],
        "shortcuts_judged": len(p_values),
        "shortcuts_found": len(order),
        "near_perfect_found": len(perfect),
    }


def _fewer(compared: Shares, test: Shares, f: npt.NDArray[np.intp], c: npt.NDArray[np.intp]) -> Floats:
    """Return the one-sided p-value of "the label is rarer in test", for each pair."""
    from scipy.stats import hypergeom

    hits = test.hits_FC[f, c]
    total, labelled = compared.rows_F[f] + test.rows_F[f], compared.hits_FC[f, c] + hits
    p_values: Floats = hypergeom.cdf(hits, total, labelled, test.rows_F[f])
    return p_values


def _near_perfect(
    names: Sequence[str], compared: Shares, test: Shares, confidence: float
) -> list[tuple[int, int]]:
    """Return the pairs where a property that is no word nearly decides the label, the most rows first."""
    sure_FC = np.minimum(compared.lowest(confidence), test.lowest(confidence)) >= NEAR_PERFECT
    sure_FC &= test.gain >= GAIN  # not the label of nearly all rows
    pairs = [(int(f), int(c)) for f, c in np.argwhere(sure_FC) if not names[f].startswith("has the word ")]
    return sorted(pairs, key=lambda at: (-int(test.rows_F[at[0]]), at))
