"""What a person reads of an HTML page, in pieces, each with the marks of the element around it."""

from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

_VOID = {"meta", "input", "img", "br", "link", "hr"}


@dataclass(frozen=True)
class Piece:
    """A run of text inside one element."""

    text: str
    tag: str
    classes: frozenset[str]
    value: str | None  # of <data value="...">


class _Pieces(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[tuple[str, frozenset[str], str | None]] = []
        self.found: list[Piece] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        if tag not in _VOID:
            self.open.append((tag, frozenset((names.get("class") or "").split()), names.get("value")))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        text = " ".join(data.split())
        if text and self.open and not {"script", "style", "noscript"} & {tag for tag, _, _ in self.open}:
            self.found.append(Piece(text, *self.open[-1]))


def pieces(page: str) -> list[Piece]:
    """Return the texts of `page` in their order; what stands for missing scripts is left out."""
    parser = _Pieces()
    parser.feed(page)
    return parser.found


def shown_text(page: Path) -> str:
    """Return the texts of a page as one line."""
    return " ".join(piece.text for piece in pieces(page.read_text(encoding="utf-8")))
