"""Cut the training and validation texts into unpadded token ids; the test split is not read here.

Rows that the last run cut as well are taken from its scratch (`modeling.token_cache`), with the same result.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from bertline.corpus.rows import count_labels, inputs, is_multi_label, label_matrix, read_chunks
from bertline.modeling.cutting import load_tokenizer
from bertline.modeling.token_cache import TokenCache
from bertline.modeling.token_writer import Chunk, pack_ids, write_split
from bertline.modeling.tokenizer import copy_tokenizer, measure_tokenizer, special_ids, train_tokenizer
from bertline.modeling.tokens import Manifest, windows_of
from bertline.modeling.weights import find_weights, fingerprint, longest_input, read_config
from bertline.params.loading import load_params
from bertline.params.tokenize import Params as TokenizeParams
from bertline.stages.command import run

SPLITS = ("train", "validation")
MEASURED = 10_000
"""Training texts by which two tokenizers are compared: the first ones, in the order of their hashes."""


def tokenize(*, splits: Path, out: Path, report: Path) -> None:
    """Write tokenizer, train.arrow, validation.arrow and tokens.json into `out`, what was cut to `report`."""
    params = load_params(TokenizeParams)
    folder = find_weights(params.weights)
    limit = longest_input(folder)
    if limit is not None and params.max_length > limit:
        raise ValueError(f"tokenize.max_length is {params.max_length}; {params.weights} reads {limit} tokens")
    paths = {name: splits / f"{name}.parquet" for name in SPLITS}
    multi_label = is_multi_label(paths["train"])
    classes = _find_classes(paths, multi_label=multi_label)
    out.mkdir(parents=True, exist_ok=True)
    report.parent.mkdir(parents=True, exist_ok=True)
    tokenizers = _write_tokenizer(folder, params, paths["train"], out)
    Manifest(
        weights=params.weights,
        weights_sha256=fingerprint(folder),
        max_length=params.max_length,
        long_texts=params.long_texts,
        stride=params.stride,
        own_tokenizer=params.vocabulary is not None,
        vocabulary=load_tokenizer(out).get_vocab_size(),
        special_ids=special_ids(out),
        pairs=_are_pairs(paths["train"]),
        multi_label=multi_label,
        classes=classes,
    ).write(out)
    cache = TokenCache(out, max_length=params.max_length, long_texts=params.long_texts, stride=params.stride)
    known = read_config(folder).get("vocab_size") if params.vocabulary is None else None
    counts: dict[str, Counter[str]] = {name: Counter() for name in SPLITS}
    for name, count in counts.items():
        chunks = _tokenize(paths[name], classes, cache, count, multi_label=multi_label, known=known)
        write_split(out / f"{name}.arrow", chunks)
        mean = count["tokens"] / count["rows"]
        long = f"{count['rows_cut']} cut, {count['rows_in_windows']} in windows"
        print(f"{name}: {count['rows']} rows, {mean:.1f} tokens on average, {long}")
    if cache.taken:
        rows = sum(count["rows"] for count in counts.values())
        print(f"{cache.taken} of {rows} rows taken from the last run")
    report.write_text(json.dumps(counts | tokenizers, indent=2) + "\n", encoding="utf-8")
    _keep(cache, out)


def _find_classes(paths: dict[str, Path], *, multi_label: bool) -> tuple[str, ...]:
    """Return the labels of train, sorted; ValueError if the splits cannot be trained on."""
    labels: dict[str, Counter[str]] = {}
    for name, path in paths.items():
        labels[name] = Counter()
        rows = 0
        for chunk in read_chunks(path, columns=["label"]):
            rows += len(chunk)
            labels[name].update(count_labels(chunk, multi_label=multi_label))
        if not rows:
            raise ValueError(f"{path} has no rows; add rows, or change the shares (split.*) in params.yaml")
    unknown = sorted(set(labels["validation"]) - set(labels["train"]))
    if unknown:
        raise ValueError(f"label {unknown[0]!r} is in validation but not in train; add rows of it")
    if not labels["train"]:
        raise ValueError(f"no row of {paths['train']} bears a label; add rows that do")
    return tuple(sorted(labels["train"]))


def _are_pairs(path: Path) -> bool:
    return any(
        chunk["text_pair"].null_count < len(chunk) for chunk in read_chunks(path, columns=["text_pair"])
    )


def _write_tokenizer(
    folder: Path, params: TokenizeParams, train: Path, out: Path
) -> dict[str, dict[str, dict[str, float]]]:
    """Write the tokenizer of `folder`, or one trained, into `out`; return how the two compare, if trained."""
    if params.vocabulary is None:
        copy_tokenizer(folder, out)
        return {}
    train_tokenizer(folder, lambda: _texts(train), params.vocabulary, out)
    sample = inputs(next(read_chunks(train, columns=["text", "text_pair"])).slice(0, MEASURED))
    found = {"weights": measure_tokenizer(folder, sample), "trained": measure_tokenizer(out, sample)}
    for name, measured in found.items():
        print(
            f"tokenizer ({name}): {measured['vocabulary']} tokens, {measured['tokens_per_text']:.1f} a text, "
            f"{measured['unknown_tokens']:.1%} of them unknown"
        )
    return {"tokenizers": found}


def _texts(path: Path) -> Iterator[str]:
    for chunk in read_chunks(path, columns=["text", "text_pair"]):
        for each in inputs(chunk):
            yield from (each,) if isinstance(each, str) else each


def _tokenize(
    path: Path,
    classes: tuple[str, ...],
    cache: TokenCache,
    count: Counter[str],
    *,
    multi_label: bool,
    known: int | None,
) -> Iterator[Chunk]:
    """Yield the tokens of a split chunk by chunk, and count them into `count`."""
    for chunk in read_chunks(path, columns=["id", "text", "text_pair", "label"]):
        encoded = cache.encode(chunk)
        _check_ids(int(encoded.input_ids.max()), known)
        count["rows"] += len(chunk)
        count["tokens"] += len(encoded.input_ids)
        count["longest"] = max(count["longest"], int(encoded.lengths.max()))
        count["rows_cut"] += int(encoded.cut.sum())
        count["rows_in_windows"] += int((windows_of(encoded) > 1).sum())
        if multi_label:
            labels = label_matrix(chunk["label"].to_pylist(), classes)
        else:
            labels = pc.index_in(chunk["label"], pa.array(classes, pa.string())).cast(pa.int64()).to_numpy()
        yield Chunk(pack_ids(chunk["id"].to_pylist()), encoded, labels)


def _check_ids(largest: int, known: int | None) -> None:
    if known is not None and largest >= known:
        raise ValueError(
            f"the tokenizer of tokenize.weights makes token {largest}, but its encoder has embeddings for "
            f"{known} tokens; save it again after resize_token_embeddings"
        )


def _keep(cache: TokenCache, out: Path) -> None:
    try:
        cache.keep(out / f"{name}.arrow" for name in SPLITS)
    except OSError as error:  # the result is written; only the next run is slower
        print(f"the next run will tokenize every row: {error}")


if __name__ == "__main__":
    run(tokenize)
