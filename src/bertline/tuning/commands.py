"""`bertline preset` and `bertline ablate`: choose the settings of the training."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bertline.tuning.ledger import Ledger
    from bertline.tuning.tips import Tip

TABLE = Path("reports", "ablation.csv")


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
    from bertline.tuning.tips import all_tips, choose

    possible = all_tips(load_params(Finetune), load_params(Adapt), _depth(load_params(Tokenize).weights))
    chosen = choose(possible, [each.strip() for each in tips.split(",") if each.strip()])
    if show:
        for tip in chosen:
            changes = ", ".join(f"{key}: {spell(value)}" for key, value in tip.changes.items())
            typer.echo(f"{tip.name:<24}{changes}")
        return
    _run(Path.cwd(), chosen, seeds)


def _run(root: Path, tips: "list[Tip]", seeds: int) -> None:
    from bertline.promotion.exclusive import only_run
    from bertline.promotion.rebuildable import require_rebuildable
    from bertline.tuning.ledger import Ledger
    from bertline.tuning.workplace import FOLDER, LOG, Workplace, bring_tokens_up_to_date, end_orphan

    for number in (signal.SIGHUP, signal.SIGTERM):  # a closed terminal and `kill` must clean up like Ctrl-C
        if signal.getsignal(number) is signal.SIG_DFL:  # under nohup it is not
            signal.signal(number, signal.default_int_handler)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # scripts have their background jobs ignore it,
        signal.signal(signal.SIGINT, signal.default_int_handler)  # and DVC would inherit that
    require_rebuildable(root)
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    with only_run(root / FOLDER):
        with only_run(root):
            end_orphan(root)
            bring_tokens_up_to_date(root)
        ledger = Ledger(Workplace(root))
        typer.echo(f"{len(tips) + 1} x {seeds} runs; what they print: tail -f {LOG}")
        try:
            ledger.run(tips, seeds, typer.echo)
        except KeyboardInterrupt:
            typer.echo("error: interrupted; run the same command again to continue", err=True)
            raise typer.Exit(130) from None
        finally:
            _report(ledger, tips, seeds)
        if ledger.errors:
            raise typer.Exit(1)


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
