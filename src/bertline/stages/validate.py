"""Judge a batch of rows: set bad rows aside, and stop the run if the batch as a whole is bad."""

from pathlib import Path

from bertline.corpus.rows import read_table, write_rows
from bertline.params.loading import load_params
from bertline.params.validate import Params
from bertline.quality.report import write_report
from bertline.quality.suite import QUARANTINE, explain, judge
from bertline.stages.command import run


def validate(*, rows: Path, validated: Path, quarantine: Path, report: Path) -> None:
    """Set bad rows aside with the rule they broke; stop a bad batch with a report of what failed."""
    params = load_params(Params)
    # Any columns: the suite judges them, and the report shows what it found.
    verdict, kept, quarantined = judge(read_table(rows), params)
    write_report(verdict, report)
    write_rows(quarantined, quarantine, QUARANTINE)
    print(f"{verdict.rows_in} rows in, {verdict.rows_kept} kept, {verdict.rows_quarantined} quarantined")
    for outcome in verdict.expectations:
        if outcome.severity == "row" and not outcome.passed:
            print(f"  {outcome.name}: {outcome.observed} rows ({outcome.column} must be {outcome.allowed})")
    if not verdict.passed:
        raise ValueError(f"the batch is stopped: {explain(verdict, params)}; see {report / 'index.html'}")
    write_rows(kept, validated)


if __name__ == "__main__":
    run(validate)
