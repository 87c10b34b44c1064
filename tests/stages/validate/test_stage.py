import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bertline.rows.io import read_rows, write_rows
from bertline.rows.schema import ROW_SCHEMA, make_rows
from bertline.rows.text_key import add_ids
from bertline.stages.validate.stage import validate

ROWS_FILE, ACCOUNT = Path("data/ingested/rows.parquet"), Path("reports/ingest.json")
EXPECTATIONS, REVIEWS = Path("expectations.yaml"), Path("data/reviews.csv")
INS = {"rows": ROWS_FILE, "ingested": ACCOUNT, "expectations": EXPECTATIONS, "reviews": REVIEWS}
OUTS = {
    "validated": Path("data/validated/rows.parquet"),
    "quarantine": Path("data/quarantine/rows.parquet"),
    "report": Path("reports/validation"),
}
PATHS = INS | OUTS


def write(pairs, *, duplicates=0):
    texts, labels = zip(*pairs, strict=True)
    rows = add_ids(make_rows(texts, labels, source="test", batch="one"))
    write_rows(rows, ROWS_FILE)
    ACCOUNT.parent.mkdir(exist_ok=True)
    account = {
        "lines_in": len(rows) + duplicates,
        "duplicates": duplicates,
        "rows_out": len(rows),
        "files": [],
    }
    ACCOUNT.write_text(json.dumps(account))
    EXPECTATIONS.write_text("[]\n")
    REVIEWS.write_text("id,decision,rule,reviewer,note\n")
    return rows


def good(rows_per_label=60):
    return [(f"{label} {number}", label) for label in ("good", "poor") for number in range(rows_per_label)]


def verdict():
    return json.loads((OUTS["report"] / "verdict.json").read_text())


def test_kept_and_quarantined_rows_add_up_to_the_rows_that_came_in(set_params, capsys):
    rows = write([*good(), (None, "good"), ("good 1 ", "poor")])
    validate(**PATHS)
    kept, quarantined = read_rows(OUTS["validated"]), pq.read_table(OUTS["quarantine"])
    assert quarantined.schema.names == [*ROW_SCHEMA.names, "rule", "reason", "decision"]
    assert sorted(quarantined["rule"].to_pylist()) == ["label_conflict", "label_conflict", "text_not_null"]
    together = kept["id"].to_pylist() + quarantined["id"].to_pylist()
    assert sorted(together) == sorted(rows["id"].to_pylist())
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "122 rows in = 119 kept + 3 quarantined"
    assert "  text_not_null: 1 rows (text must be present)" in printed


def test_two_runs_write_the_same_bytes(set_params):
    write([*good(), (None, "good")])
    written = []
    for run in ("one", "two"):
        validate(**INS, **{name: Path(run, path) for name, path in OUTS.items()})
        files = sorted(path for path in Path(run).rglob("*") if path.is_file())
        written.append([(path.relative_to(run), path.read_bytes()) for path in files])
    names = ["rows.parquet", "rows.parquet", "index.html", "suite.json", "verdict.json"]
    assert [path.name for path, _ in written[0]] == names
    assert written[0] == written[1]


def test_a_bad_batch_leaves_report_and_quarantine_but_no_validated_rows(set_params):
    write([*good(), *[(None, "good")] * 20])
    with pytest.raises(ValueError, match=r"share_quarantined is 0\.143 \(allowed: at most 0\.05\)"):
        validate(**PATHS)
    assert verdict()["passed"] is False
    assert (OUTS["report"] / "index.html").exists()
    assert len(pq.read_table(OUTS["quarantine"])) == 20
    assert not OUTS["validated"].exists()


def test_a_label_seen_once_ends_the_command_with_one_line_and_a_report(set_params, run_stage):
    write([*good(), ("new", "x")])
    done = run_stage("validate", **PATHS)
    assert done.returncode == 1
    assert done.stderr == (
        "error: validate: the batch is stopped: label 'x' has 1 row (allowed: at least 20);"
        " the report: reports/validation/index.html\n"
    )


