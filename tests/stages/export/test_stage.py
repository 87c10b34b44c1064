import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from bertline.models.classifier import Classifier
from bertline.models.folder import FP32, SERVED
from bertline.models.torch_backend import TorchBackend
from bertline.rows.labels import OUT_OF_SCOPE
from bertline.stages.export.stage import export
from bertline.stages.package.stage import package
from tests.support.chain import run, run_all
from tests.support.params import TINY_TRAINING, write_params
from tests.support.tiny import CLASSES, FILLERS, SIZES, make_texts, write_csv

TEXTS = [text for text, _ in make_texts(50, seed=9)]
DRAW = random.Random(5)
OTHERS = [(" ".join(DRAW.choices(FILLERS, k=10)), OUT_OF_SCOPE) for _ in range(80)]


@pytest.fixture(scope="module")
def exported(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where `export` and `package` have run, with rows out of scope among the others."""
    folder = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_csv(Path("data/incoming/rows.csv"), [*make_texts(300), *OTHERS])
        write_params(
            Path(),
            ingest={"source": "data/incoming/*.csv"},
            tokenize={"weights": str(tiny_encoder)},
            finetune={**TINY_TRAINING, "epochs": 8, "device": "cpu"},
            export={"threads": 1},
            package={"examples": 0},
        )
        run_all("ingest", "split", "tokenize", "adapt", "finetune", "export")
        package(
            finetuned=Path("models/finetuned"),
            exported=Path("models/exported"),
            train=Path("data/splits/train.parquet"),
            out_of_fold=Path("data/out_of_fold"),
            ingested=Path("reports/ingest.json"),
            split=Path("reports/split.json"),
            training=Path("reports/finetune"),
            export=Path("reports/export"),
            evaluation=Path("reports/evaluation"),
            model=Path("models/candidate"),
        )
    return folder


@pytest.fixture
def before_export(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder is a copy of `exported` in which `export` has not run yet."""
    monkeypatch.chdir(shutil.copytree(exported, tmp_path / "again"))
    shutil.rmtree("models/exported")


def export_here() -> None:
    """Export in this process, so that a test can replace a part."""
    export(
        validation=Path("data/splits/validation.parquet"),
        finetuned=Path("models/finetuned"),
        exported=Path("models/exported"),
        report=Path("reports/export"),
    )


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "reports/export/export.json").read_text())
    return found


def test_what_is_served_answers_as_torch_does(exported: Path) -> None:
    served, by_torch = (Classifier(exported / f"models/{name}") for name in ("exported", "finetuned"))
    assert served.settings.is_exported
    ours, theirs = (each.probabilities(TEXTS) for each in (served, by_torch))
    assert np.mean(ours.argmax(1) == theirs.argmax(1)) >= 0.97
    np.testing.assert_allclose(ours, theirs, atol=0.1)


def test_the_packaged_folder_loads_unchanged_in_the_pipeline_of_transformers(exported: Path) -> None:
    from transformers import pipeline

    folder = exported / "models/candidate"
    classify = pipeline("text-classification", model=str(folder), device="cpu", top_k=None)
    theirs = [{each["label"]: each["score"] for each in row} for row in classify(TEXTS[:5])]
    expected = Classifier(exported / "models/finetuned").probabilities(TEXTS[:5])
    np.testing.assert_allclose([[row[label] for label in CLASSES] for row in theirs], expected, atol=1e-6)


def test_the_packaged_folder_has_what_text_embeddings_inference_looks_for(exported: Path) -> None:
    folder = exported / "models/candidate"
    assert (folder / "onnx/model.onnx").is_file()
    assert not (folder / "model.onnx").exists()  # it would be read instead
    config = json.loads((folder / "config.json").read_text())
    assert {"hidden_size", "num_hidden_layers", "id2label", "label2id"} <= set(config)
    assert config["architectures"][0].endswith("Classification")
    assert {type(config[name]) for name in ("max_position_embeddings", "pad_token_id")} == {int}
    # Without it, texts would be read up to max_position_embeddings, and not truncated as in training.
    lengths = json.loads((folder / "sentence_bert_config.json").read_text())
    assert lengths == {"do_lower_case": False, "max_seq_length": 128}


def test_the_card_of_a_model_that_was_not_evaluated_is_shorter(exported: Path) -> None:
    card = (exported / "models/candidate/README.md").read_text()
    assert "## How good it is" not in card
    assert "## How to make it again" in card


def test_the_candidate_answers_with_the_served_file(exported: Path) -> None:
    candidate, served = (Classifier(exported / f"models/{name}") for name in ("candidate", "exported"))
    np.testing.assert_array_equal(candidate.probabilities(TEXTS), served.probabilities(TEXTS))


def test_thresholds_are_those_of_the_report(exported: Path) -> None:
    settings = json.loads((exported / "models/exported/bertline.json").read_text())
    assert settings["answering"]["precision"] == report(exported)["served"]
    thresholds = report(exported)["thresholds"]
    assert isinstance(thresholds, dict)
    assert settings["answering"]["score"] == thresholds["score"]


