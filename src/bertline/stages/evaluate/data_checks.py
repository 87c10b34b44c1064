"""Checks of the data that a trained model makes possible: data_checks.json.

Outliers, near-duplicates, under-performing groups and order need the states of the candidate
(`embedding_checks`), shortcuts need only texts and labels (`shortcuts`). No check is a verdict: each says
what it found, and what it cannot tell.

Guarantees that a check that cannot be made is there with its reason. At most `evaluate.sample_rows` rows of
train and of test are read; `TRAIN_ROWS` of the training rows are encoded, because that costs a forward pass.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bertline.core.files import write_json
from bertline.evaluation.sampling import sampled
from bertline.evaluation.slices import slices_of
from bertline.metrics.classification import Targets
from bertline.metrics.predictions import Predictions
from bertline.models.classifier import Classifier, Outputs
from bertline.models.tfidf import joined
from bertline.params.evaluate import Params
from bertline.rows.io import inputs
from bertline.rows.labels import LabelSpace
from bertline.stages.evaluate.embedding_checks import (
    MIN_ROWS,
    Embedded,
    check,
    find_order,
    find_outliers_and_near_duplicates,
    find_underperforming_groups,
)
from bertline.stages.evaluate.row_properties import Bools, describe_rows
from bertline.stages.evaluate.shortcuts import COMPARED, PROPOSING, TEST, find_shortcuts
from bertline.stages.evaluate.weak_slices import halves, min_support

TRAIN_ROWS = 2000  # training rows that are encoded: about two seconds of a core

FILE = "data_checks.json"
NAMES = ("outliers", "near_duplicates", "underperforming_group", "order")


def write_data_checks(
    params: Params,
    rows: pa.Table,
    candidate: Predictions,
    outputs: Outputs,
    classifier: Classifier,
    train: pa.Table,
    report: Path,
) -> None:
    """Write data_checks.json into the folder `report`, and print what was found.

    Args:
        params: `sample_rows`, `seed` and `confidence` of them.
        rows: the N test rows in scope, a table of `ROW_SCHEMA`.
        candidate: the predictions for them.
        outputs: of `classifier`, for them.
        classifier: the candidate, which encodes training rows.
        train: the training rows in scope.
        report: a folder.
    """
    places = sampled(len(rows), params.sample_rows, params.seed)
    sizes = {"rows": len(places), "of_rows": len(rows), "of_train_rows": len(train)}
    train = train.take(sampled(len(train), params.sample_rows, params.seed))
    chosen, right = rows.take(places), candidate.right[places]
    states = None if outputs.states is None else outputs.states[places]
    checks = list(_checks(params, chosen, right, states, classifier, train))
    found = _shortcuts(params, train, chosen, candidate.space, candidate.predicted[places])
    write_json(report / FILE, sizes | {"train_rows": len(train), "checks": checks} | found)
    counts = {each["name"]: each["found"] for each in checks if not each["skipped"]}
    counts |= {"shortcuts": found["shortcuts_found"]}
    listed = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items())
    print(f"checks of the data: {listed}; see {report / FILE}")


def _checks(
    params: Params,
    rows: pa.Table,
    right: Bools,
    states: np.ndarray | None,
    classifier: Classifier,
    train: pa.Table,
) -> Iterator[dict[str, Any]]:
    """Yield the checks that need states; each of `NAMES` once, in their order."""
    reason = None
    if states is None:
        reason = "the model folder gives no states; an older version exported it, or its head has none"
    elif len(rows) < MIN_ROWS:
        reason = f"{len(rows):,} test rows; {MIN_ROWS} are needed"
    if reason is not None or states is None:
        yield from (check(name, 0, "", [], reason) for name in NAMES)
        return
    test = Embedded(ids=rows["id"].to_pylist(), texts=joined(inputs(rows)), states=states)
    some = train.take(sampled(len(train), TRAIN_ROWS, params.seed))
    encoded = classifier.outputs(inputs(some)).states
    assert encoded is not None
    known = Embedded(ids=some["id"].to_pylist(), texts=joined(inputs(some)), states=encoded)
    yield from find_outliers_and_near_duplicates(test, known, right)
    level = round(1 - params.confidence, 10)
    yield find_underperforming_groups(test, right, level, params.seed)
    order, what = order_of(rows)
    if order is None:
        yield check("order", 0, "", [], what)
    else:
        yield find_order(states[order], what)


def order_of(rows: pa.Table) -> tuple[np.ndarray | None, str]:
    """Return the places of the rows by time, or else by delivery, and what that order is called.

    If the rows have neither, None and why.
    """
    for name, what in (("timestamp", "time"), ("batch", "delivery")):
        if not rows[name].null_count and pc.count_distinct(rows[name]).as_py() > 1:
            return pc.sort_indices(rows, [(name, "ascending"), ("id", "ascending")]).to_numpy(), what
    return None, "the rows have no order: no time stamps, and one delivery (ingest.timestamp_column)"


def _shortcuts(
    params: Params, train: pa.Table, test: pa.Table, space: LabelSpace, predicted: Targets
) -> dict[str, Any]:
    rows = pa.concat_tables([train, test])
    texts = joined(inputs(rows))
    proposing = halves(train["content_id"].to_pylist())
    parts = np.concatenate([np.where(proposing, PROPOSING, COMPARED), np.full(len(test), TEST)])
    slices = slices_of(rows, texts, space, []).shown
    proposes = parts == PROPOSING
    properties = describe_rows(texts, slices, proposes, min_support(proposes))
    labels, answers = (
        space.matrix(each).astype(bool) for each in (rows["label"].to_pylist(), space.decode(predicted))
    )
    return find_shortcuts(properties, labels, parts, answers, space.classes, params.confidence)
