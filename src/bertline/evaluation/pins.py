"""The file of pinned rows, data/pinned_rows.csv, which is under version control.

One line per row: `content_id,label,note`. It holds no text: the content id is a hash of the text. What
`rows/notes_file.py` guarantees holds here.
"""

from dataclasses import dataclass
from pathlib import Path

from bertline.rows.id_prefix import require_id
from bertline.rows.notes_file import read_notes, write_notes


@dataclass(frozen=True, kw_only=True)
class PinnedRow:
    """A test row by its text, and the label it must get; raises ValueError on a value that is not allowed."""

    content_id: str
    label: str  # as people read it: several classes with a semicolon between
    note: str

    def __post_init__(self) -> None:
        require_id(self.content_id, "content_id")


def read_pinned_rows(path: Path) -> dict[str, PinnedRow]:
    """Return the pinned rows by their content id; ValueError as in `read_notes`."""
    return read_notes(path, PinnedRow)


def write_pinned_rows(path: Path, pinned: dict[str, PinnedRow]) -> None:
    """Write the pinned rows, by their content id, as the whole file."""
    write_notes(path, pinned, PinnedRow)
