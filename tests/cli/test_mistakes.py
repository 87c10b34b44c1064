import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from bertline.cli import mistakes as commands
from bertline.evaluation.pins import read_pinned_rows
from bertline.metrics.predictions import Predictions, write_predictions
from bertline.project import layout
from bertline.rows.io import write_rows
from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids
from bertline.stages.evaluate.mistakes import write_mistakes

HEADER = "content_id,label,note\n"
TEXTS = ["an escape \x1b[2J", "word " * 100, "a mistake", "right"]


@pytest.fixture
def rows(own_folder: Path) -> pa.Table:
    """Four test rows in the current folder, the first three of them answered wrongly."""
    found = add_ids(make_rows(TEXTS, ["a", "a", "b", "b"]))
    columns = np.array([1, 1, 0, 1])
    predictions = Predictions(
        ids=found["id"].to_pylist(),
        classes=("a", "b", "c"),
        expected=np.array([0, 0, 1, 1]),
        probabilities=np.eye(3, dtype=np.float32)[columns] * [[0.9], [0.8], [0.7], [0.6]],
    )
    write_rows(found, layout.TEST_ROWS)
    write_predictions(predictions, layout.CANDIDATE_PREDICTIONS)
    layout.MISTAKES.parent.mkdir(parents=True)
    write_mistakes(predictions, found, layout.MISTAKES.parent)
    layout.MISTAKES.with_suffix(".json").write_text('{"wrong": 3}')
    layout.PINNED_ROWS.write_text(HEADER)
    return found


def mistakes(*arguments: str) -> str:
    result = CliRunner().invoke(commands.app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def pinned() -> dict[str, str]:
    return {row.content_id: row.label for row in read_pinned_rows(layout.PINNED_ROWS).values()}


def test_the_list_has_id_label_prediction_probability_and_text(rows: pa.Table) -> None:
    lines = mistakes().splitlines()
    ids = [each[:12] for each in rows["content_id"].to_pylist()]
    assert lines[0] == rf"{ids[0]}  a → b  0.90  an escape \x1b[2J"
    assert [line[:12] for line in lines] == ids[:3]


def test_a_line_is_as_wide_as_the_terminal(rows: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    [line] = [line for line in mistakes().splitlines() if "word" in line]
    assert 60 < len(line) <= 70


def test_the_list_can_be_of_one_class_and_of_fewer_rows(rows: pa.Table) -> None:
    shown = mistakes("--class", "a", "--limit", "1").splitlines()
    assert len(shown) == 2
    assert shown[-1] == "... and 2 more; see: bertline mistakes --class a --limit 3"
    assert mistakes("--class", "c") == "no mistake is about 'c'\n"


def test_mistakes_that_are_not_kept_are_counted(rows: pa.Table) -> None:
    layout.MISTAKES.with_suffix(".json").write_text('{"wrong": 8123}')
    says = "these are among the 3 surest of 8,123 mistakes; the others are not kept"
    assert mistakes("--class", "a").splitlines()[-1] == says


def test_json_has_every_column_and_the_whole_text(rows: pa.Table) -> None:
    shown = [json.loads(line) for line in mistakes("--json").splitlines()]
    assert [row["text"] for row in shown] == TEXTS[:3]
    assert set(shown[0]) == {"id", "content_id", "text", "label", "prediction", "probability", "source"}


def test_a_pin_notes_content_id_and_label_and_never_the_text(rows: pa.Table) -> None:
    content_id = rows["content_id"][2].as_py()
    shown = mistakes("pin", content_id[:8], "--label", "c", "--note", "seen at a customer")
    assert layout.PINNED_ROWS.read_text() == f"{HEADER}{content_id},c,seen at a customer\n"
    assert "a mistake" not in shown


def test_the_label_is_the_rows_own_unless_another_is_given(rows: pa.Table) -> None:
    content_id = rows["content_id"][2].as_py()
    mistakes("pin", content_id)
    assert pinned() == {content_id: "b"}


def test_a_pin_again_replaces_the_first_and_unpin_takes_it_away(rows: pa.Table) -> None:
    content_id = rows["content_id"][2].as_py()
    mistakes("pin", content_id, "--label", "a")
    mistakes("pin", content_id, "--label", "c")
    assert pinned() == {content_id: "c"}
    mistakes("unpin", content_id[:6])
    assert pinned() == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pin", "12345"), "'12345' is too short; give at least 6 digits"),
        (("pin", "zzzzzz"), "no test row has an id that starts with zzzzzz; see: bertline mistakes"),
        (("unpin", "zzzzzz"), "no pinned row has an id that starts with zzzzzz; see: bertline mistakes pin"),
        (("--class", "d"), "'d' is no class; there are: a, b, c"),
    ],
)
def test_a_users_mistake_is_one_clear_error(rows: pa.Table, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mistakes(*arguments)
    assert pinned() == {}


def test_an_unknown_label_is_one_clear_error(rows: pa.Table) -> None:
    with pytest.raises(ValueError, match="'d' is no class; there are: a, b, c"):
        mistakes("pin", rows["content_id"][0].as_py(), "--label", "d")
    assert pinned() == {}


def test_an_ambiguous_prefix_names_the_rows(rows: pa.Table) -> None:
    ids = pa.array([f"abcdef{end}{'0' * 25}" for end in range(4)], pa.string())
    write_rows(rows.set_column(1, "content_id", ids), layout.TEST_ROWS)
    with pytest.raises(ValueError, match=r"abcdef stands for 4 rows .* give more digits"):
        mistakes("pin", "abcdef")


def test_two_labels_of_one_text_ask_for_a_choice(rows: pa.Table) -> None:
    write_rows(add_ids(make_rows(["same", "same"], ["a", "b"])), layout.TEST_ROWS)
    content_id = add_ids(make_rows(["same"], ["a"]))["content_id"][0].as_py()
    with pytest.raises(ValueError, match="has the labels a, b; choose one with --label"):
        mistakes("pin", content_id)


def test_the_list_of_pinned_rows_says_how_the_last_evaluation_found_each(rows: pa.Table) -> None:
    ids = rows["content_id"].to_pylist()
    for content_id in ids:
        mistakes("pin", content_id, "--label", "a")
    named = [{"content_id": each, "label": "a"} for each in ids]
    score = {
        "rows_scored": named[:2],
        "wrong": [named[1] | {"prediction": "b"}],
        "not_scored": [named[2] | {"reason": "it is gone"}],
    }
    layout.PINNED_SCORE.write_text(json.dumps(score))
    states = ["right", "wrong: b", "not scored: it is gone", "not evaluated yet"]
    expected = {f"{each[:12]}  a  {state}" for each, state in zip(ids, states, strict=True)}
    assert set(mistakes("pinned").splitlines()) == expected


def test_pins_of_two_processes_at_once_are_both_kept(rows: pa.Table) -> None:
    ids = rows["content_id"].to_pylist()
    program = "import sys; from bertline.cli.app import app; app(['mistakes', 'pin', sys.argv[1]])"
    command = [sys.executable, "-c", program]
    for process in [subprocess.Popen([*command, each], stdout=subprocess.DEVNULL) for each in ids[:2]]:
        assert process.wait() == 0
    assert set(pinned()) == set(ids[:2])


def test_before_any_evaluation_there_is_no_list(own_folder: Path) -> None:
    with pytest.raises(ValueError, match=r"mistakes\.parquet is not here; run: dvc repro evaluate"):
        mistakes()
