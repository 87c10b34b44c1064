"""Why rows were quarantined, most frequent reason first, each with an example that is not a text.

Rows that could not be read all break one rule, `readable`. The report of `ingest` has
the reason of each.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from bertline.rows.labels import LabelSpace
from bertline.stages.validate.great_expectations import Check
from bertline.stages.validate.result import Reason

NO_LABEL_HINT = "with several labels a row, [] says that none applies"


class ReasonCounter:
    """Counts the undecided rows of the quarantine by rule, and keeps what the first of each holds."""

    def __init__(self, checks: Sequence[Check], space: LabelSpace) -> None:
        self._checks = {check.name: check for check in checks}
        self._space = space
        self._rows: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def watch(self, quarantined: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Pass on tables of `QUARANTINE`, and count their rows."""
        for table in quarantined:
            undecided = table.filter(pc.is_null(table["decision"]))
            for each in pc.value_counts(undecided["rule"]).to_pylist():
                rule = each["values"]
                self._rows[rule] += each["counts"]
                if rule not in self._examples:
                    first = undecided.filter(pc.equal(undecided["rule"], rule)).slice(0, 1).to_pylist()[0]
                    self._examples[rule] = self._example(rule, first)
            yield table

    def reasons(self, unreadable: Sequence[Reason] = ()) -> list[Reason]:
        """Return the reasons; `unreadable` are those of rows that could not be read, where they are known."""
        counted = [
            Reason(rule=rule, rows=rows, statement=self._statement(rule), example=self._examples[rule])
            for rule, rows in self._rows.items()
            if not (rule == "readable" and unreadable)
        ]
        if self._rows["readable"]:
            counted += unreadable
        return sorted(counted, key=lambda reason: (-reason.rows, reason.rule, reason.statement))

    def _statement(self, rule: str) -> str:
        hint = f" ({NO_LABEL_HINT})" if self._space.multi_label and rule == "label_not_null" else ""
        return f"{self._checks[rule].reason}{hint}"

    def _example(self, rule: str, row: Mapping[str, Any]) -> str:
        """Return the value in `row` that the rule judges; "" if that is a text."""
        column = self._checks[rule].column
        if rule == "readable":
            return str(row["fault"])
        if rule == "text_length":
            return f"{len(row['text']):,} characters"
        if column == "label" and row["label"]:
            return repr(", ".join(self._space.split(row["label"])))
        if column == "timestamp":
            return str(row["timestamp"])
        return ""


def reasons_of_faults(files: Iterable[Mapping[str, Any]]) -> list[Reason]:
    """Return why rows could not be read, from `files` of the report of `ingest`."""
    rows: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for file in files:
        for each in file.get("fault_reasons", []):
            rows[each["reason"]] += each["rows"]
            examples.setdefault(each["reason"], f"{each['example']} in {file['path']}")
    return [
        Reason(rule="readable", rows=count, statement=reason, example=examples[reason])
        for reason, count in rows.items()
    ]
