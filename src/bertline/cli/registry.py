"""`bertline promote`, `rollback` and `history`: which model is the champion."""

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bertline.promotion.history import Line
    from bertline.registry.versions import Version

Push = Annotated[
    str | None,
    typer.Option(help="The git remote to push the version to; default: promote.push in params.yaml."),
]


def promote(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be done.")] = False,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            help="A question that you answer with yes, as the verdict names it; once for each question."
        ),
    ] = None,
    push: Push = None,
) -> None:
    """Compare models/candidate with the champion and, if it passes every gate, make it the champion.

    Where the rows cannot tell, a person decides: every question that the verdict asks must be accepted.
    """
    from bertline.project.dvc import require_reproduced
    from bertline.project.run_lock import only_run
    from bertline.promotion import promote as promotion
    from bertline.registry.conditions import require_rebuildable
    from bertline.registry.git_remote import chosen_remote

    root = Path.cwd()
    remote = chosen_remote(root, push)
    require_rebuildable(root, remote)
    with only_run(root):
        require_reproduced(root, *promotion.JUDGED)
        decision = promotion.compare_with_champion(root)
        for line in (decision.headline, *decision.reasons.splitlines()):
            print(line)
        if decision.comparison:
            print(f"compared in {decision.comparison}")
        if decision.no_comparison:
            print(f"warning: no page compares the two: {decision.no_comparison}", file=sys.stderr)
        if decision.verdict == "ask" and (others := set(accept or ()) - set(decision.asks)):
            asks = ", ".join(decision.asks)
            raise ValueError(
                f"the verdict does not ask about {', '.join(sorted(others))}; it asks about: {asks}"
            )
        accepted = decision.verdict == "ask" and set(decision.asks) <= set(accept or ())
        if (decision.promote or accepted) and not dry_run:
            version = promotion.promote(root, decision, push=remote)
            print(f"{version.name} is the champion now")
            _share(root, remote, version)


def rollback(
    version: Annotated[str | None, typer.Argument(help="Default: the previous champion.")] = None,
    push: Push = None,
) -> None:
    """Make an older version the champion again. Nothing is deleted."""
    from bertline.promotion.rollback import roll_back
    from bertline.registry.git_remote import chosen_remote

    root = Path.cwd()
    remote = chosen_remote(root, push)
    champion = roll_back(root, version, push=remote)
    print(f"{champion.name} is the champion now")
    _share(root, remote, champion)


def _share(root: Path, remote: str | None, version: "Version") -> None:
    from bertline.registry.git_remote import share

    if line := share(root, remote, version):
        print(line)


def history(
    everything: Annotated[
        bool, typer.Option("--all", help="Also the judged runs of this checkout that were not promoted.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object for each line.")] = False,
) -> None:
    """List the registered versions, newest first: date, rows, score, difference to the one before, and why.

    The score is macro-F1 on the test rows of that time, so that a difference is a hint only. What an old
    version does not tell is left blank.
    """
    from bertline.promotion.history import read_history
    from bertline.registry.registry import Registry

    registry = Registry(Path.cwd())
    lines = read_history(registry, everything=everything)
    if as_json:
        for each in reversed(lines):
            print(json.dumps(asdict(each), ensure_ascii=False))
        return
    if not lines:
        first = "make run (or bertline promote) registers the first"
        print(f"no version is registered yet; {first}{registry.fetch_tags_hint}")
        return
    print(f"{'version':<8} {'':<8} {'date (UTC)':<16} {'rows':>9} {'macro-F1':>8} {'change':>7}  why")
    for each in reversed(lines):
        print(_table_line(each))


def _table_line(line: "Line") -> str:
    at = datetime.fromtimestamp(line.at, UTC)
    rows = "" if line.rows is None else f"{line.rows:,}"
    score = "" if line.score is None else f"{line.score:.3f}"
    change = "" if line.change is None else f"{line.change:+.3f}"
    start = f"{line.version or '-':<8} {line.state:<8} {at:%Y-%m-%d %H:%M} {rows:>9} {score:>8}"
    return f"{start} {change:>7}  {line.why}".rstrip()
