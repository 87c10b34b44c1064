"""Fixtures of the modeling tests: tokenised splits of a small learnable corpus."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import CLASSES, make_texts

from bertline.modeling.token_writer import Chunk, pack_ids, write_split
from bertline.modeling.tokens import TokenizedSplit, encode, load_tokenizer, read_split
from bertline.params.finetune import Params

PARAMS = Params(
    seed=1,
    epochs=2,
    batch_size=8,
    learning_rate=3e-3,
    weight_decay=0.01,
    warmup=0.1,
    max_grad_norm=1.0,
    label_smoothing=0.0,
    layer_decay=1.0,
    reinit_layers=0,
    frozen_layers=None,
    select_by="macro_f1",
    device="auto",
    threads=1,
    checkpoint_every=5,
)


@pytest.fixture(scope="session")
def tokenized(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TokenizedSplit]:
    def tokenized(
        rows: list[tuple[str | tuple[str, str], str]], classes: tuple[str, ...] = CLASSES
    ) -> TokenizedSplit:
        """Write (text or pair, label) rows as a split of at most 32 tokens each, and read it."""
        path = tmp_path_factory.mktemp("tokens") / "split.arrow"
        encoded = encode(load_tokenizer(tiny_encoder, 32), [text for text, _ in rows])
        ids = pack_ids([f"{i:032x}" for i in range(len(rows))])
        write_split(path, [Chunk(ids, encoded, np.array([classes.index(label) for _, label in rows]))])
        return read_split(path)

    return tokenized


@pytest.fixture(scope="session")
def splits(tokenized: Callable[..., TokenizedSplit]) -> dict[str, TokenizedSplit]:
    rows = make_texts(150)
    return {"train": tokenized(rows[:110]), "validation": tokenized(rows[110:])}


@pytest.fixture(scope="session")
def params() -> Callable[..., Params]:
    def make(**changes: object) -> Params:
        return replace(PARAMS, **changes)

    return make
