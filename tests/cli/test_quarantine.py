import json
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from bertline.cli import quarantine as commands
from bertline.project import layout
from bertline.rows.io import write_rows
from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids
from bertline.stages.validate.quarantine.reviews import read_reviews
from bertline.stages.validate.quarantine.table import QUARANTINE
from tests.support.toy_project import run_in

HEADER = "id,decision,rule,reviewer,note\n"
TEXTS = ["x", "a bell \x07 and an escape \x1b[2J", "word " * 100, "same", None]
RULES = ["text_length", "text_damaged", "text_length", "label_conflict", "text_not_null"]


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pa.Table:
    """Five rows in the quarantine of the current folder."""
    monkeypatch.chdir(tmp_path)
    sourced = make_rows(TEXTS, ["a", "b", "a", "b", "a"], batch=["w1", "w1", "w2", "w2", "w2"])
    found = add_ids(sourced)
    for name, values in (("rule", RULES), ("reason", ["because"] * 5), ("decision", [None] * 5)):
        found = found.append_column(name, pa.array(values, pa.string()))
    write_rows(found, layout.QUARANTINE, QUARANTINE)
    layout.REVIEWS.write_text(HEADER)
    run_in(tmp_path, "git", "init", "--quiet")
    run_in(tmp_path, "git", "config", "user.name", "Ann")
    return found


