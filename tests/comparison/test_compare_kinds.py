"""`bertline compare` of real models, from end to end: on sentence pairs, and with several labels a row."""

import json
import random
import shutil
from contextlib import chdir
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import CliRunner

from bertline.cli.app import app
from bertline.models.classifier import Classifier
from bertline.promotion.promote import PromotionDecision, compare_with_champion, promote
from bertline.rows.io import inputs, read_rows, write_rows
from bertline.rows.labels import OUT_OF_SCOPE, LabelSpace, in_scope
from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids
from tests.support.params import write_params
from tests.support.tiny import CLASSES, FILLERS, TOPICS
from tests.support.tiny_model import save_tiny_model
from tests.support.toy_project import STAGES, own, reproduce, run_in, set_epochs

ROWS = 120
REAL = """
if stage == "finetune":
    import shutil
    epochs = Path("params.yaml").read_text().partition("finetune:")[2].partition(" epochs: ")[2].split()[0]
    shutil.copytree(f"models/{epochs}", "models/candidate")
    sys.exit()
if stage == "evaluate":
    from dataclasses import replace
    from bertline.core.params_loading import load_params
    from bertline.evaluation.behaviour import sample_cases
    from bertline.evaluation.behaviour_file import read_behaviour
    from bertline.metrics.predict import predict
    from bertline.metrics.predictions import write_predictions
    from bertline.models.classifier import Classifier
    from bertline.params.evaluate import Params
    from bertline.rows.io import read_label_space, read_rows
    from bertline.rows.labels import in_scope
    from bertline.stages.evaluate.behaviour import write_behaviour

    params, model = load_params(Params), Classifier(Path("models/candidate"))
    test = Path("data/splits/test.parquet")
    rows = in_scope(read_rows(test))
    predictions, report = Path("data/predictions"), Path("reports/evaluation")
    for folder in (predictions, report):
        folder.mkdir(parents=True)
    found = predict(model, rows, read_label_space(test), unknown_labels="error")
    write_predictions(found, predictions / "candidate.parquet")
    write_predictions(replace(found, probabilities=1 - found.probabilities), predictions / "baseline.parquet")
    cases = sample_cases(rows, read_behaviour(Path("behaviour.yaml"), model.space), params)
    write_behaviour(params, cases, model, of_rows=len(rows), predictions=predictions, report=report)
    sys.exit()
"""
"""Stages that copy a model, and that ask it as the stages of the project do."""

BEHAVIOUR = """
bounds: {typos: 0.5}
tests:
- {name: own, kind: minimum_functionality, texts: TEXTS, slots: {x: [cat, dog]}, KEY}
- {name: end, kind: invariance, append: ' in my'}
- {name: less, kind: directional, replace: {what|where: how}, label: animal, must_not: fall, by: 0.1}
"""


