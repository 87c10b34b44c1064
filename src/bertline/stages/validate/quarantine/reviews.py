"""The decisions of people on quarantined rows: data/reviews.csv, a small file under version control.

One line per row: `id,decision,rule,reviewer,note`.

- A release lets the row pass the rule that it names, or the rules, with spaces between. A row that breaks
  another rule too stays in quarantine.
- A drop keeps the row in quarantine for good, also if a later rule would keep it. The row no longer counts
  towards `validate.max_quarantined`.

Guarantees that no row without text or label is released, because no later stage can use it; that lines are
sorted by id, so that a change reads well in a diff; and that an interrupted write leaves the old file. Does
not guard against two people writing at once: git does, when they commit.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from bertline.core.files import replacing

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
        if not re.fullmatch("[0-9a-f]{32}", self.id):
            raise ValueError(f"id is {self.id!r}; expected the 32 hex digits of a row's id")
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


COLUMNS = [field.name for field in fields(Review)]


def read_reviews(path: Path) -> dict[str, Review]:
    """Return the reviews in the file by the id of their row.

    Raises:
        ValueError: the file is missing, a line is not a review, or two lines are on the same row.
    """
    reviews: dict[str, Review] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # a spreadsheet may have left its mark
            for line, review in _parse(file, path):
                if review.id in reviews:
                    raise ValueError(
                        f"{path} line {line}: row {review.id} has a decision above; keep one of them"
                    )
                reviews[review.id] = review
    except FileNotFoundError:
        raise ValueError(f"{path} is not here; restore it with: git checkout {path}") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a CSV file in UTF-8: {error}") from None
    return reviews


def record(path: Path, decided: Iterable[Review]) -> None:
    """Add reviews to the file, each in place of an earlier one on the same row.

    Raises:
        ValueError: as in `read_reviews`.
    """
    reviews = read_reviews(path) | {review.id: review for review in decided}
    with (
        replacing(path, keep_mode=True, durable=True) as new,
        new.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for _, review in sorted(reviews.items()):  # a note on one line, so that a diff has one too
            writer.writerow({name: " ".join(value.split()) for name, value in asdict(review).items()})


def _parse(lines: Iterable[str], path: Path) -> Iterator[tuple[int, Review]]:
    reader = csv.reader(lines, strict=True)
    header = next(reader, [])
    if header != COLUMNS:
        raise ValueError(f"{path} has columns {', '.join(header) or '(none)'}; expected {', '.join(COLUMNS)}")
    for values in reader:
        if not values:  # a blank line
            continue
        if len(values) != len(COLUMNS):
            raise ValueError(
                f"{path} line {reader.line_num}: {len(values)} values, expected {len(COLUMNS)}; "
                'a note with a comma needs quotes: "..."'
            )
        try:
            yield reader.line_num, Review(**dict(zip(COLUMNS, map(str.strip, values), strict=True)))
        except ValueError as error:
            raise ValueError(f"{path} line {reader.line_num}: {error}") from None
