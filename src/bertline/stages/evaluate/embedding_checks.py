"""Checks of the data in the space of the candidate's states: where it places the texts it must tell apart.

cleanlab's Datalab judges outliers, near-duplicates and order. Its check of under-performing groups takes no
account of chance, so that one is made here: clusters of the states, and Fisher's exact test of the errors in
each against the rest, with Benjamini and Hochberg's procedure over all clusters. The clusters do not depend
on the labels, so all rows may test.

Guarantees the same findings for the same states on one machine. Does not guarantee that a finding is a
fault: the states are those of a classifier, so they keep what tells the classes apart, and may forget the
rest.

Sources: cleanlab's documentation of Datalab issue types; Kuan & Mueller, Back to the Basics: Revisiting
Out-of-Distribution Detection Baselines, 2022.
Shape suffixes: N rows, H the width of the states.
"""

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bertline.metrics.significance import q_values
from bertline.reporting.environment import cut
from bertline.rows.words import find_terms, spell
from bertline.stages.evaluate.row_properties import Bools

MIN_ROWS = 50
EXAMPLES = 10
CHARACTERS = 280  # of a text that is quoted
MIN_CLUSTER = 20  # rows
MAX_CLUSTERS = 20
WORDS = 5  # that describe a cluster

States = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Embedded:
    """N rows: their ids and texts, and their states [N, H]."""

    ids: Sequence[str]
    texts: Sequence[str]
    states: States

    def example(self, row: int, score: float, note: str) -> dict[str, Any]:
        """Return a row as an example of a check."""
        text = cut(self.texts[row], CHARACTERS)
        return {"id": self.ids[row], "text": text, "score": round(float(score), 6), "note": note}


def find_outliers_and_near_duplicates(
    test: Embedded, train: Embedded, right: Bools
) -> Iterator[dict[str, Any]]:
    """Yield both checks of the test rows, among these and the training rows given.

    `right` says whether each test row is answered right.
    """
    states = np.concatenate([test.states, train.states])
    lab = _datalab(states, ("outlier", "near_duplicate"))
    far = lab.get_issues("outlier").iloc[: len(test.ids)]
    flagged = np.flatnonzero(far["is_outlier_issue"])
    scores = far["outlier_score"].to_numpy()
    worst = flagged[np.argsort(scores[flagged], kind="stable")]
    answered = f" {right[worst].mean():.1%} of them are answered right." if len(worst) else ""
    yield check(
        "outliers",
        len(worst),
        f"Test rows that lie far from their ten nearest rows, among the test rows and {len(train.ids):,} "
        f"training rows.{answered} Such a text may belong to no class, or be garbled, or only be rare. Most "
        "data sets have some: read the first ones.",
        [
            test.example(row, scores[row], f"answered {'right' if right[row] else 'wrong'}")
            for row in worst[:EXAMPLES]
        ],
    )
    close = lab.get_issues("near_duplicate").iloc[: len(test.ids)]
    twins = np.flatnonzero(close["is_near_duplicate_issue"])
    scores, sets = close["near_duplicate_score"].to_numpy(), close["near_duplicate_sets"].tolist()
    closest = twins[np.argsort(scores[twins], kind="stable")]
    yield check(
        "near_duplicates",
        len(closest),
        f"Test rows that nearly coincide with another test row, or with one of {len(train.ids):,} training "
        "rows. One that the model was trained on in other words flatters the scores; twins in test count one "
        "answer twice. To this model, two texts may be the same that differ in a name only.",
        [test.example(row, scores[row], _twin(test, train, sets[row])) for row in closest[:EXAMPLES]],
    )


def _twin(test: Embedded, train: Embedded, near: npt.NDArray[np.integer]) -> str:
    """Say which row is near, a training row before a test row: it is the one that flatters the scores."""
    place = int(max(near, key=lambda each: (each >= len(test.ids), -each)))
    side, rows = ("test", test) if place < len(test.ids) else ("train", train)
    row = place if side == "test" else place - len(test.ids)
    return f"near {side} row {rows.ids[row]}: {cut(rows.texts[row], CHARACTERS)}"


