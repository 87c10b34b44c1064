import gzip
import json
import re
from pathlib import Path

import pytest

from bertline.rows.io import read_label_space, read_rows
from bertline.rows.labels import MULTI_LABEL
from bertline.stages.ingest.stage import ingest

PATHS = {"rows": Path("data/ingested/rows.parquet"), "report": Path("reports/ingest.json")}
UMLAUTS = "Grüße übermütig süß ähnlich schön wie Öl"  # enough to tell UTF-8 beside a damaged byte


@pytest.fixture
def csv(set_params):
    """Write data/incoming/a.csv and point params.yaml at it."""
    set_params("ingest", source="data/incoming/*.csv")
    Path("data/incoming").mkdir(parents=True)

    def csv(content, name="a.csv"):
        Path("data/incoming", name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return csv


def ingested(column="text"):
    ingest(**PATHS)
    return read_rows(PATHS["rows"])[column].to_pylist()


def test_lines_in_are_rows_out_plus_duplicates(csv):
    csv("text,label\na,x\nA,x\nb,y\n,\n")
    assert ingested() == ["a", "b", ""]
    assert json.loads(PATHS["report"].read_text()) == {
        "lines_in": 4,
        "duplicates": 1,
        "rows_out": 3,
        "faults": 0,
        "files": [
            {
                "path": "data/incoming/a.csv",
                "rows": 4,
                "encoding": "utf-8",
                "dialect": "comma-delimited, double-quoted, inner quotes doubled",
                "dialect_doubt": None,
                "faults": 0,
                "replaced": 0,
                "repaired_quotes": 0,
            }
        ],
        "labels": {"": 1, "x": 1, "y": 1},
    }


def test_rows_keep_the_order_of_their_source(csv):
    csv("text,label\nz,x\na,x\nm,x\n")
    assert ingested() == ["z", "a", "m"]


def test_a_new_file_appends_its_rows_and_changes_no_old_one(csv):
    csv("text,label\nz,x\na,x\n", "2024-01.csv")
    ingest(**PATHS)
    before = read_rows(PATHS["rows"])
    csv("text,label\nb,x\nA,x\n", "2024-02.csv")
    ingest(**PATHS)
    after = read_rows(PATHS["rows"])
    assert after.slice(0, 2).equals(before)
    assert after.select(["text", "batch"]).to_pylist()[2:] == [{"text": "b", "batch": "2024-02"}]


def test_week_9_comes_before_week_10(csv):
    for week in (8, 9, 10):
        csv(f"text,label\nrow of {week},x\n", f"week-{week}.csv")
    ingest(**PATHS)
    assert read_rows(PATHS["rows"])["batch"].to_pylist() == ["week-8", "week-9", "week-10"]


def test_a_pair_without_its_second_text_does_not_become_a_single_text(csv, set_params):
    csv('{"text": "a", "b": "c", "label": "x"}\n{"text": "d", "label": "x"}\n', "a.jsonl")
    set_params("ingest", source="data/incoming/a.jsonl", pair_column="b")
    ingest(**PATHS)
    assert read_rows(PATHS["rows"])["text_pair"].to_pylist() == ["c", ""]


def test_an_official_test_row_wins_over_its_duplicate(csv, set_params):
    csv("text,label\nb,x\na,x\n", "a.csv")
    csv("text,label\na,x\n", "test.csv")
    set_params("ingest", source="data/incoming/*.csv", test_source="data/incoming/test.csv")
    assert ingested() == ["a", "b"]
    assert ingested("side") == ["test", None]


def test_broken_records_are_rows_with_a_fault_and_no_duplicates_of_each_other(csv):
    csv("text,label\na,x\nbroken\nbroken\n")
    assert ingested() == ["a", "broken", "broken"]
    report = json.loads(PATHS["report"].read_text())
    assert (report["faults"], report["duplicates"], report["labels"]) == (2, 0, {"": 2, "x": 1})
    assert len(set(ingested("id"))) == 3


def test_several_labels_are_counted_one_by_one_and_the_file_says_so(csv, set_params):
    set_params("ingest", source="data/incoming/*.csv", label_separator=";")
    csv("text,label\na,x;y\nb,y\nc,\n")
    ingest(**PATHS)
    assert json.loads(PATHS["report"].read_text())["labels"] == {"": 1, "x": 1, "y": 2}
    assert read_label_space(PATHS["rows"]) == MULTI_LABEL


def test_two_runs_write_the_same_bytes(set_params):
    first, second = ({name: Path(run, path.name) for name, path in PATHS.items()} for run in ("one", "two"))
    ingest(**first)
    ingest(**second)
    assert all(first[name].read_bytes() == second[name].read_bytes() for name in PATHS)


def test_damaged_files_too_give_the_same_bytes_twice(csv):
    csv(f'text,label\n{UMLAUTS},x\n"b" c,x\nd\n'.encode() + b"K\xf6ln,y\n")
    written = []
    for _ in range(2):
        ingest(**PATHS)
        written.append([path.read_bytes() for path in PATHS.values()])
    (file,) = json.loads(PATHS["report"].read_text())["files"]
    assert (file["replaced"], file["repaired_quotes"], file["faults"]) == (1, 1, 1)
    assert written[0] == written[1]


def test_nothing_but_a_lock_is_left_in_the_scratch_folder(csv):
    csv("text,label\na,x\n")
    ingest(**PATHS)
    assert [path.name for path in Path(".bertline/scratch").iterdir()] == ["lock"]


def test_the_command_says_what_came_in_and_went_out(set_params, run_stage):
    done = run_stage("ingest", **PATHS)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "15452 rows read from sample:trec",
        "10072 exact duplicates dropped, 5380 rows written to data/ingested/rows.parquet",
    ]