def test_rows_out_of_scope_choose_the_score_that_finds_them_best(exported: Path) -> None:
    found = report(exported)
    aurocs, thresholds = found["auroc"], found["thresholds"]
    assert isinstance(aurocs, dict)
    assert isinstance(thresholds, dict)
    assert set(aurocs) == {"mahalanobis", "energy", "max_probability"}
    assert aurocs[thresholds["score"]] == max(aurocs.values())


def test_texts_are_refused_by_the_thresholds(exported: Path) -> None:
    classifier = Classifier(exported / "models/exported")
    answers, answering = classifier.answers(TEXTS), classifier.settings.answering
    assert answering is not None
    assert answering.max_out_of_scope is not None
    outside = answers.out_of_scope > answering.max_out_of_scope
    np.testing.assert_array_equal(answers.refused == 1, outside)


@pytest.mark.usefixtures("before_export")
def test_a_rerun_writes_the_same_bytes(exported: Path) -> None:
    done = run("export")
    assert done.returncode == 0, done.stderr
    for path in Path("models/exported").rglob("*.*"):
        assert path.read_bytes() == (exported / path).read_bytes()


def test_a_folder_of_an_older_version_is_answered_by_torch(exported: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported / "models/finetuned", tmp_path / "old"))
    (folder / "bertline.json").write_text(json.dumps({"max_length": 128}))
    (folder / "out_of_scope.safetensors").unlink()
    answers = Classifier(folder).answers(TEXTS)
    expected = Classifier(exported / "models/finetuned").probabilities(TEXTS)
    np.testing.assert_allclose(answers.probabilities, expected, atol=1e-6)
    assert not answers.refused.any()


@pytest.mark.usefixtures("before_export")
def test_torch_serves_where_no_onnx_file_is_asked_for() -> None:
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("  onnx: true", "  onnx: false"))
    done = run("export")
    assert done.returncode == 0, done.stderr
    assert (report(Path())["served"], report(Path())["reason"]) == ("torch", "export.onnx is false")
    assert not Path("models/exported/onnx").exists()
    assert Classifier(Path("models/exported")).settings.answering is not None


@pytest.mark.usefixtures("before_export")
def test_a_model_with_older_statistics_is_exported_with_their_states() -> None:
    older = Path("models/finetuned/out_of_scope.safetensors")
    save_file(load_file(older), older)  # without the layer that reads the states
    done = run("export")
    assert done.returncode == 0, done.stderr
    fp32 = Path("models/exported", SERVED if report(Path())["served"] == "fp32" else FP32)
    ours = Classifier(Path("models/exported"), onnx=fp32).outputs(TEXTS).states
    np.testing.assert_allclose(ours, Classifier(Path("models/finetuned")).outputs(TEXTS).states, atol=1e-5)


@pytest.mark.usefixtures("before_export")
def test_what_cannot_be_exported_is_served_by_torch(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bertline.stages.export import onnx_model

    def refuse(*_: object) -> None:
        raise torch.onnx.OnnxExporterError("no such operator")

    monkeypatch.setattr(onnx_model, "_export", refuse)
    export_here()
    assert report(Path())["served"] == "torch"
    assert report(Path())["reason"] == "BertForSequenceClassification cannot be exported: no such operator"
    served = Classifier(Path("models/exported"))
    assert isinstance(served._backend, TorchBackend)
    np.testing.assert_array_equal(
        served.probabilities(TEXTS), Classifier(exported / "models/finetuned").probabilities(TEXTS)
    )


@pytest.mark.usefixtures("before_export")
def test_an_encoder_that_embeds_no_positions_is_served_too(tiny_encoder: Path, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModel

    from bertline.encoder.classifier import build_classifier, save_classifier

    encoder = Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))
    roformer = AutoConfig.for_model("roformer", vocab_size=40, pad_token_id=0, **SIZES)
    AutoModel.from_config(roformer).save_pretrained(encoder)
    finetuned = Path("models/finetuned")
    save_classifier(build_classifier(encoder, CLASSES), encoder, 128, finetuned)
    (finetuned / "out_of_scope.safetensors").unlink()
    done = run("export")
    assert done.returncode == 0, done.stderr
    assert report(Path())["served"] in ("fp32", "int8")
    assert report(Path())["parity"].keys() == {"fp32", "int8"}
    assert report(Path())["parity"]["fp32"]["max_difference"] <= 1e-5
    ours, theirs = (
        Classifier(Path(f"models/{name}")).probabilities(TEXTS) for name in ("exported", "finetuned")
    )
    np.testing.assert_allclose(ours, theirs, atol=0.1)


@pytest.mark.usefixtures("before_export")
def test_float32_is_served_where_int8_cannot_be_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("an input is\nmissing")  # as onnxruntime's quantiser did for RoFormer

    monkeypatch.setattr("bertline.stages.export.stage.write_int8", fail)
    export_here()
    assert report(Path())["served"] == "fp32"
    assert report(Path())["reason"] == "int8 cannot be computed: an input is missing"
    assert [path.name for path in Path("models/exported/onnx").iterdir()] == ["model.onnx"]
    ours, theirs = (
        Classifier(Path(f"models/{name}")).probabilities(TEXTS) for name in ("exported", "finetuned")
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
