"""The result of the split, for machines (summary.json) and for people (index.html, one file without network).

Guarantees the same bytes for the same split: no clock, no path of this machine. The page quotes the texts
of the most similar pairs, so show it only to those who may see the data.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bertline.core.files import write_json
from bertline.params.split import Params
from bertline.reporting.environment import cut, render_page
from bertline.rows.labels import MULTI_LABEL
from bertline.stages.split.assign import SIDES
from bertline.stages.split.near_duplicates import pick_rows

WORST = 50
CHARACTERS = 1000  # of a text shown


@dataclass(frozen=True)
class Shown:
    """A row as the page shows it."""

    side: str
    labels: str
    texts: list[str]


@dataclass(frozen=True)
class Pair:
    """A removed row and its twin."""

    similarity: float
    row: Shown
    twin: Shown


def worst_pairs(path: Path, sides: npt.NDArray[np.uint8], twins: pa.Table) -> list[Pair]:
    """Return the `WORST` most similar pairs of `twins`, positions in the file `path`, the worst first."""
    order = np.argsort(-twins["similarity"].to_numpy(), kind="stable")[:WORST]
    worst = twins.take(order).to_pylist()
    positions = sorted({each[end] for each in worst for end in ("row", "twin")})
    picked = pick_rows(path, np.array(positions, np.int64), ["text", "text_pair", "label"]).to_pylist()
    shown = {
        position: Shown(
            side=SIDES[sides[position]],
            labels=", ".join(MULTI_LABEL.split(row["label"])),
            texts=[cut(row[name], CHARACTERS) for name in ("text", "text_pair") if row[name] is not None],
        )
        for position, row in zip(positions, picked, strict=True)
    }
    return [Pair(each["similarity"], shown[each["row"]], shown[each["twin"]]) for each in worst]


def summarize(
    params: Params,
    official: Collection[str],
    written: Mapping[str, int],
    classes: Mapping[str, Mapping[str, int]],
    out_of_scope: Mapping[str, int],
) -> dict[str, Any]:
    """Return the numbers of the report; `written` counts the rows of each of `SIDES`, and the removed ones.

    `classes` counts those of each class, and `out_of_scope` those that have none, which `written` counts too.
    `by` is what the split of the rows without an official side depends on; `official` names the sides that
    the source has split off itself.
    """
    if params.test_from is not None:
        fields, by = ["validation_from", "test_from"], "time"
    elif params.folds is not None:
        fields, by = ["seed", "folds", "fold"], "folds"
    else:
        fields, by = ["seed", "validation", "test"], "content"
    return {
        "rows": sum(written.values()),
        **written,
        "by": by,
        "official": sorted(official),
        "params": {name: getattr(params, name) for name in [*fields, "near_duplicates"]},
        "classes": classes,
        "out_of_scope": out_of_scope,
    }


def write_report(summary: Mapping[str, Any], pairs: Collection[Pair], folder: Path) -> None:
    """Write summary.json and index.html into `folder`, and make it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "summary.json", summary)
    (folder / "index.html").write_text(render(summary, pairs), encoding="utf-8")


def render(summary: Mapping[str, Any], pairs: Collection[Pair]) -> str:
    """Return the page."""
    return render_page(Path(__file__).parent, summary=summary, sides=SIDES, pairs=pairs)
