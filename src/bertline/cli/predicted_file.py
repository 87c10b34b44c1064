"""What `bertline predict --input` asks of params.yaml, and what it shows while it works."""

from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from bertline.core.params_loading import PARAMS_FILE, load_params
from bertline.models.classifier import Classifier
from bertline.params.ingest import Params, columns
from bertline.prediction.answers import TextColumns
from bertline.prediction.predict_file import Progress

LINES = 20
"""Lines that a whole file writes to a log."""


def choose_columns(classifier: Classifier, text: list[str] | None, pair: list[str] | None) -> TextColumns:
    """Return the columns with the texts: those given, or else those of params.yaml, or else `text`.

    Raises:
        ValueError: the model reads sentence pairs and nothing names the second column, or it reads none and
            `pair` does.
    """
    needed = not text or (classifier.pairs and not pair)
    ingest = load_params(Params) if needed and PARAMS_FILE.is_file() else None
    texts = text or (columns(ingest.text_column) if ingest else ["text"])
    pairs = pair or (columns(ingest.pair_column) if ingest and classifier.pairs else [])
    if classifier.pairs and not pairs:
        raise ValueError("this model classifies sentence pairs; name the column of the second: --pair-column")
    if pairs and not classifier.pairs:
        raise ValueError("this model classifies single texts, not pairs; leave out --pair-column")
    return TextColumns(text=tuple(texts), pair=tuple(pairs))


def show(events: Iterable[Progress], output: Path) -> None:
    """Show progress while it comes: a bar in a terminal, some lines elsewhere; then what was written."""
    last, lines = Progress(0, 0, 0), 0
    with tqdm(total=0, unit="row", disable=None, dynamic_ncols=True) as bar:
        for last in events:
            bar.total = last.total
            bar.update(last.done - bar.n)
            if bar.disable and last.done * LINES >= (lines + 1) * last.total:
                print(f"{last.done} of {last.total} rows", flush=True)
                lines = last.done * LINES // last.total if last.total else lines
    without = (
        f", {last.without_text} of them without a text, so without a prediction" if last.without_text else ""
    )
    print(f"wrote {output}: {last.done} rows{without}")
