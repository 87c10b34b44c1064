"""How often a shortcut is reported where there is none, and how often a planted one is found.

The questions of the packaged TREC sample are dealt to train and test at random, by another seed each time, as
`split` deals them. Three cases:

- nothing is planted: every shortcut that is reported is a false alarm;
- the labels shift: half of the test rows with the most frequent label are left out;
- a word is planted in train, most often with one label, and in test with any label (`--purity`, `--share`).

Prints for each case in how many of the seeds a shortcut is reported, and the planted one found.
"""

import argparse
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from bertline.core.params_loading import load_params
from bertline.evaluation.slices import slices_of
from bertline.params.ingest import Params
from bertline.rows.labels import SINGLE_LABEL
from bertline.rows.text_key import add_ids
from bertline.stages.evaluate.row_properties import describe_rows
from bertline.stages.evaluate.shortcuts import COMPARED, PROPOSING, TEST, find_shortcuts
from bertline.stages.evaluate.weak_slices import min_support
from bertline.stages.ingest.source_reader import read_source

TEST_SHARE = 0.15
WORD = "zx"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--purity", type=float, default=0.9, help="share of the planted rows with one label")
    parser.add_argument("--share", type=float, default=0.04, help="share of the rows that get the word")
    options = parser.parse_args()
    rows = questions()
    print(f"{len(rows):,} questions, {TEST_SHARE:.0%} of them test rows, {options.seeds} seeds")
    for case in ("nothing planted", "labels shift", "planted"):
        counts = np.zeros(4, int)
        for seed in range(options.seeds):
            counts += one_deal(rows, case, np.random.default_rng(seed), options.purity, options.share)
        alarms, found, perfect, judged = counts
        print(
            f"{case:16} another shortcut reported in {alarms}, the planted one in {found}, "
            f"a near-perfect sign in {perfect}; {judged / options.seeds:.0f} pairs judged"
        )


def questions() -> pa.Table:
    """Return the distinct texts of the sample, each once."""
    rows = add_ids(pa.concat_tables(read_source(load_params(Params))))
    _, first = np.unique(rows["content_id"].to_numpy(zero_copy_only=False), return_index=True)
    return rows.take(np.sort(first))


def one_deal(
    rows: pa.Table, case: str, random: np.random.Generator, purity: float, share: float
) -> np.ndarray:
    """Return 0 or 1 for: another shortcut, the planted one, a near-perfect sign; and the pairs judged."""
    texts, labels = rows["text"].to_pylist(), np.array(rows["label"].to_pylist())
    is_test = random.random(len(rows)) < TEST_SHARE
    classes, sizes = np.unique(labels, return_counts=True)
    frequent = classes[sizes.argmax()]
    keep = np.ones(len(rows), bool)
    if case == "labels shift":
        keep = ~(is_test & (labels == frequent) & (random.random(len(rows)) < 0.5))
    if case == "planted":
        texts = plant(texts, labels, is_test, random, purity, share)
    kept = np.flatnonzero(keep)
    parts = np.where(is_test, TEST, np.where(random.random(len(rows)) < 0.5, PROPOSING, COMPARED))[kept]
    chosen, texts = rows.take(kept), [texts[place] for place in kept]
    slices = slices_of(chosen, texts, SINGLE_LABEL, []).shown
    proposes = parts == PROPOSING
    properties = describe_rows(texts, slices, proposes, min_support(proposes))
    has = labels[kept][:, None] == classes
    found = find_shortcuts(properties, has, parts, has[parts == TEST], list(classes), 0.95)
    words = [each["property"] for each in found["shortcuts"]]
    planted = f"has the word {WORD!r}"
    return np.array(
        [
            any(word != planted for word in words),
            planted in words,
            bool(found["near_perfect"]),
            found["shortcuts_judged"],
        ]
    ).astype(int)


def plant(
    texts: Sequence[str],
    labels: np.ndarray,
    is_test: np.ndarray,
    random: np.random.Generator,
    purity: float,
    share: float,
) -> list[str]:
    """Return the texts with the word in `share` of them: in train mostly with the first label."""
    first = labels == np.unique(labels)[1]  # the first of TREC has 86 rows
    often = share * purity / first.mean()
    seldom = share * (1 - purity) / (1 - first.mean())
    chance = np.where(is_test, share, np.where(first, often, seldom))
    marked = random.random(len(texts)) < chance
    return [f"{WORD} {text}" if mark else text for text, mark in zip(texts, marked, strict=True)]


if __name__ == "__main__":
    main()
