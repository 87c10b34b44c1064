"""Training speed on this machine: bertline's loop against the textbook loop and Hugging Face's Trainer.

Every contender trains the same encoder on the same rows of the pipeline's own training split, in turn,
several rounds: batch 32 and AdamW, without evaluation and checkpoints. Prints examples/s and real tokens/s
(medians), the share of the machine's measured matrix-multiply peak that real tokens account for, and the
ratios to the textbook loop and to the best of the Trainer's settings (medians over the rounds). Timed is one
epoch with all that it takes to start, or of several (`--epochs`) the last, which finds all of it compiled and
recorded. Needs `make run` first (or `dvc repro`). On a GPU (`--device cuda`) all compute in bf16.
"""

import argparse
import logging
import math
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertModel,
    DataCollatorWithPadding,
    PreTrainedModel,
)

from benchmarks.contenders import Clock, Texts, now, ours, textbook, trainer
from bertline.core.params_loading import load_params
from bertline.encoder.classifier import build_classifier
from bertline.encoder.layers import measure_depths
from bertline.params.finetune import Params, Resolved
from bertline.rows.io import read_rows
from bertline.stages.finetune.prepare import resolve_settings
from bertline.tokens.arrays import TokenizedSplit, read_split
from bertline.tokens.manifest import Manifest
from bertline.tokens.pretrained import find_pretrained
from bertline.tokens.truncation import Truncator
from bertline.training.determinism import keep_freed_memory

