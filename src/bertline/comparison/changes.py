"""What differs in what made two models: rows, params, code.

The rows are compared where DVC's cache has them, else only by their hash. A model folder has no history, so
nothing is known of it. Does not say which of the differences made the models differ.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from bertline.comparison.cached import read_columns
from bertline.comparison.sides import Side
from bertline.project.git import git
from bertline.rows.labels import MULTI_LABEL, OUT_OF_SCOPE

_ROWS = Path("data/validated/rows.parquet")
SHOWN = 100
"""Classes, deliveries and commits that are listed; the others are counted."""

_MISSING = "(not there)"


def changes_between(a: Side, b: Side) -> dict[str, Any]:
    """Return what changed from `a` to `b`, as a document for JSON."""
    unknown = [side.title for side in (a, b) if not side.stages()]
    if unknown:
        reason = f"Nobody knows what made {' and '.join(unknown)}."
        return {"unknown": reason, "data": None, "params": [], "code": None}
    return {
        "unknown": None,
        "data": _data_changes(a, b),
        "params": [*_param_changes(a.params(), b.params())],
        "code": _code_changes(a, b),
    }


def _data_changes(a: Side, b: Side) -> dict[str, Any]:
    """Return how many validated rows were added, removed and relabelled, also per class and delivery."""
    hashes = [side.output(_ROWS.as_posix()) for side in (a, b)]
    if hashes[0] == hashes[1]:
        return {"same": True, "reason": "Both were made from the same rows."}
    columns = ["id", "content_id", "label", "batch"]
    tables = [read_columns(side, _ROWS, columns) for side in (a, b)]
    missing = [side.title for side, table in zip((a, b), tables, strict=True) if table is None]
    if missing:
        where = " and ".join(missing)
        return {"same": False, "reason": f"The rows differ, and DVC's cache here lacks those of {where}."}
    before, after = tables
    assert before is not None
    assert after is not None
    return {"same": False, "reason": None, "rows_a": len(before), "rows_b": len(after)} | row_changes(
        before, after
    )


def row_changes(before: pa.Table, after: pa.Table) -> dict[str, Any]:
    """Return how many rows were added, removed and relabelled from one table to the other.

    A row is relabelled if its text is in both with another label. Both have the columns id, content_id, label
    and batch.
    """
    new = after.filter(pc.invert(_is_among(after["id"], before["id"])))
    gone = before.filter(pc.invert(_is_among(before["id"], after["id"])))
    was, now = (
        gone.filter(_is_among(gone["content_id"], new["content_id"])),
        new.filter(_is_among(new["content_id"], gone["content_id"])),
    )
    added = new.filter(pc.invert(_is_among(new["content_id"], gone["content_id"])))
    removed = gone.filter(pc.invert(_is_among(gone["content_id"], new["content_id"])))
    parts = {"added": added, "removed": removed, "relabelled_from": was, "relabelled_to": now}
    deliveries = {"added": added, "removed": removed, "relabelled": now}
    return {
        "added": len(added),
        "removed": len(removed),
        "relabelled": len(now),
        "classes": _table({name: _classes(rows) for name, rows in parts.items()}),
        "deliveries": _table({name: _deliveries(rows) for name, rows in deliveries.items()}),
    }


def _is_among(values: pa.ChunkedArray, others: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.is_in(values, value_set=others)


def _classes(rows: pa.Table) -> Counter[str]:
    found = MULTI_LABEL.count(rows)  # reads single labels, too
    if outside := pc.sum(pc.equal(rows["label"], OUT_OF_SCOPE)).as_py():
        found[OUT_OF_SCOPE] = outside
    return found


def _deliveries(rows: pa.Table) -> Counter[str]:
    return Counter({each["values"]: each["counts"] for each in pc.value_counts(rows["batch"]).to_pylist()})


def _table(counts: Mapping[str, Counter[str]]) -> dict[str, Any]:
    """Return a line for each name that is counted, the most frequent first."""
    total: Counter[str] = sum(counts.values(), Counter())
    names = sorted(total, key=lambda name: (-total[name], name))
    lines = [{"name": name} | {part: counted[name] for part, counted in counts.items()} for name in names]
    return {"lines": lines[:SHOWN], "more": len(lines[SHOWN:])}


def _param_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yield each setting that differs, by its dotted name."""
    old, new = dict(_flat(before)), dict(_flat(after))
    for key in sorted(old.keys() | new.keys()):
        if key not in old or key not in new or old[key] != new[key]:
            yield {"key": key, "a": _shown(old, key), "b": _shown(new, key)}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _shown(settings: Mapping[str, Any], key: str) -> str:
    if key not in settings:
        return _MISSING
    value = settings[key]
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _code_changes(a: Side, b: Side) -> dict[str, Any]:
    """Return the code that stages depend on and that differs, and the commits that only one of them has."""
    before, after = (_code(side) for side in (a, b))
    paths = sorted({*before, *after})
    code_a, code_b = (_commit_of_code(side) for side in (a, b))
    return {
        "paths": [path for path in paths if before.get(path) != after.get(path)],
        "only_a": _log(a.root, code_b, code_a),
        "only_b": _log(a.root, code_a, code_b),
    }


def _code(side: Side) -> dict[str, set[str]]:
    """Return the hashes of each code dependency of the stages, by path."""
    found: dict[str, set[str]] = {}
    for stage in side.stages().values():
        for dep in stage.get("deps", ()):
            if dep["path"].startswith("src/"):
                found.setdefault(dep["path"], set()).add(str(dep["md5"]))
    return found


def _commit_of_code(side: Side) -> str:
    """Return the commit whose code made the model: the parent of a run's own, or HEAD of the checkout."""
    return git(side.root, "rev-parse", f"{side.commit}^" if side.commit else "HEAD", check=False)


def _log(root: Path, without: str, of: str) -> dict[str, Any]:
    """Return a line on each commit that `of` has and `without` lacks, the newest first."""
    text = (
        git(root, "log", "--oneline", "--no-decorate", f"{without}..{of}", check=False)
        if without and of
        else ""
    )
    lines = text.splitlines()
    return {"lines": lines[:SHOWN], "more": len(lines[SHOWN:])}
