"""`bertline preset`, `ablate` and `cross-validate`: choose the settings of the training, and test them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertline.project.layout import ABLATION_TABLE, CROSS_VALIDATION
from bertline.project.signals import interrupt_on_signals

if TYPE_CHECKING:
    from bertline.tuning.ablation import AblationRuns
    from bertline.tuning.techniques import Technique
    from bertline.tuning.worktree import Job, Worktree


def preset(
    name: Annotated[
        str | None, typer.Argument(help="A file of presets/; without it, they are listed.")
    ] = None,
) -> None:
    """Write the settings of a preset into params.yaml; comments and other settings stay."""
    from bertline.tuning import presets
    from bertline.tuning.yaml_edit import spell

    if name is None:
        for each in presets.names():
            typer.echo(f"{each:<12}{presets.describe(each)}")
        return
    changes = presets.apply(name)
    for change in changes:
        typer.echo(f"{change.name}: {spell(change.before)} -> {spell(change.after)}")
    typer.echo(f"{len(changes)} settings of params.yaml changed; next: dvc repro, or make run")


def ablate(
    techniques: Annotated[str, typer.Option(help="Names, separated by commas. Default: all.")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="Trainings with each technique.")] = 3,
    show: Annotated[bool, typer.Option("--list", help="Only list them, with what each changes.")] = False,
    tips: Annotated[str, typer.Option(hidden=True)] = "",  # the earlier name of --techniques
) -> None:
    """Try techniques of fine-tuning one by one on the data of the current folder, each run a DVC experiment.

    Only techniques are tried that can be combined with params.yaml. Scores are those on the validation split.
    If it is interrupted, the same command continues.
    """
    from bertline.core.params_loading import load_params
    from bertline.params.adapt import Params as Adapt
    from bertline.params.checking import check_params
    from bertline.tuning.ablation import ABLATION, AblationRuns
    from bertline.tuning.current_settings import read_settings
    from bertline.tuning.techniques import find_techniques
    from bertline.tuning.yaml_edit import spell

    check_params()
    finetune, layers = read_settings()
    found = find_techniques(finetune, load_params(Adapt), layers)
    chosen = found.choose([name.strip() for name in (techniques or tips).split(",") if name.strip()])
    if show:
        for technique in chosen:
            changes = ", ".join(f"{key}: {spell(value)}" for key, value in technique.changes.items())
            typer.echo(f"{technique.name:<24}{changes}")
        for name, reason in found.impossible.items():
            typer.echo(f"{name:<24}not with params.yaml as it is: {reason}")
        return
    with _at_work(ABLATION) as worktree:
        runs = AblationRuns(worktree)
        typer.echo(f"{len(chosen) + 1} x {seeds} runs")
        try:
            runs.run(chosen, seeds, typer.echo)
        finally:
            _report(runs, chosen, seeds)
    if runs.errors:
        raise typer.Exit(1)


def cross_validate(
    folds: Annotated[int, typer.Option(min=3, help="Parts of the rows; each is tested once.")] = 5,
) -> None:
    """Test the settings on every row of the data of the current folder, each fold a DVC experiment.

    For small data, where one test split says little. If it is interrupted, the same command continues.
    """
    from bertline.metrics.summary import table
    from bertline.params.checking import check_params
    from bertline.tuning import cross_validation

    check_params()
    cross_validation.check_folds(folds)
    with _at_work(cross_validation.CROSS_VALIDATION) as worktree:
        metrics = cross_validation.cross_validate(worktree, folds, typer.echo)
        cross_validation.write(metrics, CROSS_VALIDATION)
        typer.echo(table(metrics))


@contextmanager
def _at_work(job: "Job") -> "Iterator[Worktree]":
    """Open the worktree; Ctrl-C, a closed terminal and `kill` end the training there, and clean up."""
    from bertline.tuning.worktree import open_worktree

    interrupt_on_signals()
    try:
        typer.echo(f"what the stages print: tail -f {job.log}")
        with open_worktree(Path.cwd(), job) as worktree:
            yield worktree
    except KeyboardInterrupt:
        typer.echo("error: interrupted; run the same command again to continue", err=True)
        raise typer.Exit(130) from None


def _report(runs: "AblationRuns", techniques: "list[Technique]", seeds: int) -> None:
    """Print the table, best first, and write it to reports/ablation.csv, which people may commit."""
    from bertline.tuning.ablation_table import Row, text, write_csv

    rows = [row for technique in techniques if (row := Row.read(runs, technique, seeds)) is not None]
    if rows:
        rows.sort(key=lambda row: row.differences["macro_f1"].mean, reverse=True)
        typer.echo(text(rows, seeds))
        write_csv(rows, ABLATION_TABLE)
    for name, error in runs.errors.items():
        typer.echo(f"{name} failed: {error}", err=True)
