import json
from pathlib import Path

import pytest

from bertline.corpus.rows import read_rows
from bertline.stages.ingest import ingest

PATHS = {"rows": Path("data/ingested/rows.parquet"), "report": Path("reports/ingest.json")}


@pytest.fixture
def csv(set_params):
    """Write data/incoming/a.csv and point params.yaml at it."""
    set_params("ingest", source="data/incoming/*.csv")
    Path("data/incoming").mkdir(parents=True)

    def csv(content, name="a.csv"):
        Path("data/incoming", name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return csv


def test_lines_in_are_rows_out_plus_duplicates(csv):
    csv("text,label\na,x\nA,x\nb,y\n,\n")
    ingest(**PATHS)
    report = json.loads(PATHS["report"].read_text())
    labels = {"": 1, "x": 1, "y": 1}
    counts = {"lines_in": 4, "duplicates": 1, "rows_out": 3, "rows_with_line_breaks": 0}
    assert report == counts | {"labels": labels}
    assert len(read_rows(PATHS["rows"])) == 3


def test_rows_keep_the_order_of_their_source(csv):
    csv("text,label\nz,x\na,x\nm,x\n")
    ingest(**PATHS)
    assert read_rows(PATHS["rows"])["text"].to_pylist() == ["z", "a", "m"]


def test_a_new_file_appends_its_rows_and_changes_no_old_one(csv):
    csv("text,label\nz,x\na,x\n", "2024-01.csv")
    ingest(**PATHS)
    before = read_rows(PATHS["rows"])
    csv("text,label\nb,x\nA,x\n", "2024-02.csv")
    ingest(**PATHS)
    after = read_rows(PATHS["rows"])
    assert after.slice(0, 2).equals(before)
    assert after["text"].to_pylist() == ["z", "a", "b"]


def test_two_runs_write_the_same_bytes(set_params):
    first, second = ({name: Path(run, path.name) for name, path in PATHS.items()} for run in ("one", "two"))
    ingest(**first)
    ingest(**second)
    assert all(first[name].read_bytes() == second[name].read_bytes() for name in PATHS)


def test_the_command_says_what_came_in_and_went_out(set_params, run_stage):
    done = run_stage("ingest", **PATHS)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "15452 rows read from sample:trec",
        "10072 exact duplicates dropped, 5380 rows written to data/ingested/rows.parquet",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "data/incoming/a.csv: the file is empty (0 bytes)"),
        (
            "text,class\na,x\n",
            "data/incoming/a.csv: no column 'label' (ingest.label_column); the file has: text, class",
        ),
        (
            b"text,label\n\xe4,x\n",
            "data/incoming/a.csv: byte 11 (line 2) is not utf-8;"
            " save the file as utf-8 or set ingest.encoding",
        ),
    ],
)
def test_a_broken_file_ends_the_command_with_one_line(csv, run_stage, content, message):
    csv(content)
    done = run_stage("ingest", **PATHS)
    assert (done.returncode, done.stderr) == (1, f"error: ingest: {message}\n")
    assert not PATHS["rows"].exists()


def test_a_quote_left_open_in_a_csv_shows_in_the_report(csv):
    csv('text,label\none,a\n"two,b\nthree,a\n",b\nfour,a\n')
    ingest(**PATHS)
    assert json.loads(PATHS["report"].read_text())["rows_with_line_breaks"] == 1


def test_a_quote_in_a_tsv_is_a_character_and_swallows_no_line(csv, set_params):
    csv('text\tlabel\none\ta\n"two\tb\nthree\ta\n', "a.tsv")
    set_params("ingest", source="data/incoming/a.tsv")
    ingest(**PATHS)
    assert read_rows(PATHS["rows"])["text"].to_pylist() == ["one", '"two', "three"]
