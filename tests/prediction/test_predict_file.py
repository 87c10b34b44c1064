import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from bertline.models.classifier import Classifier
from bertline.prediction import predict_file as engine
from bertline.prediction import source as source_module
from bertline.prediction.answers import COLUMNS, TextColumns
from bertline.prediction.predict_file import Request, predict_file
from tests.support.tiny import CLASSES, PROJECT, make_texts
from tests.support.tiny_model import refuse_below, save_tiny_model

CHUNK = 40
ROWS = 1500
TEXTS = [text for text, _ in make_texts(ROWS)]
TABLE = pa.table({"id": [f"0{i}" for i in range(ROWS)], "text": TEXTS})


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (source_module, engine):
        monkeypatch.setattr(module, "CHUNK", CHUNK)


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    pq.write_table(TABLE, tmp_path / "in.parquet")
    return Request(
        source=tmp_path / "in.parquet",
        output=tmp_path / "out.parquet",
        columns=TextColumns(text=("text",)),
        version="v1.0.0",
    )


def predict(folder: Path, request: Request) -> pa.Table:
    for _ in predict_file(Classifier(folder), folder, request):
        pass
    return pq.read_table(request.output)


def parts_of(request: Request) -> dict[str, int]:
    """Return the finished parts and when they were written."""
    folder = request.output.with_name(f".{request.output.name}.parts")
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("0*.parquet")}


def begin(folder: Path, request: Request, parts: int) -> dict[str, int]:
    """Predict some parts, and return all that are finished then."""
    events = predict_file(Classifier(folder), folder, request)
    for _ in range(parts):
        next(events)
    events.close()
    return parts_of(request)


@contextmanager
def predicting(folder: Path, request: Request, limit: str = "") -> Iterator[subprocess.Popen[str]]:
    """Run `bertline predict --input` in a process of its own."""
    program = (
        f"from bertline.prediction import predict_file, source; predict_file.CHUNK = source.CHUNK = {CHUNK}\n"
        f"{limit}\n"
        "import sys; from bertline.cli.app import app; app(['predict', *sys.argv[1:]])"
    )
    files = ["--input", request.source.name, "--output", request.output.name, "--threads", "1"]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *files, "--model", folder],
        cwd=request.source.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(PROJECT)])},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_all_rows_and_columns_come_back_in_order_with_the_answers(
    model_folder: Path, request_: Request, kind: str
) -> None:
    source = request_.source.with_suffix(f".{kind}")
    if kind == "csv":
        pa_csv.write_csv(TABLE, source)
    elif kind == "jsonl":
        source.write_text("".join(json.dumps(row) + "\n" for row in TABLE.to_pylist()))
    found = predict(model_folder, replace(request_, source=source))
    assert found.select(["id", "text"]).to_pylist() == TABLE.to_pylist()
    assert tuple(found.column_names[2:]) == COLUMNS
    expected = Classifier(model_folder).probabilities(TEXTS)
    ours = [[row[name] for name in CLASSES] for row in found["probabilities"].to_pylist()]
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    np.testing.assert_allclose(found["probability"], np.max(ours, axis=1))
    assert found["prediction"].to_pylist() == [CLASSES[i] for i in np.argmax(ours, axis=1)]
    assert set(found["version"].to_pylist()) == {"v1.0.0"}


def test_rows_without_a_text_are_counted_and_have_no_prediction(
    model_folder: Path, request_: Request
) -> None:
    texts = [None, "the cat", "", " \n", "a dog"] * 20
    pq.write_table(pa.table({"text": texts}), request_.source)
    events = [*predict_file(Classifier(model_folder), model_folder, request_)]
    assert events[-1] == engine.Progress(done=100, total=100, without_text=60)
    found = pq.read_table(request_.output)
    assert found["text"].to_pylist() == texts
    for name in ("prediction", "probability", "probabilities", "out_of_scope"):
        assert [value is None for value in found[name].to_pylist()] == [True, False, True, True, False] * 20


def test_a_table_without_rows_or_without_any_text_is_predicted(model_folder: Path, request_: Request) -> None:
    for texts in ([], [None, None]):
        pq.write_table(pa.table({"text": pa.array(texts, pa.string())}), request_.source)
        found = predict(model_folder, request_)
        assert found["prediction"].to_pylist() == texts
        assert tuple(found.column_names[1:]) == COLUMNS


def test_a_run_that_was_killed_ends_in_the_same_bytes(
    model_folder: Path, request_: Request, tmp_path: Path
) -> None:
    with predicting(model_folder, request_) as process:
        assert process.stdout is not None
        for _ in range(3):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert not request_.output.exists()
    assert parts_of(request_)
    with predicting(model_folder, request_) as process:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    resumed = request_.output.read_bytes()
    request_.output.unlink()
    with predicting(model_folder, request_) as process:
        process.communicate(timeout=120)
    assert resumed == request_.output.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.parquet", "out.parquet"]


def test_answers_of_onnx_do_not_depend_on_the_number_of_threads(model_folder: Path) -> None:
    one, three = (Classifier(model_folder, threads=threads).answers(TEXTS) for threads in (1, 3))
    np.testing.assert_array_equal(one.probabilities, three.probabilities)
    np.testing.assert_array_equal(one.out_of_scope, three.out_of_scope)


def test_finished_parts_are_not_predicted_again(model_folder: Path, request_: Request) -> None:
    first = begin(model_folder, request_, parts=3)
    assert len(first) == 3
    assert first.items() <= begin(model_folder, request_, parts=5).items()