def test_a_chinese_corpus_on_an_english_vocabulary_is_stopped_with_that_reason(set_params):
    words = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏"
    write([(words[n % 20 :] + words[: n // 20] * 2, "ab"[n % 2]) for n in range(200)])
    with pytest.raises(ValueError, match=r"% of the tokens are unknown.*unknown_tokens is .*at most 0\.05"):
        validate(**PATHS)


def test_a_corpus_that_gets_a_tokenizer_of_its_own_is_not_judged_by_the_encoders(set_params):
    words = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏"
    write([(words[n % 20 :] + words[: n // 20] * 2, "ab"[n % 2]) for n in range(200)])
    set_params("tokenize", vocabulary=1000)
    validate(**PATHS)
    assert not {"unknown_tokens", "truncated"} & {each["name"] for each in verdict()["expectations"]}


def test_texts_read_in_windows_are_not_truncated(set_params, capsys):
    write([(f"{'long ' * 40}{n}", "ab"[n % 2]) for n in range(120)])
    for long_texts, warned in (("head", True), ("windows", False)):
        set_params("tokenize", max_length=16, stride=4, long_texts=long_texts)
        validate(**PATHS)
        assert ("of the texts are longer than 16 tokens" in capsys.readouterr().out) == warned
        names = {each["name"] for each in verdict()["expectations"]}
        assert {"unknown_tokens", "truncated"} & names == {"unknown_tokens", *(["truncated"] * warned)}


def test_many_duplicates_are_a_warning(set_params, capsys):
    write(good(), duplicates=400)
    validate(**PATHS)
    assert "  warning: 400 of 520 lines were exact duplicates" in capsys.readouterr().out


def test_a_release_in_the_file_of_reviews_lets_the_row_through(set_params, capsys):
    rows = write([*good(), ("\ufffd\ufffd", "good")])
    validate(**PATHS)
    REVIEWS.write_text(
        f"id,decision,rule,reviewer,note\n{rows['id'][120].as_py()},release,text_damaged,me,fine\n"
    )
    validate(**PATHS)
    assert read_rows(OUTS["validated"]).equals(rows)
    assert "121 rows in = 121 kept (1 of them released) + 0 quarantined" in capsys.readouterr().out


def test_an_expectation_of_the_user_is_judged(set_params):
    write(good())
    EXPECTATIONS.write_text(
        "- {name: no_nine, severity: row, expect: column_values_to_not_match_regex, column: text,"
        " regex: '59', allowed: free of 59}\n"
    )
    validate(**PATHS)
    assert pq.read_table(OUTS["quarantine"])["rule"].to_pylist() == ["no_nine", "no_nine"]


def test_rows_that_ingest_does_not_account_for_are_an_error(set_params):
    write(good())
    ACCOUNT.write_text(json.dumps({"lines_in": 121, "duplicates": 0, "rows_out": 121, "files": []}))
    with pytest.raises(ValueError, match=r"has 120 rows, reports/ingest\.json counts 121; run ingest again"):
        validate(**PATHS)


def test_missing_rows_are_an_error_that_names_the_command(set_params):
    write(good())
    ROWS_FILE.unlink()
    with pytest.raises(ValueError, match=r"data/ingested/rows\.parquet is not here; `dvc repro`"):
        validate(**PATHS)


def write_faults(*faults):
    """Write good rows, 20 that could not be read, with the reasons, and two that contradict good ones."""
    table = make_rows(
        [*(text for text, _ in good()), *["{}"] * 20, "good 1", "poor 1"],
        [*(label for _, label in good()), *[None] * 20, "poor", "good"],
        source="test",
        batch="one",
        fault=[*[None] * 120, *["'when': 'yesterday' is not a time"] * 20, None, None],
    )
    write_rows(add_ids(table), ROWS_FILE)
    ACCOUNT.parent.mkdir(exist_ok=True)
    file = {
        "path": "data/incoming/a.csv",
        "rows": 142,
        "encoding": "utf-8",
        "faults": 20,
        "repaired_quotes": 0,
    }
    account = {"lines_in": 142, "duplicates": 0, "rows_out": 142, "files": [file | {"fault_reasons": faults}]}
    ACCOUNT.write_text(json.dumps(account))
    EXPECTATIONS.write_text("[]\n")
    REVIEWS.write_text("id,decision,rule,reviewer,note\n")


def test_a_stop_names_the_most_frequent_reasons_with_an_example_and_the_command(set_params, capsys):
    write_faults({"reason": "'when' is not a time", "rows": 20, "example": "'yesterday'"})
    with pytest.raises(ValueError, match="the batch is stopped") as stopped:
        validate(**PATHS)
    assert str(stopped.value).split("; ")[1:] == [
        "24 of 142 rows were quarantined",
        "20 of them: 'when' is not a time, e.g. 'yesterday' in data/incoming/a.csv",
        "4 of them: label must be the same in all rows with the same text, e.g. 'good'",
        "to see them: bertline quarantine show --rule readable",
        "the report: reports/validation/index.html",
    ]
    assert [each["command"] for each in verdict()["reasons"]] == [
        "bertline quarantine show --rule readable",
        "bertline quarantine show --rule label_conflict",
    ]
    page = (OUTS["report"] / "index.html").read_text()
    shown = (
        "Why rows were quarantined",
        "&#39;yesterday&#39; in data/incoming/a.csv",
        "quarantine show --rule readable",
    )
    assert all(text in page for text in shown)
    assert "fault must be none" not in page + capsys.readouterr().out


def test_the_reasons_that_are_not_printed_are_counted(set_params, capsys):
    write_faults(*({"reason": f"reason {rows}", "rows": rows, "example": "x"} for rows in (9, 5, 3, 2, 1)))
    set_params("validate", max_quarantined=0.5)
    validate(**PATHS)
    lines = capsys.readouterr().out.splitlines()
    at = next(i for i, line in enumerate(lines) if "reason 3" in line)
    assert lines[at + 1] == "    3 of them: other reasons (2), in the report"


def test_a_stop_for_another_reason_does_not_speak_of_the_quarantine(set_params):
    write([*good(), (None, "good")], duplicates=400)
    set_params("validate", severity={"share_duplicates": "batch"})
    with pytest.raises(ValueError, match="were exact duplicates") as stopped:
        validate(**PATHS)
    assert "rows were quarantined" not in str(stopped.value)


def test_keys_of_the_label_map_that_no_row_has_are_in_the_report(set_params):
    write(good())
    ACCOUNT.write_text(json.dumps(json.loads(ACCOUNT.read_text()) | {"label_map_unused": ["jnuk"]}))
    validate(**PATHS)
    assert "No row has these keys of ingest.label_map: jnuk." in (OUTS["report"] / "index.html").read_text()
