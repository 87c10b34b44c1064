import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bertline.rows.io import write_rows
from bertline.rows.labels import MULTI_LABEL, OUT_OF_SCOPE, SINGLE_LABEL
from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids
from bertline.stages.tokenize.stage import SPLITS, tokenize
from bertline.tokens.arrays import read_batch, read_split
from bertline.tokens.manifest import Manifest
from bertline.tokens.truncation import Truncator, load_tokenizer
from tests.support.tiny import CLASSES, make_texts

PATHS = {
    "splits": Path("data/splits"),
    "out": Path("data/tokens"),
    "report": Path("reports/tokenize.json"),
}
CUT = {"max_length": 10, "stride": 3}


def write(rows, name="train", *, pairs=None, space=SINGLE_LABEL):
    """Write (text, label) rows as a split, sorted by id."""
    texts, labels = [text for text, _ in rows], [label for _, label in rows]
    table = add_ids(make_rows(texts, labels, text_pair=pairs)).sort_by("id")
    write_rows(table, PATHS["splits"] / f"{name}.parquet", space=space)
    return table


def digests():
    """Return a hash of every file the stage declares."""
    files = [*PATHS["out"].iterdir(), PATHS["report"]]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(files)}


@pytest.fixture
def project(set_params, tiny_encoder):
    """Enter a folder with two splits and the tiny encoder; return the texts of all of them."""
    set_params("tokenize", weights=str(tiny_encoder), **CUT)
    rows = make_texts(400)
    write(rows[:150])
    write(rows[150:200], "validation")
    return rows


def test_a_tokenizer_that_knows_more_tokens_than_the_encoder_is_refused(project, tiny_encoder, set_params):
    shutil.copytree(tiny_encoder, "encoder")
    config = json.loads(Path("encoder/config.json").read_text())
    Path("encoder/config.json").write_text(json.dumps(config | {"vocab_size": 20}))
    set_params("tokenize", weights="encoder", **CUT)
    with pytest.raises(ValueError, match=r"makes token \d\d, but its encoder has embeddings for 20 tokens"):
        tokenize(**PATHS)


def test_what_windows_share_matters_where_there_are_windows(project, set_params, tiny_encoder):
    too_much = {"weights": str(tiny_encoder), "max_length": 10, "stride": 5}
    set_params("tokenize", **too_much)
    tokenize(**PATHS)
    set_params("tokenize", **too_much, long_texts="windows")
    with pytest.raises(ValueError, match=r"tokenize.stride is 5; allowed: 0 to under half of max_length"):
        tokenize(**PATHS)


def test_the_tokens_are_those_of_the_rows_in_their_order(project, tiny_encoder):
    table = write(project[:150])
    tokenize(**PATHS)
    split, manifest = read_split(PATHS["out"] / "train.arrow"), Manifest.read(PATHS["out"])
    expected = Truncator(tiny_encoder, **CUT, long_texts="head").encode(table["text"].to_pylist())
    assert split.input_ids.tolist() == expected.input_ids.tolist()
    assert split.offsets.tolist() == expected.offsets.tolist()
    assert manifest.classes == CLASSES
    assert [CLASSES[i] for i in split.labels] == table["label"].to_pylist()
    ids = read_batch(PATHS["out"] / "train.arrow")["id"].to_pylist()
    assert [each.hex() for each in ids] == table["id"].to_pylist()


def test_the_report_counts_rows_tokens_and_cuts(project):
    tokenize(**PATHS)
    report = json.loads(PATHS["report"].read_text())
    for name, (start, end) in {"train": (0, 150), "validation": (150, 200)}.items():
        lengths = [len(text.split()) + 2 for text, _ in project[start:end]]
        assert report[name] == {
            "rows": end - start,
            "tokens": sum(min(length, 10) for length in lengths),
            "longest": min(max(lengths), 10),
            "rows_cut": sum(length > 10 for length in lengths),
            "rows_in_windows": 0,
        }


def test_a_new_batch_costs_only_its_rows_and_ends_in_the_bytes_of_a_full_rebuild(project, capsys):
    tokenize(**PATHS)
    write([*project[:150], *project[200:230]])
    write(project[150:205], "validation")
    capsys.readouterr()
    tokenize(**PATHS)
    assert "200 of 235 rows taken from the last run\n" in capsys.readouterr().out
    incremental = digests()
    shutil.rmtree(".bertline")
    shutil.rmtree("data/tokens")
    tokenize(**PATHS)
    assert "taken from the last run" not in capsys.readouterr().out
    assert digests() == incremental


def test_a_row_that_changes_its_split_keeps_its_tokens(project, capsys):
    tokenize(**PATHS)
    write(project[40:200])
    write(project[:40], "validation")
    tokenize(**PATHS)
    assert "200 of 200 rows taken" in capsys.readouterr().out


