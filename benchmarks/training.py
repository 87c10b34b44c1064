"""Training speed on this machine: bertline's loop against the textbook loop and Hugging Face's Trainer.

Every contender trains the same encoder for one epoch on the same rows of the pipeline's own training split,
in turn, several rounds: batch 32 and AdamW, without evaluation and checkpoints. Prints examples/s and real
tokens/s (medians), the share of the machine's measured matrix-multiply peak that real tokens account for, and
the ratio to the textbook loop (median over the rounds). Needs `make run` first (or `dvc repro`).
"""

import argparse
import logging
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from transformers import (
    AutoTokenizer,
    DataCollatorWithPadding,
    PreTrainedModel,
    Trainer,
    TrainingArguments,
)

from bertline.corpus.rows import read_rows
from bertline.modeling.checkpoints import Checkpoints
from bertline.modeling.encoder import build_classifier
from bertline.modeling.strategies import depths
from bertline.modeling.tokens import Manifest, TokenizedSplit, read_split
from bertline.modeling.training import Step, train
from bertline.modeling.weights import find_weights
from bertline.params.finetune import Params
from bertline.params.loading import load_params

TOKENS = Path("data/tokens")
Example = dict[str, torch.Tensor | list[int] | int]


class Texts(Dataset[Example]):
    """The textbook's data set: a text is tokenised and padded to the maximum each time it is asked for."""

    def __init__(self, texts: list[str], labels: list[int], tokenizer: object, max_length: int) -> None:
        self.texts, self.labels, self.tokenizer, self.max_length = texts, labels, tokenizer, max_length

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, i: int) -> Example:
        encoded = self.tokenizer(
            self.texts[i],
            padding="max_length",
            truncation=True,
            max_length=self.max_length,
            return_tensors="pt",
        )
        return {name: tensor[0] for name, tensor in encoded.items()} | {"labels": self.labels[i]}


class Rows(Dataset[Example]):
    """Tokenised once: what a careful user hands to the Trainer."""

    def __init__(self, split: TokenizedSplit) -> None:
        self.split = split

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, i: int) -> Example:
        start, end = self.split.offsets[i], self.split.offsets[i + 1]
        return {"input_ids": self.split.input_ids[start:end].tolist(), "labels": int(self.split.labels[i])}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=320, help="rows an epoch (default: 320)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds after a warm-up (default: 3)")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)

    params = replace(load_params(Params), epochs=1, warmup=0.0, checkpoint_every=10**9)
    torch.set_num_threads(params.threads)
    manifest = Manifest.read(TOKENS)
    split = head(read_split(TOKENS / "train.arrow"), arguments.rows)
    folder = find_weights(manifest.weights)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = read_rows(Path("data/splits/train.parquet"))["text"].to_pylist()[: arguments.rows]
    textbook_rows = Texts(texts, split.labels.tolist(), tokenizer, manifest.max_length)
    pad_to_max = DataCollatorWithPadding(tokenizer, padding="max_length", max_length=manifest.max_length)
    dynamic = DataCollatorWithPadding(tokenizer)

    contenders: dict[str, Callable[[PreTrainedModel], None]] = {
        "textbook loop": lambda model: textbook(model, textbook_rows, params),
        "Trainer, padded to maximum": lambda model: trainer(model, split, params, pad_to_max, "random"),
        "Trainer, dynamic padding": lambda model: trainer(model, split, params, dynamic, "random"),
        "Trainer, grouped by length": lambda model: trainer(model, split, params, dynamic, "group_by_length"),
        "bertline": lambda model: ours(model, split, params),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for round_ in range(arguments.rounds + 1):  # the first is a warm-up
        for name, run in contenders.items():
            torch.manual_seed(0)
            model = build_classifier(folder, manifest.classes).train()
            start = time.perf_counter()
            run(model)
            if round_:
                seconds[name].append(time.perf_counter() - start)

    tokens, peak = int(split.lengths.sum()), matmul_peak()
    flops = training_flops(model, split.lengths)
    print(f"{len(split)} rows, {tokens / len(split):.1f} tokens on average, {params.threads} threads, fp32;")
    print(
        f"matrix-multiply peak measured here: {peak / 1e9:.0f} GFLOP/s; medians of {arguments.rounds} rounds"
    )
    print(f"{'':28}{'examples/s':>11}{'tokens/s':>10}{'of peak':>9}{'ratio':>7}")
    for name, times in seconds.items():
        median = statistics.median(times)
        ratios = [base / mine for base, mine in zip(seconds["textbook loop"], times, strict=True)]
        print(
            f"{name:28}{len(split) / median:11.1f}{tokens / median:10.0f}"
            f"{flops / median / peak:9.0%}{statistics.median(ratios):7.2f}"
        )


def head(split: TokenizedSplit, rows: int) -> TokenizedSplit:
    """Return the first `rows` rows of `split`."""
    offsets = split.offsets[: rows + 1]
    return TokenizedSplit(
        input_ids=split.input_ids[: offsets[-1]], offsets=offsets, labels=split.labels[: len(offsets) - 1]
    )


def textbook(model: PreTrainedModel, rows: Texts, params: Params) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=params.learning_rate)
    for batch in DataLoader(rows, batch_size=params.batch_size, shuffle=True):
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), params.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()


def trainer(
    model: PreTrainedModel, split: TokenizedSplit, params: Params, collate: object, sampling: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=params.batch_size,
            num_train_epochs=1,
            learning_rate=params.learning_rate,
            lr_scheduler_type="constant",
            train_sampling_strategy=sampling,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        )
        Trainer(model=model, args=arguments, train_dataset=Rows(split), data_collator=collate).train()


def ours(model: PreTrainedModel, split: TokenizedSplit, params: Params) -> None:
    """Take the steps of the epoch and stop before its evaluation, which the others do not do."""
    steps = math.ceil(len(split) / params.batch_size)
    with tempfile.TemporaryDirectory() as scratch:
        splits = {"train": split, "validation": split}
        for event in train(model, splits, params, Checkpoints("benchmark", Path(scratch))):
            if isinstance(event, Step) and event.step == steps:
                break


def matmul_peak() -> float:
    """Return the floating-point operations per second of large float32 matrix products, best of ten."""
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    best = math.inf
    for _ in range(10):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * 2048**3 / best


def training_flops(model: PreTrainedModel, lengths: np.ndarray) -> float:
    """Return forward and backward operations of the encoder's matrix products on real tokens alone.

    A token costs 6 operations per weight of the layers, and 12 x layers x hidden size x length for attention.
    """
    config = model.config
    deep = depths(model)
    layers = range(1, config.num_hidden_layers + 1)
    weights = sum(p.numel() for name, p in model.named_parameters() if p.ndim == 2 and deep[name] in layers)
    attention = 12 * config.num_hidden_layers * config.hidden_size * float((lengths.astype(float) ** 2).sum())
    return 6.0 * weights * float(lengths.sum()) + attention


if __name__ == "__main__":
    main()
