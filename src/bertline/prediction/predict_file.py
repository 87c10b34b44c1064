"""Predict the rows of a file: rows in are rows out, in order, with all of their columns.

Memory does not grow with the number of rows. A killed run continues with the next `source.CHUNK` rows if it
is started again with the same input, model, columns and options. It ends in the same bytes as a run that was
never killed; where torch answers, with the same number of threads.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bertline.core.files import content_hash
from bertline.models.classifier import Classifier
from bertline.prediction.answers import COLUMNS, TextColumns, add_answers, read_inputs
from bertline.prediction.parts import resumable
from bertline.prediction.source import CHUNK, CHUNK_BYTES, Source, open_source

_FORMAT = 1  # of the columns: another one makes finished parts useless


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to predict: the rows of `source`, into the Parquet file `output`.

    `version` is the name of the model, for a column. With `abstain`, a refused row has no prediction.
    """

    source: Path
    output: Path
    columns: TextColumns
    version: str
    abstain: bool = False


@dataclass(frozen=True)
class Progress:
    """How many rows are done, of how many, and how many of them have no text."""

    done: int
    total: int
    without_text: int


def predict_file(classifier: Classifier, folder: Path, request: Request) -> Iterator[Progress]:
    """Predict the rows of a file with `classifier` of the model `folder`, and yield how far that is.

    Raises:
        ValueError: the input cannot be read or changes meanwhile, or another process writes the output.
        OSError: the disk is full; the same command continues from there.
    """
    source, output = request.source, request.output
    _check(request)
    before = _stamp(source)
    table = open_source(source, [*request.columns.text, *request.columns.pair])
    _check_names(table)
    options = {name: each for name, each in asdict(request).items() if name not in ("source", "output")}
    key = json.dumps([_FORMAT, CHUNK, CHUNK_BYTES, content_hash(folder, source), options])
    done = without_text = parts = 0
    with resumable(output, key) as finished:
        for part, rows in enumerate(table.chunks()):
            try:
                inputs = read_inputs(rows, request.columns)
            except UnicodeDecodeError:  # Parquet does not promise it
                where = f"the rows {done + 1:,} to {done + len(rows):,}"
                raise ValueError(f"{source}: a text in {where} is not UTF-8; write the file again") from None
            if part not in finished:
                answered = add_answers(
                    rows, inputs, classifier, version=request.version, abstain=request.abstain
                )
                finished.write(part, answered)
            done, without_text, parts = done + len(rows), without_text + inputs.count(None), part + 1
            yield Progress(done, table.rows, without_text)
        if _stamp(source) != before or done != table.rows:
            raise ValueError(f"{source} changed while it was predicted; run the same command again")
        finished.join(parts)


def _check(request: Request) -> None:
    source, output = request.source, request.output
    if output.suffix.lower() != ".parquet":
        raise ValueError(f"the output is a Parquet file: give --output a name like {output.stem}.parquet")
    if output.is_dir() or not output.parent.is_dir():
        place = output if output.is_dir() else output.parent
        raise ValueError(
            f"{place} is {'a folder' if output.is_dir() else 'no folder'}; give another --output"
        )
    if output.resolve() == source.resolve():
        raise ValueError(f"{output} is also the input; give another --output")


def _check_names(table: Source) -> None:
    if taken := [name for name in table.schema.names if name in COLUMNS]:
        raise ValueError(
            f"{table.path} has a column {taken[0]!r}, which the output would have twice; rename it "
            f"(the output adds {', '.join(COLUMNS)})"
        )


def _stamp(path: Path) -> tuple[int, int] | None:
    if not path.exists():
        return None
    about = path.stat()
    return about.st_size, about.st_mtime_ns
