"""The tables of the model card: each is Markdown, with the numbers of one report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bertline.reporting.markdown import Markdown, inline, table
from bertline.stages.package.metadata import METRICS
from bertline.stages.package.numbers import count, score, share, with_interval
from bertline.stages.package.reports import Reports

SHARES = ("accuracy", "balanced_accuracy")
FEW = 20  # rows of a table that are shown without a click


def labels(reports: Reports, examples: Mapping[str, Sequence[str]]) -> Markdown:
    """Return the labels with their rows, their scores and training texts."""
    split, scores = reports.split.get("classes", {}), reports.evaluation["classes"]
    shows = any(examples.values())
    last = ["examples from training"] if shows else []
    columns = ["label", "training rows", "test rows", "precision", "recall", "F1", *last]
    rows = []
    for label in reports.classes:
        counts, found = split.get(label, {}), scores.get(label, {})
        row = [label, count(counts.get("train")), count(counts.get("test"))]
        row += [_class_score(found, name) for name in ("precision", "recall", "f1")]
        if shows:
            row.append(Markdown("<br>".join(map(inline, examples.get(label, [])))))
        rows.append(row)
    return folded(table(columns, rows), len(rows), "All labels")


def _class_score(found: Mapping[str, Any], name: str) -> str:
    """Return a score of a class; a dash where no test row has the label, since its zeros measure nothing."""
    return "\N{EN DASH}" if found.get("support") == 0 else with_interval(found, name, as_share=False)


def scores(reports: Reports) -> Markdown | None:
    """Return the scores of the model beside those of the baseline."""
    models = [reports.scores(which) for which in ("candidate", "baseline")]
    rows = [
        [label, *(with_interval(model, name, as_share=name in SHARES) for model in models)]
        for name, (_, label) in METRICS.items()
        if models[0].get(name) is not None
    ]
    return table(["", "this model", "TF-IDF baseline"], rows) if rows else None


def slices(reports: Reports) -> Markdown | None:
    """Return the accuracy on each slice of the test rows but the classes, which `labels` has."""
    found = [each for each in reports.evaluation["slices"].get("slices", []) if each["group"] != "class"]
    rows = [
        [each["group"], each["name"], count(each["rows"]), with_interval(each, "accuracy", as_share=True)]
        for each in found
    ]
    columns = ["group", "slice", "test rows", "accuracy"]
    return folded(table(columns, rows), FEW + 1, "Accuracy by slice of the test rows") if rows else None


def weak_slices(reports: Reports) -> Markdown | None:
    """Return the weak slices that the search has confirmed."""
    rows = [
        [
            each["rule"],
            count(each["rows"]),
            with_interval(each, "accuracy", as_share=True),
            share(each.get("rest_accuracy")),
        ]
        for each in reports.evaluation["weak_slices"].get("slices", [])
    ]
    return table(["texts", "test rows", "accuracy", "elsewhere"], rows) if rows else None


def failing_tests(reports: Reports) -> Markdown | None:
    """Return the behavioural tests with failures, the highest failure rate first."""
    failing = [each for each in reports.evaluation["behaviour"].get("tests", []) if each.get("failures")]
    failing.sort(key=lambda each: (-each["failure_rate"], each["name"]))
    rows = [
        [
            Markdown(f"**{inline(each['name'])}**: {inline(each['description'])}"),
            count(each["cases"]),
            with_interval(each, "failure_rate", as_share=True),
        ]
        for each in failing
    ]
    columns = ["test", "cases", "failed"]
    return folded(table(columns, rows), len(rows), "All tests that failed") if rows else None


def files(reports: Reports) -> Markdown | None:
    """Return the files that the rows came from, the largest first; only names, no folders of a machine."""
    found = sorted(reports.ingest.get("files", []), key=lambda each: (-each["rows"], each["path"]))
    rows = [[Path(each["path"]).name, count(each["rows"])] for each in found]
    return folded(table(["file", "rows"], rows), len(rows), "All files") if rows else None


def facts(reports: Reports) -> Markdown:
    """Return what the folder and the reports have recorded of the training."""
    settings, training = reports.settings, reports.finetune
    named: dict[str, Any] = {
        "encoder": encoder(reports),
        "SHA-256 of the encoder": settings.get("weights_sha256"),
        "tokens of a text": settings.get("max_length"),
        "longer texts": settings.get("long_texts"),
        "seed": training.get("seed"),
        "epochs": training.get("epochs"),
        "best epoch": training.get("best_epoch"),
        "learning rate": training.get("learning_rate"),
    }
    named |= {name: settings.get(name) for name in ("torch", "transformers", "device", "hardware", "threads")}
    rows = [[name, str(value)] for name, value in named.items() if value is not None]
    return table(["", "recorded"], rows)


def encoder(reports: Reports) -> str:
    """Return the name of the encoder as people know it: without the folders of a machine."""
    weights = str(reports.settings.get("weights") or "an encoder")
    if weights.startswith("sample:"):
        return weights.removeprefix("sample:")
    return Path(weights).name if Path(weights).is_absolute() or weights.startswith((".", "~")) else weights


def folded(text: Markdown, rows: int, summary: str) -> Markdown:
    """Return `text` behind a click where it has many `rows`."""
    if rows <= FEW:
        return text
    return Markdown(f"<details>\n<summary>{inline(summary)}</summary>\n\n{text}\n\n</details>")


def lowest(reports: Reports) -> str | None:
    """Return the labels with the lowest F1, where the model has so many that their table is folded."""
    found = reports.evaluation["classes"]
    if len(found) <= FEW:
        return None
    worst = sorted((row["f1"], label) for label, row in found.items() if row["support"])[:5]
    return Markdown(", ".join(f"{inline(label)} ({score(value)})" for value, label in worst)) or None
