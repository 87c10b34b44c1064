"""How fast rows are predicted: bertline's engine against transformers' pipeline; and its memory, by rows.

- Speed: MiniLM with a head that has learnt nothing (which does not matter here) on noisy tweets. The pipeline
  has `batch_size=32` and gets the rows in the order of the file; bertline has the same rows, with the file in
  int8 and in fp32. Round by round, one after the other, 2 threads each; the first round is a warm-up. Prints
  texts/s, and the median over the rounds of the ratio to the pipeline. Bars: 3 x with int8, 1.9 x with fp32.
- Memory: the peak of `bertline predict --input` on 50,000 and 200,000 rows, with `--full` on a million, by a
  tiny model, since what may grow with the rows does not depend on the model. Bar: it does not grow.

benchmarks/recipe_data.py says how to get the tweets; `--set trec` does without.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.recipe_data import READERS
from bertline.core.files import write_json
from bertline.models.folder import FP32, INT8, SERVED, Answering, add_answering
from bertline.tokens.pretrained import find_pretrained

THREADS = 2
WEIGHTS = "sample:all-MiniLM-L6-v2"
CLASSES = ("negative", "neutral", "positive")
MAX_LENGTH = 128
TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
BARS = {"int8": 3.0, "fp32": 1.9}
COMMAND = """
import sys
from bertline.cli.app import app
try:
    app(["predict", *sys.argv[1:]])
finally:  # kB; ru_maxrss would begin with the memory of the benchmark
    print(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0], file=sys.stderr)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", choices=READERS, default="sentiment", help="the texts (default: tweets)")
    parser.add_argument("--rows", type=int, default=2_000, help="rows of a round (default: 2000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds after the warm-up (default: 5)")
    parser.add_argument("--full", action="store_true", help="measure the memory of a million rows, too")
    parser.add_argument("--only", choices=["speed", "memory"])
    arguments = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = str(THREADS)  # read when the tokenizers library first works
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    texts = [text for text, _ in READERS[arguments.set]()]
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.only != "memory":
            compare_speed(Path(scratch, "model"), texts, arguments.rows, arguments.rounds)
        if arguments.only != "speed":
            sizes = [50_000, 200_000, *([1_000_000] if arguments.full else [])]
            compare_memory(Path(scratch), texts, sizes)


def compare_speed(folder: Path, texts: list[str], rows: int, rounds: int) -> None:
    """Print texts/s of each way, and its ratio to the pipeline."""
    ways = make_ways(folder)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(rounds + 1):
        given = [*islice(cycle(texts), round_ * rows, (round_ + 1) * rows)]
        for name, run in ways.items():
            start = time.perf_counter()
            run(given)
            if round_:
                rates[name].append(rows / (time.perf_counter() - start))
    first = rates[next(iter(rates))]
    print(f"{rows} rows a round, {rounds} rounds, {THREADS} threads")
    print(f"{'':24}{'texts/s':>9}{'ratio':>8}{'lowest':>8}{'highest':>9}{'bar':>6}")
    for name, own in rates.items():
        ratios = [mine / base for mine, base in zip(own, first, strict=True)]
        numbers = f"{statistics.median(ratios):8.2f}{min(ratios):8.2f}{max(ratios):9.2f}"
        print(f"{name:24}{statistics.median(own):9.0f}{numbers}{BARS.get(name.split()[-1], ''):>6}")


def make_ways(folder: Path) -> dict[str, Callable[[list[str]], object]]:
    """Return what is compared: each takes texts and answers them."""
    import torch
    from transformers import pipeline

    from bertline.models.classifier import Classifier
    from bertline.stages.export.quantize import write_int8

    save_model(folder, find_pretrained(WEIGHTS), FP32)
    write_int8(folder / FP32, folder / INT8, reduce_range=True)
    torch.set_num_threads(THREADS)
    classify = pipeline("text-classification", model=str(folder), device="cpu", top_k=None)

    def with_pipeline(texts: list[str]) -> object:
        with torch.inference_mode():
            return classify(texts, batch_size=32, truncation=True, max_length=MAX_LENGTH)

    return {
        "transformers' pipeline": with_pipeline,
        "bertline, fp32": Classifier(folder, threads=THREADS, onnx=folder / FP32).answers,
        "bertline, int8": Classifier(folder, threads=THREADS, onnx=folder / INT8).answers,
    }


def save_model(folder: Path, encoder: Path, onnx: str, classes: tuple[str, ...] = CLASSES) -> None:
    """Write a classifier of `encoder`, whose head is random, with its ONNX file."""
    import torch

    from bertline.encoder.classifier import build_classifier, load_classifier, save_classifier
    from bertline.stages.export.onnx_model import write_onnx

    torch.manual_seed(0)
    save_classifier(build_classifier(encoder, classes), encoder, MAX_LENGTH, folder)
    write_json(folder / "bertline.json", {"max_length": MAX_LENGTH})
    (folder / onnx).parent.mkdir()
    write_onnx(load_classifier(folder), folder / onnx)


def compare_memory(scratch: Path, texts: list[str], sizes: list[int]) -> None:
    """Print the peak memory of the command by the number of rows."""
    encoder, model = scratch / "encoder", scratch / "tiny"
    write_tiny_encoder(encoder)
    save_model(model, encoder, SERVED)
    add_answering(
        model, Answering(precision="fp32", score="energy", max_out_of_scope=None, min_probability=None)
    )
    print(f"{'rows':>10}{'peak MB':>9}{'seconds':>9}")
    for rows in sizes:
        source, output = scratch / "rows.parquet", scratch / "predicted.parquet"
        table = pa.table({"id": range(rows), "text": [*islice(cycle(texts), rows)]})
        pq.write_table(table, source, row_group_size=rows)  # the hardest way to read in pieces
        options = ["--model", model, "--input", source, "--output", output, "--threads", str(THREADS)]
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, *options], check=True, capture_output=True, text=True
        )
        seconds = time.perf_counter() - start
        assert pq.read_metadata(output).num_rows == rows
        print(f"{rows:10,}{int(done.stderr.split()[-1]) / 1000:9.0f}{seconds:9.0f}", flush=True)


def write_tiny_encoder(folder: Path) -> None:
    """Write a random BERT of two layers with the packaged tokenizer."""
    from transformers import AutoTokenizer, BertConfig, BertModel

    tokenizer = AutoTokenizer.from_pretrained(find_pretrained(WEIGHTS))
    BertModel(BertConfig(vocab_size=len(tokenizer), **TINY)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main()
