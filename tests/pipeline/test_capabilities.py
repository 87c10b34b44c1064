"""What else can be learnt from the same map: several labels a row, rows out of scope, long texts and more."""

import json
import random
import re
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.params import TINY_TRAINING, write_params
from tests.support.tiny import FILLERS, TOPICS, Run, commit, make_texts, write_csv


def several_topics(count: int) -> list[tuple[str, str]]:
    """Return distinct texts that name things of up to two topics, and their topics, separated by |."""
    draw = random.Random(0)
    rows: dict[str, str] = {}
    while len(rows) < count:
        topics = draw.sample(sorted(TOPICS), k=draw.choice([0, 1, 1, 2]))
        words = draw.choices(FILLERS, k=draw.randint(4, 9)) + [draw.choice(TOPICS[each]) for each in topics]
        draw.shuffle(words)
        rows[" ".join(words)] = "|".join(sorted(topics)) or "[]"
    return list(rows.items())


def change(project: Path, rows: list[tuple[str, str]] | None = None, **sections: dict[str, object]) -> None:
    """Give the project other rows and knobs, and commit them."""
    settings = {
        "ingest": {"source": "data/incoming/rows.csv"},
        "split": {"validation": 0.2, "test": 0.3},
        "tokenize": {"weights": "models/tiny"},
        "finetune": TINY_TRAINING | {"epochs": 12, "learning_rate": 5e-3, "device": "cpu"},
        "adapt": {"device": "cpu", "threads": 1},
        "export": {"onnx": False},  # it takes ten seconds, and is tested elsewhere
        "promote": {"min_accuracy": 0.0, "min_gain_over_baseline": -1.0},
    }
    write_params(
        project, **{name: settings.get(name, {}) | sections.get(name, {}) for name in settings | sections}
    )
    if rows:
        write_csv(project / "data/incoming/rows.csv", rows)
    commit(project)


def test_rows_with_several_labels_are_learnt_judged_promoted_and_served(project: Path, run: Run) -> None:
    change(project, several_topics(500), ingest={"source": "data/incoming/rows.csv", "label_separator": "|"})
    done = run(project, sys.executable, "-m", "flows.retrain")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "promoted: v1.0.0" in done.stdout
    metrics = json.loads((project / "reports/evaluation/metrics.json").read_text())
    assert metrics["candidate"]["macro_f1"] > 0.4  # a label is there in a third of the rows
    assert (project / "reports/evaluation/report.html").is_file()
    predict = run(project, "bertline", "predict", "the cat is red", "where is my")
    assert predict.returncode == 0, predict.stderr
    assert [line.split("\t")[2] for line in predict.stdout.splitlines()] == ["the cat is red", "where is my"]


def test_rows_out_of_scope_are_learnt_by_no_model_and_reported_apart(project: Path, run: Run) -> None:
    others = [(text, "other") for text, _ in make_texts(460)[400:]]
    change(
        project,
        [*make_texts(400), *others],
        ingest={"source": "data/incoming/rows.csv", "label_map": {"other": "__out_of_scope__"}},
        validate={"labels": [*TOPICS]},
        finetune={"epochs": 2},
    )
    done = run(project, "dvc", "repro", "evaluate")
    assert done.returncode == 0, done.stdout + done.stderr
    tested = pq.read_table(project / "data/splits/test.parquet", columns=["id", "label"]).to_pylist()
    metrics = json.loads((project / "reports/evaluation/metrics.json").read_text())
    for file, inside in (("out_of_scope", False), ("candidate", True), ("baseline", True)):
        found = pq.read_table(project / f"data/predictions/{file}.parquet")["id"].to_pylist()
        assert found == [row["id"] for row in tested if (row["label"] in TOPICS) is inside]
        assert len(found) == (metrics if inside else metrics["out_of_scope"])["rows"] > 5
    manifest = json.loads((project / "data/tokens/tokens.json").read_text())
    learnt = json.loads((project / "models/exported/config.json").read_text())["label2id"]
    fitted = json.loads((project / "models/baseline/baseline.json").read_text())["labels"]
    assert manifest["classes"] == sorted(learnt) == fitted == sorted(TOPICS)


