"""Texts of the data in Markdown: shown as they are, never read as markup.

Guarantees, for a cell of a table or the middle of a line, under CommonMark and GitHub's tables: no text
makes a tag, a link, an emphasis, a cell or a line of its own. Does not guarantee the white space of a text:
each run of it is one blank. Characters that nobody sees but that turn the direction of a line are left out.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "$": "&#36;", "@": "&#64;"}
_BACKSLASH = r"\`*_[]~"
_MARKUP = str.maketrans(_ENTITIES | {each: f"\\{each}" for each in _BACKSLASH})
_ADDRESS = re.compile(r":(?=//)|(?<=\bwww)\.|:(?=\w+:)", re.IGNORECASE)
"""Where renderers make a link or an emoji without any markup: `http://`, `www.`, `:name:`."""
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Markdown(str):
    """Text that is Markdown already, which `inline` and `table` leave as it is."""

    __slots__ = ()


def inline(text: str) -> Markdown:
    """Return `text` as one line of Markdown that shows its characters."""
    if isinstance(text, Markdown):
        return text
    line = " ".join(_DIRECTION.sub("", text).split())
    line = "".join(each for each in line if unicodedata.category(each) != "Cc")
    marked = line.translate(_MARKUP)
    return Markdown(_ADDRESS.sub(lambda match: f"&#{ord(match[0])};", marked))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Markdown:
    """Return a table of texts, or of `Markdown`."""
    lines = [columns, [Markdown("---")] * len(columns), *rows]
    return Markdown("\n".join(f"| {' | '.join(map(inline, line))} |" for line in lines))
