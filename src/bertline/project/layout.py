"""Paths of the project that are read outside the stage that writes them, from the root of the project.

A test compares those of `OUTPUTS` with the outputs in dvc.yaml.
"""

from pathlib import Path

CANDIDATE = Path("models/candidate")  # the path of the artifact in dvc.yaml
PACKAGED = (
    Path("models/exported"),
    Path("models/finetuned"),
)  # what it holds, but for its card

INGEST_REPORT = Path("reports/ingest.json")
QUARANTINE = Path("data/quarantine/rows.parquet")
VALIDATION_RESULT = Path("reports/validation/verdict.json")
VALIDATION_PAGE = Path("reports/validation/index.html")
SPLIT_SUMMARY = Path("reports/split/summary.json")
TEST_ROWS = Path("data/splits/test.parquet")
FINETUNE_SUMMARY = Path("reports/finetune/summary.json")
EXPORT_REPORT = Path("reports/export/export.json")
CANDIDATE_PREDICTIONS = Path("data/predictions/candidate.parquet")
CANDIDATE_CASES = Path("data/predictions/behaviour.parquet")
BASELINE_PREDICTIONS = Path("data/predictions/baseline.parquet")
METRICS = Path("reports/evaluation/metrics.json")
EVALUATION_PAGE = Path("reports/evaluation/report.html")
MISTAKES = Path("reports/evaluation/mistakes.parquet")
PINNED_SCORE = Path("reports/evaluation/pinned.json")

OUTPUTS = {  # path to the stage that writes it
    CANDIDATE: "package",
    INGEST_REPORT: "ingest",
    QUARANTINE: "validate",
    VALIDATION_RESULT: "validate",
    VALIDATION_PAGE: "validate",
    SPLIT_SUMMARY: "split",
    TEST_ROWS: "split",
    FINETUNE_SUMMARY: "finetune",
    EXPORT_REPORT: "export",
    CANDIDATE_PREDICTIONS: "evaluate",
    CANDIDATE_CASES: "evaluate",
    BASELINE_PREDICTIONS: "evaluate",
    METRICS: "evaluate",
    EVALUATION_PAGE: "evaluate",
    MISTAKES: "evaluate",
    PINNED_SCORE: "evaluate",
}

REVIEWS = Path("data/reviews.csv")  # a dependency of `validate`, which people and `bertline quarantine` write
PINNED_ROWS = Path("data/pinned_rows.csv")  # a dependency of `evaluate`, which `bertline mistakes` writes
ABLATION_TABLE = Path("reports/ablation.csv")
CROSS_VALIDATION = Path("reports/cross_validation.json")
COMPARISONS = Path("reports/comparison")  # pages of `bertline compare` and of the promotion; git ignores them
SLICE_RULES = Path("slices.yaml")  # a dependency of `evaluate`, as the next
BEHAVIOUR = Path("behaviour.yaml")
SCRATCH = Path(".bertline")
