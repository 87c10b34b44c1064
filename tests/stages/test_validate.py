import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertline.corpus.rows import ROWS, read_rows, with_ids, write_rows
from bertline.stages.validate import validate

ROWS_FILE = Path("data/ingested/rows.parquet")
OUTS = {
    "validated": Path("data/validated/rows.parquet"),
    "quarantine": Path("data/quarantine/rows.parquet"),
    "report": Path("reports/validation"),
}


def write(pairs):
    texts, labels = zip(*pairs, strict=True)
    columns = {"text": pa.array(texts, pa.string()), "label": pa.array(labels, pa.string())}
    stamps = pa.nulls(len(pairs), ROWS.field("timestamp").type)
    rows = with_ids(pa.table({**columns, "source": ["test"] * len(pairs), "timestamp": stamps}))
    write_rows(rows, ROWS_FILE)
    return rows


def good(rows_per_label=60):
    return [(f"{label} {number}", label) for label in ("ham", "spam") for number in range(rows_per_label)]


def test_kept_and_quarantined_rows_add_up_to_the_rows_that_came_in(set_params):
    rows = write([*good(), (None, "ham"), ("ham 1 ", "spam")])
    validate(rows=ROWS_FILE, **OUTS)
    kept, quarantined = read_rows(OUTS["validated"]), pq.read_table(OUTS["quarantine"])
    assert quarantined.schema.names == [*ROWS.names, "rule", "reason"]
    assert sorted(quarantined["rule"].to_pylist()) == ["label_conflict", "label_conflict", "text_not_null"]
    together = kept["id"].to_pylist() + quarantined["id"].to_pylist()
    assert sorted(together) == sorted(rows["id"].to_pylist())


def test_two_runs_write_the_same_bytes(set_params):
    write([*good(), (None, "ham")])
    written = []
    for run in ("one", "two"):
        validate(rows=ROWS_FILE, **{name: Path(run, path) for name, path in OUTS.items()})
        files = sorted(path for path in Path(run).rglob("*") if path.is_file())
        written.append([(path.relative_to(run), path.read_bytes()) for path in files])
    assert len(written[0]) == 4
    assert written[0] == written[1]


def test_a_bad_batch_leaves_report_and_quarantine_but_no_validated_rows(set_params):
    write([*good(), *[(None, "ham")] * 20])
    with pytest.raises(ValueError, match=r"share_quarantined is 0\.143 \(allowed: at most 0\.05\)"):
        validate(rows=ROWS_FILE, **OUTS)
    assert json.loads((OUTS["report"] / "verdict.json").read_text())["passed"] is False
    assert (OUTS["report"] / "index.html").exists()
    assert len(pq.read_table(OUTS["quarantine"])) == 20
    assert not OUTS["validated"].exists()


def test_a_label_seen_once_ends_the_command_with_one_line_and_a_report(set_params, run_stage):
    write([*good(), ("new", "x")])
    done = run_stage("validate", rows=ROWS_FILE, **OUTS)
    assert done.returncode == 1
    assert done.stderr == (
        "error: validate: the batch is stopped: label 'x' has 1 row (allowed: at least 20);"
        " see reports/validation/index.html\n"
    )


def test_missing_rows_are_an_error_that_names_the_command(set_params):
    with pytest.raises(ValueError, match=r"data/ingested/rows\.parquet is not here; `dvc repro`"):
        validate(rows=ROWS_FILE, **OUTS)
