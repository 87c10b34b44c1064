"""`bertline predict`: classify texts with the champion, another version or any model folder."""

import json
import sys
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer


def predict(
    texts: Annotated[list[str] | None, typer.Argument(help="Texts. Default: the lines of stdin.")] = None,
    model: Annotated[Path | None, typer.Option(help="A model folder. Default: the champion.")] = None,
    version: Annotated[str | None, typer.Option(help="A registered version, e.g. v1.2.0.")] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="One JSON object a line, with all probabilities."),
    ] = False,
) -> None:
    """Classify texts with the champion, another version, or any model folder.

    A model with several labels a text prints each label with a probability of at least 0.5, or none. A model
    for sentence pairs takes the two texts of a pair with a tab between them. Give a text of several lines as
    an argument, because stdin is read line by line.
    """
    folder = _folder(model, version)
    from bertline.metrics.classification import THRESHOLD
    from bertline.models.classifier import Classifier

    classifier = Classifier(folder)
    several = classifier.space.multi_label
    for text, probabilities in _classified(classifier, texts):
        ranked = sorted(probabilities, key=lambda label: -probabilities[label])
        labels = [label for label in ranked if probabilities[label] >= THRESHOLD]
        shown = labels if several else ranked[:1]
        if as_json:
            answer = {"labels": labels} if several else {"label": ranked[0]}
            print(json.dumps({"text": text, **answer, "probabilities": probabilities}, ensure_ascii=False))
        else:
            chances = (f"{probabilities[label]:.3f}" for label in shown)
            print(f"{', '.join(shown)}\t{', '.join(chances)}\t{' '.join(text.splitlines())}")


def _folder(model: Path | None, version: str | None) -> Path:
    if model and version:
        raise ValueError("--model and --version cannot be used together; give one")
    if model:
        return model
    from bertline.registry.registry import Registry

    registry = Registry(Path.cwd())
    chosen = registry.find(version) if version else registry.champion()
    if chosen is None:
        raise ValueError(
            f"there is no champion yet{registry.fetch_tags_hint}; run: make run, "
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
    if isinstance(sys.stdin, TextIOWrapper):  # in every locale: a model reads the same everywhere
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="surrogateescape", newline=None)
    for batch in [texts] if texts else ([line.rstrip("\n")] for line in sys.stdin):
        for text in batch:
            _require_utf_8(text)
        inputs = [_pair(line) for line in batch] if classifier.pairs else batch
        for text, row in zip(batch, classifier.probabilities(inputs), strict=True):
            yield text, dict(zip(classifier.space.classes, map(float, row), strict=True))