def test_other_weights_start_anew(project, set_params, tiny_encoder, tmp_path, capsys):
    tokenize(**PATHS)
    other = shutil.copytree(tiny_encoder, tmp_path / "other")
    tokenizer = (other / "tokenizer.json").read_text()
    (other / "tokenizer.json").write_text(tokenizer.replace('"lowercase": true', '"lowercase": false'))
    set_params("tokenize", weights=str(other), **CUT)
    capsys.readouterr()
    tokenize(**PATHS)
    assert "rows taken" not in capsys.readouterr().out


def test_nothing_is_written_but_the_outputs_and_the_scratch(project):
    before = set(Path().rglob("*"))
    tokenize(**PATHS)
    new = {str(path) for path in set(Path().rglob("*")) - before if path.is_file()}
    assert {name for name in new if not name.startswith(".bertline/tokens/")} == {
        "data/tokens/train.arrow",
        "data/tokens/validation.arrow",
        "data/tokens/tokens.json",
        "data/tokens/tokenizer.json",
        "data/tokens/tokenizer_config.json",
        "reports/tokenize.json",
    }


def test_a_killed_run_changes_nothing_but_time(project, run_stage):
    write(make_texts(5000, seed=3))
    assert run_stage("tokenize", **PATHS).returncode == 0
    whole = digests()
    flags = [part for flag, path in PATHS.items() for part in (f"--{flag}", str(path))]
    for seen in ("data/tokens/tokens.json", "data/tokens/train.arrow", "data/tokens/validation.arrow"):
        shutil.rmtree(PATHS["out"])  # as DVC does before a stage
        write(make_texts(6000, seed=3)[: 5000 + len(seen)])
        process = subprocess.Popen([sys.executable, "-m", "bertline.stages.tokenize", *flags])
        while not Path(seen).exists() and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert {path.name for path in PATHS["out"].iterdir()} <= {*whole}
    write(make_texts(5000, seed=3))
    assert "5050 of 5050 rows taken" in run_stage("tokenize", **PATHS).stdout
    assert digests() == whole
    assert len(list(Path(".bertline").rglob("*.*"))) == len(SPLITS)


def test_a_scratch_that_cannot_be_written_does_not_stop_the_run(project, capsys):
    Path(".bertline").write_text("in the way")
    tokenize(**PATHS)
    assert "the next run will tokenize every row: " in capsys.readouterr().out


def test_sentence_pairs_are_cut_together_and_keep_their_segments(project):
    pairs = [text for text, _ in project[200:350]]
    write(project[:150], pairs=pairs)
    tokenize(**PATHS)
    split = read_split(PATHS["out"] / "train.arrow")
    assert split.type_ids is not None
    assert len(split.type_ids) == len(split.input_ids)
    assert split.lengths.max() == 10
    seconds = sum(split.type_ids[split.offsets[1:] - 1])  # the last token is the [SEP] of the second text
    assert seconds == 150
    assert read_split(PATHS["out"] / "validation.arrow").type_ids is None
    assert Manifest.read(PATHS["out"]).pairs


@pytest.mark.parametrize("long_texts", ["tail", "head_tail", "windows"])
def test_long_texts_are_read_as_params_say(project, set_params, tiny_encoder, long_texts, capsys):
    set_params("tokenize", weights=str(tiny_encoder), **CUT, long_texts=long_texts)
    table = write(project[:150])
    for again in (False, True):  # from the scratch of the first run
        tokenize(**PATHS)
        assert ("taken from the last run" in capsys.readouterr().out) == again
        split = read_split(PATHS["out"] / "train.arrow")
        expected = Truncator(tiny_encoder, **CUT, long_texts=long_texts).encode(table["text"].to_pylist())
        assert split.input_ids.tolist() == expected.input_ids.tolist()
        assert split.lengths.tolist() == expected.lengths.tolist()
        assert len(split) == len(split.labels) == 150
    manifest = Manifest.read(PATHS["out"])
    assert (manifest.max_length, manifest.long_texts, manifest.stride) == (10, long_texts, 3)
    long = sum(len(text.split()) > 8 for text, _ in project[:150])
    train = json.loads(PATHS["report"].read_text())["train"]
    windows = long_texts == "windows"
    assert (train["rows_cut"], train["rows_in_windows"]) == ((0, long) if windows else (long, 0))
    assert (split.row_offsets is not None) == windows


