"""Tokenise the training and validation texts, without padding; the test split is not read here.

Rows out of scope (`OUT_OF_SCOPE`) are left out: nothing is trained on them, no tokenizer either.
Rows that the last run also had are taken from its scratch folder (`token_cache`), with the same result.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bertline.core.files import write_json
from bertline.core.params_loading import load_params
from bertline.params.tokenize import Params as TokenizeParams
from bertline.rows.io import inputs, read_chunks_in_scope, read_label_space
from bertline.rows.labels import LabelSpace
from bertline.stages.tokenize.token_cache import TokenCache
from bertline.stages.tokenize.token_writer import Chunk, pack_ids, write_split
from bertline.stages.tokenize.train_tokenizer import (
    copy_tokenizer,
    measure_tokenizer,
    special_ids,
    train_tokenizer,
)
from bertline.tokens.arrays import windows_of
from bertline.tokens.manifest import Manifest
from bertline.tokens.pretrained import find_pretrained, fingerprint, max_positions, read_config
from bertline.tokens.truncation import load_tokenizer

SPLITS = ("train", "validation")
MEASURED = 10_000
"""Training texts by which two tokenizers are compared: the first ones, in the order of their hashes."""


def tokenize(*, splits: Path, out: Path, report: Path) -> None:
    """Write tokenizer, train.arrow, validation.arrow and tokens.json into `out`, and counts to `report`."""
    params = load_params(TokenizeParams)
    folder = find_pretrained(params.weights)
    limit = max_positions(read_config(folder))
    if limit is not None and params.max_length > limit:
        raise ValueError(f"tokenize.max_length is {params.max_length}; {params.weights} reads {limit} tokens")
    paths = {name: splits / f"{name}.parquet" for name in SPLITS}
    space = _find_classes(paths)
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
        multi_label=space.multi_label,
        classes=space.classes,
    ).write(out)
    cache = TokenCache(out, max_length=params.max_length, long_texts=params.long_texts, stride=params.stride)
    known = read_config(folder).get("vocab_size") if params.vocabulary is None else None
    counts: dict[str, Counter[str]] = {name: Counter() for name in SPLITS}
    for name, count in counts.items():
        chunks = _tokenize(paths[name], space, cache, count, known=known)
        write_split(out / f"{name}.arrow", chunks)
        mean = count["tokens"] / count["rows"]
        long = f"{count['rows_cut']} cut, {count['rows_in_windows']} in windows"
        print(f"{name}: {count['rows']} rows, {mean:.1f} tokens on average, {long}")
    if cache.taken:
        rows = sum(count["rows"] for count in counts.values())
        print(f"{cache.taken} of {rows} rows taken from the last run")
    write_json(report, counts | tokenizers)
    _keep(cache, out)


def _find_classes(paths: dict[str, Path]) -> LabelSpace:
    """Return the classes of train, sorted; ValueError if the splits cannot be trained on."""
    space = read_label_space(paths["train"])
    labels: dict[str, Counter[str]] = {}
    for name, path in paths.items():
        labels[name] = Counter()
        rows = 0
        for chunk in read_chunks_in_scope(path, ["label"]):
            rows += len(chunk)
            labels[name].update(space.count(chunk))
        if not rows:
            raise ValueError(
                f"{path} has no rows of any class; add rows, or change the shares (split.*) in params.yaml"
            )
    unknown = sorted(set(labels["validation"]) - set(labels["train"]))
    if unknown:
        raise ValueError(f"label {unknown[0]!r} is in validation but not in train; add rows of it")
    if not labels["train"]:
        raise ValueError(f"no row of {paths['train']} has a label; add labelled rows")
    return space.with_classes(labels["train"])


def _are_pairs(path: Path) -> bool:
    return any(
        chunk["text_pair"].null_count < len(chunk) for chunk in read_chunks_in_scope(path, ["text_pair"])
    )


def _write_tokenizer(
    folder: Path, params: TokenizeParams, train: Path, out: Path
) -> dict[str, dict[str, dict[str, float]]]:
    """Write the tokenizer of `folder`, or a trained one, into `out`; return their comparison, if trained."""
    if params.vocabulary is None:
        copy_tokenizer(folder, out)
        return {}
    train_tokenizer(folder, lambda: _texts(train), params.vocabulary, out)
    sample = inputs(next(read_chunks_in_scope(train, ["text", "text_pair"])).slice(0, MEASURED))
    found = {"weights": measure_tokenizer(folder, sample), "trained": measure_tokenizer(out, sample)}
    for name, measured in found.items():
        print(
            f"tokenizer ({name}): {measured['vocabulary']} tokens, {measured['tokens_per_text']:.1f} a text, "
            f"{measured['unknown_tokens']:.1%} of them unknown"
        )
    return {"tokenizers": found}


def _texts(path: Path) -> Iterator[str]:
    for chunk in read_chunks_in_scope(path, ["text", "text_pair"]):
        for each in inputs(chunk):
            yield from (each,) if isinstance(each, str) else each


def _tokenize(
    path: Path,
    space: LabelSpace,
    cache: TokenCache,
    count: Counter[str],
    *,
    known: int | None,
) -> Iterator[Chunk]:
    """Yield the tokens of a split chunk by chunk, and count them into `count`."""
    for chunk in read_chunks_in_scope(path, ["id", "text", "text_pair", "label"]):
        encoded = cache.encode(chunk)
        _check_ids(int(encoded.input_ids.max()), known)
        count["rows"] += len(chunk)
        count["tokens"] += len(encoded.input_ids)
        count["longest"] = max(count["longest"], int(encoded.lengths.max()))
        count["rows_cut"] += int(encoded.truncated.sum())
        count["rows_in_windows"] += int((windows_of(encoded) > 1).sum())
        yield Chunk(pack_ids(chunk["id"].to_pylist()), encoded, space.encode(chunk["label"].to_pylist()))


def _check_ids(largest: int, known: int | None) -> None:
    if known is not None and largest >= known:
        raise ValueError(
            f"the tokenizer of tokenize.weights makes token {largest}, but its encoder has embeddings for "
            f"{known} tokens; call resize_token_embeddings on the encoder and save it again"
        )


def _keep(cache: TokenCache, out: Path) -> None:
    try:
        cache.keep(out / f"{name}.arrow" for name in SPLITS)
    except OSError as error:  # the result is written; only the next run is slower
        print(f"the next run will tokenize every row: {error}")
