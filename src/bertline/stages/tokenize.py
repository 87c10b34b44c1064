"""Cut the training and validation texts into unpadded token ids; the test split is not read here."""

import json
from pathlib import Path

import numpy as np

from bertline.corpus.rows import read_rows
from bertline.modeling import tokens
from bertline.modeling.weights import find_weights, fingerprint, longest_input
from bertline.params.loading import load_params
from bertline.params.tokenize import Params as TokenizeParams
from bertline.stages.command import run


def tokenize(*, splits: Path, out: Path, report: Path) -> None:
    """Write train.arrow, validation.arrow and tokens.json into `out`, and what was cut to `report`."""
    params = load_params(TokenizeParams)
    folder = find_weights(params.weights)
    limit = longest_input(folder)
    if limit is not None and params.max_length > limit:
        raise ValueError(f"tokenize.max_length is {params.max_length}; {params.weights} reads {limit} tokens")
    tokenizer = tokens.load_tokenizer(folder, params.max_length)
    rows = {name: read_rows(splits / f"{name}.parquet") for name in ("train", "validation")}
    classes = tuple(sorted(set(rows["train"]["label"].to_pylist())))
    manifest = tokens.Manifest(
        weights=params.weights,
        weights_sha256=fingerprint(folder),
        max_length=params.max_length,
        classes=classes,
    )
    out.mkdir(parents=True, exist_ok=True)
    manifest.write(out)
    counts: dict[str, dict[str, float]] = {}
    for name, table in rows.items():
        unknown = sorted(set(table["label"].to_pylist()) - set(classes))
        if unknown:
            raise ValueError(f"label {unknown[0]!r} is in {name} but not in train; add rows of it")
        input_ids, cut = tokens.encode(tokenizer, table["text"].to_pylist())
        labels = [classes.index(label) for label in table["label"].to_pylist()]
        tokens.write_split(out / f"{name}.arrow", table["id"].to_pylist(), input_ids, labels)
        lengths = np.array([len(each) for each in input_ids])
        counts[name] = {
            "rows": len(input_ids),
            "tokens": int(lengths.sum()),
            "longest": int(lengths.max()),
            "rows_cut": cut,
        }
        print(f"{name}: {len(input_ids)} rows, {lengths.mean():.1f} tokens on average, {cut} cut")
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps(counts, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run(tokenize)
