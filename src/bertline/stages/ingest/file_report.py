"""The account of a file or a packaged sample that was read, for reports/ingest.json."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from bertline.stages.ingest.records import Broken

MOST_REASONS = 20  # told apart per file; records with yet another reason count as OTHER
OTHER = "other reasons"


@dataclass
class FaultReason:
    """Why records of a file cannot be read: how many, and the line or the value of the first."""

    reason: str
    rows: int
    example: str


@dataclass
class FileReport:
    """The account of a file or sample: complete after its last row."""

    path: str
    rows: int = 0
    encoding: str | None = None  # of a text file
    dialect: str | None = None  # of a CSV or TSV file, in words
    dialect_doubt: str | None = None  # why the dialect is not sure; null: it is sure
    faults: int = 0
    replaced: int = 0  # characters that are not of the encoding, now U+FFFD
    repaired_quotes: int = 0  # records whose quotes or surplus delimiters had to be interpreted
    fault_reasons: list[FaultReason] = field(default_factory=list)  # the first met first

    def add_replaced(self, count: int) -> None:
        """Count characters that were replaced while decoding."""
        self.replaced += count

    def add_faults(self, broken: Iterable[Broken]) -> None:
        """Count records that cannot be read, by their reason."""
        known = {each.reason: each for each in self.fault_reasons}
        for each in broken:
            self.faults += 1
            reason = each.reason or each.fault
            if reason not in known and len(known) >= MOST_REASONS:
                reason = OTHER
            if reason not in known:
                known[reason] = FaultReason(reason, 0, each.example or each.fault)
                self.fault_reasons.append(known[reason])
            known[reason].rows += 1

    def to_json(self) -> dict[str, Any]:
        """Return the report; the dialect and the reasons of faults only where there are any."""
        entries = asdict(self)
        if self.dialect is None:
            del entries["dialect"], entries["dialect_doubt"]
        if not self.fault_reasons:
            del entries["fault_reasons"]
        return entries

    def notes(self) -> list[str]:
        """Return what was out of the ordinary, as phrases for people."""
        notes = []
        if not self.rows:
            notes.append("no rows")
        if self.encoding not in {None, "utf-8"} and not self.path.startswith("sample:"):
            notes.append(f"read as {self.encoding}")
        if self.dialect_doubt:
            notes.append(f"the dialect is not sure: {self.dialect_doubt}")
        if self.replaced:
            notes.append(f"characters replaced by U+FFFD: {self.replaced}")
        if self.faults:
            most = max(self.fault_reasons, key=lambda each: each.rows)
            cannot = f"rows that cannot be read: {self.faults} (validate quarantines them)"
            notes.append(f"{cannot}, {most.rows} of them because {most.reason}, e.g. {most.example}")
        if self.repaired_quotes:
            notes.append(f"quotes or delimiters repaired: {self.repaired_quotes}")
        return notes


def describe_dialects(files: Iterable[FileReport]) -> Iterator[str]:
    """Yield a line for each dialect that was taken, with the first file and the number of the others."""
    dialects: dict[str, list[str]] = {}
    for file in files:
        if file.dialect is not None:
            dialects.setdefault(file.dialect, []).append(file.path)
    for dialect, (first, *others) in dialects.items():
        more = f" and {len(others)} more" if others else ""
        yield f"read as {dialect}: {first}{more}"
