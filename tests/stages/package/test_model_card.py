import json
import re
from pathlib import Path
from typing import Any, NotRequired

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results
from markdown_it import MarkdownIt
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from bertline.stages.package.model_card import FILE, md5, write_card
from bertline.stages.package.reports import EVALUATION, read_reports
from tests.support.card_numbers import untraced

HOSTILE = (
    'a|b `c` <script>alert("x")</script>\n---\n- **d** [e](javascript:f) ![g](http://h.example) 😀 עברית \\'
)
LABELS = ["ham", "spam", HOSTILE]


def scored(name: str, value: float) -> dict[str, float]:
    return {name: value, f"{name}_low": round(value - 0.0213, 6), f"{name}_high": round(value + 0.0179, 6)}


def documents(labels: list[str]) -> dict[str, Any]:
    """Return JSON files by their path: those of a run that reports everything."""
    counts = {"train": 1713, "validation": 211, "test": 307}
    candidate = scored("accuracy", 0.9137) | scored("macro_f1", 0.8911) | {"mcc": 0.8123}
    slice_ = {"group": "length", "name": "1 to 34 characters", "rows": 83} | scored("accuracy", 0.7321)
    test = {"kind": "invariance", "cases": 291, "skipped": None, "examples": []}
    return {
        "ingest.json": {
            "lines_in": 9173,
            "duplicates": 1291,
            "files": [{"path": f"/home/ada/{name}.csv", "rows": 4581} for name in ("may", HOSTILE[:30])],
        },
        "split/summary.json": counts
        | {"set_aside": 19, "classes": dict.fromkeys(labels, counts)}
        | {"out_of_scope": {"train": 0, "validation": 0, "test": 41}},
        "finetune/summary.json": {"seed": 3, "epochs": 7, "best_epoch": 5, "learning_rate": 3e-05},
        "finetune/calibration.json": {"temperature": 1.317, "not_calibrated_because": None},
        "export/export.json": {"served": "int8", "reason": "no answer flips"},
        "evaluation/metrics.json": {
            "rows": 921,
            "confidence": 0.95,
            "candidate": candidate,
            "baseline": scored("accuracy", 0.8317),
            "abstention": {"answered": 0.8713, "precision_of_answered": 0.9713},
            "out_of_scope": {"rows": 41, "refused": 0.6191, "auroc": 0.9},
        },
        "evaluation/scores.json": {"candidate": candidate | {"balanced_accuracy": 0.8537}, "baseline": {}},
        "evaluation/classes.json": {
            each: {"precision": 0.9171, "recall": 0.8131, "f1": 0.8619, "support": 307} for each in labels
        },
        "evaluation/calibration.json": {
            "candidate": scored("calibration_error", 0.0617) | {"calibration_floor": 0.0231}
        },
        "evaluation/slices.json": {"slices": [slice_], "skipped": []},
        "evaluation/weak_slices.json": {
            "slices": [
                {"rule": f"the word {HOSTILE}", "rows": 57, "rest_accuracy": 0.9417}
                | scored("accuracy", 0.6133)
            ],
            "detectable": {"share": 0.08, "points": 21.3, "power": 0.9},
            "skipped": None,
        },
        "evaluation/behaviour.json": {
            "tests": [
                test
                | {"name": "typos", "description": HOSTILE, "failures": 17}
                | scored("failure_rate", 0.0584),
                test | {"name": "case", "description": "all in capitals", "failures": 0, "failure_rate": 0},
            ]
        },
        "evaluation/cost.json": {
            "parameters": 22713217,
            "bytes": 23417331,
            "flops_per_text": 311713219,
            "tokens_per_text": 13.271,
        },
        "evaluation/conclusions.json": {"good": "Good: 91.4 %.", "weak": HOSTILE, "do": "Label more."},
        "model/bertline.json": {
            "weights": "bert-base-uncased@main",
            "weights_sha256": "0147dd",
            "max_length": 96,
            "long_texts": "head",
            "pairs": False,
            "torch": "2.13.0+cpu",
            "threads": 2,
            "answering": {
                "precision": "int8",
                "score": "mahalanobis",
                "max_out_of_scope": 13.3713,
                "min_probability": 0.9117,
            },
        },
        "model/config.json": {"model_type": "bert", "label2id": {each: i for i, each in enumerate(labels)}},
    }


