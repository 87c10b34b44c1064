"""The `bertline` command: what the commands of DVC and Prefect do not do already.

Imports wait until a command needs them, so that `bertline --help` is quick.
"""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from bertline.cli import compare, fetch, flows, mistakes, predict, quarantine, registry, services, tuning


class _OneLineErrors(TyperGroup):
    """A user's mistake or a failing machine ends with one `error:` line and exit status 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # as of `| head`: click ends quietly
            raise
        except (ValueError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=_OneLineErrors,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Use and manage the text classifier of the current folder, which must be the one with dvc.yaml.",
    epilog='Examples: bertline predict "How far is the moon?"; bertline promote --dry-run; bertline rollback',
)
app.command(
    epilog='Examples: bertline predict "How far is the moon?"; bertline predict --json < texts.txt; '
    "bertline predict --input tickets.csv --output tickets.parquet --text-column body"
)(predict.predict)
app.command(epilog="Example: bertline fetch && dvc repro")(fetch.fetch)
app.command(epilog="Examples: bertline promote --dry-run; bertline promote")(registry.promote)
app.command(epilog="Examples: bertline rollback; bertline rollback v1.0.0")(registry.rollback)
app.command(epilog="Example: bertline history")(registry.history)
app.command(epilog="Examples: bertline compare; bertline compare v1.0.0 v1.2.0")(compare.compare)
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(mistakes.app, name="mistakes")
app.command(epilog="Examples: bertline preset; bertline preset fast")(tuning.preset)
app.command(epilog="Examples: bertline ablate --list; bertline ablate --techniques lora-8")(tuning.ablate)
app.command(epilog="Example: bertline cross-validate --folds 5")(tuning.cross_validate)
app.command(epilog="Example: bertline down")(services.down)
for _name, _help in {
    "up": "Start Prefect's server, the worker and the report pages, and keep them running in the background.",
    "automations": "Apply, list or delete what the server does by itself: crash silent runs, send messages.",
    "doctor": "List what is wrong with this checkout, its remotes, disk and server, and what mends it.",
    "deploy": "Put the deployments of prefect.yaml, their work pool and the automations on the server.",
}.items():
    app.command(_name, context_settings=flows.FORWARDS)(flows.start(_name, _help))
