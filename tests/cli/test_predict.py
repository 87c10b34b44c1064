"""`bertline predict` with real models; test_app.py has the rest, with a stand-in."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from bertline.cli.app import app
from bertline.models.classifier import Classifier
from tests.support.params import write_params
from tests.support.tiny_model import refuse_below, save_tiny_model
from tests.support.toy_project import run_in

TEXTS = ["the cat is red", "one dog"]


@pytest.fixture(scope="module")
def models(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models: `plain` without thresholds, `strict` refuses the less probable answer, `pairs` reads pairs."""
    folder = tmp_path_factory.mktemp("models")
    save_tiny_model(folder / "plain", tiny_encoder, onnx=True)
    shutil.copytree(folder / "plain", folder / "strict")
    chances = Classifier(folder / "plain").probabilities(TEXTS).max(axis=1)
    refuse_below(folder / "strict", float(chances.mean()))
    save_tiny_model(folder / "pairs", tiny_encoder, pairs=True)
    return folder


@pytest.fixture
def bertline(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.chdir(tmp_path)

    def run(model: str, *arguments: str, status: int = 0) -> str:
        done = CliRunner().invoke(app, ["predict", "--model", str(models / model), *arguments])
        assert done.exit_code == status, done.output
        return done.output

    return run


def test_json_has_the_out_of_scope_score_and_where_asked_the_refusal(
    models: Path, bertline: Callable[..., str]
) -> None:
    expected = Classifier(models / "strict").answers(TEXTS)
    answers = [json.loads(line) for line in bertline("strict", "--json", *TEXTS).splitlines()]
    assert [each["out_of_scope"] for each in answers] == expected.out_of_scope.tolist()
    assert all(each["label"] and "refused" not in each for each in answers)
    asked = [json.loads(line) for line in bertline("strict", "--json", "--abstain", *TEXTS).splitlines()]
    assert {each["refused"] for each in asked} == {None, "not_sure"}
    assert all((each["label"] is None) == (each["refused"] is not None) for each in asked)


def test_a_refusal_stands_in_the_place_of_the_label_with_its_reason(bertline: Callable[..., str]) -> None:
    lines, asked = (
        [line.split("\t") for line in bertline("strict", *options, *TEXTS).splitlines()]
        for options in ([], ["--abstain"])
    )
    assert sorted(line[0] == "refused: not sure" for line in asked) == [False, True]
    assert [line[1:] for line in asked] == [line[1:] for line in lines]


def test_a_blank_text_has_no_answer_as_in_a_file(bertline: Callable[..., str]) -> None:
    for abstain in ([], ["--abstain"]):
        asked = [*abstain, "", TEXTS[0], " \t", TEXTS[1]]
        lines = bertline("strict", *asked).splitlines()
        assert (lines[0], lines[2]) == ("no text\t\t", "no text\t\t \t")
        assert lines[1::2] == bertline("strict", *abstain, *TEXTS).splitlines()
        answers = [json.loads(line) for line in bertline("strict", "--json", *asked).splitlines()]
        assert {answers[0][key] for key in answers[0].keys() - {"text"}} == {None}
        assert [each["text"] for each in answers] == ["", TEXTS[0], " \t", TEXTS[1]]
        assert answers[0].keys() == answers[1].keys()
    assert bertline("plain", " ") == "no text\t\t \n"


def test_a_pair_with_a_blank_text_has_no_answer(bertline: Callable[..., str]) -> None:
    lines = bertline("pairs", "the cat\tone dog", "the cat\t ", "").splitlines()
    assert [line.split("\t")[0] == "no text" for line in lines] == [False, True, True]


@pytest.mark.parametrize("model", ["plain", "pairs"])
def test_a_model_without_thresholds_cannot_abstain(bertline: Callable[..., str], model: str) -> None:
    said = bertline(model, "--abstain", "the cat", status=1)
    assert "has no thresholds, so --abstain would refuse nothing" in said
    assert "`dvc repro`" in said


def test_an_exported_folder_answers_without_torch(models: Path, tmp_path: Path) -> None:
    heavy = ("torch", "transformers", "pandas", "scipy", "dvc", "gto")
    program = (
        "import sys; from bertline.cli.app import app\n"
        f"try: app(['predict', 'the cat', '--model', {str(models / 'plain')!r}])\n"
        f"finally: print([each for each in {heavy} if each in sys.modules])"
    )
    assert run_in(tmp_path, "python", "-c", program).splitlines()[-1] == "[]"


def test_the_champion_is_found_without_dvc(tmp_path: Path) -> None:
    program = "import sys, bertline.registry.registry; print('dvc' in sys.modules)"
    assert run_in(tmp_path, "python", "-c", program) == "False\n"


def test_columns_are_those_of_params_yaml_unless_they_are_given(
    bertline: Callable[..., str], tmp_path: Path
) -> None:
    pq.write_table(pa.table({"body": TEXTS, "other": ["the cat", None]}), tmp_path / "in.parquet")
    files = ("--input", "in.parquet", "--output", "out.parquet")
    assert "no column 'text'; there are: body, other" in bertline("plain", *files, status=1)
    assert "wrote out.parquet: 2 rows\n" in bertline("plain", *files, "--text-column", "body")
    write_params(tmp_path, ingest={"text_column": "other"})
    said = "wrote out.parquet: 2 rows, 1 of them without a text, so without a prediction\n"
    assert said in bertline("plain", *files)


def test_a_model_of_pairs_needs_both_columns(bertline: Callable[..., str], tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": TEXTS, "other": TEXTS}), tmp_path / "in.parquet")
    files = ("--input", "in.parquet", "--output", "out.parquet")
    assert "name the column of the second: --pair-column" in bertline("pairs", *files, status=1)
    assert "wrote out.parquet: 2 rows" in bertline("pairs", *files, "--pair-column", "other")
    assert "leave out --pair-column" in bertline("plain", *files, "--pair-column", "other", status=1)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--input", "in.csv"], "--input and --output belong together"),
        (
            ["--input", "in.csv", "--output", "out.parquet", "a text"],
            "--input takes no texts beside the file",
        ),
        (["a text", "--text-column", "body"], "name columns of --input"),
        (["--input", "in.csv", "--output", "out.parquet"], "there is no file in.csv"),
    ],
)
def test_options_that_do_not_fit_together_are_one_line(
    bertline: Callable[..., str], arguments: list[str], fault: str
) -> None:
    said = bertline("plain", *arguments, status=1)
    assert fault in said
    assert len(said.splitlines()) == 1


def test_time_prints_how_quickly_the_model_answers_and_no_answer(bertline: Callable[..., str]) -> None:
    said = bertline("plain", "--time", *TEXTS)
    assert "texts a second" in said
    assert len(said.splitlines()) == 2


def test_time_measures_texts_alone(bertline: Callable[..., str]) -> None:
    assert "--time measures texts" in bertline("plain", "--time", "--json", "the cat", status=1)
