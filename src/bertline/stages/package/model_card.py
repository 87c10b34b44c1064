"""The model card: README.md of the model's folder, in the format of the Hugging Face hub.

Guarantees: it shows only what stands in the reports and in the folder, so that the same inputs give the same
bytes; every text of the data is shown as it is, never read as markup. Does not know the version or the
commit, which the promotion gives later: it says how to find them.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, Undefined

from bertline.reporting.markdown import Markdown, inline
from bertline.stages.package import numbers, tables
from bertline.stages.package.metadata import NAME, metadata
from bertline.stages.package.reports import Reports

FILE = "README.md"
_NAMED_LABELS = 12  # labels that the first sentence names


def write_card(
    model: Path, reports: Reports, examples: Mapping[str, Sequence[str]], training_rows_md5: str
) -> None:
    """Write the card of the folder `model` into it.

    Args:
        model: the folder.
        reports: what is known about it.
        examples: training texts by label; none where they are private.
        training_rows_md5: DVC's hash of the table of training rows, by which its version is found.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # noqa: S701 - Markdown, not HTML: `finalize` escapes what is not marked as Markdown
        finalize=_escaped,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    names = ("share", "score", "count", "megabytes", "with_interval")
    environment.filters |= {name: getattr(numbers, name) for name in names}
    text = environment.get_template("model_card.md.j2").render(
        metadata=Markdown(metadata(reports)),
        name=NAME,
        reports=reports,
        labels=_names(reports.classes),
        tables=tables,
        examples=examples,
        training_rows_md5=training_rows_md5,
        **reports.evaluation,
    )
    (model / FILE).write_text(text, encoding="utf-8")


def md5(path: Path) -> str:
    """Return the MD5 of a file, by which dvc.lock knows it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _names(classes: Sequence[str]) -> str | None:
    """Return the labels for a sentence; None where they are too many."""
    shown = [f"**{inline(label)}**" for label in classes]
    return Markdown(", ".join(shown)) if len(shown) <= _NAMED_LABELS else None


def _escaped(value: object) -> str:
    """Return what an expression of the template shows; only a condition may ask for what is not there."""
    assert not isinstance(value, Undefined), value
    return inline(value if isinstance(value, str) else str(value))
