"""`bertline mistakes`: the test rows that were answered wrongly, and the rows pinned against a relapse.

Shows texts, so what it prints is as confidential as the data. The file of pinned rows holds none: content
ids and labels only. A pin takes effect with the next evaluation.
"""

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bertline.cli.quarantine import shorten
from bertline.core.lock import only_one
from bertline.project import layout
from bertline.project.layout import PINNED_ROWS

if TYPE_CHECKING:
    import pyarrow as pa

    from bertline.evaluation.pins import PinnedRow
    from bertline.rows.labels import LabelSpace

SHOWN = 20  # mistakes, unless --limit asks for more
LOCK_WAIT = 10  # seconds that a pin waits for another one

app = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode=None,
    help="List the test rows that were answered wrongly, and pin rows whose label must stay right.",
)

Id = Annotated[str, typer.Argument(help="Content id of a test row, or its first digits (6 or more).")]


@app.callback(
    epilog="Examples: bertline mistakes --class HUM --limit 50; bertline mistakes pin 3f2a91 --label HUM"
)
def mistakes(
    context: typer.Context,
    class_: Annotated[
        str | None, typer.Option("--class", help="Only rows with this label or this prediction.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Number of rows.")] = SHOWN,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line: every column, whole texts.")
    ] = False,
) -> None:
    """List the test rows that were answered wrongly, the most confident mistakes first.

    Without a command below. Each line has the content id, label, prediction, probability and text.
    """
    if context.invoked_subcommand is not None:
        return
    rows, kept, wrong = _mistakes(class_)
    for row in rows[:limit]:
        if as_json:
            typer.echo(json.dumps(row, ensure_ascii=False))
        else:
            answer = f"{shorten(row['label'])} → {shorten(row['prediction'])}"
            line = f"{row['content_id'][:12]}  {answer}  {row['probability']:.2f}  "
            typer.echo(line + shorten(row["text"], max(20, get_terminal_size().columns - len(line) - 3)))
    if not as_json and len(rows) > limit:
        chosen = f" --class {shlex.quote(class_)}" if class_ else ""
        typer.echo(f"... and {len(rows) - limit:,} more; see: bertline mistakes{chosen} --limit {len(rows)}")
    if not as_json and not rows:
        typer.echo("no test row was answered wrongly" if not wrong else f"no mistake is about {class_!r}")
    if not as_json and wrong > kept:
        typer.echo(f"these are among the {kept:,} surest of {wrong:,} mistakes; the others are not kept")


@app.command(epilog="Examples: bertline mistakes pin 3f2a91; bertline mistakes pin 3f2a91 --label HUM")
def pin(
    row: Id,
    label: Annotated[
        str | None, typer.Option(help="The label it must get, several as 'A; B'. Default: its own.")
    ] = None,
    note: Annotated[str, typer.Option(help="The reason, for later readers of the file.")] = "",
) -> None:
    """Have every later evaluation score this test row by itself.

    Notes its content id and label in data/pinned_rows.csv, never its text.
    """
    from bertline.evaluation.pins import PinnedRow

    content_id, own_labels = _find_test_row(row)
    space = _space()
    if label is None and len(own_labels) > 1:
        shown = ", ".join(map(space.shown, own_labels))
        raise ValueError(f"the text {content_id} has the labels {shown}; choose one with --label")
    label = space.shown(space.named(space.shown(own_labels[0]) if label is None else label, space.classes))
    with _changing() as pinned:
        pinned[content_id] = PinnedRow(content_id=content_id, label=label, note=note)
    typer.echo(f"pinned {content_id[:12]} to {shorten(label) or 'no class'}")
    typer.echo(f"wrote {PINNED_ROWS}; next: git commit -m 'Pin a row' {PINNED_ROWS}, then dvc repro evaluate")


@app.command(epilog="Example: bertline mistakes unpin 3f2a91")
def unpin(
    row: Annotated[str, typer.Argument(help="Content id of a pinned row, or its first digits (6 or more).")],
) -> None:
    """Score a pinned row no longer."""
    from bertline.rows.id_prefix import require_one, require_prefix

    with _changing() as pinned:
        content_id = require_one(require_prefix(row), pinned, "pinned row", "bertline mistakes pinned")
        del pinned[content_id]
    typer.echo(f"unpinned {content_id[:12]}")


