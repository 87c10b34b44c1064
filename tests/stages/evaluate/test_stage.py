import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from bertline.metrics import predict as predicting
from bertline.metrics.calibration import log_loss
from bertline.metrics.predict import Model
from bertline.metrics.predictions import Predictions
from bertline.models.tfidf import Baseline
from bertline.params.evaluate import Params
from bertline.rows.io import write_rows
from bertline.rows.labels import MULTI_LABEL, LabelSpace
from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids
from bertline.stages.baseline.fit import fit_baseline
from bertline.stages.evaluate.label_issues import LabelIssues, list_label_issues
from bertline.stages.evaluate.mistakes import write_mistakes
from bertline.stages.evaluate.outputs import write_numbers
from bertline.stages.evaluate.report.write import write_pages
from bertline.stages.evaluate.stage import evaluate
from tests.support.page_text import shown_text
from tests.support.params import SHIPPED, section, write_params

PARAMS: Params = section("evaluate", batch_size=8, threads=1, resamples=200)
REFUSALS = {"abstention": {"answered": 0.9, "precision_of_answered": 0.99}}
OUTSIDE = {"rows": 7, "refused": 0.5, "auroc": 0.75}
WORDS = {"HUM": "who", "LOC": "where", "NUM": "how many"}


def predict(model: Model, rows: pa.Table) -> Predictions:
    return predicting.predict(model, rows, model.space, unknown_labels="error")


def _rows(n: int, labels: tuple[str, ...] = ("HUM", "LOC", "NUM")) -> pa.Table:
    asked = [labels[i % len(labels)] for i in range(n)]
    texts = [f"{WORDS.get(label, label)} thing {i}" for i, label in enumerate(asked)]
    return add_ids(make_rows(texts, asked, source="data/incoming/questions.csv")).sort_by("id")


def _mislabelled(n: int, text: str = "who is mislabelled") -> pa.Table:
    right = make_rows(_rows(n)["text"], _rows(n)["label"], source="data/incoming/questions.csv")
    wrong = make_rows([text], ["NUM"], source="data/incoming/wrong.csv")
    return add_ids(pa.concat_tables([right, wrong]))


@pytest.fixture(scope="module")
def model() -> Baseline:
    table = _rows(60)
    params = section("baseline", ngrams=1)
    return fit_baseline(table["text"].to_pylist(), table["label"].to_pylist(), params)


class Uninformed:
    """A model that knows the labels and nothing else."""

    space = LabelSpace(("HUM", "LOC", "NUM"))

    def probabilities(self, texts: list[str]) -> np.ndarray:
        random = np.random.default_rng(len(texts))
        return random.dirichlet(np.ones(3), size=len(texts)).astype(np.float32)


@pytest.fixture
def training(tmp_path: Path) -> Path:
    folder = tmp_path / "finetune"
    folder.mkdir()
    (folder / "steps.csv").write_text("step,loss,learning_rate\n1,1.5,0.1\n2,0.5,0.0\n", encoding="utf-8")
    header = "epoch,train_loss,validation_loss,validation_accuracy,validation_macro_f1"
    (folder / "epochs.csv").write_text(f"{header}\n1,1.0,0.8,0.9,0.85\n", encoding="utf-8")
    (folder / "summary.json").write_text('{"best_epoch": 1}\n', encoding="utf-8")
    (folder / "calibration.json").write_text('{"temperature": 2.0}\n', encoding="utf-8")
    return folder


def write_report(
    params: Params,
    rows: pa.Table,
    candidate: Predictions,
    baseline: Predictions,
    issues: LabelIssues,
    *,
    refusals: dict[str, dict[str, float]],
    training: Path,
    report: Path,
) -> None:
    """Write what the stage writes, but for the parts that need an exported model."""
    write_numbers(params, candidate, baseline, issues, refusals=refusals, training=training, report=report)
    write_mistakes(candidate, rows, report)
    write_pages(candidate, issues, report)


