"""Read the source into one canonical table of rows, in the order of the source.

Rows keep the order of their source (not sorted by id) so that the first of several duplicates is the
first a person meets in the files, and a new file appends its rows behind those that were there. `split`
sorts by id, so later stages do not depend on this order.
"""

import json
from pathlib import Path

import pyarrow.compute as pc

from bertline.corpus.duplicates import drop_duplicates
from bertline.corpus.rows import with_ids, write_rows
from bertline.corpus.sources import read_source
from bertline.params.ingest import Params
from bertline.params.loading import load_params
from bertline.stages.command import run


def ingest(*, rows: Path, report: Path) -> None:
    """Read the source into one canonical table; drop and count exact duplicates."""
    params = load_params(Params)
    source = read_source(params)
    unique = with_ids(drop_duplicates(source))
    write_rows(unique, rows)
    # Null and blank labels are counted under "": the counts add up to rows_out.
    counts = pc.value_counts(unique["label"].fill_null("")).to_pylist()
    breaks = pc.sum(pc.match_substring(unique["text"], "\n")).as_py() or 0
    summary = {
        "lines_in": len(source),
        "duplicates": len(source) - len(unique),
        "rows_out": len(unique),
        "rows_with_line_breaks": breaks,
        "labels": dict(sorted((each["values"], each["counts"]) for each in counts)),
    }
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{len(source)} rows read from {params.source}")
    print(f"{summary['duplicates']} exact duplicates dropped, {len(unique)} rows written to {rows}")
    if breaks:
        print(f"{breaks} texts hold line breaks; if yours should not, a quote is left open in the file")


if __name__ == "__main__":
    run(ingest)
