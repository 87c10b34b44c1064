"""How fast texts become tokens: bertline's `tokenize` against the ways of a training script.

The packaged TREC and SMS texts, made distinct by numbers, in turn, several rounds: one text after the other
as the textbook's data set does (padded, PyTorch tensors), the same without tensors, transformers' own batched
call, and what the stage `tokenize` does with a table of rows, to the Arrow file and with nothing in its
scratch. Prints texts/s and the ratios to the textbook's way (medians over the rounds). `--threads 1`
for one thread.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from transformers import AutoTokenizer

from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids
from bertline.stages.ingest.samples import read_sample
from bertline.stages.tokenize.token_cache import TokenCache
from bertline.stages.tokenize.token_writer import Chunk, pack_ids, write_split
from bertline.tokens.pretrained import find_pretrained

WEIGHTS = "sample:all-MiniLM-L6-v2"
MAX_LENGTH = 128
ITEMS = 2_000  # texts for the ways that take one after the other


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=20_000, help="texts (default: 20000)")
    parser.add_argument("--joined", type=int, default=1, help="packaged texts in each (default: 1)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds after a warm-up (default: 5)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: every core")
    arguments = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = str(arguments.threads)  # read when the tokenizers library first works
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    folder = find_pretrained(WEIGHTS)
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=MAX_LENGTH)
    found = read_sample("sample:trec").texts + read_sample("sample:sms-spam").texts
    texts = [
        " ".join(found[(i + 7 * k) % len(found)] for k in range(arguments.joined)) + f" {i}"
        for i in range(arguments.rows)
    ]
    table = add_ids(make_rows(texts, "x")).sort_by("id")

    def stage(rows: pa.Table) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            cache = TokenCache(
                folder, max_length=MAX_LENGTH, long_texts="head", stride=0, scratch=Path(scratch)
            )
            ids = pack_ids(rows["id"].to_pylist())
            labels = np.zeros(len(rows), np.int64)
            write_split(Path(scratch, "train.arrow"), [Chunk(ids, cache.encode(rows), labels)])

    padded = {"padding": "max_length", "truncation": True}
    items = texts[:: max(1, len(texts) // ITEMS)]  # TREC's and the longer ones of SMS alike
    ways: dict[str, tuple[int, Callable[[], object]]] = {
        "one by one, as tensors": (
            len(items),
            lambda: [tokenizer(text, **padded, return_tensors="pt") for text in items],
        ),
        "one by one, as lists": (len(items), lambda: [tokenizer(text, **padded) for text in items]),
        "transformers, batched": (len(texts), lambda: tokenizer(texts, truncation=True)),
        "bertline": (len(texts), lambda: stage(table)),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(arguments.rounds + 1):  # the first is a warm-up
        for name, (count, run) in ways.items():
            start = time.perf_counter()
            run()
            if round_:
                rates[name].append(count / (time.perf_counter() - start))
    tokens = statistics.fmean(len(each) for each in tokenizer(texts, truncation=True)["input_ids"])
    print(
        f"{len(texts)} texts of {tokens:.1f} tokens, {arguments.threads} threads, {arguments.rounds} rounds"
    )
    first = rates[next(iter(rates))]
    print(f"{'':24}{'texts/s':>9}{'textbook':>10}")
    for name, own in rates.items():
        ratio = statistics.median(mine / base for mine, base in zip(own, first, strict=True))
        print(f"{name:24}{statistics.median(own):9.0f}{ratio:10.2f}")


if __name__ == "__main__":
    main()
