"""The metadata of the model card: the YAML block that the Hugging Face hub reads.

Guarantees only what is known: no license and no language, and a base model only where the weights came from
the hub. The hub checks `license`, `datasets` and `model-index` where they are present; a data set there must
be one of the hub's, which a file of the user's is not.
"""

from pathlib import Path

from bertline.stages.package.numbers import score
from bertline.stages.package.reports import Document, Reports

NAME = "text-classifier"
METRICS = {
    "accuracy": ("accuracy", "Accuracy"),
    "macro_f1": ("f1", "Macro-F1"),
    "micro_f1": ("f1", "Micro-F1"),
    "balanced_accuracy": ("balanced_accuracy", "Balanced accuracy"),
    "mcc": ("matthews_correlation", "Matthews correlation"),
    "macro_roc_auc": ("roc_auc", "Macro ROC-AUC"),
    "log_loss": ("log_loss", "Log-loss"),
    "brier": ("brier_score", "Brier score"),
}
"""By the name in the reports: the name of a metric on the hub, and how the card calls it."""


def metadata(reports: Reports) -> str:
    """Return the YAML block, without the lines of dashes around it."""
    from huggingface_hub import (
        EvalResult,
        ModelCardData,
    )  # here: a command starts quickly

    scores = reports.evaluation["scores"].get("candidate") or reports.evaluation["metrics"].get(
        "candidate", {}
    )
    results = [
        EvalResult(
            task_type="text-classification",
            task_name="Text classification",
            dataset_type="unknown",
            dataset_name=_data_name(reports),
            dataset_split="test",
            metric_type=kind,
            metric_name=_metric_name(name, scores, label),
            metric_value=scores[name],
        )
        for name, (kind, label) in METRICS.items()
        if scores.get(name) is not None
    ]
    tags = ["text-classification", reports.config.get("model_type"), "onnx" if _has_onnx(reports) else None]
    card = ModelCardData(
        model_name=NAME,
        library_name="transformers",
        pipeline_tag="text-classification",
        base_model=base_model(reports),
        tags=[*filter(None, tags), "bertline"],
        metrics=sorted({result.metric_type for result in results}) or None,
        eval_results=results or None,
    )
    return str(card.to_yaml())


def base_model(reports: Reports) -> str | None:
    """Return the hub's name of the encoder; None where it was a folder or came with a package."""
    weights = str(reports.settings.get("weights", ""))
    name = weights.partition("@")[0]
    local = name.startswith((".", "/", "~")) or name.count("/") > 1 or Path(weights).is_dir()
    return None if not name or name.startswith("sample:") or local else name


def _has_onnx(reports: Reports) -> bool:
    return reports.answering.get("precision") in ("int8", "fp32")


def _data_name(reports: Reports) -> str:
    files = [Path(file["path"]).name for file in reports.ingest.get("files", [])]
    return ", ".join(files) if 0 < len(files) <= 3 else "test rows"


def _metric_name(name: str, scores: Document, label: str) -> str:
    low, high = scores.get(f"{name}_low"), scores.get(f"{name}_high")
    return label if low is None or high is None else f"{label} (interval {score(low)} to {score(high)})"