def _report(model: Baseline, training: Path, folder: Path) -> Predictions:
    rows = _rows(90)
    candidate, baseline = predict(model, rows), predict(Uninformed(), rows)
    doubtful = _mislabelled(60)
    issues = list_label_issues({"test": (candidate, rows), "train": (predict(model, doubtful), doubtful)})
    write_report(
        PARAMS, rows, candidate, baseline, issues, refusals=REFUSALS, training=training, report=folder
    )
    return candidate


def assert_same_reports(one: Path, two: Path) -> None:
    names = sorted(path.name for path in one.iterdir())
    assert {"conclusions.json", "evaluation.png", "metrics.json", "report.html", "report.md"} <= set(names)
    assert names == sorted(path.name for path in two.iterdir())
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_predictions_keep_the_order_of_the_rows(model: Baseline):
    rows = _rows(30)
    found = predict(model, rows)
    assert found.ids == rows["id"].to_pylist()
    assert [found.classes[i] for i in found.expected] == rows["label"].to_pylist()


def test_every_file_is_the_same_bytes_every_time(model: Baseline, training: Path, tmp_path: Path):
    _report(model, training, tmp_path / "one")
    _report(model, training, tmp_path / "two")
    assert_same_reports(tmp_path / "one", tmp_path / "two")


def test_the_better_model_is_better_in_file_and_table(
    model: Baseline, training: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    candidate = _report(model, training, tmp_path / "report")
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text(encoding="utf-8"))
    right = float((candidate.predicted == candidate.expected).mean())
    assert metrics["rows"] == 90
    assert metrics["candidate"]["accuracy"] == pytest.approx(right)
    assert metrics["difference"]["accuracy_low"] > 0
    assert f"candidate   {right:.3f}" in capsys.readouterr().out


def test_the_calibration_before_is_that_of_the_logits_times_the_temperature(
    model: Baseline, training: Path, tmp_path: Path
):
    candidate = _report(model, training, tmp_path / "report")
    found = json.loads((tmp_path / "report" / "calibration.json").read_text(encoding="utf-8"))
    squared = candidate.probabilities.astype(np.float64) ** 2
    before = squared / squared.sum(axis=1, keepdims=True)
    loss = found["candidate_before_calibration"]["log_loss"]
    assert loss == pytest.approx(log_loss(candidate.expected, before), rel=1e-4)
    assert found["candidate"]["log_loss"] != found["candidate_before_calibration"]["log_loss"]
    assert f"Candidate before its calibration {loss:.3f} " in shown_text(tmp_path / "report/report.html")


def test_a_model_that_was_not_calibrated_has_no_calibration_before(
    model: Baseline, training: Path, tmp_path: Path
):
    (training / "calibration.json").write_text('{"temperature": 1.0}\n', encoding="utf-8")
    _report(model, training, tmp_path / "report")
    found = json.loads((tmp_path / "report" / "calibration.json").read_text(encoding="utf-8"))
    assert list(found) == ["candidate", "baseline"]


