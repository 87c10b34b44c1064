"""Check all of params.yaml at once, before any work starts: `python -m bertline.params.checking`.

Checks names, types, bounds and what cannot be combined. Does not check what depends on the encoder, on the
data or on the machine: the stage that uses it checks that later.
"""

import importlib
import pkgutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import bertline.params
from bertline.core.params_loading import PARAMS_FILE, parse_section, read_document
from bertline.params.split import GROUP_COLUMNS


def sections() -> dict[str, type]:
    """Return the sections that params.yaml must have, with the `Params` of the module of the same name."""
    names = [module.name for module in pkgutil.iter_modules(bertline.params.__path__)]
    modules = {name: importlib.import_module(f"bertline.params.{name}") for name in names}
    return {name: module.Params for name, module in modules.items() if hasattr(module, "Params")}


def check_params(path: Path = PARAMS_FILE) -> None:
    """Check every section of `path`, in the order of the file.

    Raises:
        ValueError: as in `load_params`; also for a section that nothing reads.
    """
    document, known = read_document(path), sections()
    unknown = sorted(set(document) - set(known))
    if unknown:
        raise ValueError(f"{path}: unknown section {unknown[0]!r}; allowed: {', '.join(known)}")
    names = dict.fromkeys([*document, *known])  # those that the file lacks come last
    parsed: dict[str, Any] = {name: parse_section(known[name], document, path) for name in names}
    conflict = _find_conflict(parsed)
    if conflict is not None:
        raise ValueError(f"{path}: {conflict}")
    _check_stages(parsed["flow"].timeouts, path)


def _check_stages(named: Iterable[str], path: Path) -> None:
    """Raise a ValueError unless dvc.yaml, which lies beside `path`, has the stages that are `named`."""
    if not named or not (path.parent / "dvc.yaml").exists():
        return
    stages = [*read_document(path.parent / "dvc.yaml").get("stages", {})]  # type: ignore[misc]
    for each in named:
        if each.partition("@")[0] not in stages:  # one of several that a template makes is called NAME@KEY
            allowed = ", ".join(stages)
            raise ValueError(f"{path}: flow.timeouts has {each!r}, no stage of dvc.yaml; allowed: {allowed}")


def check_names(names: Iterable[str]) -> None:
    """Raise a ValueError if one of `names`, as section.key, is that of an earlier version."""
    known = sections()
    for name in names:
        section, _, key = name.partition(".")
        renamed = getattr(known.get(section), "RENAMED", {})
        if key in renamed:
            raise ValueError(f"{name} is called {section}.{renamed[key]} now")


def _find_conflict(params: Mapping[str, Any]) -> str | None:
    """Return why values of different sections cannot be combined with any data; None if they can."""
    ingest, split, tokenize, adapt = (params[name] for name in ("ingest", "split", "tokenize", "adapt"))
    if split.test_from is not None and ingest.timestamp_column is None:
        return (
            f"split.test_from is {split.test_from!r}, but ingest.timestamp_column is null, so that no row "
            "has a time; name the column, or set split.test_from and split.validation_from to null"
        )
    allowed = [*GROUP_COLUMNS, *ingest.keep_columns]
    if split.group_column not in [None, *allowed]:
        return (
            f"split.group_column is {split.group_column!r}, which rows do not have; name the column in "
            f"ingest.keep_columns too, or take one of {', '.join(allowed)} or null"
        )
    if tokenize.long_texts == "windows" and ingest.pair_column is not None:
        return (
            "tokenize.long_texts is 'windows', which is for single texts, but ingest.pair_column is "
            f"{ingest.pair_column!r}; allowed for pairs: head, tail or head_tail"
        )
    if tokenize.vocabulary is not None and adapt.objective == "none":
        return (
            f"tokenize.vocabulary is {tokenize.vocabulary}, but adapt.objective is none, so that the encoder "
            "never learns these tokens; set adapt.objective: mlm"
        )
    return None


if __name__ == "__main__":
    try:
        check_params()
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