def test_the_command_names_files_with_which_something_was_out_of_the_ordinary(csv, set_params, capsys):
    csv("text,label\na,x\n", "fine.csv")
    csv('text,label\n"b" c,x\nd\n', "quotes.csv")
    csv(f"text,label\n{UMLAUTS},x\n".encode() + b"K\xf6ln,y\n", "utf-8.csv")
    csv(gzip.compress("text,label\nSchöne Grüße aus dem müden Köln,x\nÜbel,x\n".encode("cp1252")), "w.csv.gz")
    set_params("ingest", source="data/incoming/*")
    ingest(**PATHS)
    assert capsys.readouterr().out.splitlines() == [
        "read as comma-delimited, double-quoted, inner quotes doubled: data/incoming/fine.csv and 3 more",
        "data/incoming/quotes.csv: the dialect is not sure: it does not fit 2 of 2 lines;"
        " rows that cannot be read: 1 (validate quarantines them), 1 of them because"
        " 1 field, the header has 2, e.g. line 3; quotes or delimiters repaired: 1",
        "data/incoming/utf-8.csv: characters replaced by U+FFFD: 1",
        "data/incoming/w.csv.gz: read as cp1252",
        "7 rows read from data/incoming/*",
        "0 exact duplicates dropped, 7 rows written to data/ingested/rows.parquet",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "",
            "ingest.source is 'data/incoming/*.csv', and the file that it names has no rows"
            " (data/incoming/a.csv); deliver rows, or name other files",
        ),
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
def test_a_broken_file_ends_the_command_with_one_line(csv, set_params, run_stage, content, message):
    csv(content)
    set_params("ingest", source="data/incoming/*.csv", encoding="utf-8")
    done = run_stage("ingest", **PATHS)
    assert (done.returncode, done.stderr) == (1, f"error: ingest: {message}\n")
    assert not PATHS["rows"].exists()


def test_keys_of_the_map_that_no_row_has_are_printed_and_reported(csv, set_params, capsys):
    csv("text,label\na,junk\nb,ham\n")
    set_params("ingest", source="data/incoming/*.csv", label_map={"junk": "spam", "jnuk": "spam"})
    ingest(**PATHS)
    warning = "warning: ingest.label_map has keys that no row has: 'jnuk'; the labels are: ham, spam"
    assert warning in capsys.readouterr().out.splitlines()
    assert json.loads(PATHS["report"].read_text())["label_map_unused"] == ["jnuk"]


def test_a_label_that_may_stand_for_a_missing_one_is_a_class_and_a_warning(csv, capsys):
    csv("text,label\na,nan\nb,ham\n")
    assert ingested("label") == ["nan", "ham"]
    assert (
        "warning: 1 rows have the label 'nan', which often stands for a missing one;"
        in capsys.readouterr().out
    )


def test_the_report_counts_the_reasons_for_which_rows_cannot_be_read(csv):
    csv('text,label\n"a",x\nbroken\na,b,c,x\nbroken too\n')
    ingest(**PATHS)
    (file,) = json.loads(PATHS["report"].read_text())["files"]
    assert file["fault_reasons"] == [{"reason": "1 field, the header has 2", "rows": 2, "example": "line 3"}]


@pytest.mark.parametrize("indent", [None, 1, 4])
def test_a_json_array_is_read_on_one_line_or_printed_over_many(csv, set_params, indent):
    rows = [{"text": "a ] }", "label": "x"}, {"text": "b, {", "label": "y"}]
    csv(json.dumps(rows, indent=indent), "a.json")
    csv("\n".join(json.dumps(row | {"text": f"{row['text']} 2"}, indent=indent) for row in rows), "b.json")
    set_params("ingest", source="data/incoming/*.json")
    assert ingested() == ["a ] }", "b, {", "a ] } 2", "b, { 2"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            '[{"text": "a", "label": "x"},\n{"text" "b"}]',
            "line 2: a JSON object is damaged: Expecting ':' delimiter",
        ),
        ('[{"text": "a", "label": "x"},\n', "line 1: the file ends in the middle of a JSON array"),
        ('[\n{"text": "a",\n', "line 2: the file ends in the middle of a JSON array"),
        ('[{"text": "a", "label": "x"}]\n[]', "line 2: there is text after the end of the JSON array"),
        ('{\n"data": []\n}', "no column 'text' (ingest.text_column); the file has: data"),
    ],
)
def test_a_damaged_json_array_is_refused_with_its_line(csv, set_params, content, message):
    csv(content, "a.json")
    set_params("ingest", source="data/incoming/*.json")
    with pytest.raises(ValueError, match=re.escape(f"data/incoming/a.json: {message}")):
        ingest(**PATHS)