@app.command("pinned", epilog="Example: bertline mistakes pinned")
def list_pinned() -> None:
    """List the pinned rows, and how the last evaluation found each."""
    from bertline.evaluation.pins import read_pinned_rows

    pinned, states = read_pinned_rows(PINNED_ROWS), _states()
    for content_id, row in sorted(pinned.items()):
        state = states.get((content_id, row.label), "not evaluated yet")
        note = f"  ({shorten(row.note)})" if row.note else ""
        typer.echo(f"{content_id[:12]}  {shorten(row.label) or 'no class'}  {shorten(state)}{note}")
    if not pinned:
        typer.echo("no row is pinned; see: bertline mistakes pin --help")


def _mistakes(class_: str | None) -> tuple[list[dict[str, Any]], int, int]:
    """Return the mistakes about `class_`, or all, with readable labels; and the numbers kept and made."""
    import pyarrow.parquet as pq

    from bertline.rows.labels import LabelSpace

    if not layout.MISTAKES.is_file():
        raise ValueError(f"{layout.MISTAKES} is not here; run: dvc repro evaluate")
    table = pq.read_table(layout.MISTAKES)
    space = LabelSpace.from_metadata(table.schema.metadata)
    if class_ is not None and class_ not in (classes := _space().classes):
        raise ValueError(f"{class_!r} is no class; there are: {', '.join(classes)}")
    found = []
    for row in table.to_pylist():
        both = (row["label"], row["prediction"])
        if class_ is None or any(class_ in space.split(each) for each in both):
            found.append(row | dict(zip(("label", "prediction"), map(space.shown, both), strict=True)))
    wrong: int = json.loads(layout.MISTAKES.with_suffix(".json").read_text("utf-8"))["wrong"]
    return found, len(table), wrong


def _find_test_row(prefix: str) -> tuple[str, list[str]]:
    """Return the content id of the test row in scope that `prefix` names, and the labels of its text."""
    import pyarrow.compute as pc

    from bertline.rows.id_prefix import require_one, require_prefix
    from bertline.rows.io import read_chunks_in_scope

    wanted = require_prefix(prefix)
    rows: list[pa.Table] = []
    for chunk in read_chunks_in_scope(layout.TEST_ROWS, ["content_id", "label"]):
        rows.append(chunk.filter(pc.starts_with(chunk["content_id"], wanted)))
    found = [row for chunk in rows for row in chunk.to_pylist()]
    content_id = require_one(wanted, (row["content_id"] for row in found), "test row", "bertline mistakes")
    return content_id, sorted({row["label"] for row in found})


def _space() -> "LabelSpace":
    from bertline.metrics.predictions import read_label_space

    return read_label_space(layout.CANDIDATE_PREDICTIONS)


@contextmanager
def _changing() -> Iterator[dict[str, "PinnedRow"]]:
    """Yield the pinned rows, and write what the block leaves of them; one process at a time."""
    from bertline.evaluation.pins import read_pinned_rows, write_pinned_rows

    lock = layout.SCRATCH / "pinned_rows.lock"
    with only_one(lock, "bertline mistakes", Path.cwd(), wait=LOCK_WAIT):
        pinned = read_pinned_rows(PINNED_ROWS)
        yield pinned
        write_pinned_rows(PINNED_ROWS, pinned)


def _states() -> dict[tuple[str, str], str]:
    """Return what the last evaluation found, by content id and label."""
    try:
        score = json.loads(layout.PINNED_SCORE.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    wrong = {(row["content_id"], row["label"]): f"wrong: {row['prediction']}" for row in score["wrong"]}
    aside = {(row["content_id"], row["label"]): f"not scored: {row['reason']}" for row in score["not_scored"]}
    right = {(row["content_id"], row["label"]): "right" for row in score["rows_scored"]}
    return right | wrong | aside
