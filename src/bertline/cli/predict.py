"""`bertline predict`: classify texts, or the rows of a file, with the champion or another model."""

import json
import sys
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

if TYPE_CHECKING:
    from bertline.models.classifier import Classifier


class _Answer(NamedTuple):
    """To a text: the probability of each label, the out-of-scope score, and why the model refuses.

    A blank text has an empty one: no probabilities, no score.
    """

    probabilities: dict[str, float]
    out_of_scope: float | None
    refused: str | None


def predict(
    texts: Annotated[list[str] | None, typer.Argument(help="Texts. Default: the lines of stdin.")] = None,
    model: Annotated[Path | None, typer.Option(help="A model folder. Default: the champion.")] = None,
    version: Annotated[str | None, typer.Option(help="A registered version, e.g. v1.2.0.")] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="One JSON object a line, with all probabilities."),
    ] = False,
    abstain: Annotated[
        bool,
        typer.Option("--abstain", help="No label where the text is out of scope or the model is not sure."),
    ] = False,
    input_file: Annotated[
        Path | None,
        typer.Option("--input", help="Predict the rows of this file: .parquet, .csv, .tsv or .jsonl."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="The Parquet file with the rows of --input and their predictions."),
    ] = None,
    text_column: Annotated[
        list[str] | None,
        typer.Option(help="A column of --input with texts. Default: ingest.text_column, or else text."),
    ] = None,
    pair_column: Annotated[
        list[str] | None,
        typer.Option(help="A column with the second texts of pairs. Default: ingest.pair_column."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the model.")] = 2,
    timed: Annotated[
        bool,
        typer.Option("--time", help="Only measure how quickly the model answers these texts here."),
    ] = False,
) -> None:
    """Classify texts with the champion, another version, or any model folder.

    A model with several labels a text prints each label with a probability of at least 0.5, or none. A model
    for sentence pairs takes the two texts of a pair with a tab between them. Give a text of several lines as
    an argument, because stdin is read line by line. A blank text has no answer.

    With --time, nothing is answered: the latency of one text a call and the texts a second in batches are
    measured on this machine, tokenization included, and printed.

    With --input and --output, the rows of a file: all of them, in order, with all of their columns. Run the
    same command again to continue a run that was stopped.
    """
    if (input_file is None) != (output is None):
        raise ValueError("--input and --output belong together; give both, or texts alone")
    if input_file and (texts or as_json):
        raise ValueError("--input takes no texts beside the file and no --json; leave them out")
    if not input_file and (text_column or pair_column):
        raise ValueError("--text-column and --pair-column name columns of --input; give --input and --output")
    if timed and (input_file or as_json or abstain):
        raise ValueError(
            "--time measures texts and prints no answers; leave out --input, --json and --abstain"
        )
    folder, name = _find_model(model, version)
    from bertline.models.classifier import Classifier

    classifier = Classifier(folder, threads=threads)
    if abstain and not classifier.has_thresholds:
        raise ValueError(
            f"the model in {folder} has no thresholds, so --abstain would refuse nothing: an older version "
            "made it, or too few validation rows; `dvc repro` makes models/candidate with thresholds"
        )
    if timed:
        _print_timing(classifier, texts)
        return
    if input_file is None or output is None:
        _predict_texts(classifier, texts, as_json=as_json, abstain=abstain)
        return
    from bertline.cli.predicted_file import choose_columns, show
    from bertline.prediction.predict_file import Request, predict_file

    columns = choose_columns(classifier, text_column, pair_column)
    request = Request(source=input_file, output=output, columns=columns, version=name, abstain=abstain)
    show(predict_file(classifier, folder, request), output)


def _predict_texts(
    classifier: "Classifier", texts: list[str] | None, *, as_json: bool, abstain: bool
) -> None:
    from bertline.metrics.classification import THRESHOLD

    several = classifier.space.multi_label
    for text, found in _classified(classifier, texts):
        ranked = sorted(found.probabilities, key=lambda label: -found.probabilities[label])
        labels = (
            [each for each in ranked if found.probabilities[each] >= THRESHOLD] if several else ranked[:1]
        )
        refused = found.refused if abstain else None
        if as_json:
            label = None if refused or not ranked else labels if several else labels[0]
            answer = {"labels" if several else "label": label}
            if abstain:
                answer["refused"] = refused
            facts = {"probabilities": found.probabilities or None, "out_of_scope": found.out_of_scope}
            print(json.dumps({"text": text, **answer, **facts}, ensure_ascii=False))
        else:
            chances = ", ".join(f"{found.probabilities[label]:.3f}" for label in labels)
            said = f"refused: {refused.replace('_', ' ')}" if refused else ", ".join(labels)
            print(f"{said if ranked else 'no text'}\t{chances}\t{' '.join(text.splitlines())}")


def _print_timing(classifier: "Classifier", texts: list[str] | None) -> None:
    from bertline.prediction.timing import measure

    lines = texts or [line.rstrip("\n") for line in sys.stdin]
    if not lines:
        raise ValueError("--time got no texts; give some, or a file of lines: bertline predict --time < FILE")
    for text in lines:
        _require_utf_8(text)
    print(measure(classifier, [_pair(line) for line in lines] if classifier.pairs else lines))


def _find_model(model: Path | None, version: str | None) -> tuple[Path, str]:
    """Return the folder of the model and its name: that of the version, or the folder."""
    if model and version:
        raise ValueError("--model and --version cannot be used together; give one")
    if model:
        return model, str(model)
    from bertline.registry.registry import Registry

    registry = Registry(Path.cwd())
    chosen = registry.find(version) if version else registry.champion()
    if chosen is None:
        raise ValueError(
            f"there is no champion yet{registry.fetch_tags_hint}; run: make run, "
            "or name a model: --model models/candidate"
        )
    return registry.fetch(chosen), chosen.name


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


def _classified(classifier: "Classifier", texts: list[str] | None) -> Iterator[tuple[str, _Answer]]:
    """Yield each text with its answer; an empty one where it, or one of a pair, is blank, as in a file.

    Lines of stdin are answered one by one.
    """
    from bertline.models.abstention import reasons

    if isinstance(sys.stdin, TextIOWrapper):  # in every locale: a model reads the same everywhere
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="surrogateescape", newline=None)
    for batch in [texts] if texts else ([line.rstrip("\n")] for line in sys.stdin):
        for text in batch:
            _require_utf_8(text)
        inputs = [_read_input(text, pairs=classifier.pairs) for text in batch]
        answers = classifier.answers([each for each in inputs if each is not None])
        rows = zip(answers.probabilities, answers.out_of_scope, reasons(answers.refused), strict=True)
        for text, given in zip(batch, inputs, strict=True):
            if given is None:
                yield text, _Answer({}, None, None)
                continue
            row, score, why = next(rows)
            probabilities = dict(zip(classifier.space.classes, map(float, row), strict=True))
            yield text, _Answer(probabilities, float(score), why)


def _read_input(text: str, *, pairs: bool) -> str | tuple[str, str] | None:
    """Return what the model reads; None if it is blank, or one text of a pair is."""
    if not text.strip():
        return None
    given = _pair(text) if pairs else text
    return None if isinstance(given, tuple) and not all(map(str.strip, given)) else given
