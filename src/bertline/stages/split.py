"""Deal the validated rows to train, validation and test; a row never changes its side when others arrive."""

import json
from pathlib import Path

from bertline.corpus.rows import read_rows, write_rows
from bertline.corpus.splitting import SIDES, count_classes, split_rows
from bertline.params.loading import load_params
from bertline.params.split import Params
from bertline.stages.command import run


def split(*, rows: Path, out: Path, report: Path) -> None:
    """Deal rows to train, validation and test by a hash of their content."""
    splits = split_rows(read_rows(rows), load_params(Params))
    classes = count_classes(splits)
    for name in SIDES:
        write_rows(splits[name], out / f"{name}.parquet")
    summary = {**{name: len(splits[name]) for name in SIDES}, "classes": classes}
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(", ".join(f"{name} {len(splits[name])}" for name in SIDES), f"rows of {len(classes)} classes")


if __name__ == "__main__":
    run(split)
