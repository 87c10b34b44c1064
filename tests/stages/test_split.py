import json
from pathlib import Path

import pyarrow as pa
import pytest

from bertline.corpus.rows import ROWS, read_rows, with_ids, write_rows
from bertline.corpus.splitting import SIDES
from bertline.stages.split import split

PATHS = {
    "rows": Path("data/validated/rows.parquet"),
    "out": Path("data/splits"),
    "report": Path("reports/split.json"),
}


def write(texts, labels):
    columns = {"text": texts, "label": labels, "source": ["test"] * len(texts)}
    stamps = pa.nulls(len(texts), ROWS.field("timestamp").type)
    write_rows(with_ids(pa.table({**columns, "timestamp": stamps})), PATHS["rows"])


def test_the_report_counts_what_the_files_hold(set_params):
    write([f"text {number}" for number in range(400)], ["x", "y"] * 200)
    split(**PATHS)
    report = json.loads(PATHS["report"].read_text())
    files = {name: read_rows(PATHS["out"] / f"{name}.parquet") for name in SIDES}
    assert {name: report[name] for name in SIDES} == {name: len(rows) for name, rows in files.items()}
    assert sum(len(rows) for rows in files.values()) == 400
    assert report["classes"]["x"]["test"] == files["test"]["label"].to_pylist().count("x")


def test_the_order_of_the_rows_does_not_change_a_byte(set_params):
    texts, written = [f"text {number}" for number in range(400)], []
    for order in (texts, texts[::-1]):
        write(order, ["x" if int(text[5:]) % 2 else "y" for text in order])
        split(**PATHS)
        files = [*(PATHS["out"] / f"{name}.parquet" for name in SIDES), PATHS["report"]]
        written.append([path.read_bytes() for path in files])
    assert written[0] == written[1]


def test_a_class_too_small_for_every_side_ends_the_command_with_one_line(set_params, run_stage):
    write([f"text {number}" for number in range(400)], ["x"] * 399 + ["y"])
    done = run_stage("split", **PATHS)
    assert done.returncode == 1
    assert done.stderr.startswith("error: split: label 'y' has no row in ")
    assert done.stderr.count("\n") == 1


def test_missing_rows_are_an_error_that_names_the_command(set_params):
    with pytest.raises(ValueError, match=r"data/validated/rows\.parquet is not here; `dvc repro`"):
        split(**PATHS)
