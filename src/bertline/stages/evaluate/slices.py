"""Slices of the test rows, and the weak ones that a search finds: slices.json and weak_slices.json."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bertline.core.files import write_json
from bertline.evaluation.sampling import sampled
from bertline.evaluation.slices import Slice, Slices, score_slices
from bertline.metrics.predictions import Predictions
from bertline.params.evaluate import Params
from bertline.stages.evaluate.row_properties import describe_rows
from bertline.stages.evaluate.weak_slices import find_weak_slices, halves, min_support


def write_slices(
    params: Params, rows: pa.Table, texts: Sequence[str], slices: Slices, candidate: Predictions, report: Path
) -> None:
    """Write slices.json and weak_slices.json into the folder `report`.

    Args:
        params: of the section `evaluate`.
        rows: the N test rows in scope.
        texts: of each row [N].
        slices: of the rows, as `slices_of` returns them.
        candidate: the predictions for the rows.
        report: the folder.
    """
    write_json(report / "slices.json", score_slices(slices, candidate.right, params.confidence))
    weak = weak_slices(params, rows["content_id"], texts, slices.shown, candidate)
    write_json(report / "weak_slices.json", weak)


def weak_slices(
    params: Params,
    content_ids: pa.ChunkedArray,
    texts: Sequence[str],
    slices: Sequence[Slice],
    candidate: Predictions,
) -> dict[str, Any]:
    """Return the document of weak_slices.json, of a sample of the N rows.

    Args:
        params: `sample_rows`, `seed` and `confidence` of them.
        content_ids: [N].
        texts: [N].
        slices: of the N rows.
        candidate: the predictions for them.
    """
    places = sampled(len(texts), params.sample_rows, params.seed)
    proposing = halves(content_ids.take(places).to_pylist())
    members = [replace(each, rows=np.flatnonzero(np.isin(places, each.rows))) for each in slices]
    properties = describe_rows([texts[place] for place in places], members, proposing, min_support(proposing))
    found = find_weak_slices(properties, ~candidate.right[places], proposing, params.confidence)
    return found | {"rows": len(places), "of_rows": len(texts)}