def test_a_level_between_two_percents_is_printed_as_it_is(
    model: Baseline, training: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    rows = _rows(90)
    found = predict(model, rows)
    issues = list_label_issues({"test": (found, rows)})
    params = replace(PARAMS, confidence=0.995)
    write_report(
        params, rows, found, found, issues, refusals=REFUSALS, training=training, report=tmp_path / "report"
    )
    assert "90 test rows, 99.5% intervals" in capsys.readouterr().out


def test_a_class_with_few_test_rows_is_named_in_output_and_page(
    model: Baseline, training: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    labels = ["HUM"] * 2 + ["LOC"] * 6 + ["NUM"]
    rows = add_ids(make_rows([f"thing {i}" for i in range(9)], labels))
    found = predict(model, rows)
    issues = list_label_issues({"test": (found, rows)})
    write_report(
        PARAMS, rows, found, found, issues, refusals=REFUSALS, training=training, report=tmp_path / "report"
    )
    said = "macro-F1 rests on 1 test row of NUM and on fewer than 5 of another class"
    assert said in capsys.readouterr().out.splitlines()
    assert f"Note that {said}." in shown_text(tmp_path / "report/report.html")
    _report(model, training, tmp_path / "enough")
    assert "rests on" not in capsys.readouterr().out


def test_rows_out_of_scope_are_counted_apart_in_file_page_and_output(
    model: Baseline, training: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    rows = _rows(90)
    found = predict(model, rows)
    issues = list_label_issues({"test": (found, rows)})
    folder = tmp_path / "report"
    write_report(
        PARAMS,
        rows,
        found,
        found,
        issues,
        refusals=REFUSALS | {"out_of_scope": OUTSIDE},
        training=training,
        report=folder,
    )
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert (metrics["rows"], metrics["out_of_scope"]) == (90, OUTSIDE)
    assert "7 more test rows are out of scope" in shown_text(folder / "report.html")
    assert "\n7 more test rows are out of scope" in capsys.readouterr().out
    _report(model, training, tmp_path / "none")
    assert "out_of_scope" not in json.loads((tmp_path / "none/metrics.json").read_text(encoding="utf-8"))
    assert "No test row is out of scope" in shown_text(tmp_path / "none/report.html")


def test_confusion_has_one_line_per_row(model: Baseline, training: Path, tmp_path: Path):
    candidate = _report(model, training, tmp_path / "report")
    table = pyarrow.csv.read_csv(tmp_path / "report" / "confusion.csv")
    assert table["actual"].to_pylist() == [candidate.classes[i] for i in candidate.expected]
    assert table["predicted"].to_pylist() == [candidate.classes[i] for i in candidate.predicted]


def test_a_mislabelled_row_is_listed_in_file_page_and_output(
    model: Baseline, training: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    _report(model, training, tmp_path / "report")
    table = pyarrow.csv.read_csv(tmp_path / "report" / "label_issues.csv")
    (found,) = table.to_pylist()
    assert 0 <= found.pop("score") < 0.2
    assert found == {
        "side": "train",
        "id": _mislabelled(60)["id"][-1].as_py(),
        "text": "who is mislabelled",
        "given": "NUM",
        "suggested": "HUM",
        "source": "data/incoming/wrong.csv",
    }
    assert "who is mislabelled" in shown_text(tmp_path / "report/report.html")
    assert "\nlabels that look wrong: 0 of 90 test rows, 1 of 61 train rows; see " in capsys.readouterr().out


def test_where_no_label_looks_wrong_the_list_has_a_header_only(model: Baseline, tmp_path: Path):
    rows = _rows(60)
    issues = list_label_issues({"test": (predict(model, rows), rows)})
    assert (issues.found, issues.rows, issues.worst.num_rows) == ({"test": 0}, {"test": 60}, 0)
    pyarrow.csv.write_csv(issues.worst, tmp_path / "issues.csv")
    header = '"side","id","text","given","suggested","score","source"\n'
    assert (tmp_path / "issues.csv").read_text(encoding="utf-8") == header


def test_only_the_most_suspicious_of_all_sides_are_listed_but_all_are_counted():
    rows = _rows(300)
    predictions = predict(Uninformed(), rows)
    issues = list_label_issues({"test": (predictions, rows), "train": (predictions, rows)}, limit=7)
    assert issues.found["test"] == issues.found["train"] > 7
    assert issues.worst["side"].to_pylist() == ["test", "train"] * 3 + ["test"]
    assert issues.worst["score"].to_pylist() == sorted(issues.worst["score"].to_pylist())


def test_both_texts_of_a_doubtful_pair_are_shown(model: Baseline):
    numbers = range(1000, 1030)  # words that the model does not know
    pairs = make_rows(["who is"] * 30, ["HUM"] * 29 + ["NUM"], text_pair=[f"thing {i}" for i in numbers])
    others = make_rows(["how many"] * 30, ["NUM"] * 30, text_pair=[f"thing {i}" for i in numbers])
    rows = add_ids(pa.concat_tables([others, pairs]))
    issues = list_label_issues({"test": (predict(model, rows), rows)})
    assert issues.worst["text"].to_pylist() == ["who is\nthing 1029"]


def test_out_of_fold_predictions_of_other_rows_are_an_error(model: Baseline):
    with pytest.raises(ValueError, match="predictions of the train split are of other rows"):
        list_label_issues({"train": (predict(model, _rows(30)), _rows(31))})


def test_an_empty_test_split_is_an_error(model: Baseline):
    with pytest.raises(ValueError, match=r"no rows; raise split\.test"):
        predict(model, _rows(0))


def test_a_label_the_model_does_not_know_is_an_error(model: Baseline):
    with pytest.raises(
        ValueError, match="label 'ODD', which is not in the training split \\(HUM, LOC, NUM\\)"
    ):
        predict(model, _rows(8, labels=("HUM", "ODD")))


def test_predictions_of_other_rows_are_not_compared(model: Baseline, training: Path, tmp_path: Path):
    candidate = predict(model, _rows(30))
    issues = list_label_issues({"test": (candidate, _rows(30))})
    with pytest.raises(ValueError, match="different rows"):
        write_report(
            PARAMS,
            _rows(30),
            candidate,
            predict(model, _rows(31)),
            issues,
            refusals=REFUSALS,
            training=training,
            report=tmp_path / "report",
        )


@pytest.fixture
def inputs(tmp_path: Path, training: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The paths of a stage whose model has nothing but its classes, so that it can answer no text."""
    write_params(tmp_path)
    monkeypatch.chdir(tmp_path)
    write_rows(_rows(9), tmp_path / "test.parquet")
    (tmp_path / "model").mkdir()
    labels = {str(place): label for place, label in enumerate(WORDS)}
    (tmp_path / "model/config.json").write_text(json.dumps({"id2label": labels}))
    return {
        "test": tmp_path / "test.parquet",
        "train": tmp_path / "test.parquet",
        "validation": tmp_path / "test.parquet",
        "pinned": SHIPPED / "data/pinned_rows.csv",
        "out_of_fold": tmp_path / "nothing",
        "model": tmp_path / "model",
        "baseline": tmp_path / "nothing",
        "training": training,
        "slices": SHIPPED / "slices.yaml",
        "behaviour": SHIPPED / "behaviour.yaml",
        "predictions": tmp_path / "predictions",
        "report": tmp_path / "report",
    }


@pytest.mark.parametrize("model", ["model", "nowhere"])
def test_a_missing_model_is_an_error_before_anything_is_written(inputs: dict[str, Path], model: str):
    with pytest.raises(ValueError, match=model):
        evaluate(**inputs | {"model": inputs["model"].with_name(model)})
    assert not inputs["predictions"].exists()


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        (
            "slices",
            "- {name: a, where: row_number() over () > 1}",
            "'a': row_number over depends on other rows",
        ),
        ("slices", "- {name: a, where: price > 1}", "slices.yaml, 'a': .*\"price\" not found"),
        ("slices", "- {name: a, where: text}", "'a': the condition is of type VARCHAR"),
        ("behaviour", "offf: []", "behaviour.yaml: unknown key 'offf'"),
        (
            "behaviour",
            "tests: [{name: a, kind: minimum_functionality, texts: [x], label: ODD}]",
            "'ODD' is no class; there are HUM, LOC, NUM",
        ),
        (
            "behaviour",
            "tests: [{name: a, kind: minimum_functionality, texts: [[x, y]], label: HUM}]",
            "the rows are single texts",
        ),
        ("pinned", "content_id,label,note\nfirst,HUM,\n", "content_id"),
    ],
)
def test_what_is_wrong_in_a_users_file_is_said_before_a_row_is_scored(
    inputs: dict[str, Path], tmp_path: Path, file: str, text: str, says: str
):
    path = tmp_path / inputs[file].name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=says):  # else it is said that the model has no tokenizer
        evaluate(**inputs | {file: path})
    assert not inputs["predictions"].exists()


WORD_SETS = {"who": "HUM", "where": "LOC", "who where": "HUM\x1fLOC", "hello": "", "who many": "HUM\x1fNUM"}


def _label_sets(n: int, *others: tuple[str, str]) -> pa.Table:
    asked = [list(WORD_SETS.items())[i % len(WORD_SETS)] for i in range(n)]
    texts = [f"{words} thing {i}" for i, (words, _) in enumerate(asked)] + [text for text, _ in others]
    labels = [label for _, label in asked] + [label for _, label in others]
    return add_ids(make_rows(texts, labels, source="data/incoming/sets.csv"))


@pytest.fixture(scope="module")
def sets_model() -> Baseline:
    table = _label_sets(100)
    params = section("baseline", ngrams=1)
    return fit_baseline(table["text"].to_pylist(), table["label"].to_pylist(), params, MULTI_LABEL)


class UninformedOfSets(Uninformed):
    """A multi-label model that knows the labels and nothing else."""

    space = LabelSpace(("HUM", "LOC", "NUM"), multi_label=True)


def _sets_report(model: Baseline, training: Path, folder: Path) -> Predictions:
    rows = _label_sets(60, ("who where many", "HUM\x1fLOC\x1fNUM"))
    doubtful = _label_sets(60, ("who where is mislabelled", "NUM"))
    candidate, baseline = predict(model, rows), predict(UninformedOfSets(), rows)
    issues = list_label_issues({"test": (candidate, rows), "train": (predict(model, doubtful), doubtful)})
    write_report(
        PARAMS, rows, candidate, baseline, issues, refusals=REFUSALS, training=training, report=folder
    )
    return candidate


def test_a_multi_label_report_has_the_same_files_and_the_same_bytes_every_time(
    sets_model: Baseline, training: Path, tmp_path: Path
):
    _sets_report(sets_model, training, tmp_path / "one")
    _sets_report(sets_model, training, tmp_path / "two")
    assert_same_reports(tmp_path / "one", tmp_path / "two")
    metrics = json.loads((tmp_path / "one" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["candidate"]["accuracy"] > metrics["baseline"]["accuracy_high"]


def test_multi_label_confusion_has_one_line_for_each_label_that_is_or_is_predicted(
    sets_model: Baseline, training: Path, tmp_path: Path
):
    candidate = _sets_report(sets_model, training, tmp_path / "report")
    lines = pyarrow.csv.read_csv(tmp_path / "report" / "confusion.csv").to_pylist()
    for i, label in enumerate(candidate.classes):
        expected, predicted = candidate.expected[:, i], candidate.predicted[:, i]
        hits = lines.count({"actual": label, "predicted": label})
        missed = lines.count({"actual": label, "predicted": "(not predicted)"})
        alarms = lines.count({"actual": "(not actual)", "predicted": label})
        assert (hits, hits + missed, hits + alarms) == (
            (expected & predicted).sum(),
            expected.sum(),
            predicted.sum(),
        )
    assert len(lines) == (candidate.expected | candidate.predicted).sum()


def test_a_row_with_doubtful_labels_is_listed_with_all_of_them(
    sets_model: Baseline, training: Path, tmp_path: Path
):
    _sets_report(sets_model, training, tmp_path / "report")
    worst = pyarrow.csv.read_csv(tmp_path / "report" / "label_issues.csv").to_pylist()[0]
    assert worst["text"] == "who where is mislabelled"
    assert (worst["given"], worst["suggested"]) == ("NUM", "HUM; LOC")
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert re.search(r'<span class="tag">HUM</span>\s+<span class="tag">LOC</span>', page)


def test_a_label_of_a_set_that_the_model_does_not_know_is_an_error(sets_model: Baseline):
    with pytest.raises(ValueError, match="label 'ODD', which is not in the training split"):
        predict(sets_model, _label_sets(8, ("who and odd", "HUM\x1fODD")))


def test_a_label_without_test_rows_and_rows_without_labels_are_no_error(sets_model: Baseline):
    rows = add_ids(make_rows(["hello 1", "who 1"], ["", "HUM"]))
    found = predict(sets_model, rows)
    assert found.expected.tolist() == [[0, 0, 0], [1, 0, 0]]
    assert found.right.tolist() == [True, True]