def test_long_texts_are_read_in_windows_from_tokens_to_serving(project: Path, run: Run) -> None:
    draw = random.Random(0)
    padding = [" ".join(draw.choices(FILLERS, k=20)) for _ in range(400)]
    rows = [
        (f"{filler} {text}", label) for filler, (text, label) in zip(padding, make_texts(400), strict=True)
    ]
    change(
        project,
        rows,
        tokenize={"weights": "models/tiny", "max_length": 16, "long_texts": "windows", "stride": 4},
    )
    done = run(project, "dvc", "repro", "evaluate")
    assert done.returncode == 0, done.stdout + done.stderr
    about = json.loads((project / "models/exported/bertline.json").read_text())
    assert (about["max_length"], about["long_texts"], about["stride"]) == (16, "windows", 4)
    assert (
        json.loads((project / "reports/evaluation/metrics.json").read_text())["candidate"]["accuracy"] > 0.5
    )


def test_a_vocabulary_of_ones_own_is_trained_adapted_to_and_shipped(project: Path, run: Run) -> None:
    own = {"weights": "models/tiny", "vocabulary": 120}
    change(
        project,
        tokenize=own,
        adapt={"objective": "mlm_nsp", "fresh": True, "learning_rate": 1e-3},
    )
    done = run(project, "dvc", "repro", "evaluate")
    assert done.returncode == 0, done.stdout + done.stderr
    shipped = (project / "models/exported/tokenizer.json").read_bytes()
    assert shipped == (project / "data/tokens/tokenizer.json").read_bytes()
    assert shipped != (project / "models/tiny/tokenizer.json").read_bytes()
    assert (
        json.loads((project / "reports/evaluation/metrics.json").read_text())["candidate"]["accuracy"] > 0.5
    )


def test_cross_validation_tests_every_row_once_and_leaves_the_checkout_as_it_was(
    project: Path, run: Run
) -> None:
    change(project, split={"near_duplicates": None}, finetune={"epochs": 2})
    params = (project / "params.yaml").read_bytes()
    done = run(project, "bertline", "cross-validate", "--folds", "3")
    assert done.returncode == 0, done.stderr
    written = (project / "reports/cross_validation.json").read_bytes()
    metrics = json.loads(written)
    folds = metrics["folds"]
    assert metrics["rows"] == pq.read_metadata(project / "data/validated/rows.parquet").num_rows
    assert [each["fold"] for each in folds] == [0, 1, 2]
    for model in ("candidate", "baseline"):
        right = sum(each["rows"] * each[model]["accuracy"] for each in folds)
        assert right / metrics["rows"] == pytest.approx(metrics[model]["accuracy"], abs=1e-5)
    assert f"{metrics['rows']} test rows, 95% intervals" in done.stdout
    experiments = run(project, "git", "for-each-ref", "--format=%(refname:lstrip=-1)", "refs/exps")
    assert experiments.stdout.split() == [f"fold-{fold}-of-3" for fold in range(3)]
    assert (project / "params.yaml").read_bytes() == params
    assert not (project / "models/candidate").exists()

    again = run(project, "bertline", "cross-validate", "--folds", "3")
    assert again.stdout.count(", cached\n") == 3
    assert (project / "reports/cross_validation.json").read_bytes() == written


def test_a_label_that_is_not_in_every_fold_is_named(project: Path, run: Run) -> None:
    same_letters = [(f"where is my cat where is my dog {i}", "new") for i in range(30)]  # lie on one side
    change(project, [*make_texts(300), *same_letters])
    done = run(project, "bertline", "cross-validate", "--folds", "3")
    assert done.returncode == 1
    assert re.fullmatch(r"error: fold-[012]-of-3: split: label 'new' has no row in .*\n", done.stderr)
