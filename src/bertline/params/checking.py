"""Check all of params.yaml at once, for a driver that wants to know before any work starts."""

import importlib
from pathlib import Path

from bertline.params.loading import PARAMS_FILE, load_params, read_document

SECTIONS = (
    "fetch",
    "ingest",
    "validate",
    "split",
    "tokenize",
    "adapt",
    "finetune",
    "baseline",
    "evaluate",
    "promote",
)


def check_params(path: Path = PARAMS_FILE) -> None:
    """Check every section of `path`.

    Raises:
        ValueError: as in `load_params`; also for a section that nothing reads.
    """
    unknown = sorted(set(read_document(path)) - set(SECTIONS))
    if unknown:
        raise ValueError(f"{path}: unknown section {unknown[0]!r}; allowed: {', '.join(SECTIONS)}")
    for section in SECTIONS:
        load_params(importlib.import_module(f"bertline.params.{section}").Params, path)