def find_order(states: States, what: str) -> dict[str, Any]:
    """Return the check whether rows that follow each other are more alike than others.

    Args:
        states: [N, H], in their order.
        what: what the rows are in the order of.
    """
    p_value = float(_datalab(states, ("non_iid",)).get_info("non_iid")["p-value"])
    found = int(p_value < 0.05)
    alike = "are more alike than others" if found else "are not shown to be more alike than others"
    return check(
        "order",
        found,
        f"Rows that follow each other in the order of {what} {alike} (p = {p_value:.2g}). Where they are, "
        "the data change over time or come in blocks: then a random split flatters the scores of tomorrow's "
        "texts, and a split by time (split.test_from) is more honest. The check does not say what changes.",
        [],
    )


def find_underperforming_groups(rows: Embedded, right: Bools, level: float, seed: int) -> dict[str, Any]:
    """Return the check of clusters of the states whose rows are answered worse than the rest.

    Args:
        rows: N rows.
        right: whether each [N] is answered right.
        level: of the false discovery rate.
        seed: of the clusters.
    """
    from scipy.stats import hypergeom

    clusters, distances = _clusters(rows.states, seed)
    names = [each for each in np.unique(clusters) if (clusters == each).sum() >= MIN_CLUSTER]
    sizes = np.array([(clusters == each).sum() for each in names])
    wrong = np.array([(~right[clusters == each]).sum() for each in names])
    p_values = hypergeom.sf(wrong - 1, len(right), (~right).sum(), sizes)
    adjusted = q_values(p_values)
    found = [place for place in np.argsort(p_values, kind="stable") if adjusted[place] <= level]
    examples = []
    for place in found[:EXAMPLES]:
        inside = clusters == names[place]
        typical = int(np.flatnonzero(inside)[distances[inside].argmin()])
        share, rest = right[inside].mean(), right[~inside].mean()
        words = ", ".join(_words(rows.texts, inside))
        note = f"{sizes[place]:,} rows like this are {share:.1%} right, the others {rest:.1%}; words: {words}"
        examples.append(rows.example(typical, share, note))
    return check(
        "underperforming_group",
        len(found),
        f"Clusters of texts that the model places near each other and answers worse than the rest (of "
        f"{len(names)} clusters; false discovery rate {level:g}). Each is shown by its most typical text and "
        "the words that set it apart. A cluster between two classes is hard for every model, so this says "
        "where labels or rows are needed, not that something is wrong with them.",
        examples,
    )


def check(
    name: str, found: int, explanation: str, examples: list[dict[str, Any]], skipped: str | None = None
) -> dict[str, Any]:
    """Return a check as it stands in data_checks.json."""
    return {"name": name, "found": found, "explanation": explanation, "skipped": skipped} | {
        "examples": examples
    }


def _datalab(states: States, issues: Sequence[str]) -> Any:
    """Return cleanlab's Datalab with these issues found."""
    from cleanlab import Datalab
    from threadpoolctl import threadpool_limits

    lab = Datalab({"row": list(range(len(states)))}, verbosity=0)
    with threadpool_limits(1):  # sums in one order
        lab.find_issues(features=states, issue_types={name: {} for name in issues})
    return lab


def _clusters(states: States, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the cluster of each row [N], about 50 rows in each, and its distance to the centre."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.preprocessing import normalize
    from threadpoolctl import threadpool_limits

    n_clusters = int(np.clip(len(states) // 50, 2, MAX_CLUSTERS))
    points = normalize(states)
    with threadpool_limits(1), warnings.catch_warnings():  # sums in one order
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct states than clusters
        means = KMeans(n_clusters, n_init=1, random_state=seed).fit(points)
        distances = means.transform(points).min(axis=1)
    return means.labels_.astype(np.int64), distances


def _words(texts: Sequence[str], inside: Bools) -> list[str]:
    """Return the words whose share of the rows is higher inside than elsewhere, by the difference."""
    counts: tuple[Counter[str], Counter[str]] = Counter(), Counter()
    for text, here in zip(texts, inside, strict=True):
        counts[not here].update(set(find_terms(spell(text))))
    sizes = max(1, int(inside.sum())), max(1, int((~inside).sum()))
    apart = {word: counts[0][word] / sizes[0] - counts[1][word] / sizes[1] for word in counts[0]}
    return sorted(apart, key=lambda word: (-apart[word], word))[:WORDS]
