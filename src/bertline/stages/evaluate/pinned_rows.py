"""Regression rows: test rows that people pinned with the label they must get, scored at every evaluation.

- A pinned row counts as right if every test row with its text is predicted the pinned label.
- A row that is no longer a test row is named with the reason, and not scored: a row that the model was
  trained or chosen on shows nothing.

Guarantees that no row is left out in silence. Does not guarantee that the score speaks for other rows: people
pin what was wrong, so it starts low, and it is no estimate of the accuracy.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bertline.core.files import write_json
from bertline.evaluation.pins import PinnedRow
from bertline.metrics.intervals import share_interval
from bertline.metrics.predictions import Predictions
from bertline.metrics.rounding import rounded
from bertline.models.tfidf import joined
from bertline.params.evaluate import Params
from bertline.reporting.environment import cut
from bertline.rows.io import inputs, read_chunks

CHARACTERS = 280  # of a text that is quoted


def write_pinned_score(
    params: Params,
    pinned: dict[str, PinnedRow],
    predictions: Predictions,
    rows: pa.Table,
    elsewhere: dict[str, Path],
    report: Path,
) -> None:
    """Write what `score_pinned_rows` finds to pinned.json in the folder `report`; print it in one line."""
    score = score_pinned_rows(pinned, predictions, rows, elsewhere, params.confidence)
    write_json(report / "pinned.json", rounded(score))
    if pinned:
        aside = len(score["not_scored"])
        also = f"; {aside:,} more cannot be scored, see `bertline mistakes pinned`" if aside else ""
        print(f"pinned rows: {score['right']:,} of {score['scored']:,} are right{also}")


def score_pinned_rows(
    pinned: dict[str, PinnedRow],
    predictions: Predictions,
    rows: pa.Table,
    elsewhere: dict[str, Path],
    confidence: float,
) -> dict[str, Any]:
    """Return what pinned.json holds: the score of the pinned rows, the wrong ones, and those not scored.

    Args:
        pinned: as `pins.read_pinned_rows` returns them.
        predictions: of the N `rows`, in their order.
        rows: the test rows in scope, a table of `ROW_SCHEMA`.
        elsewhere: where else a pinned row may lie: a phrase, e.g. "it lies in the training split", to a
            file of rows, the strongest reason first.
        confidence: of the interval (Wilson's).
    """
    found = _places(rows, set(pinned))
    missing = {each for each in pinned if each not in found}
    reasons = _reasons(missing, elsewhere)
    scored, right, wrong, not_scored = [], [], [], []
    for content_id, row in sorted(pinned.items()):
        try:
            label = predictions.space.named(row.label, predictions.classes)
        except ValueError as error:
            reasons.setdefault(content_id, str(error))
        if content_id in reasons:
            not_scored.append(_named(row) | {"reason": reasons[content_id]})
            continue
        at = found[content_id]
        answers = predictions.space.decode(predictions.predicted[at])
        missed = [place for place, answer in zip(at, answers, strict=True) if answer != label]
        scored.append(_named(row))
        right.append(not missed)
        if missed:
            wrong.append(_named(row) | _shown(predictions, rows, missed[0]))
    return {"pinned": len(pinned), "scored": len(right), "right": sum(right)} | {
        **_score(np.array(right, np.bool_), confidence),
        "rows_scored": scored,
        "wrong": wrong,
        "not_scored": not_scored,
    }


def _named(row: PinnedRow) -> dict[str, str]:
    return {"content_id": row.content_id, "label": row.label}


def _score(right: npt.NDArray[np.bool_], confidence: float) -> dict[str, float | None]:
    if not len(right):
        return {"accuracy": None, "accuracy_low": None, "accuracy_high": None}
    return {**share_interval(right, confidence).named("accuracy")}


def _shown(predictions: Predictions, rows: pa.Table, place: int) -> dict[str, str]:
    [answer] = predictions.space.decode(predictions.predicted[[place]])
    [text] = joined(inputs(rows.slice(place, 1)))
    return {"prediction": predictions.space.shown(answer), "text": cut(text, CHARACTERS)}


def _places(rows: pa.Table, wanted: set[str]) -> dict[str, list[int]]:
    """Return where the rows with each wanted content id are."""
    found: dict[str, list[int]] = {}
    if wanted:
        for place, content_id in enumerate(rows["content_id"].to_pylist()):
            if content_id in wanted:
                found.setdefault(content_id, []).append(place)
    return found


def _reasons(missing: set[str], elsewhere: dict[str, Path]) -> dict[str, str]:
    """Return why each of the `missing` content ids is not among the test rows."""
    reasons: dict[str, str] = {}
    for reason, path in elsewhere.items():
        if missing - reasons.keys():
            for chunk in read_chunks(path, columns=["content_id"]):
                here = missing.intersection(chunk["content_id"].to_pylist())
                reasons |= dict.fromkeys(here - reasons.keys(), reason)
    gone = "it is in no split any more: removed, in quarantine, or set aside as a near-duplicate"
    return reasons | dict.fromkeys(missing - reasons.keys(), gone)
