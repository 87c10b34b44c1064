import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bertline.cli.app import app
from bertline.comparison import answers
from bertline.metrics.predictions import read_predictions
from bertline.models import classifier
from bertline.registry.registry import Registry
from bertline.rows.labels import LabelSpace
from tests.support.lengths import Lengths
from tests.support.tiny import PROJECT
from tests.support.toy_project import run_in, set_epochs

Retrained = Callable[[int], Path]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "Classifier", Lengths)


def bertline(*arguments: str, stdin: str = "", status: int = 0) -> str:
    result = CliRunner().invoke(app, arguments, input=stdin)
    assert result.exit_code == status, result.output
    return result.output


@contextmanager
def predicting(**environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start `bertline predict --json` in a process of its own."""
    program = (
        "import sys, types; from tests.support.lengths import Lengths\n"
        "sys.modules['bertline.models.classifier'] = types.SimpleNamespace(Classifier=Lengths)\n"
        "from bertline.cli.app import app; app(['predict', '--json', '--model', 'models/candidate'])"
    )
    path = os.pathsep.join([*sys.path, str(PROJECT)])
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path} | environment,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_help_of_every_command_has_an_example() -> None:
    for command in ("predict", "fetch", "promote", "rollback", "history", "compare", "quarantine"):
        assert f"bertline {command}" in bertline(command, "--help")


def test_help_is_quick_because_it_imports_no_framework(own_folder: Path) -> None:
    heavy = ("torch", "dvc", "prefect", "numpy")
    program = f"import sys, bertline.cli.app; print([each for each in {heavy} if each in sys.modules])"
    assert run_in(own_folder, "python", "-c", program) == "[]\n"


def test_promote_then_predict_with_the_champion(project: Path) -> None:
    assert "v1.0.0 is the champion now" in bertline("promote")
    assert bertline("predict", "hi") == "short\t1.000\thi\n"


def test_two_promotions_at_once_make_one_version(project: Path) -> None:
    head, status = (run_in(project, "git", *each) for each in (("symbolic-ref", "HEAD"), ("status", "-s")))
    both = [
        subprocess.Popen(["bertline", "promote"], cwd=project, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in both]
    for process, error in zip(both, errors, strict=True):
        assert process.returncode == 0 or "error: another retraining or promotion (process" in error
    assert any(process.returncode == 0 for process in both)
    assert [version.name for version in Registry(project).versions()] == ["v1.0.0"]
    assert len(Registry(project).champion_history()) == 1
    assert run_in(project, "git", "symbolic-ref", "HEAD") == head
    assert run_in(project, "git", "status", "-s") == status


def test_a_rollback_without_a_git_identity_is_one_error_line(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bertline("promote")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    run_in(project, "git", "config", "--unset", "user.name")
    assert bertline("rollback", status=1).startswith("error: git does not know who you are; run: git config")


def test_a_dry_run_promotes_nothing(project: Path) -> None:
    assert "promote models/candidate" in bertline("promote", "--dry-run")
    assert Registry(project).versions() == []


def test_promote_refuses_a_stale_candidate(project: Path) -> None:
    set_epochs(project, 5)
    assert "run: dvc repro" in bertline("promote", status=1)


def test_predict_reads_lines_and_writes_json(project: Path) -> None:
    shown = bertline("predict", "--model", "models/candidate", "--json", stdin="hi\na longer text\n")
    answers = [json.loads(line) for line in shown.splitlines()]
    assert [answer["label"] for answer in answers] == ["short", "long"]
    assert answers[0]["probabilities"] == {"long": 0.0, "short": 1.0}


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_predict_reads_utf_8_whatever_the_locale_is(project: Path, locale: str) -> None:
    with predicting(LC_ALL=locale, PYTHONCOERCECLOCALE="0") as process:
        out, _ = process.communicate(b"\xef\xbb\xbfhow far?\r\ncaf\xc3\xa9\r\n")
    assert [json.loads(line)["text"] for line in out.splitlines()] == ["how far?", "caf\u00e9"]
    with predicting(LC_ALL=locale, PYTHONCOERCECLOCALE="0") as process:
        out, errors = process.communicate(b"how far?\ncaf\xe9\n")
    assert [json.loads(line)["text"] for line in out.splitlines()] == ["how far?"]
    assert (process.returncode, errors) == (1, b"error: 'caf\\udce9' is not UTF-8\n")


def test_a_reader_that_has_enough_is_no_error(project: Path) -> None:
    with predicting() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"how far?\n")
        process.stdin.flush()
        process.stdout.close()
        _, errors = process.communicate(b"how far?\n" * 50_000)
    assert errors == b""


def test_an_argument_that_is_not_utf_8_is_one_error_line_and_line_breaks_are_not_printed(
    project: Path,
) -> None:
    model = ("--model", "models/candidate")
    assert bertline("predict", *model, "caf\udce9", status=1) == "error: 'caf\\udce9' is not UTF-8\n"
    assert bertline("predict", *model, "title\nand body") == "long\t1.000\ttitle and body\n"


def test_predict_of_a_multi_label_model_prints_all_labels_from_one_half_on(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lengths, "space", LabelSpace(("long", "short"), multi_label=True))
    chances = {"hi": [0.5, 0.9], "a long text": [0.7, 0.2], "?": [0.49, 0.1]}
    monkeypatch.setattr(
        Lengths, "probabilities", lambda _, texts: np.array([chances[text] for text in texts])
    )
    model = ("--model", "models/candidate")
    assert bertline("predict", *model, stdin="hi\na long text\n?\n").splitlines() == [
        "short, long\t0.900, 0.500\thi",
        "long\t0.700\ta long text",
        "\t\t?",
    ]
    answers = [json.loads(line) for line in bertline("predict", *model, "--json", *chances).splitlines()]
    assert [answer["labels"] for answer in answers] == [["short", "long"], ["long"], []]
    assert answers[2]["probabilities"] == {"long": 0.49, "short": 0.1}


def test_predict_before_any_promotion_says_what_to_do(project: Path) -> None:
    assert bertline("predict", "hi", status=1).startswith("error: there is no champion yet; run: make run")


def test_without_a_champion_a_clone_is_told_where_the_tags_may_be(project: Path) -> None:
    run_in(project, "git", "remote", "add", "origin", "elsewhere")
    assert "(or: git fetch --tags)" in bertline("predict", "hi", status=1)
    assert "(or: git fetch --tags)" in bertline("history")


def test_predict_with_a_model_that_is_not_there_is_one_error_line(project: Path) -> None:
    assert (
        bertline("predict", "hi", "--model", "nowhere", status=1) == "error: there is no model in nowhere\n"
    )


def test_predict_with_an_unknown_version_names_the_known_ones(project: Path) -> None:
    bertline("promote")
    assert "there are: v1.0.0" in bertline("predict", "hi", "--version", "v2.0.0", status=1)


def test_rollback_and_history_show_who_reigns(retrained: Retrained) -> None:
    bertline("promote")
    registry = Registry(retrained(4))
    second = registry.register(registry.save_experiment(registry.freeze_run("run")), "better")
    registry.assign(second, "better")
    assert bertline("rollback") == "v1.0.0 is the champion now\n"
    title, second_line, first_line = bertline("history").splitlines()
    assert title.split()[:2] == ["version", "date"]
    assert re.match(r"v1\.1\.0 +\d{4}-\d\d-\d\d \d\d:\d\d +297 +0\.900 +\+0\.000  better", second_line)
    assert re.match(r"v1\.0\.0 +champion +\d{4}-", first_line)


def test_history_as_json_has_an_object_for_each_line(project: Path) -> None:
    bertline("promote")
    [line] = map(json.loads, bertline("history", "--json").splitlines())
    assert (line["version"], line["state"], line["rows"], line["change"]) == ("v1.0.0", "champion", 297, None)


def test_a_question_of_the_verdict_must_be_accepted_by_its_name(
    retrained: Retrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    bertline("promote")
    root = retrained(4)
    candidate = read_predictions(root / "data/predictions/candidate.parquet")
    monkeypatch.setattr(answers, "predict_test_rows", lambda *_: candidate)
    path = root / "params.yaml"
    path.write_text(re.sub(r"(?m)^  test: \S+", "  test: 0.21", path.read_text()))
    assert "to promote it: bertline promote --accept split" in bertline("promote").splitlines()[0]
    wrong = bertline("promote", "--accept", "labels", status=1).splitlines()[-1]
    assert wrong == "error: the verdict does not ask about labels; it asks about: split"
    assert "v1.1.0 is the champion now" in bertline("promote", "--accept", "split")


def test_a_model_of_pairs_reads_two_texts_and_refuses_one(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Both(Lengths):
        pairs = True

        def probabilities(self, texts: list[tuple[str, str]]) -> np.ndarray:
            return super().probabilities([first + second for first, second in texts])

    monkeypatch.setattr(classifier, "Classifier", Both)
    bertline("promote")
    assert bertline("predict", "hi\tthere, you two") == "long\t1.000\thi\tthere, you two\n"
    said = bertline("predict", stdin="hi\tyou\nhi\n", status=1).splitlines()
    assert said[0] == "short\t1.000\thi\tyou"
    assert said[1].startswith("error: this model classifies sentence pairs, and 'hi' has 1; write two texts")
