"""No model folder gets its own code to run, whatever is on stdin."""

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bertline.encoder.classifier import build_classifier, load_classifier, save_classifier
from bertline.encoder.load import load_config
from bertline.stages.finetune.distillation import load_teacher
from bertline.stages.tokenize.train_tokenizer import copy_tokenizer
from tests.support.tiny import CLASSES

CODE = "from pathlib import Path\nPath({mark!r}).write_text('x')\nraise SystemExit\n"
OWN = {"AutoConfig": "conf.MyConfig", "AutoModelForSequenceClassification": "conf.MyBert"}


@pytest.fixture(autouse=True)
def willing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer every question on stdin with yes."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n" * 100))


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that the code in a folder would write."""
    return tmp_path / "code has run"


@pytest.fixture
def folder(tiny_encoder: Path, tmp_path: Path, mark: Path) -> Path:
    """A copy of the tiny encoder with code beside it, which no config names yet."""
    shutil.copytree(tiny_encoder, tmp_path / "model")
    (tmp_path / "model/conf.py").write_text(CODE.format(mark=str(mark)))
    return tmp_path / "model"


def change(file: Path, **fields: object) -> None:
    config = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(config | fields))


def own_kind(folder: Path) -> None:
    change(folder / "config.json", model_type="mybert", auto_map=OWN)


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a kind of its own": (own_kind, "conf.MyConfig"),
    "no kind": (
        lambda folder: change(folder / "config.json", model_type=None, auto_map=OWN),
        "conf.MyConfig",
    ),
    "code on the hub": (
        lambda folder: change(folder / "config.json", model_type="x", auto_map={"AutoConfig": "a/b--c.D"}),
        "a/b--c.D",
    ),
    "a part of the model": (
        lambda folder: change(
            folder / "config.json", parts=[{"text_config": {"model_type": "bert", "auto_map": OWN}}]
        ),
        "for a part of the model",
    ),
    "a kernel of the hub": (
        lambda folder: change(folder / "config.json", attn_implementation="owner/kernel"),
        "owner/kernel",
    ),
    "a kernel of the hub, by its private name": (
        lambda folder: change(folder / "config.json", _attn_implementation={"": "owner/kernel"}),
        "owner/kernel",
    ),
    "pickled weights": (
        lambda folder: change(folder / "config.json", transformers_weights="weights.bin"),
        "names other weights (weights.bin)",
    ),
    "an adapter": (lambda folder: change(folder / "adapter_config.json", peft_type="LORA"), "an adapter"),
    "a processor of an unknown kind": (
        lambda folder: (
            change(folder / "config.json", model_type="mybert"),
            change(folder / "preprocessor_config.json", auto_map={"AutoProcessor": "conf.MyProcessor"}),
        ),
        "conf.MyProcessor",
    ),
}
LOADERS: dict[str, Callable[[Path], object]] = {
    "weights": lambda folder: build_classifier(folder, CLASSES),
    "champion": load_classifier,
    "teacher": lambda folder: load_teacher(folder, folder, CLASSES, multi_label=False),
}


def assert_refused(load: Callable[[Path], object], folder: Path, mark: Path, says: str) -> None:
    with pytest.raises(ValueError, match="cannot be used") as caught:
        load(folder)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not mark.exists()


@pytest.mark.parametrize(("spoil", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_a_folder_that_asks_for_code_is_refused_in_one_line(
    spoil: Callable[[Path], object], says: str, folder: Path, mark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(folder)
    assert_refused(load_config, folder, mark, says)
    assert capsys.readouterr().out == ""  # nothing is asked


@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS.keys())
def test_code_is_refused_wherever_a_model_is_loaded(
    load: Callable[[Path], object], folder: Path, mark: Path
) -> None:
    own_kind(folder)
    assert_refused(load, folder, mark, "conf.MyConfig")


def test_a_prediction_refuses_code_and_reads_no_answer_from_stdin(folder: Path, mark: Path) -> None:
    own_kind(folder)
    (folder / "bertline.json").write_text(json.dumps({"max_length": 16}))
    command = [
        sys.executable,
        "-c",
        "from bertline.cli.app import app; app()",
        "predict",
        "--model",
        str(folder),
        "a cat",
    ]
    done = subprocess.run(command, input="yes\n" * 9, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "conf.MyConfig" in done.stderr
    assert "Traceback" not in done.stderr
    assert not mark.exists()


def test_code_beside_a_kind_that_transformers_implements_is_not_run_and_not_needed(
    folder: Path, mark: Path, tmp_path: Path
) -> None:
    change(folder / "config.json", auto_map=OWN)
    change(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["conf.Slow", "conf.Fast"]})
    torch.manual_seed(0)
    save_classifier(build_classifier(folder, CLASSES), folder, 32, tmp_path / "saved")
    assert load_classifier(tmp_path / "saved").config.model_type == "bert"
    assert not mark.exists()
    names = [path for path in (tmp_path / "saved").glob("*.json") if "auto_map" in path.read_text()]
    assert names == []


def test_the_code_of_a_tokenizer_is_not_named_beside_the_tokens(folder: Path, tmp_path: Path) -> None:
    change(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["conf.Slow", "conf.Fast"]})
    (tmp_path / "tokens").mkdir()
    copy_tokenizer(folder, tmp_path / "tokens")
    assert "auto_map" not in (tmp_path / "tokens/tokenizer_config.json").read_text()


def test_a_pickle_is_never_taken_for_the_weights(folder: Path, mark: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"x": torch.zeros(1)}, folder / "pytorch_model.bin")
    assert_refused(lambda folder: build_classifier(folder, CLASSES), folder, mark, "model.safetensors")
