"""`bertline quarantine`: look at quarantined rows, and decide about them in data/reviews.csv.

Shows texts, so what it prints is as confidential as the data. Decides nothing by itself: a decision takes
effect with the next run, once people have committed it.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bertline.project import layout
from bertline.project.git import git
from bertline.project.layout import REVIEWS
from bertline.stages.validate.quarantine.reviews import Review, read_reviews, record

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = 20  # rows, of a rule that more of them broke
WIDTH = 100  # characters of a text

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Look at the rows that `validate` quarantined, and release or drop them.",
    epilog="Examples: bertline quarantine list; bertline quarantine release 3f2a91 --note 'a real question'",
)

Ids = Annotated[list[str] | None, typer.Argument(help="Ids of rows, or their first digits (6 or more).")]
Rule = Annotated[str | None, typer.Option(help="Instead of ids: all undecided rows that broke this rule.")]
Note = Annotated[str, typer.Option(help="The reason, for later readers of the file.")]
Reviewer = Annotated[str | None, typer.Option(help="Who decides. Default: git's user.name.")]


@app.command("list", epilog="Example: bertline quarantine list")
def list_() -> None:
    """Count the rows in quarantine by rule and batch.

    Open ones, those dropped, and those released for the next run.
    """
    from bertline.rows.io import read_chunks
    from bertline.stages.validate.quarantine.table import QUARANTINE

    states, reviews = ("open", "dropped", "released"), _reviews()
    counts: Counter[tuple[str, str, str]] = Counter()
    for chunk in read_chunks(layout.QUARANTINE, QUARANTINE, ["id", "rule", "batch"]):
        for row in chunk.to_pylist():
            counts[row["rule"], shorten(row["batch"] or ""), _state(row, reviews)] += 1
    if not counts:
        typer.echo("no row is in quarantine")
        return
    table: list[tuple[str, ...]] = [("rule", "batch", *states)]
    for rule, batch in sorted({key[:2] for key in counts}):
        table.append((rule, batch, *(f"{counts[rule, batch, state]:,}" for state in states)))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        cells = [*map(str.ljust, line[:2], widths[:2]), *map(str.rjust, line[2:], widths[2:])]
        typer.echo("  ".join(cells).rstrip())


@app.command(
    epilog="Examples: bertline quarantine show 3f2a91; bertline quarantine show --rule text_length --json"
)
def show(
    ids: Ids = None,
    rule: Annotated[str | None, typer.Option(help="Instead of ids: rows that broke this rule.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line: all rows, every column, whole texts.")
    ] = False,
) -> None:
    """Show rows with the rule each broke and why."""
    reviews = _reviews()
    rows = (row for chunk in _chunks(ids, rule) for row in chunk.to_pylist())
    number = 0
    for number, row in enumerate(rows, start=1):
        if as_json:
            state = {"state": _state(row, reviews)}
            typer.echo(json.dumps(row | state, ensure_ascii=False, default=lambda moment: moment.isoformat()))
        elif number <= SHOWN:
            typer.echo(f"{row['id'][:12]}  {_state(row, reviews)}  {row['rule']}: {shorten(row['reason'])}")
            typer.echo(f"    batch {shorten(row['batch'])}  label {shorten(row['label'])}")
            typer.echo(f"    {shorten(row['text'])}")
    if not as_json and number > SHOWN:
        named = f"--rule {rule}" if rule else " ".join(ids or [])
        typer.echo(f"... and {number - SHOWN:,} more; all of them: bertline quarantine show {named} --json")


@app.command(epilog="Examples: bertline quarantine release 3f2a91 --note 'short, but a question'")
def release(ids: Ids = None, rule: Rule = None, note: Note = "", reviewer: Reviewer = None) -> None:
    """Let rows pass the rule they broke, from the next run on.

    Not those without text or label: correct these at their source, or drop them.
    """
    _decide("release", ids, rule, note, reviewer)


@app.command(
    epilog="Examples: bertline quarantine drop 3f2a91; bertline quarantine drop --rule text_not_blank"
)
def drop(ids: Ids = None, rule: Rule = None, note: Note = "", reviewer: Reviewer = None) -> None:
    """Leave rows in quarantine for good.

    They no longer count towards validate.max_quarantined.
    """
    _decide("drop", ids, rule, note, reviewer)


def _decide(decision: str, ids: list[str] | None, rule: str | None, note: str, reviewer: str | None) -> None:
    reviews, reviewer = _reviews(), reviewer or _git_user()
    decided = []
    for chunk in _chunks(ids, rule):
        for row in chunk.select(["id", "rule"]).to_pylist():
            earlier = reviews.get(row["id"])
            if rule is not None and _state(row, reviews) != "open":
                continue
            if earlier is not None and earlier.decision == decision and row["rule"] in earlier.rules:
                raise ValueError(
                    f"{earlier.reviewer} decided already to {decision} {row['id'][:12]}"
                    f"{f' ({earlier.note})' if earlier.note else ''}; nothing is written"
                )
            if earlier is not None and earlier.decision == decision:  # it breaks another rule, too
                row["rule"] = " ".join(sorted(earlier.rules | {row["rule"]}))
            decided.append(Review(decision=decision, reviewer=reviewer, note=note, **row))
    if not decided:
        raise ValueError(f"every row that broke {rule!r} is decided already; nothing is written")
    record(REVIEWS, decided)
    for review in decided[:SHOWN]:
        typer.echo(f"{decision} {review.id[:12]} ({review.rule})")
    rows = f"{len(decided):,} row{'s' * (len(decided) != 1)}"
    typer.echo(f"wrote {rows} to {REVIEWS}; next: git commit -m 'Review' {REVIEWS}, then make run")


def _chunks(ids: list[str] | None, rule: str | None) -> Iterator["pa.Table"]:
    from bertline.stages.validate.quarantine.table import find_by_id, find_by_rule

    if bool(ids) == (rule is not None):
        raise ValueError("give the ids of rows, or --rule NAME; see: bertline quarantine list")
    return (
        find_by_rule(layout.QUARANTINE, rule)
        if rule is not None
        else iter([find_by_id(layout.QUARANTINE, ids or [])])
    )


def _reviews() -> dict[str, Review]:
    return read_reviews(REVIEWS)


def _state(row: dict[str, Any], reviews: dict[str, Review]) -> str:
    """Return open, dropped or released: by the file of reviews, which may be newer than the last run."""
    review = reviews.get(row["id"])
    if review is None or (review.decision == "release" and row["rule"] not in review.rules):
        return "open"
    return "released" if review.decision == "release" else "dropped"


def _git_user() -> str:
    name = git(Path.cwd(), "config", "user.name", check=False)
    if not name:
        raise ValueError(
            "git does not know who you are; give --reviewer or run: git config --global user.name 'Your Name'"
        )
    return name


def shorten(text: str | None, width: int = WIDTH) -> str:
    """Return `text` on one short line that cannot steer a terminal."""
    if text is None:
        return "(none)"
    line = " ".join(text[: 10 * width].split())
    safe = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in line)
    return safe if len(safe) <= width else f"{safe[:width].rstrip()}..."