def texts(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    words = [*FILLERS, *(word for topic in TOPICS.values() for word in topic), "<b>"]
    return [f"{i} {' '.join(draw.choices(words, k=draw.randint(3, 9)))}" for i in range(count)]


def write_project(root: Path, encoder: Path, kind: str) -> None:
    """Make the toy project in `root` one of real models, on sentence pairs or with several labels a row."""
    pairs, several = kind == "pairs", kind == "several"
    write_params(
        root,
        promote={"min_accuracy": 0.0, "min_gain_over_baseline": -1.0, "max_loss_to_champion": 1.0},
        evaluate={"behaviour_rows": 40, "resamples": 200},
    )
    (root / "stages.py").write_text(STAGES.replace("stage = sys.argv[1]\n", f"stage = sys.argv[1]\n{REAL}"))
    draw = random.Random(3)
    labels = [CLASSES[i % len(CLASSES)] for i in range(ROWS)]
    if several:
        labels = ["\x1f".join(sorted(draw.sample(CLASSES, i % 4))) for i in range(ROWS)]
    rows = make_rows(
        texts(ROWS + 2, 1),
        [*labels, OUT_OF_SCOPE, OUT_OF_SCOPE],
        text_pair=texts(ROWS + 2, 2) if pairs else None,
    )
    write_rows(add_ids(rows), root / "data/splits/test.parquet", space=LabelSpace(multi_label=several))
    own_texts = "[['what is {x}', 'my {x}']]" if pairs else "['what is {x}']"
    key = "labels: [colour, animal]" if several else "label: animal"
    (root / "behaviour.yaml").write_text(BEHAVIOUR.replace("TEXTS", own_texts).replace("KEY", key))
    column = "text_pair" if pairs else "text"
    (root / "slices.yaml").write_text(f"- {{name: about what, where: \"{column} LIKE '%what%'\"}}\n")
    over = inputs(rows)
    for epochs, onnx in (3, False), (4, True):
        options = {"pairs": pairs, "multi_label": several, "onnx": onnx, "seed": epochs}
        save_tiny_model(root / f"models/{epochs}", encoder, over=over, **options)
    run_in(root, "git", "add", "--all")
    run_in(root, "git", "commit", "--quiet", "--message", kind)


@pytest.fixture(scope="module", params=["pairs", "several"])
def compared(
    request: pytest.FixtureRequest,
    template: Path,
    tiny_encoder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, PromotionDecision]:
    """A project with the champion v1.0.0 and another candidate, and the verdict on that."""
    root = own(template, tmp_path_factory.mktemp(request.param))
    write_project(root, tiny_encoder, request.param)
    with chdir(root):
        for epochs in (3, 4):
            set_epochs(root, epochs)
            reproduce(root)
            decision = compare_with_champion(root)
            if epochs == 3:
                promote(root, decision)
    return root, decision


@pytest.fixture
def project(compared: tuple[Path, PromotionDecision], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(compared[0])
    return compared[0]


def bertline(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["compare", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def right(root: Path, epochs: int) -> npt.NDArray[np.bool_]:
    """Return whether a model answers each test row right, asked without the code of the comparison."""
    rows = in_scope(read_rows(root / "data/splits/test.parquet"))
    model = Classifier(root / f"models/{epochs}")
    chances = model.probabilities(inputs(rows))
    if model.space.multi_label:
        answers = [{CLASSES[i] for i in np.flatnonzero(row >= 0.5)} for row in chances]
        wanted = [set(label.split("\x1f")) - {""} for label in rows["label"].to_pylist()]
        return np.array([a == b for a, b in zip(answers, wanted, strict=True)])
    return np.array(CLASSES)[chances.argmax(axis=1)] == np.array(rows["label"].to_pylist())


def test_broken_and_repaired_rows_are_those_of_the_models(project: Path) -> None:
    a, b = right(project, 3), right(project, 4)
    found = json.loads(bertline("--json"))
    counted = (found["rows"], found["broken"]["rows"], found["fixed"]["rows"])
    assert counted == (ROWS, (a & ~b).sum(), (~a & b).sum())
    assert counted[1] > 0 < counted[2]
    assert found["overall"]["accuracy"]["a"] == pytest.approx(a.mean(), abs=1e-6)
    assert found["overall"]["accuracy"]["b"] == pytest.approx(b.mean(), abs=1e-6)


def test_page_and_lines_show_texts_and_labels(project: Path) -> None:
    lines = bertline("--output", "page.html")
    found, page = json.loads(Path("page.json").read_text()), Path("page.html").read_text()
    rows = in_scope(read_rows(project / "data/splits/test.parquet"))
    texts_of = dict(zip(rows["id"].to_pylist(), inputs(rows), strict=True))
    for row in found["broken"]["shown"] + found["fixed"]["shown"]:
        given = texts_of[row["id"]]
        parts = (given,) if isinstance(given, str) else given
        assert row["text"] == "\n".join(parts)
        assert all(escape(part) in page for part in parts)
        assert set(row["label"] + row["a"] + row["b"]) <= set(CLASSES)
    assert "about what" in page
    assert "2 more test rows are out of scope" in lines


def test_every_behavioural_test_is_compared_or_said_to_be_left_out(project: Path) -> None:
    found = json.loads(bertline("--json"))
    tests = {each["name"]: each for each in found["differences"] if each["kind"] == "behaviour"}
    skipped = {each["name"]: each["reason"] for each in found["skipped"]}
    assert {"own", "end", "less", "typos"} <= tests.keys()
    assert tests["own"]["rows"] == 2
    assert not tests.keys() & skipped.keys()
    if project.parent.name.startswith("pairs"):
        assert "both texts of a pair" in skipped["numbers"]


def test_the_answers_that_the_stage_saved_are_those_of_the_model(project: Path) -> None:
    def numbers(model: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(bertline("v1.0.0", model, "--json"))["differences"]
        return found

    assert numbers("candidate") == numbers("models/4")


def test_a_verdict_has_its_page(compared: tuple[Path, PromotionDecision]) -> None:
    root, decision = compared
    assert decision.no_comparison is None
    assert decision.comparison is not None
    assert (root / decision.comparison).is_file()


def test_a_model_of_single_texts_and_labels_is_compared_with_a_caution(
    project: Path, tiny_encoder: Path
) -> None:
    save_tiny_model(project / "models/single", tiny_encoder)
    found = json.loads(bertline("models/single", "candidate", "--json"))
    assert found["rows"] == ROWS
    says = "single texts, and these rows are sentence pairs"
    if project.parent.name.startswith("several"):
        says = "one label a row, and these rows have several labels a row"
    assert f"The model in models/single was trained on {says}." in found["cautions"]
    shutil.rmtree(project / "models/single")