@pytest.mark.parametrize("changed", ["input", "model", "options"])
def test_what_was_made_of_something_else_is_not_used(
    model_folder: Path, request_: Request, tmp_path: Path, changed: str
) -> None:
    first = begin(model_folder, request_, parts=3)
    if changed == "input":
        texts = [TEXTS[-1], *TEXTS[1:]]
        pq.write_table(TABLE.set_column(1, "text", pa.array(texts)), request_.source)
    elif changed == "model":
        model_folder = Path(shutil.copytree(model_folder, tmp_path / "model"))
        refuse_below(model_folder, 0.5)
    else:
        request_ = replace(request_, abstain=True)
    again = begin(model_folder, request_, parts=3)
    assert not set(first.values()) & set(again.values())


def test_an_input_that_changes_meanwhile_is_an_error(model_folder: Path, request_: Request) -> None:
    events = predict_file(Classifier(model_folder), model_folder, request_)
    next(events)
    os.utime(request_.source, ns=(0, 0))
    with pytest.raises(ValueError, match=r"in\.parquet changed while it was predicted; run the same"):
        for _ in events:
            pass
    assert not request_.output.exists()


def test_a_text_that_is_not_utf_8_is_one_line_with_its_rows(model_folder: Path, request_: Request) -> None:
    bytes_ = pa.array([*(b"a",) * CHUNK, b"caf\xe9"])
    texts = pa.StringArray.from_buffers(len(bytes_), *bytes_.buffers()[1:])
    pq.write_table(pa.table({"text": texts}), request_.source)
    with pytest.raises(ValueError, match=r"in\.parquet: a text in the rows 41 to 41 is not UTF-8; write"):
        predict(model_folder, request_)


def test_two_processes_do_not_write_one_output(model_folder: Path, request_: Request) -> None:
    events = predict_file(Classifier(model_folder), model_folder, request_)
    next(events)
    with predicting(model_folder, request_) as process:
        _, errors = process.communicate(timeout=120)
    assert re.match(rf"error: bertline predict \(process {os.getpid()}\) is running in out\.parquet", errors)
    events.close()


def test_a_full_disk_is_one_line_and_the_run_continues_when_there_is_room(
    model_folder: Path, request_: Request
) -> None:
    request_ = replace(request_, version=str(model_folder))  # as the command names it
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    with predicting(model_folder, request_, limit) as process:  # room for each part, not for all together
        _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors[:7]) == (1, "error: ")
    assert len(errors.splitlines()) == 1
    assert not request_.output.exists()
    finished = parts_of(request_)
    assert len(finished) == -(-ROWS // CHUNK)
    assert finished == begin(model_folder, request_, parts=len(finished))
    predict(model_folder, request_)


def test_both_texts_of_a_pair_are_read_and_one_alone_is_no_text(
    tiny_encoder: Path, request_: Request, tmp_path: Path
) -> None:
    folder = save_tiny_model(tmp_path / "pairs", tiny_encoder, pairs=True)
    pairs = {"first": ["the cat", "a dog", "a dog"], "second": ["is red", None, "what is"]}
    pq.write_table(pa.table(pairs), request_.source)
    columns = TextColumns(text=("first",), pair=("second",))
    found = predict(folder, replace(request_, columns=columns))["probability"].to_pylist()
    expected = Classifier(folder).probabilities([("the cat", "is red"), ("a dog", "what is")]).max(axis=1)
    np.testing.assert_allclose([found[0], found[2]], expected, atol=1e-6)
    assert found[1] is None


def test_several_columns_are_one_text_as_in_ingest(model_folder: Path, request_: Request) -> None:
    pq.write_table(pa.table({"title": ["the cat", None], "body": ["is red", "a dog"]}), request_.source)
    found = predict(model_folder, replace(request_, columns=TextColumns(text=("title", "body"))))
    expected = Classifier(model_folder).probabilities(["the cat\nis red", "a dog"]).max(axis=1)
    np.testing.assert_allclose(found["probability"], expected, atol=1e-6)


def test_a_model_of_several_labels_predicts_a_list(
    tiny_encoder: Path, request_: Request, tmp_path: Path
) -> None:
    folder = save_tiny_model(tmp_path / "several", tiny_encoder, multi_label=True)
    found = predict(folder, request_)
    by_class = np.array([[row[name] for name in CLASSES] for row in found["probabilities"].to_pylist()])
    ranked = [sorted(zip(-row, CLASSES, strict=True)) for row in by_class]
    expected = [[label for chance, label in row if -chance >= 0.5] for row in ranked]
    assert found["prediction"].to_pylist() == expected
    assert {0, 3}.isdisjoint(map(len, expected))


def test_refused_rows_are_named_and_have_no_prediction_where_asked(
    model_folder: Path, request_: Request, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "model"))
    chances = np.array(predict(folder, request_)["probability"])
    refuse_below(folder, float(np.median(chances)))
    found = predict(folder, request_)
    refused = ["not_sure" if each else None for each in chances < np.median(chances)]
    assert found["refused"].to_pylist() == refused
    assert found["prediction"].null_count == 0
    asked = predict(folder, replace(request_, abstain=True))
    assert [label is None for label in asked["prediction"].to_pylist()] == [*map(bool, refused)]
    assert asked["probability"].null_count == 0


def test_a_column_that_the_output_adds_is_refused(model_folder: Path, request_: Request) -> None:
    pq.write_table(TABLE.append_column("version", TABLE["id"]), request_.source)
    with pytest.raises(ValueError, match="has a column 'version', which the output would have twice"):
        predict(model_folder, request_)


@pytest.mark.parametrize(
    ("output", "fault"),
    [("out.csv", r"a name like out\.parquet"), ("no/out.parquet", "no folder"), ("in.parquet", "the input")],
)
def test_an_output_that_cannot_be_written_is_refused_at_once(
    model_folder: Path, request_: Request, output: str, fault: str
) -> None:
    with pytest.raises(ValueError, match=fault):
        predict(model_folder, replace(request_, output=request_.source.parent / output))