def test_the_manifest_says_what_the_tokenizer_beside_it_holds(project, tiny_encoder):
    tokenize(**PATHS)
    manifest = Manifest.read(PATHS["out"])
    assert (PATHS["out"] / "tokenizer.json").read_bytes() == (tiny_encoder / "tokenizer.json").read_bytes()
    assert manifest.special_ids == {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
    assert manifest.vocabulary == load_tokenizer(tiny_encoder).get_vocab_size()
    assert not manifest.own_tokenizer
    assert not manifest.multi_label


def test_a_tokenizer_is_trained_on_the_training_texts_alone(project, set_params, tiny_encoder, capsys):
    chinese = [("天气天气", "animal"), ("公园公园 the cat", "colour")]
    write([*project[:150], *chinese], pairs=["下雨下雨"] * 152)
    write([("餐厅餐厅", "animal"), *project[150:200]], "validation")
    set_params("tokenize", weights=str(tiny_encoder), **CUT, vocabulary=200)
    tokenize(**PATHS)
    manifest, vocabulary = Manifest.read(PATHS["out"]), load_tokenizer(PATHS["out"]).get_vocab()
    assert {"天", "公", "雨", "cat"} <= set(vocabulary)
    assert "餐" not in vocabulary
    assert manifest.own_tokenizer
    assert manifest.vocabulary == len(vocabulary) <= 200
    split = read_split(PATHS["out"] / "train.arrow")
    assert split.input_ids.max() < manifest.vocabulary
    compared = json.loads(PATHS["report"].read_text())["tokenizers"]
    assert compared["weights"]["unknown_tokens"] > 0.1
    assert compared["trained"]["unknown_tokens"] == 0
    assert compared["trained"]["vocabulary"] == len(vocabulary)
    assert "tokenizer (trained): " in capsys.readouterr().out
    first = digests()
    shutil.rmtree(".bertline")
    tokenize(**PATHS)
    assert digests() == first


def test_multi_label_targets_are_a_matrix_in_the_order_of_the_classes(project):
    rows = [("the cat", "animal\x1fnumber"), ("one", "number"), ("what", ""), ("red", "colour")]
    table = write(rows, space=MULTI_LABEL)
    write(rows[:2], "validation", space=MULTI_LABEL)
    tokenize(**PATHS)
    manifest = Manifest.read(PATHS["out"])
    assert manifest.multi_label
    assert manifest.classes == ("animal", "colour", "number")
    labels = read_split(PATHS["out"] / "train.arrow").labels
    expected = [[name in label.split("\x1f") for name in CLASSES] for label in table["label"].to_pylist()]
    assert labels.tolist() == expected
    assert labels.dtype.name == "uint8"


def fails(run_stage):
    done = run_stage("tokenize", **PATHS)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_label_that_train_does_not_know_is_an_error_before_any_work(project, run_stage):
    write([*project[150:200], ("a new thing", "weather")], "validation")
    expected = "error: tokenize: label 'weather' is in validation but not in train; add rows of it\n"
    assert fails(run_stage) == expected
    assert not PATHS["out"].exists()


def test_a_label_of_several_that_train_does_not_know_is_an_error(project, run_stage):
    write([("the cat", "animal\x1fnumber"), ("one", "number")], space=MULTI_LABEL)
    write([("a new thing", "number\x1fweather")], "validation", space=MULTI_LABEL)
    assert "label 'weather' is in validation but not in train" in fails(run_stage)


def test_rows_without_any_label_cannot_be_trained_on(project, run_stage):
    write([("the cat", ""), ("one", "")], space=MULTI_LABEL)
    write([("a thing", "")], "validation", space=MULTI_LABEL)
    assert "no row of data/splits/train.parquet has a label" in fails(run_stage)


def test_sentence_pairs_in_windows_are_refused(project, run_stage, set_params, tiny_encoder):
    set_params("tokenize", weights=str(tiny_encoder), **CUT, long_texts="windows")
    write(project[:150], pairs=["a cat"] * 150)
    assert "tokenize.long_texts is 'windows', which is for single texts" in fails(run_stage)


@pytest.mark.parametrize("stage", ["ingest", "validate", "split", "tokenize", "baseline"])
def test_a_data_stage_starts_without_torch_and_transformers(stage):
    program = (
        f"import sys, bertline.stages.{stage}.stage as _;"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("vocabulary", [None, 120])
def test_rows_out_of_scope_change_no_byte(vocabulary, project, set_params, tiny_encoder):
    set_params("tokenize", weights=str(tiny_encoder), vocabulary=vocabulary, **CUT)
    tokenize(**PATHS)
    without = digests()
    outside = [(f"{word} is something else", OUT_OF_SCOPE) for word in ("why", "when", "who", "whose")]
    write([*project[:150], *outside])
    write([*project[150:200], *outside], "validation")
    shutil.rmtree("data/tokens")
    tokenize(**PATHS)
    assert digests() == without


def test_a_split_with_rows_out_of_scope_alone_is_refused(project, run_stage):
    write([("why", OUT_OF_SCOPE)], "validation")
    assert "data/splits/validation.parquet has no rows of any class; add rows, or change" in fails(run_stage)


def test_an_empty_split_is_refused(project, run_stage):
    write([], "validation")
    assert "data/splits/validation.parquet has no rows of any class; add rows, or change" in fails(run_stage)


def test_a_missing_split_names_the_command_that_makes_it(project, run_stage):
    (PATHS["splits"] / "train.parquet").unlink()
    assert "data/splits/train.parquet is not here; `dvc repro` makes it" in fails(run_stage)
