"""`bertline compare` on the toy project: what it finds, the page, and the errors of its user."""

import json
import re
import shutil
from contextlib import chdir, closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dvc.repo import Repo
from typer.testing import CliRunner

from bertline.cli.app import app
from bertline.comparison import fairness, sides
from bertline.comparison.compared_rows import ComparedRows
from bertline.evaluation.behaviour import CaseAnswers
from bertline.project.experiments import commit_experiment
from bertline.promotion.promote import compare_with_champion, promote
from bertline.rows.io import read_rows, write_rows
from bertline.rows.labels import LabelSpace
from bertline.stages.evaluate.behaviour import answers_table
from tests.support.params import section
from tests.support.toy_answers import add_test_rows
from tests.support.toy_project import own, reproduce, run_in, set_epochs


@pytest.fixture(scope="module")
def compared(reproduced_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy project with the champion v1.0.0, of 3 epochs, and a better candidate, of 4."""
    root = own(reproduced_template, tmp_path_factory.mktemp("compared"))
    with chdir(root):
        promote(root, compare_with_champion(root))
        set_epochs(root, 4)
        reproduce(root)
        add_test_rows(root)
    return root


@pytest.fixture
def champion(compared: Path, toy_answers: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That project, the current folder; other tests here have it, too."""
    monkeypatch.chdir(compared)
    return compared


@pytest.fixture
def own_champion(champion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to change, the current folder."""
    root = own(champion, tmp_path)
    monkeypatch.chdir(root)
    return root


def bertline(*arguments: str, status: int = 0) -> str:
    result = CliRunner().invoke(app, ["compare", *arguments])
    assert result.exit_code == status, result.output
    return result.output


def document(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bertline(*arguments, "--json"))
    return found


def test_the_candidate_is_compared_with_the_champion(champion: Path) -> None:
    shown = bertline()
    assert shown.startswith(
        "The candidate breaks 0 rows that the champion v1.0.0 answers right and repairs 30 others"
    )
    assert "accuracy          80.0        90.0  +10.0" in shown
    assert "page: reports/comparison/v1.0.0-candidate.html\n" in shown
    saved = json.loads((champion / "reports/comparison/v1.0.0-candidate.json").read_text())
    assert saved["fixed"]["rows"] == 30
    assert run_in(champion, "git", "status", "--porcelain", "--", "reports", ".bertline") == ""


def test_the_page_escapes_the_texts_and_needs_no_script(champion: Path) -> None:
    bertline("--output", "page.html")
    page = (champion / "page.html").read_text()
    assert "&lt;b&gt;a row&lt;/b&gt; 1" in page
    assert "<b>a row" not in page
    assert "<script" not in page
    assert page.index("Newly broken") < page.index("Newly right") < page.index("By class")
    assert page.index("By class") < page.index("Overall") < page.index("What changed")


def test_both_models_are_asked_the_same_behavioural_tests(champion: Path) -> None:
    found = document()
    tests = {each["name"]: each for each in found["differences"] if each["kind"] == "behaviour"}
    upper = tests["upper case"]
    assert (upper["a"], upper["b"], upper["rows"], upper["verdict"]) == (1.0, 0.0, 300, "better")
    assert "typos" not in tests
    assert any(each["name"] == "contractions" for each in found["skipped"])


def test_answers_that_the_stage_has_saved_are_not_made_again(own_champion: Path) -> None:
    test = ComparedRows.read(own_champion)
    behaviour = test.behaviour(own_champion, section("evaluate"))
    cases = CaseAnswers(
        LabelSpace(("ham", "spam")), np.eye(2)[[0] * 300], np.eye(2)[[1] * len(behaviour.cases)]
    )
    pq.write_table(answers_table(behaviour, cases), own_champion / "data/predictions/behaviour.parquet")
    rates = [each["b"] for each in document()["differences"] if each["kind"] == "behaviour"]
    assert set(rates) == {1.0}


def test_two_versions_are_compared_on_todays_rows_and_the_changed_settings_are_named(
    own_champion: Path,
) -> None:
    promote(own_champion, compare_with_champion(own_champion))
    found = document("v1.1.0", "v1.0.0")
    assert (found["broken"]["rows"], found["fixed"]["rows"]) == (30, 0)
    assert [(each["name"], each["verdict"]) for each in found["differences"][:2]] == [
        ("ham", "worse"),
        ("ham", "worse"),
    ]
    assert found["changes"]["params"] == [{"key": "finetune.epochs", "a": "4", "b": "3"}]
    assert found["a"]["title"] == "the champion v1.1.0"


def test_what_the_rows_were_made_from_is_the_same_or_cannot_be_had(champion: Path) -> None:
    assert document()["changes"]["data"]["reason"] == "Both were made from the same rows."


def test_an_experiment_is_found_by_its_name(champion: Path) -> None:
    commit_experiment(champion, ("dvc.lock", "params.yaml"), "kept", "my-try")
    found = document("champion", "my-try")
    assert found["b"]["title"] == "the experiment my-try"
    assert found["fixed"]["rows"] == 30


def test_a_model_folder_has_no_history_and_says_so(champion: Path) -> None:
    shutil.copytree(champion / "models/candidate", champion / "models/other")
    found = document("champion", "models/other")
    assert found["changes"]["unknown"] == "Nobody knows what made the model in models/other."
    assert any("nobody knows which it was trained on" in each for each in found["cautions"])
    assert found["fixed"]["rows"] == 30


def test_cautions_name_what_is_not_fair(champion: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cautions = "\n".join(document()["cautions"])
    assert "another split" not in cautions
    assert "1 more test rows are out of scope" in cautions
    assert "no ONNX file" in cautions
    monkeypatch.setattr(sides.Side, "params", lambda side: {"split": {"seed": side.name}})
    assert "The champion v1.0.0 was trained on another split" in "\n".join(document()["cautions"])


def test_a_candidate_of_an_unfinished_run_is_refused(own_champion: Path) -> None:
    lock = own_champion / "dvc.lock"
    made = re.findall(r"models/candidate\n +hash: md5\n +md5: (\S+)", lock.read_text())[0]
    lock.write_text(lock.read_text().replace(made, "0" * 32 + ".dir", 1))
    assert "did not come to its end" in bertline(status=1)
    assert "run: dvc repro" in bertline(status=1)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["v9.0.0"], "there is no version 'v9.0.0'; there are: v1.0.0"),
        (["nothing"], "'nothing' is no version, experiment or model folder; see: bertline history"),
        (["v1.0.0", "champion"], "are the same model, so there is nothing to compare"),
        (["candidate", "models/candidate"], "are the same model, so there is nothing to compare"),
        (["--output", "page.txt"], "--output is 'page.txt'; allowed: a file that ends in .html"),
    ],
)
def test_what_cannot_be_compared_is_one_line(champion: Path, arguments: list[str], error: str) -> None:
    said = bertline(*arguments, status=1)
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert error in said


@pytest.mark.parametrize(
    ("file", "text"), [("slices.yaml", "- {name: a, where: no > 1}"), ("behaviour.yaml", "of: []")]
)
def test_what_is_wrong_in_a_users_file_is_said_before_a_model_is_asked(
    own_champion: Path, file: str, text: str
) -> None:
    (own_champion / "models/candidate/bertline.json").unlink()  # else this would be said
    (own_champion / file).write_text(text)
    assert file in bertline(status=1)


def test_without_a_champion_or_a_candidate_the_next_command_is_named(fresh: Path) -> None:
    assert "there is no champion yet to compare with; run: make run" in bertline(status=1)
    (fresh / "models/other").mkdir(parents=True)
    assert "there is no candidate yet; run: make run" in bertline("models/other", status=1)


def test_rows_are_compared_where_dvcs_cache_has_them(
    own_champion: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = read_rows(own_champion / "data/splits/test.parquet")
    _commit_rows(own_champion, everything.slice(0, 20))
    commit_experiment(own_champion, ("dvc.lock", "params.yaml"), "few rows", "few")
    _commit_rows(own_champion, everything.slice(5, 25))
    monkeypatch.setattr(fairness, "_LEARNT_FROM", [Path("data/validated/rows.parquet")])
    found = document("few", "champion")
    assert found["changes"]["data"]["reason"].endswith("lacks those of the champion v1.0.0.")
    monkeypatch.setattr(sides, "_not_run", lambda stages: [])  # the stages after it have not run
    monkeypatch.setattr(sides.Side, "model", None)  # the toy's model does not depend on these rows
    found = document("few", "candidate")
    data = found["changes"]["data"]
    assert [data[each] for each in ("rows_a", "rows_b", "added", "removed")] == [20, 25, 10, 5]
    assert any("few learnt from 20 of these 300 rows" in each for each in found["cautions"])


def _commit_rows(root: Path, rows: pa.Table) -> None:
    """Make `rows` what the stage `validate` has written, for DVC."""
    write_rows(rows, root / "data/validated/rows.parquet")
    with closing(Repo()) as repo:
        repo.commit("validate", force=True)