def quarantine(*arguments: str) -> str:
    result = CliRunner().invoke(commands.app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def decisions() -> dict[str, str]:
    return {row: review.decision for row, review in read_reviews(layout.REVIEWS).items()}


def test_the_help_of_every_command_has_an_example() -> None:
    for name in ("list", "show", "release", "drop"):
        assert f"bertline quarantine {name}" in quarantine(name, "--help")


def test_list_counts_rows_by_rule_batch_and_decision(rows: pa.Table) -> None:
    quarantine("drop", rows["id"][0].as_py())
    quarantine("release", rows["id"][3].as_py())
    assert [line.split() for line in quarantine("list").splitlines()] == [
        ["rule", "batch", "open", "dropped", "released"],
        ["label_conflict", "w2", "0", "0", "1"],
        ["text_damaged", "w1", "1", "0", "0"],
        ["text_length", "w1", "0", "1", "0"],
        ["text_length", "w2", "1", "0", "0"],
        ["text_not_null", "w2", "1", "0", "0"],
    ]


def test_show_gives_rule_reason_batch_label_and_a_short_text(rows: pa.Table) -> None:
    shown = quarantine("show", rows["id"][2].as_py()[:8])
    assert "open  text_length: because" in shown
    assert "batch w2  label a" in shown
    assert shown.splitlines()[-1].endswith("word...")


def test_a_text_cannot_steer_the_terminal(rows: pa.Table) -> None:
    shown = quarantine("show", rows["id"][1].as_py())
    assert r"a bell \x07 and an escape \x1b[2J" in shown


def test_show_as_json_has_every_column_and_the_whole_text(rows: pa.Table) -> None:
    shown = [json.loads(line) for line in quarantine("show", "--rule", "text_length", "--json").splitlines()]
    assert [row["text"] for row in shown] == [TEXTS[0], TEXTS[2]]
    assert set(shown[0]) == {*QUARANTINE.names, "state"}


def test_of_many_rows_show_gives_the_first_and_says_how_to_see_all(
    rows: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "SHOWN", 1)
    shown = quarantine("show", "--rule", "text_length").splitlines()
    assert shown[-1] == "... and 1 more; all of them: bertline quarantine show --rule text_length --json"
    ids = [rows["id"][i].as_py()[:8] for i in (0, 2)]
    shown = quarantine("show", *ids).splitlines()
    assert shown[-1].endswith(f"bertline quarantine show {' '.join(ids)} --json")


def test_a_release_is_written_with_reviewer_rule_and_note(rows: pa.Table) -> None:
    row = rows["id"][0].as_py()
    shown = quarantine("release", row[:6], "--note", "a real question")
    assert layout.REVIEWS.read_text() == f"{HEADER}{row},release,text_length,Ann,a real question\n"
    assert shown.splitlines() == [
        f"release {row[:12]} (text_length)",
        "wrote 1 row to data/reviews.csv; next: git commit -m 'Review' data/reviews.csv, then make run",
    ]


def test_a_decision_on_a_rule_is_on_all_its_undecided_rows(rows: pa.Table) -> None:
    first, second = (rows["id"][at].as_py() for at in (0, 2))
    quarantine("release", first)
    quarantine("drop", "--rule", "text_length", "--reviewer", "Bob")
    assert decisions() == {first: "release", second: "drop"}


def test_two_prefixes_of_one_row_are_that_row(rows: pa.Table) -> None:
    row = rows["id"][0].as_py()
    assert quarantine("show", row[:8], row[:10]).count(row[:12]) == 1
    assert "wrote 1 row to" in quarantine("release", row[:8], row[:10], row)


def test_a_row_without_text_cannot_be_released(rows: pa.Table) -> None:
    with pytest.raises(ValueError, match="cannot be released"):
        quarantine("release", "--rule", "text_not_null")
    assert decisions() == {}


def test_the_name_of_a_batch_cannot_steer_the_terminal(rows: pa.Table) -> None:
    named = rows.set_column(rows.column_names.index("batch"), "batch", pa.array(["w\x1b[2J"] * len(rows)))
    write_rows(named, layout.QUARANTINE, QUARANTINE)
    assert "\x1b" not in quarantine("list")


def test_a_release_can_become_a_drop(rows: pa.Table) -> None:
    row = rows["id"][0].as_py()
    quarantine("release", row)
    quarantine("drop", row)
    assert decisions() == {row: "drop"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give the ids of rows, or --rule NAME"),
        (("123456", "--rule", "text_length"), "give the ids of rows, or --rule NAME"),
        (("12345",), "'12345' is too short; give at least 6 digits"),
        (("zzzzzz",), "no quarantined row has an id that starts with zzzzzz; see: bertline quarantine list"),
        (
            ("--rule", "text_lenght"),
            "no quarantined row broke 'text_lenght'; there are rows of: label_conflict",
        ),
    ],
)
def test_a_users_mistake_is_one_clear_error_and_nothing_is_written(
    rows: pa.Table, arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        quarantine("release", *arguments)
    assert decisions() == {}


def test_an_ambiguous_prefix_names_the_rows(rows: pa.Table) -> None:
    ids = pa.array([f"abcdef{end}{'0' * 25}" for end in (1, 2)], pa.string())
    twice = rows.slice(0, 2).set_column(0, "id", ids)
    write_rows(twice, layout.QUARANTINE, QUARANTINE)
    with pytest.raises(ValueError, match=r"abcdef stands for 2 rows .* give more digits"):
        quarantine("drop", "abcdef")


def test_the_same_decision_twice_is_an_error_that_names_the_first_reviewer(rows: pa.Table) -> None:
    row = rows["id"][0].as_py()
    quarantine("drop", row, "--reviewer", "Bob", "--note", "noise")
    with pytest.raises(ValueError, match=r"Bob decided already to drop .* \(noise\); nothing is written"):
        quarantine("drop", row)
    with pytest.raises(ValueError, match="every row that broke 'text_damaged' is decided already"):
        quarantine("drop", "--rule", "text_damaged")
        quarantine("drop", "--rule", "text_damaged")


def test_before_any_validation_there_is_no_quarantine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    layout.REVIEWS.write_text(HEADER)
    with pytest.raises(ValueError, match=r"rows\.parquet is not here; `dvc repro` makes it"):
        quarantine("list")


def test_an_empty_quarantine_says_so(rows: pa.Table) -> None:
    write_rows(rows.slice(0, 0), layout.QUARANTINE, QUARANTINE)
    assert quarantine("list") == "no row is in quarantine\n"


def test_looking_at_the_quarantine_does_not_load_great_expectations(rows: pa.Table) -> None:
    program = (
        "import sys; from bertline.cli import quarantine; quarantine.list_(); print('pandas' in sys.modules)"
    )
    assert run_in(Path.cwd(), sys.executable, "-c", program).splitlines()[-1] == "False"
