"""The results of a retraining as Prefect artifacts, which the page of its run shows."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from bertline.comparison.conclusion import clearest, name_of, with_ends
from bertline.project.layout import CANDIDATE, EVALUATION_PAGE, VALIDATION_PAGE
from bertline.reporting.markdown import inline
from flows.retraining.markdown import table
from flows.retraining.summary import Data, Summary

REPORTS_URL = "BERTLINE_REPORTS_URL"
"""Environment variable: where the reports of this checkout are served; `make up` sets it for the worker."""


def show_data(data: Data) -> None:
    """Make an artifact of what `validate` found in the data."""
    create_markdown_artifact(data_markdown(data), key="validation", description=data.headline)


def show_summary(summary: Summary) -> None:
    """Make artifacts of the scores and of the verdict."""
    create_table_artifact(summary.metrics_table(), key="metrics", description="On the same test rows")
    create_markdown_artifact(verdict_markdown(summary), key="verdict", description=summary.verdict)


def data_markdown(data: Data) -> str:
    """Return the account of the rows, and the expectations: those that were not met first."""
    found, validated = data.ingested, data.validated
    account = (
        f"{found['lines_in']:,} lines read = {found['duplicates']:,} exact duplicates "
        f"+ {validated['rows_kept']:,} rows kept ({validated['rows_released']:,} of them released) "
        f"+ {validated['rows_quarantined']:,} quarantined"
    )
    failed = [each for each in validated["expectations"] if not each["passed"]]
    met = [each for each in validated["expectations"] if each["passed"]]
    parts = [f"## Validation: {data.headline}", account, f"Report: {_link(VALIDATION_PAGE)}"]
    if failed:
        columns = ("not met", "observed", "allowed", "what it means")
        rows = [(f"{each['name']} ({each['severity']})", *_observed(each), each["detail"]) for each in failed]
        parts.append(table(columns, rows))
    if met:
        parts.append(
            table(("met", "observed", "allowed"), [(each["name"], *_observed(each)) for each in met])
        )
    return "\n\n".join(parts) + "\n"


def verdict_markdown(summary: Summary) -> str:
    """Return the verdict with its reasons, and where the report and the model are."""
    reasons = "\n".join(f"- {line}" for line in summary.reasons.splitlines())
    parts = [f"## {summary.verdict}", reasons, summary.shared, summary.note and f"Note: {summary.note}"]
    if summary.comparison:
        parts += [comparison_markdown(summary.comparison), f"Page: {_link(Path(summary.comparison['page']))}"]
    where = f"Report: {_link(EVALUATION_PAGE)}, model: `{CANDIDATE}`\n"
    return "\n\n".join([*filter(None, parts), where])


def comparison_markdown(document: Mapping[str, Any]) -> str:
    """Return what broke between the champion and the candidate, and what is worse, then better."""
    parts = [f"### Compared with {document['a']['title']}", inline(" ".join(document["conclusion"]))]
    parts += [f"- {inline(each)}" for each in document["cautions"]]
    found, more = clearest(document["differences"])
    if found:
        columns = ("difference", "rows", document["a"]["name"], document["b"]["name"], "points", "verdict")
        rows = [
            (
                inline(name_of(each)),
                f"{each['rows']:,}",
                *(f"{100 * each[model]:.1f}" for model in ("a", "b")),
                with_ends(each),
                each["verdict"],
            )
            for each in found
        ]
        parts.append(table(columns, rows))
    parts += [f"... and {more}"] * bool(more)
    return "\n\n".join(parts)


def _observed(expectation: dict[str, Any]) -> tuple[str, str]:
    shown = expectation["shown"]
    return f"{shown} rows" if expectation["severity"] == "row" else shown, expectation["allowed"]


def _link(path: Path) -> str:
    """Return `path` as a link, if its pages are served; else as text."""
    address = os.environ.get(REPORTS_URL)
    return f"[{path}]({address.rstrip('/')}/{path.as_posix()})" if address else f"`{path}`"