TOKENS = Path("data/tokens")
TEXTBOOK = "textbook loop"
PLAIN = {
    "warmup": 0.0,
    "checkpoint_every": 10**9,
    "micro_batch": None,
    "gradient_checkpointing": False,
    "compile": False,
    "cuda_graphs": True,
    "ema_decay": None,
    "r_drop": 0.0,
    "distillation": 0.0,
    "layer_decay": 1.0,
    "frozen_layers": None,
    "unfreeze_epochs": 0,
    "cache_activations": False,
}
"""The settings of every contender; they replace those of params.yaml."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=320, help="rows an epoch (default: 320)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default: 3)")
    parser.add_argument("--batch-size", type=int, default=32, help="rows a step (default: 32)")
    parser.add_argument("--joined", type=int, default=1, help="texts of the split in each row (default: 1)")
    parser.add_argument("--epochs", type=int, default=1, help="of which the last is timed (default: 1)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--bert-base", action="store_true", help="an encoder of that size, with random weights"
    )
    parser.add_argument("--compile", action="store_true", help="also bertline with compiled layers")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)

    device = torch.device(arguments.device)
    own = {name: getattr(arguments, name) for name in ("device", "batch_size", "epochs")}
    section = replace(load_params(Params), **own, **PLAIN)
    torch.set_num_threads(section.threads)
    keep_freed_memory()  # what helps one contender helps all
    manifest = Manifest.read(TOKENS)
    tokenizer = AutoTokenizer.from_pretrained(TOKENS)
    texts, split = read(arguments.rows, arguments.joined, manifest.max_length)
    params, _ = resolve_settings(section, find_pretrained(manifest.weights), manifest, rows=len(split))
    textbook_rows = Texts(texts, split.labels.tolist(), tokenizer, manifest.max_length)
    pad_to_max = DataCollatorWithPadding(tokenizer, padding="max_length", max_length=manifest.max_length)
    dynamic = DataCollatorWithPadding(tokenizer)

    hugging_face = partial(trainer, split=split, params=params)
    contenders: dict[str, Callable[[PreTrainedModel, Clock], None]] = {
        TEXTBOOK: partial(textbook, rows=textbook_rows, params=params),
        "Trainer, padded to maximum": partial(hugging_face, collate=pad_to_max, sampling="random"),
        "Trainer, dynamic padding": partial(hugging_face, collate=dynamic, sampling="random"),
        "Trainer, grouped by length": partial(hugging_face, collate=dynamic, sampling="group_by_length"),
        "bertline, padded": partial(ours, split=split, params=replace(params, unpadded=False)),
        "bertline": partial(ours, split=split, params=params),
    }
    if arguments.compile:  # which happens in the warm-up
        contenders["bertline, compiled"] = partial(ours, split=split, params=replace(params, compile=True))
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    with tempfile.TemporaryDirectory() as scratch:
        folder = (
            save_random_bert_base(Path(scratch)) if arguments.bert_base else find_pretrained(manifest.weights)
        )
        warm_ups = 1 if params.epochs == 1 else 0  # else the epochs before the last are that
        for round_ in range(warm_ups + arguments.rounds):
            for name, run in contenders.items():
                torch.manual_seed(0)
                model = build_classifier(folder, manifest.classes).to(device).train()
                clock = Clock(params)
                clock.start(epoch=0)
                run(model, clock)
                if round_ >= warm_ups:
                    seconds[name].append(clock.seconds)
                print(f"round {round_}, {name}: {clock.seconds:.3f} s", flush=True)
    report(seconds, split, params, model)


def report(
    seconds: dict[str, list[float]], split: TokenizedSplit, params: Resolved, model: PreTrainedModel
) -> None:
    """Print the table."""
    tokens, peak = int(split.lengths.sum()), matmul_peak(model.device)
    flops = training_flops(model, split.lengths)
    hardware = torch.cuda.get_device_name() if params.device == "cuda" else f"{params.threads} threads"
    kind = "bf16" if params.device == "cuda" else "fp32"
    which = "" if params.epochs == 1 else f"epoch {params.epochs} over "
    print(f"{which}{len(split)} rows, {tokens / len(split):.1f} tokens each, batch {params.batch_size},")
    print(f"{hardware}, {kind}, torch {torch.__version__}, transformers {transformers.__version__};")
    rounds = len(seconds[TEXTBOOK])
    print(f"matrix-multiply peak measured here: {peak / 1e9:,.0f} GFLOP/s; medians of {rounds} rounds")
    best = min(
        (name for name in seconds if "Trainer" in name), key=lambda name: statistics.median(seconds[name])
    )
    print(f"{'':28}{'examples/s':>11}{'tokens/s':>10}{'of peak':>9}{'textbook':>10}{'best Trainer':>14}")
    for name, times in seconds.items():
        median = statistics.median(times)
        line = f"{name:28}{len(split) / median:11.1f}{tokens / median:10.0f}{flops / median / peak:9.0%}"
        for other, width in ((TEXTBOOK, 10), (best, 14)):
            ratios = [base / mine for base, mine in zip(seconds[other], times, strict=True)]
            line += f"{statistics.median(ratios):{width}.2f}"
        print(line)


def save_random_bert_base(folder: Path) -> Path:
    """Save a BERT-base with random weights, as large and as fast as the pretrained one."""
    BertModel(BertConfig()).save_pretrained(folder)
    return folder


def read(rows: int, joined: int, max_length: int) -> tuple[list[str], TokenizedSplit]:
    """Return texts of the training split, `joined` of them in each, and their tokens."""
    found = read_rows(Path("data/splits/train.parquet"))["text"].to_pylist()
    texts = [" ".join(found[(i + k) % len(found)] for k in range(joined)) for i in range(rows)]
    encoded = Truncator(TOKENS, max_length=max_length, long_texts="head", stride=0).encode(texts)
    labels = read_split(TOKENS / "train.arrow").labels
    split = TokenizedSplit(
        input_ids=encoded.input_ids, offsets=encoded.offsets, labels=np.resize(labels, len(texts))
    )
    return texts, split


def matmul_peak(device: torch.device) -> float:
    """Return the floating-point operations per second of large matrix products, best of ten."""
    size, kind = (8192, torch.bfloat16) if device.type == "cuda" else (2048, torch.float32)
    a, b = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    best = math.inf
    for _ in range(10):
        start = now(device)
        a @ b
        best = min(best, now(device) - start)
    return 2 * size**3 / best


def training_flops(model: PreTrainedModel, lengths: np.ndarray) -> float:
    """Return forward and backward operations of the encoder's matrix products on real tokens alone.

    A token costs 6 operations per weight of the layers, and 12 x layers x hidden size x length for attention.
    """
    config = model.config
    depths = measure_depths(model)
    layers = range(1, config.num_hidden_layers + 1)
    matrices = ((name, p) for name, p in model.named_parameters() if p.ndim == 2)
    weights = sum(p.numel() for name, p in matrices if depths.depth_of(name) in layers)
    attention = 12 * config.num_hidden_layers * config.hidden_size * float((lengths.astype(float) ** 2).sum())
    return 6.0 * weights * float(lengths.sum()) + attention


if __name__ == "__main__":
    main()
