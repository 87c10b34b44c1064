"""The second pass over a table of rows: which of them are kept, which are quarantined, and why.

Guarantees that every row is either kept or quarantined, in the order they came.

- A row that a person released for every rule it breaks is kept.
- A row released for some of them is listed under the first of the others.
- A row that a person dropped stays in quarantine; if it breaks no rule any more, under `DROPPED`.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bertline.rows.io import read_chunks
from bertline.stages.validate.prefetch import ahead
from bertline.stages.validate.quarantine.reviews import Review
from bertline.stages.validate.quarantine.table import DROPPED, QUARANTINE
from bertline.stages.validate.row_checks import RowCheckResults

Rules = npt.NDArray[np.int64]
KEPT = -1


class RowRouter:
    """Sorts the rows of one file by what `check_rows` found and by `reviews`, by id."""

    def __init__(self, rows: Path, checks: RowCheckResults, reviews: Mapping[str, Review]) -> None:
        self.released = 0  # rows, once `kept` has been read to its end
        self.dropped = 0  # rows, once `quarantined` has been read to its end
        self.missed = set(reviews)  # ids of no row, once `kept` has been read to its end
        self._rows = rows
        self._checks = checks
        self._reviews = reviews
        self._reviewed = pa.array(sorted(reviews), pa.string())
        broken = checks.broken
        self._first = np.where(broken.any(0), broken.argmax(0), KEPT)  # [combinations] positions of rules

    def kept(self, observe: Callable[[pa.Table], None]) -> Iterator[pa.Table]:
        """Yield the rows kept, and show them to `observe`."""
        for chunk, rules, released in self._sorted():
            self.released += int(released.sum())
            kept = chunk.filter(pa.array((rules == KEPT) | released))
            observe(kept)
            yield kept

    def quarantined(self) -> Iterator[pa.Table]:
        """Yield the quarantined rows, as `QUARANTINE`."""
        names = pa.array([*(rule.name for rule in self._checks.rules), DROPPED], pa.string())
        reasons = pa.array(
            [*(rule.reason for rule in self._checks.rules), "a person dropped it"], pa.string()
        )
        if (self._first == KEPT).all() and all(each.decision == "release" for each in self._reviews.values()):
            return
        for chunk, rules, released in self._sorted():
            aside = (rules != KEPT) & ~released
            rows, rule = chunk.filter(pa.array(aside)), pa.array(rules[aside])
            unreadable = pc.equal(names.take(rule), "readable")
            reason = pc.if_else(unreadable, rows["fault"], reasons.take(rule))
            decision = pa.array(map(self._decision, rows["id"].to_pylist()), pa.string())
            self.dropped += len(decision) - decision.null_count
            yield pa.table([*rows.columns, names.take(rule), reason, decision], schema=QUARANTINE)

    def _sorted(self) -> Iterator[tuple[pa.Table, Rules, npt.NDArray[np.bool_]]]:
        """Yield each chunk, the first rule that each of its rows breaks, and which rows a person released."""
        start = 0
        for chunk in ahead(read_chunks(self._rows)):
            codes = self._checks.combination_of[start : start + len(chunk)]
            start += len(chunk)
            rules = self._first[codes]
            released = np.zeros(len(chunk), bool)
            for row in np.flatnonzero(pc.is_in(chunk["id"], self._reviewed)):
                review = self._reviews[chunk["id"][int(row)].as_py()]
                self.missed.discard(review.id)
                if review.decision == "drop" and rules[row] == KEPT:
                    rules[row] = len(self._checks.rules)
                elif review.decision == "release" and rules[row] != KEPT:
                    left = self._broken_but(codes[row], review.rules)
                    released[row] = not left
                    rules[row] = [*left, rules[row]][0]
            yield chunk, rules, released

    def _broken_but(self, code: int, released: frozenset[str]) -> list[int]:
        broken = np.flatnonzero(self._checks.broken[:, code]).tolist()
        return [rule for rule in broken if self._checks.rules[rule].name not in released]

    def _decision(self, row: str) -> str | None:
        review = self._reviews.get(row)
        return "drop" if review is not None and review.decision == "drop" else None
