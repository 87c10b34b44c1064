"""The decisions of people on quarantined rows: data/reviews.csv, a small file under version control.

One line per row: `id,decision,rule,reviewer,note`.

- A release lets the row pass the rule that it names, or the rules, with spaces between. A row that breaks
  another rule too stays in quarantine.
- A drop keeps the row in quarantine for good, also if a later rule would keep it. The row no longer counts
  towards `validate.max_quarantined`.

Guarantees that no row without text or label is released, because no later stage can use it, and what
`rows/notes_file.py` guarantees. Does not guard against two people writing at once: git does, when they
commit.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bertline.rows.id_prefix import require_id
from bertline.rows.notes_file import read_notes, write_notes

DECISIONS = ("release", "drop")
UNUSABLE = frozenset({"readable", "text_not_null", "text_not_blank", "label_not_null", "label_not_blank"})
"""The rules that cannot be released: a row that breaks one has no text or no label."""


@dataclass(frozen=True, kw_only=True)
class Review:
    """A person's decision on one quarantined row; raises ValueError on a value that is not allowed."""

    id: str
    decision: str  # one of DECISIONS
    rule: str  # the rule that the row broke; several have spaces between
    reviewer: str
    note: str

    def __post_init__(self) -> None:
        require_id(self.id, "id")
        if self.decision not in DECISIONS:
            raise ValueError(f"decision is {self.decision!r}; allowed: {', '.join(DECISIONS)}")
        if not self.rule:
            raise ValueError("rule is empty; expected the rule that the row broke")
        if self.decision == "release" and self.rules & UNUSABLE:
            raise ValueError(
                f"rule is {self.rule!r}: a row without text or label cannot be released;"
                " correct it at its source, or drop it"
            )

    @property
    def rules(self) -> frozenset[str]:
        """The rules decided on."""
        return frozenset(self.rule.split())


def read_reviews(path: Path) -> dict[str, Review]:
    """Return the reviews in the file by the id of their row.

    Raises:
        ValueError: the file is missing, a line is not a review, or two lines are on the same row.
    """
    return read_notes(path, Review)


def record(path: Path, decided: Iterable[Review]) -> None:
    """Add reviews to the file, each in place of an earlier one on the same row.

    Raises:
        ValueError: as in `read_reviews`.
    """
    write_notes(path, read_reviews(path) | {review.id: review for review in decided}, Review)