def write(folder: Path, files: dict[str, Any]) -> str:
    """Write the JSON files into `folder`, then the card; return the card."""
    for name, document in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document))
    reports = read_reports(
        folder / "model",
        ingested=folder / "ingest.json",
        split=folder / "split",
        training=folder / "finetune",
        export=folder / "export",
        evaluation=folder / "evaluation",
    )
    examples = {each: [HOSTILE, "a second text"] for each in reports.classes}
    write_card(folder / "model", reports, examples, "d41d8cd98f00b204e9800998ecf8427e")
    return (folder / "model" / FILE).read_text("utf-8")


@pytest.fixture
def card(tmp_path: Path) -> str:
    return write(tmp_path, documents(LABELS))


def test_every_number_of_the_card_stands_in_a_json(card: str, tmp_path: Path) -> None:
    assert untraced(card, tmp_path.rglob("*.json")) == []


def test_a_number_that_is_invented_is_found(card: str, tmp_path: Path) -> None:
    invented = card.replace("91.4%", "91.5%", 1)
    assert untraced(invented, tmp_path.rglob("*.json")) == ["91.5"]


@pytest.mark.parametrize(
    "shown",
    [
        "91.4% (89.2 to 93.2%)",  # accuracy with its interval
        "| 1,713 | 307 |",  # rows of a label
        "61.3% (59.2 to 63.1%)",  # a weak slice
        "5.8% (3.7 to 7.6%)",  # a behavioural test that failed
        "22,713,217 parameters; the file that answers has 23.4 MB",
        "answers 87.1% of the test rows then, and 97.1%",
        "is below 0.912",
        "refuses 61.9% of the test rows out of scope",
        "| learning rate | 3e-05 |",
        "- **What to do.** Label more.",
    ],
)
def test_the_card_shows(card: str, shown: str) -> None:
    assert shown in card


class _Typed(TypedDict):
    type: str
    name: NotRequired[str]


class _Dataset(TypedDict):
    type: str
    name: str
    split: NotRequired[str]


class _Metric(TypedDict):
    type: str
    value: float
    name: NotRequired[str]


class _Result(TypedDict):
    task: _Typed
    dataset: _Dataset
    metrics: list[_Metric]


class _Model(TypedDict):
    """What the hub asks of a model-index, by its specification."""

    name: str
    results: list[_Result]


def test_the_metadata_is_read_and_written_unchanged_by_huggingface_hub(card: str) -> None:
    read = ModelCard(card)
    assert str(read) == card
    [model] = read.data.to_dict()["model-index"]
    TypeAdapter(_Model).validate_python(model, strict=True)
    name, results = model_index_to_eval_results([model])
    assert eval_results_to_model_index(name, results) == [model]
    values = {each.metric_type: each.metric_value for each in results}
    assert values["accuracy"] == 0.9137
    assert values["balanced_accuracy"] == 0.8537


def test_the_metadata_has_nothing_that_is_not_known(card: str) -> None:
    metadata = ModelCard(card).data
    assert metadata.base_model == "bert-base-uncased"
    assert (metadata.license, metadata.language, metadata.datasets) == (None, None, None)


@pytest.mark.parametrize(
    "weights", ["sample:all-MiniLM-L6-v2", "/home/ada/secret/my-bert", "./my-bert", "models"]
)
def test_weights_that_are_not_of_the_hub_are_no_base_model_and_have_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: str
) -> None:
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    files = documents(LABELS)
    files["model/bertline.json"]["weights"] = weights
    card = write(tmp_path, files)
    assert ModelCard(card).data.base_model is None
    assert "/home" not in card


def test_no_text_of_the_data_becomes_markup(card: str) -> None:
    body = str(MarkdownIt("gfm-like", {"linkify": False}).render(ModelCard(card).text))
    cells = {"table", "thead", "tbody", "tr", "th", "td", "br"}
    known = {"h1", "h2", "p", "strong", "ul", "li", "pre", "code", "details", "summary"}
    assert set(re.findall(r"</?([a-z]\w*)", body)) <= cells | known
    assert not re.search(r"<[^>]*(script|javascript|onerror|href|src=)", body)


