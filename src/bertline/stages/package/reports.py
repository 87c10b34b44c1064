"""What the other stages have reported about a model: all that its card may say.

A report that an older run did not write, or a key that it lacks, is empty: the card is shorter then.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Document = Mapping[str, Any]

EVALUATION = ("metrics", "scores", "classes", "calibration", "slices", "weak_slices", "behaviour", "cost")
"""The parts of the evaluation that have a place in the card, beside the conclusions."""


@dataclass(frozen=True, kw_only=True)
class Reports:
    """The reports by the stage that wrote them.

    Attributes:
        evaluation: its parts by their name.
        settings: bertline.json of the model: where its weights come from and how it reads texts.
        config: config.json of the model.
    """

    ingest: Document
    split: Document
    finetune: Document
    calibration: Document
    export: Document
    evaluation: Mapping[str, Document]
    settings: Document
    config: Document

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels of the model, sorted."""
        return tuple(sorted(self.config["label2id"]))

    @property
    def multi_label(self) -> bool:
        """Whether a text may have several labels, or none."""
        return self.config.get("problem_type") == "multi_label_classification"

    @property
    def answering(self) -> Document:
        """What `export` decided: which file is served, and the thresholds."""
        return self.settings.get("answering") or {}

    def scores(self, model: str) -> Document:
        """Return all scores of `model`, candidate or baseline, with the ends of their intervals."""
        parts = (self.evaluation[name].get(model, {}) for name in ("metrics", "scores"))
        return {name: value for part in parts for name, value in part.items()}


def read_reports(
    model: Path, *, ingested: Path, split: Path, training: Path, export: Path, evaluation: Path
) -> Reports:
    """Return the reports about the folder `model`.

    Raises:
        ValueError: a file is no JSON.
    """
    return Reports(
        ingest=_read(ingested),
        split=_read(split / "summary.json"),
        finetune=_read(training / "summary.json"),
        calibration=_read(training / "calibration.json"),
        export=_read(export / "export.json"),
        evaluation={name: _read(evaluation / f"{name}.json") for name in (*EVALUATION, "conclusions")},
        settings=_read(model / "bertline.json"),
        config=_read(model / "config.json"),
    )


def _read(path: Path) -> Document:
    try:
        document: Document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        raise ValueError(f"{path} is no JSON; remove it and run: dvc repro") from None
    return document
