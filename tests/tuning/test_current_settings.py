"""The settings of the user's own training in numbers."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from bertline.stages.finetune.recipe import choose_epochs, choose_learning_rate
from bertline.stages.tokenize.token_writer import Chunk, pack_ids, write_split
from bertline.tokens.manifest import Manifest
from bertline.tokens.truncation import Truncator
from bertline.tuning.current_settings import read_settings
from tests.support.params import section, write_params
from tests.support.tiny import CLASSES, SIZES, make_texts


@pytest.fixture
def project(tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml and an encoder, and no tokens yet."""
    shutil.copytree(tiny_encoder, tmp_path / "models/tiny")
    write_params(tmp_path, tokenize={"weights": "models/tiny"})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_tokens(folder: Path, manifest: Manifest, rows: int) -> None:
    folder.mkdir(parents=True)
    manifest.write(folder)
    truncator = Truncator(Path("models/tiny"), max_length=32, long_texts="head", stride=0)
    texts = make_texts(rows)
    labels = np.array([CLASSES.index(label) for _, label in texts])
    ids = pack_ids([f"{i:032x}" for i in range(rows)])
    chunk = Chunk(ids, truncator.encode([text for text, _ in texts]), labels)
    write_split(folder / "train.arrow", [chunk])


def test_auto_is_what_the_last_tokens_give(project: Path, manifest: Manifest) -> None:
    write_tokens(project / "data/tokens", manifest, rows=1200)
    settings, layers = read_settings()
    assert settings.epochs == choose_epochs(1200, len(CLASSES), section("finetune").batch_size)
    assert settings.learning_rate == choose_learning_rate(layers, SIZES["hidden_size"])
    assert layers == SIZES["num_hidden_layers"]


def test_numbers_need_no_tokens(project: Path) -> None:
    write_params(project, tokenize={"weights": "models/tiny"}, finetune={"epochs": 5})
    settings, _ = read_settings()
    assert settings.epochs == 5


def test_auto_without_tokens_names_the_command_that_makes_them(project: Path) -> None:
    with pytest.raises(ValueError, match="run `dvc repro tokenize`"):
        read_settings()
