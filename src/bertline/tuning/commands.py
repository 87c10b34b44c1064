"""`bertline preset`, `ablate` and `cross-validate`: choose the settings of the training, and test them."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bertline.tuning.ledger import Ledger
    from bertline.tuning.tips import Tip
    from bertline.tuning.workplace import Job, Workplace

TABLE = Path("reports", "ablation.csv")
FOLDS = Path("reports", "cross_validation.json")


def preset(
    name: Annotated[
        str | None, typer.Argument(help="A file of presets/; without it, they are listed.")
    ] = None,
) -> None:
    """Write the settings of a preset into params.yaml; comments and everything else stay."""
    from bertline.tuning import presets
    from bertline.tuning.editing import spell

    if name is None:
        for each in presets.names():
            typer.echo(f"{each:<12}{presets.describe(each)}")
        return
    changes = presets.apply(name)
    for change in changes:
        typer.echo(f"{change.name}: {spell(change.before)} -> {spell(change.after)}")
    typer.echo(f"{len(changes)} settings of params.yaml changed; next: dvc repro, or make run")


def ablate(
    tips: Annotated[str, typer.Option(help="Names, separated by commas. Default: all.")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each tip.")] = 3,
    show: Annotated[bool, typer.Option("--list", help="Only list the tips and what each changes.")] = False,
) -> None:
    """Try tips on fine-tuning one by one on the data of the current folder, each run a DVC experiment.

    Scores are those on the validation split. Interrupted and run again, it goes on from there.
    """
    from bertline.params.adapt import Params as Adapt
    from bertline.params.finetune import Params as Finetune
    from bertline.params.loading import load_params
    from bertline.params.tokenize import Params as Tokenize
    from bertline.tuning.editing import spell
    from bertline.tuning.ledger import ABLATION, Ledger
    from bertline.tuning.tips import all_tips, choose

    possible = all_tips(load_params(Finetune), load_params(Adapt), _depth(load_params(Tokenize).weights))
    chosen = choose(possible, [each.strip() for each in tips.split(",") if each.strip()])
    if show:
        for tip in chosen:
            changes = ", ".join(f"{key}: {spell(value)}" for key, value in tip.changes.items())
            typer.echo(f"{tip.name:<24}{changes}")
        return
    with _at_work(ABLATION) as place:
        ledger = Ledger(place)
        typer.echo(f"{len(chosen) + 1} x {seeds} runs")
        try:
            ledger.run(chosen, seeds, typer.echo)
        finally:
            _report(ledger, chosen, seeds)
    if ledger.errors:
        raise typer.Exit(1)


def cross_validate(
    folds: Annotated[int, typer.Option(min=3, help="Parts of the rows; each is tested once.")] = 5,
) -> None:
    """Test the settings on every row of the data of the current folder, each fold a DVC experiment.

    For small data, where one test split says little. Interrupted and run again, it goes on from there.
    """
    from bertline.evaluation.summary import table
    from bertline.tuning import cross_validation

    cross_validation.check_folds(folds)
    with _at_work(cross_validation.CROSS_VALIDATION) as place:
        metrics = cross_validation.cross_validate(place, folds, typer.echo)
        cross_validation.write(metrics, FOLDS)
        typer.echo(table(metrics))


@contextmanager
def _at_work(job: "Job") -> "Iterator[Workplace]":
    """Open the second checkout; Ctrl-C, a closed terminal and `kill` end what runs there, and clean up."""
    from bertline.tuning.workplace import open_workplace

    for number in (signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_DFL:  # under nohup it is not
            signal.signal(number, signal.default_int_handler)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # scripts have their background jobs ignore it,
        signal.signal(signal.SIGINT, signal.default_int_handler)  # and DVC would inherit that
    try:
        typer.echo(f"what the stages print: tail -f {job.log}")
        with open_workplace(Path.cwd(), job) as place:
            yield place
    except KeyboardInterrupt:
        typer.echo("error: interrupted; run the same command again to continue", err=True)
        raise typer.Exit(130) from None


def _report(ledger: "Ledger", tips: "list[Tip]", seeds: int) -> None:
    """Print the table, best first, and write it to reports/ablation.csv, for git to keep if people wish."""
    from bertline.tuning.table import Row, text, write_csv

    rows = [row for tip in tips if (row := Row.read(ledger, tip, seeds)) is not None]
    if rows:
        rows.sort(key=lambda row: row.gains["macro_f1"].mean, reverse=True)
        typer.echo(text(rows, seeds))
        write_csv(rows, TABLE)
    for name, error in ledger.errors.items():
        typer.echo(f"{name} failed: {error}", err=True)


def _depth(weights: str) -> int:
    from transformers import AutoConfig

    from bertline.modeling.weights import find_weights

    depth: int = AutoConfig.from_pretrained(find_weights(weights)).num_hidden_layers
    return depth
