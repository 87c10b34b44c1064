"""Tables in Markdown, as the artifacts of a run have them."""

from collections.abc import Iterable, Sequence


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a cell may hold any text."""
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in lines)


def _cell(text: str) -> str:
    """Return `text` in a form that a cell of a Markdown table can hold."""
    return " ".join(text.split()).replace("|", r"\|")
