"""The main job on real data: the TREC sample with all-MiniLM-L6-v2 and the project's own defaults."""

import json
from pathlib import Path
from typing import Any

import pytest

from bertline.reporting.environment import cut
from bertline.reporting.markdown import inline
from bertline.rows.io import read_rows
from bertline.stages.package.examples import CHARACTERS
from tests.support.card_numbers import untraced
from tests.support.tiny import Run, copy_project


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """The sample after `dvc repro`. With two of its three epochs, accuracy would be .929 to .937."""
    project = tmp_path_factory.mktemp("sample") / "project"
    copy_project(project)
    done = run(project, "dvc", "repro")
    assert done.returncode == 0, done.stdout + done.stderr
    return project


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_line_of_the_sample_is_accounted_for(reproduced: Path) -> None:
    ingested = read(reproduced / "reports/ingest.json")
    verdict = read(reproduced / "reports/validation/verdict.json")
    splits = read(reproduced / "reports/split/summary.json")
    assert (ingested["lines_in"], ingested["rows_out"]) == (15_452, 5_380)
    assert ingested["duplicates"] == 15_452 - 5_380
    assert verdict["rows_in"] == verdict["rows_kept"] == 5_380
    assert sum(splits[side] for side in ("train", "validation", "test", "set_aside")) == 5_380


def test_bert_reaches_the_accuracy_promised_and_beats_tf_idf(reproduced: Path) -> None:
    metrics = read(reproduced / "reports/evaluation/metrics.json")
    assert metrics["candidate"]["accuracy"] >= 0.93
    assert metrics["difference"]["macro_f1_low"] > 0


def test_the_model_folder_answers_in_words_through_transformers(reproduced: Path) -> None:
    from transformers import pipeline

    classify = pipeline("text-classification", model=str(reproduced / "models/candidate"), device="cpu")
    assert classify("How far is the moon from the earth ?")[0]["label"] == "NUM"
    assert classify("Who wrote the opera Aida ?")[0]["label"] == "HUM"


def test_every_number_of_the_model_card_stands_in_a_report(reproduced: Path) -> None:
    model = reproduced / "models/candidate"
    card = (model / "README.md").read_text(encoding="utf-8")
    training = read_rows(reproduced / "data/splits/train.parquet")["text"].to_pylist()
    texts = [cut(text, CHARACTERS) for text in training]
    reports = [*reproduced.glob("reports/**/*.json"), model / "bertline.json"]
    assert untraced(card, reports, [inline(text) for text in texts if inline(text) in card]) == []


def test_dvc_shows_the_numbers_and_the_curves(reproduced: Path, run: Run) -> None:
    shown = run(reproduced, "dvc", "metrics", "show", "--json").stdout
    assert "candidate" in json.loads(shown)[""]["data"]["reports/evaluation/metrics.json"]["data"]
    assert run(reproduced, "dvc", "plots", "show", "--json").returncode == 0
    plots = run(reproduced, "dvc", "plots", "show", "--json").stdout
    assert {"training loss", "confusion on test"} <= set(json.loads(plots)["data"])
