"""The `bertline` command: what DVC's and Prefect's own commands do not already do.

Imports wait until a command needs them, so that `bertline --help` is quick.
"""

import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bertline.quality import commands as quarantine
from bertline.tuning import commands as tuning


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
    help="Use and govern the text classifier of the current folder, the one that holds dvc.yaml.",
    epilog='Examples: bertline predict "How far is the moon?"; bertline promote --dry-run; bertline rollback',
)
app.add_typer(quarantine.app, name="quarantine")
app.command(epilog="Examples: bertline preset; bertline preset fast")(tuning.preset)
app.command(epilog="Examples: bertline ablate --list; bertline ablate --tips cosine,lora-8")(tuning.ablate)
app.command(epilog="Example: bertline cross-validate --folds 5")(tuning.cross_validate)


@app.command(epilog='Examples: bertline predict "How far is the moon?"; bertline predict --json < texts.txt')
def predict(
    texts: Annotated[list[str] | None, typer.Argument(help="Texts; without any, the lines of stdin.")] = None,
    model: Annotated[Path | None, typer.Option(help="A model folder written by `finetune`.")] = None,
    version: Annotated[str | None, typer.Option(help="A registered version, e.g. v1.2.0.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, with every label.")
    ] = False,
) -> None:
    """Classify texts with the champion, another version, or any model folder.

    Of a multi-label model, prints all labels with a probability of at least 0.5, or none. A model of sentence
    pairs takes the two texts of a pair with a tab between them. A text of several lines must be an argument.
    """
    folder = _folder(model, version)
    from bertline.evaluation.predictions import THRESHOLD
    from bertline.serving.classifier import Classifier

    classifier = Classifier(folder)
    for text, probabilities in _classified(classifier, texts):
        ranked = sorted(probabilities, key=lambda label: -probabilities[label])
        labels = [label for label in ranked if probabilities[label] >= THRESHOLD]
        answer = {"labels": labels} if classifier.multi_label else {"label": ranked[0]}
        if as_json:
            print(json.dumps({"text": text, **answer, "probabilities": probabilities}, ensure_ascii=False))
        else:
            shown = labels if classifier.multi_label else ranked[:1]
            chances = (f"{probabilities[label]:.3f}" for label in shown)
            print(f"{', '.join(shown)}\t{', '.join(chances)}\t{' '.join(text.splitlines())}")


@app.command(epilog="Example: bertline fetch && dvc repro")
def fetch() -> None:
    """Bring what fetch.source of params.yaml names into data/incoming/, as the flow does first."""
    from bertline.fetching.fetch import fetch as bring
    from bertline.params.fetch import Params
    from bertline.params.loading import load_params
    from bertline.promotion.exclusive import only_run

    params = load_params(Params)
    if params.source is None:
        print("fetch.source in params.yaml is null: nothing to fetch")
        return
    with only_run(Path.cwd()):
        landed = bring(params, os.environ.get)
    for each in landed:
        print(each)
    if not landed:
        print("no new rows")


@app.command(epilog="Examples: bertline promote --dry-run; bertline promote")
def promote(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Judge models/candidate and, if it passes every gate, make it the champion."""
    from bertline.promotion import promote as promotion
    from bertline.promotion.exclusive import only_run
    from bertline.promotion.rebuildable import require_rebuildable

    root = Path.cwd()
    require_rebuildable(root)
    with only_run(root):
        promotion.require_reproduced(root)
        judgement = promotion.judge(root)
        for line in (judgement.headline, *judgement.reasons.splitlines()):
            print(line)
        if judgement.promote and not dry_run:
            print(f"{promotion.promote(root, judgement).name} is the champion now")


@app.command(epilog="Examples: bertline rollback; bertline rollback v1.0.0")
def rollback(
    version: Annotated[
        str | None, typer.Argument(help="Default: who reigned before the champion first did.")
    ] = None,
) -> None:
    """Make an older version the champion again. Nothing is deleted."""
    from bertline.promotion.promote import roll_back

    print(f"{roll_back(Path.cwd(), version).name} is the champion now")


@app.command(epilog="Example: bertline history")
def history() -> None:
    """List the registered versions, newest first, with their numbers on the test rows of their time."""
    from bertline.promotion.registry import Registry

    registry = Registry(Path.cwd())
    champion = registry.champion()
    versions = registry.versions()
    if not versions:
        first = "make run (or bertline promote) registers the first"
        print(f"no version is registered yet; {first}{registry.elsewhere}")
    for version in reversed(versions):
        numbers = (registry.metrics(version) or {}).get("candidate", {})
        at = datetime.fromtimestamp(version.registered, UTC)
        shown = "  ".join(
            f"{name} {numbers[name]:.3f}" for name in ("accuracy", "macro_f1") if name in numbers
        )
        mark = "champion" if version == champion else ""
        print(f"{version.name:<8}{mark:<10}{at:%Y-%m-%d %H:%M}  {version.commit[:7]}  {shown}")
        for line in version.reasons.splitlines():
            print(f"        {line}")


def _folder(model: Path | None, version: str | None) -> Path:
    if model and version:
        raise ValueError("--model and --version exclude each other; give one")
    if model:
        return model
    from bertline.promotion.registry import Registry

    registry = Registry(Path.cwd())
    chosen = registry.find(version) if version else registry.champion()
    if chosen is None:
        raise ValueError(
            f"there is no champion yet{registry.elsewhere}; run: make run, "
            "or name a model: --model models/candidate"
        )
    return registry.fetch(chosen)


def _pair(line: str) -> tuple[str, str]:
    """Return the two texts of `line`; ValueError if they are not two."""
    texts = line.split("\t")
    if len(texts) != 2:
        raise ValueError(
            f"this model classifies sentence pairs, and {line!r} has {len(texts)}; write two texts "
            "with a tab between them, in bash $'first\\tsecond'"
        )
    return texts[0], texts[1]


def _require_utf_8(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{text[:60]!a} is not UTF-8") from None


def _classified(classifier: Any, texts: list[str] | None) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield each text with the probability of each label; stdin is answered line by line."""
    if isinstance(sys.stdin, TextIOWrapper):  # whatever the locale: a model reads the same everywhere
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="surrogateescape", newline=None)
    for batch in [texts] if texts else ([line.rstrip("\n")] for line in sys.stdin):
        for text in batch:
            _require_utf_8(text)
        inputs = [_pair(line) for line in batch] if classifier.pairs else batch
        for text, row in zip(batch, classifier.probabilities(inputs), strict=True):
            yield text, dict(zip(classifier.labels, map(float, row), strict=True))
