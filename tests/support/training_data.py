"""Fixtures of the modeling tests: tokenised splits of a small learnable corpus."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bertline.params.adapt import Params as AdaptParams
from bertline.params.finetune import Resolved
from bertline.stages.tokenize.token_writer import Chunk, pack_ids, write_split
from bertline.tokens.arrays import TokenizedSplit, read_split
from bertline.tokens.manifest import Manifest
from bertline.tokens.pretrained import fingerprint
from bertline.tokens.truncation import Truncator, load_tokenizer
from tests.support.params import TINY_TRAINING, section
from tests.support.tiny import CLASSES, make_texts

PARAMS = Resolved(**vars(section("finetune", **TINY_TRAINING)))
ADAPT: AdaptParams = section(
    "adapt", **TINY_TRAINING | {"objective": "mlm", "batch_size": 16, "device": "cpu"}
)


@pytest.fixture(scope="session")
def tokenized(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TokenizedSplit]:
    def tokenized(
        rows: list[tuple[str | tuple[str, str], str]], classes: tuple[str, ...] = CLASSES
    ) -> TokenizedSplit:
        """Write (text or pair, label) rows as a split of at most 32 tokens each, and read it."""
        path = tmp_path_factory.mktemp("tokens") / "split.arrow"
        truncator = Truncator(tiny_encoder, max_length=32, long_texts="head", stride=0)
        encoded = truncator.encode([text for text, _ in rows])
        ids = pack_ids([f"{i:032x}" for i in range(len(rows))])
        write_split(path, [Chunk(ids, encoded, np.array([classes.index(label) for _, label in rows]))])
        return read_split(path)

    return tokenized


@pytest.fixture(scope="session")
def splits(tokenized: Callable[..., TokenizedSplit]) -> dict[str, TokenizedSplit]:
    rows = make_texts(150)
    return {"train": tokenized(rows[:110]), "validation": tokenized(rows[110:])}


@pytest.fixture(scope="session")
def params() -> Callable[..., Resolved]:
    def make(**changes: object) -> Resolved:
        return replace(PARAMS, **changes)

    return make


@pytest.fixture(scope="session")
def adapt_params() -> Callable[..., AdaptParams]:
    def make(**changes: object) -> AdaptParams:
        return replace(ADAPT, **changes)

    return make


@pytest.fixture(scope="session")
def manifest(tiny_encoder: Path) -> Manifest:
    return Manifest(
        weights=str(tiny_encoder),
        weights_sha256=fingerprint(tiny_encoder),
        max_length=32,
        long_texts="head",
        stride=0,
        own_tokenizer=False,
        vocabulary=load_tokenizer(tiny_encoder).get_vocab_size(),
        special_ids={"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4},
        pairs=False,
        multi_label=False,
        classes=CLASSES,
    )


@pytest.fixture(scope="session")
def token_folder(tiny_encoder: Path, manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of tokens, but for the tokens: manifest and tokenizer."""
    folder = tmp_path_factory.mktemp("tokens")
    shutil.copytree(
        tiny_encoder, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("model*", "config.json")
    )
    manifest.write(folder)
    return folder