def test_a_table_has_as_many_cells_in_each_row(card: str) -> None:
    tables = re.findall(r"(?m)(?:^\|.*\n)+", card)
    assert len(tables) >= 8
    for each in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in each.splitlines()}) == 1


def test_a_rerun_writes_the_same_bytes(card: str, tmp_path: Path) -> None:
    assert write(tmp_path / "again", documents(LABELS)) == card


@pytest.mark.parametrize("missing", [*EVALUATION, "conclusions", "all"])
def test_a_part_that_an_older_run_lacks_makes_the_card_shorter(
    card: str, tmp_path: Path, missing: str
) -> None:
    files = documents(LABELS)
    lacking = [*EVALUATION, "conclusions"] if missing == "all" else [missing]
    shorter = write(
        tmp_path / "older", {name: each for name, each in files.items() if Path(name).stem not in lacking}
    )
    assert len(shorter) < len(card) or missing == "scores"
    assert ModelCard(shorter).data.library_name == "transformers"


def test_a_label_without_test_rows_has_a_dash_for_its_scores(tmp_path: Path) -> None:
    files = documents(LABELS)
    none = dict.fromkeys(("precision", "recall", "f1", "support"), 0.0)
    files["evaluation/classes.json"]["spam"] = none
    assert "| spam | 1,713 | 307 | - | - | - |".replace(" - ", " \N{EN DASH} ") in write(tmp_path, files)


def test_every_test_that_failed_is_listed_and_many_are_folded(tmp_path: Path) -> None:
    files = documents(LABELS)
    [failed, _] = files["evaluation/behaviour.json"]["tests"]
    names = [f"number {chr(97 + i)}" for i in range(25)]
    for count, folded in ((15, False), (25, True)):
        files["evaluation/behaviour.json"]["tests"] = [failed | {"name": name} for name in names[:count]]
        card = write(tmp_path, files)
        assert [name for name in names if f"**{name}**" in card] == names[:count]
        assert ("<summary>All tests that failed</summary>" in card) == folded


def test_many_labels_are_folded_and_their_lowest_are_named(tmp_path: Path) -> None:
    labels = [f"intent {chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(150)]
    files = documents(labels)
    files["evaluation/classes.json"]["intent bc"]["f1"] = 0.2137
    card = write(tmp_path, files)
    assert "<summary>All labels</summary>\n\n| label" in card
    assert "The labels with the lowest F1 are intent bc (0.214)" in card
    assert labels[0] not in card.partition("## Labels")[0]


def test_a_model_with_several_labels_of_a_pair_says_so(tmp_path: Path) -> None:
    files = documents(LABELS)
    files["model/config.json"]["problem_type"] = "multi_label_classification"
    files["model/bertline.json"]["pairs"] = True
    card = write(tmp_path, files)
    assert "reads the two texts of a pair and answers with\nany number of these labels" in card
    assert '"text_pair": "the second text"}, truncation=True, top_k=None)' in card


def test_without_an_onnx_file_the_card_says_why(tmp_path: Path) -> None:
    files = documents(LABELS)
    files["model/bertline.json"]["answering"]["precision"] = "torch"
    files["export/export.json"]["reason"] = "export.onnx is false"
    card = write(tmp_path, files)
    assert "there is no ONNX file, because export.onnx is false" in card
    assert "onnx" not in ModelCard(card).data.tags


def test_a_test_split_without_rows_out_of_scope_shows_nothing_about_them(tmp_path: Path) -> None:
    files = documents(LABELS)
    del files["evaluation/metrics.json"]["out_of_scope"]
    assert "nothing shows how many of such texts it refuses" in write(tmp_path, files)


def test_the_hash_of_the_training_rows_is_that_of_dvc(tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(b"rows\r\n")
    from dvc_data.hashfile.hash import file_md5
    from dvc_objects.fs.local import LocalFileSystem

    assert md5(tmp_path / "rows") == file_md5(str(tmp_path / "rows"), LocalFileSystem())
