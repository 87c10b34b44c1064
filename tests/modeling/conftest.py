"""Fixtures of the modeling tests: tokenised splits of a small learnable corpus."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import CLASSES, make_texts

from bertline.modeling.tokens import TokenizedSplit, encode, load_tokenizer, read_split, write_split
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
def splits(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, TokenizedSplit]:
    tokenizer = load_tokenizer(tiny_encoder, 32)
    folder = tmp_path_factory.mktemp("tokens")
    rows = make_texts(150)
    for name, part in (("train", rows[:110]), ("validation", rows[110:])):
        input_ids, _ = encode(tokenizer, [text for text, _ in part])
        labels = [CLASSES.index(label) for _, label in part]
        write_split(folder / f"{name}.arrow", [str(i) for i in range(len(part))], input_ids, labels)
    return {name: read_split(folder / f"{name}.arrow") for name in ("train", "validation")}


@pytest.fixture
def params() -> Callable[..., Params]:
    def make(**changes: object) -> Params:
        return replace(PARAMS, **changes)

    return make
