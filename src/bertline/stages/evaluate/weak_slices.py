"""Weak slices: parts of the test rows that the candidate answers worse than the rest, found by a search.

One half of the rows proposes, the other half confirms:

- Proposing: all rules of one or two conditions are counted at once, by two products of a matrix of bits. The
  score is the likelihood-ratio statistic of "errors are more frequent here than elsewhere"; a second
  condition must raise it by more than chance would. The best rule is taken, its rows are set aside, and so
  on, up to `PROPOSALS` rules.
- Confirming: Fisher's exact test, one-sided, of the rule's rows against the rest: once of all rows, once
  without the rows of rules proposed before it, and the larger p-value counts. So a rule is not reported
  because it overlaps another one. Benjamini and Hochberg's procedure over all proposals holds the false
  discovery rate.

Guarantees: the same rows give the same slices; the halves are told apart by content ids, never by order. Does
not guarantee that a slice is found (`detectable` says which would be), nor that a condition is the cause of
the errors. Errors must be independent of each other: where many rows have nearly the same text, a slice of
them is reported that is one error seen many times. Error rates: benchmarks/weak_slices.py.

Sources: Chung et al., Slice Finder, ICDE 2019; Sagadeeva & Boehm, SliceLine, SIGMOD 2021; Benjamini &
Hochberg, Journal of the Royal Statistical Society B 57 (1995).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bertline.metrics.intervals import share_interval
from bertline.metrics.rounding import rounded, two_digits
from bertline.metrics.significance import q_values
from bertline.stages.evaluate.row_properties import Bools, Property

PROPOSALS = 10
MIN_ROWS = 100  # of each half
MIN_WRONG = 5  # of each half
SECOND_CONDITION = 3.84  # the 95 % point of chi-square with one degree of freedom
SHARE, POWER = 0.08, 0.9  # of the slice in `detectable`

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Proposal:
    """A rule of one condition or two, and the score of the search."""

    conditions: tuple[Property, ...]
    score: float

    @property
    def rule(self) -> str:
        """The rule in words."""
        return " and ".join(name for name, _ in self.conditions)

    @property
    def rows(self) -> Bools:
        """Which rows [N] meet it."""
        meets: Bools = np.logical_and.reduce([meets for _, meets in self.conditions])
        return meets


def halves(content_ids: Sequence[str]) -> Bools:
    """Return which rows [N] propose: about half, by their texts; the others confirm."""
    return np.array([int(content_id[-8:], 16) % 2 == 0 for content_id in content_ids], np.bool_)


def min_support(proposing: Bools) -> int:
    """Return how many proposing rows a rule must hold: 1 %, at least 20."""
    return max(20, int(proposing.sum()) // 100)


def find_weak_slices(
    properties: Sequence[Property], wrong: Bools, proposing: Bools, confidence: float
) -> dict[str, Any]:
    """Return the document of weak_slices.json; its numbers are of the confirming rows.

    Args:
        properties: what the rules are made of, of N rows.
        wrong: whether the answer to each row [N] is wrong.
        proposing: the half [N] that proposes.
        confidence: of the intervals; 1 - confidence is the false discovery rate.
    """
    confirming = ~proposing
    level = round(1 - confidence, 10)
    sizes = {"proposed_on": int(proposing.sum()), "confirmed_on": int(confirming.sum())}
    document: dict[str, Any] = {"level": level, **sizes, "detectable": None, "slices": [], "skipped": None}
    if reason := _too_few(wrong, proposing):
        return document | {"skipped": reason}
    proposals = propose(
        [(name, meets[proposing]) for name, meets in properties], wrong[proposing], min_support(proposing)
    )
    by_name = dict(properties)
    proposals = [
        Proposal(tuple((name, by_name[name][confirming]) for name, _ in each.conditions), each.score)
        for each in proposals
    ]
    failed = wrong[confirming]
    p_values = confirm(proposals, failed)
    adjusted = q_values(p_values)
    found = []
    for place in np.argsort(p_values, kind="stable"):
        if adjusted[place] <= level:
            p_q = {"p_value": two_digits(p_values[place]), "q_value": two_digits(adjusted[place])}
            found.append(_describe(proposals[place], failed, confidence) | p_q)
    points = detectable_points(sizes, float(wrong.mean()), level, len(properties))
    return document | {"detectable": {"share": SHARE, "points": points, "power": POWER}, "slices": found}


def _too_few(wrong: Bools, proposing: Bools) -> str | None:
    """Return why these rows are too few, None if they are not."""
    parts = wrong[proposing], wrong[~proposing]
    if min(map(len, parts)) < MIN_ROWS:
        return f"{len(wrong):,} rows; each half needs {MIN_ROWS}, to propose slices and to confirm them"
    if min(part.sum() for part in parts) < MIN_WRONG:
        return f"{int(wrong.sum()):,} wrong answers; each half of the rows needs {MIN_WRONG}"
    return None


def _describe(proposal: Proposal, failed: Bools, confidence: float) -> dict[str, Any]:
    inside = proposal.rows
    found = share_interval(~failed[inside], confidence)
    rest = {"rest_accuracy": float(1 - failed[~inside].mean())}
    numbers: dict[str, Any] = rounded(found.named("accuracy") | rest)
    return {"rule": proposal.rule, "rows": int(inside.sum())} | numbers


def propose(properties: Sequence[Property], wrong: Bools, support: int) -> list[Proposal]:
    """Return up to `PROPOSALS` rules, the best first; no row counts for two of them.

    Args:
        properties: of N rows.
        wrong: [N].
        support: rows that a rule must hold, which are set aside by no rule before it.
    """
    if not properties:
        return []
    meets_NF = np.stack([meets for _, meets in properties], axis=1)
    first_P, second_P = np.triu_indices(len(properties))  # a rule of one condition is a pair of the same
    price_P = np.where(first_P == second_P, 0.0, SECOND_CONDITION)
    left = np.ones(len(wrong), np.bool_)
    rows_FF, wrong_FF = _count_pairs(meets_NF), _count_pairs(meets_NF[wrong])
    proposals: list[Proposal] = []
    while len(proposals) < PROPOSALS:
        rows_P, wrong_P = rows_FF[first_P, second_P], wrong_FF[first_P, second_P]
        score_P = likelihood_ratio(wrong_P, rows_P, (wrong & left).sum(), left.sum()) - price_P
        allowed_P = (rows_P >= support) & (rows_P <= len(wrong) / 2) & (score_P > 0)
        if not allowed_P.any():
            break
        best = int(np.where(allowed_P, score_P, -np.inf).argmax())
        pair = sorted({int(first_P[best]), int(second_P[best])})
        proposals.append(Proposal(tuple(properties[place] for place in pair), float(score_P[best])))
        taken = left & proposals[-1].rows
        rows_FF -= _count_pairs(meets_NF[taken])
        wrong_FF -= _count_pairs(meets_NF[taken & wrong])
        left &= ~taken
    return proposals


def _count_pairs(meets_NF: Bools) -> Floats:
    """Return how many rows meet each pair of conditions [F, F]."""
    bits = meets_NF.astype(np.float32)  # sums are exact up to 2**24 rows
    return (bits.T @ bits).astype(np.float64)


def likelihood_ratio(wrong: Any, rows: Any, all_wrong: Any, all_rows: Any) -> Any:
    """Return the likelihood-ratio statistic of "inside, errors are more frequent", 0 where they are not.

    `wrong` of `rows` rows inside, `all_wrong` of `all_rows` in all; chi-square with one degree of freedom
    under the null.
    """
    from scipy.special import xlogy

    def log_likelihood(errors: Any, among: Any) -> Any:
        share = errors / np.maximum(among, 1)
        return xlogy(errors, share) + xlogy(among - errors, 1 - share)

    apart = log_likelihood(wrong, rows) + log_likelihood(all_wrong - wrong, all_rows - rows)
    more = wrong * (all_rows - rows) > (all_wrong - wrong) * rows
    return np.where(more, 2 * (apart - log_likelihood(all_wrong, all_rows)), 0.0)


def confirm(proposals: Sequence[Proposal], wrong: Bools) -> Floats:
    """Return the p-value of each proposal on other rows [N]: Fisher's exact test, one-sided.

    It is the larger one of two: of all rows, and without those of the proposals before it. So a rule must be
    worse than the rest, and not only because it overlaps another rule.
    """
    from scipy.stats import hypergeom

    def fisher(inside: Bools, among: Bools) -> float:
        counts = (among.sum(), (wrong & among).sum(), inside.sum())
        return float(hypergeom.sf((wrong & inside).sum() - 1, *counts))

    everything, left = np.ones((2, len(wrong)), np.bool_)
    p_values = []
    for each in proposals:
        p_values.append(max(fisher(each.rows, everything), fisher(each.rows & left, left)))
        left = left & ~each.rows
    return np.array(p_values)


def detectable_points(sizes: dict[str, int], error: float, level: float, conditions: int) -> float | None:
    """Return how many points worse a slice of `SHARE` of the rows must be to be reported with power `POWER`.

    The slice has one condition. It must beat the score that one of all `conditions` reaches by chance in one
    search of ten, and be significant even if no other proposal is. None: no slice of this share would be
    reported, not even one without a right answer.
    """
    from scipy.stats import binom, chi2, hypergeom

    by_chance = chi2.isf(0.1 / max(conditions, 1), df=1)

    def needed(rows: int, passes: Any) -> tuple[int, int]:
        """Return how large the slice is, and the least number of wrong answers in it with which it passes."""
        inside = round(SHARE * rows)
        wrong = np.arange(inside + 1)
        total = wrong + round(error * (rows - inside))
        passing = np.flatnonzero(passes(wrong, inside, total, rows))
        return inside, int(passing[0]) if len(passing) else inside + 1

    propose_ = needed(sizes["proposed_on"], lambda w, i, t, n: likelihood_ratio(w, i, t, n) > by_chance)
    confirm_ = needed(
        sizes["confirmed_on"], lambda w, i, t, n: hypergeom.sf(w - 1, n, t, i) <= level / PROPOSALS
    )
    points = np.arange(1, 1001) / 10
    points = points[error + points / 100 <= 1]
    shares = error + points / 100
    power = np.prod([binom.sf(least - 1, inside, shares) for inside, least in (propose_, confirm_)], axis=0)
    enough = np.flatnonzero(power >= POWER)
    return float(points[enough[0]]) if len(enough) else None
