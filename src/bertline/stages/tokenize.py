"""Cut the training and validation texts into unpadded token ids; the test split is not read here.

Rows that the last run cut as well are taken from its scratch (`modeling.token_cache`), with the same result.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from bertline.corpus.rows import count_labels, is_multi_label, read_chunks
from bertline.modeling.token_cache import TokenCache
from bertline.modeling.token_writer import Chunk, pack_ids, write_split
from bertline.modeling.tokens import Manifest
from bertline.modeling.weights import find_weights, fingerprint, longest_input
from bertline.params.loading import load_params
from bertline.params.tokenize import Params as TokenizeParams
from bertline.stages.command import run

SPLITS = ("train", "validation")


def tokenize(*, splits: Path, out: Path, report: Path) -> None:
    """Write train.arrow, validation.arrow and tokens.json into `out`, and what was cut to `report`."""
    params = load_params(TokenizeParams)
    folder = find_weights(params.weights)
    limit = longest_input(folder)
    if limit is not None and params.max_length > limit:
        raise ValueError(f"tokenize.max_length is {params.max_length}; {params.weights} reads {limit} tokens")
    labels = {name: _count_labels(splits / f"{name}.parquet") for name in SPLITS}
    classes = tuple(sorted(labels["train"]))
    unknown = sorted(set(labels["validation"]) - set(classes))
    if unknown:
        raise ValueError(f"label {unknown[0]!r} is in validation but not in train; add rows of it")
    out.mkdir(parents=True, exist_ok=True)
    Manifest(
        weights=params.weights,
        weights_sha256=fingerprint(folder),
        max_length=params.max_length,
        classes=classes,
    ).write(out)
    cache = TokenCache(folder, params.max_length)
    counts: dict[str, Counter[str]] = {name: Counter() for name in SPLITS}
    for name, count in counts.items():
        chunks = _tokenize(splits / f"{name}.parquet", classes, cache, count)
        write_split(out / f"{name}.arrow", chunks)
        assert count["rows"] == labels[name].total(), "every row of the split is tokenised"
        mean = count["tokens"] / count["rows"]
        print(f"{name}: {count['rows']} rows, {mean:.1f} tokens on average, {count['rows_cut']} cut")
    rows = sum(count["rows"] for count in counts.values())
    if cache.taken:
        print(f"{cache.taken} of {rows} rows taken from the last run")
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps(counts, indent=2) + "\n", encoding="utf-8")
    _keep(cache, out)


def _count_labels(path: Path) -> Counter[str]:
    """Return the rows of each label in a split; ValueError if they cannot be trained on."""
    if is_multi_label(path):
        raise ValueError("multi-label targets can be ingested, validated and split, but not trained yet")
    counts: Counter[str] = Counter()
    for chunk in read_chunks(path, columns=["label"]):
        counts.update(count_labels(chunk, multi_label=False))
    if not counts:
        raise ValueError(f"{path} has no rows; add rows, or change the shares (split.*) in params.yaml")
    return counts


def _tokenize(
    path: Path, classes: tuple[str, ...], cache: TokenCache, count: Counter[str]
) -> Iterator[Chunk]:
    """Yield the tokens of a split chunk by chunk, and count them into `count`."""
    for chunk in read_chunks(path, columns=["id", "text", "text_pair", "label"]):
        encoded = cache.encode(chunk)
        count["rows"] += len(chunk)
        count["tokens"] += len(encoded.input_ids)
        count["longest"] = max(count["longest"], int(encoded.lengths.max()))
        count["rows_cut"] += int(encoded.cut.sum())
        labels = pc.index_in(chunk["label"], pa.array(classes, pa.string())).cast(pa.int64())
        yield Chunk(pack_ids(chunk["id"].to_pylist()), encoded, labels.to_numpy())


def _keep(cache: TokenCache, out: Path) -> None:
    try:
        cache.keep(out / f"{name}.arrow" for name in SPLITS)
    except OSError as error:  # the result is written; only the next run is slower
        print(f"the next run will tokenize every row: {error}")


if __name__ == "__main__":
    run(tokenize)
