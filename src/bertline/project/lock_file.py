"""The stages that dvc.lock records: the hashes of what each has read and written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertline.core.yaml_text import parse_yaml

LOCK_FILE = "dvc.lock"


def recorded_stages(root: Path) -> Mapping[str, Any]:
    """Return the stages that dvc.lock records, by name; nobody may change them."""
    path = root / LOCK_FILE
    stages: Mapping[str, Any] = parse_yaml(path.read_text("utf-8"))["stages"] if path.exists() else {}
    return stages
