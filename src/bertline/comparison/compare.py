"""Compare two models on today's test rows and on the same changed texts; write the page and its JSON.

`bertline compare` and the promotion call it. Guarantees that nothing but the page and its JSON is written,
and that both models are scored on the same rows in the same way. The promotion's verdict is not made here.
"""

from pathlib import Path
from typing import Any

from bertline.comparison.answers import answers_of
from bertline.comparison.changes import changes_between
from bertline.comparison.compared_rows import ComparedRows
from bertline.comparison.conclusion import conclude
from bertline.comparison.fairness import cautions
from bertline.comparison.page import page_name, write_page
from bertline.comparison.sides import Side
from bertline.core.params_loading import PARAMS_FILE, load_params
from bertline.evaluation.comparison import behaviour_pairs, compare_models
from bertline.evaluation.slice_rules import read_rules
from bertline.evaluation.slices import slices_of
from bertline.metrics.predictions import Predictions
from bertline.params.evaluate import Params
from bertline.project.layout import COMPARISONS, SLICE_RULES


def compare(root: Path, a: Side, b: Side, *, predictions_a: Predictions | None = None) -> dict[str, Any]:
    """Return the comparison of the models `a` and `b` as a document for JSON.

    Args:
        root: the checkout, whose test rows are used.
        a: the model that is there.
        b: the model that may follow it.
        predictions_a: of `a` for the test rows, if the caller has them.

    Raises:
        ValueError: rows or a model cannot be read; the message has the next command.
    """
    params = load_params(Params, root / PARAMS_FILE)
    test = ComparedRows.read(root)
    behaviour = test.behaviour(root, params)
    slices = slices_of(test.rows, test.texts, test.space, read_rules(root / SLICE_RULES))
    # One after the other: a version that is fetched may remove the one before.
    mine = answers_of(a, behaviour, params, predictions=predictions_a)
    theirs = answers_of(b, behaviour, params)
    found = compare_models(
        mine.predictions,
        theirs.predictions,
        texts=test.texts,
        slices=slices.shown,
        behaviour=behaviour_pairs(behaviour, mine.cases, theirs.cases),
        resamples=params.resamples,
        confidence=params.confidence,
        seed=params.seed,
    )
    conclusion = conclude(found, a.title, b.subject)
    return {
        "conclusion": conclusion,
        "cautions": cautions((a, b), (mine.reading, theirs.reading), test),
        "a": {"name": a.name, "title": a.title, "subject": a.subject, "model": a.model},
        "b": {"name": b.name, "title": b.title, "subject": b.subject, "model": b.model},
        "multi_label": test.space.multi_label,
        **found,
        "skipped": [{"name": name, "reason": reason} for name, reason in behaviour.skipped.items()],
        "changes": changes_between(a, b),
    }


def write_comparison(root: Path, document: dict[str, Any], output: Path | None = None) -> Path:
    """Write the page of `document` to `output`, or where the report pages are served; return its path."""
    path = output or COMPARISONS / page_name(document["a"]["name"], document["b"]["name"])
    write_page(document, root / path)
    return path
