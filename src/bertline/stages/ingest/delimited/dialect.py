r"""The dialect of a delimited file: which characters end a field, wrap it, and escape others.

An escaped character is replaced before the fields are split, so that the parser takes it as plain text: the
backslash is left out, and the character becomes a lone surrogate, which no decoded file holds. `decode` turns
it back. In a dialect with `letters`, `\n`, `\t` and the like in a field become the characters they stand for;
a field `\N` is null, as MySQL and PostgreSQL write it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

DELIMITER_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
QUOTE_NAMES = {'"': "double", "'": "single"}
LONGEST_RECORD = 1 << 20  # characters of a record of several lines; a longer one is given up
NULL = r"\N"

_SURROGATE = 0xDC00  # an escaped character is this plus its code: all that are escaped are ASCII
_LINE_BREAK = chr(_SURROGATE + ord("\n"))
_MARKED = re.compile("[\udc00-\udc7f]")
_LETTERS = {"0": "\0", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "Z": "\x1a"}
_LETTER = re.compile(r"\\([0bfnrtvZ])")


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How the lines of a file are made of fields."""

    delimiter: str
    quote: str | None = '"'  # what wraps a field; None: quotes are plain characters
    escapes: bool = False  # a backslash makes the character after it plain
    letters: bool = False  # a backslash and a letter stand for a control character
    spaces: bool = False  # white space after a delimiter is no part of the field

    def describe(self) -> str:
        """Return the dialect in words, as the report and the stage's lines name it."""
        name = DELIMITER_NAMES.get(self.delimiter, repr(self.delimiter))
        if self.quote is None:
            quoting = "unquoted, with backslash escapes" if self.escapes else "unquoted"
        else:
            inner = "escaped by a backslash" if self.escapes else "doubled"
            quoting = f"{QUOTE_NAMES[self.quote]}-quoted, inner quotes {inner}"
        spaces = ", white space after delimiters" if self.spaces else ""
        return f"{name}-delimited, {quoting}{spaces}"

    def join_lines(self, lines: Iterator[str]) -> Iterator[str]:
        """Yield lines whose escaped characters are marked; an escaped line break does not end a line."""
        return self._marked_lines(lines) if self.escapes else lines

    def count_lines(self, line: str) -> int:
        """Return of how many lines of the file a line from `join_lines` is made."""
        return 1 + (line[:-1].count("\n") + line[:-1].count(_LINE_BREAK) if self.escapes else 0)

    def decode(self, field: str) -> str | None:
        r"""Return the value of a field: marked characters as they are, null for `\N`."""
        if not self.escapes:
            return field
        if field == NULL:
            return None
        if self.letters and "\\" in field:
            field = _LETTER.sub(lambda match: _LETTERS[match[1]], field)
        return _MARKED.sub(lambda match: chr(ord(match[0]) - _SURROGATE), field)

    def restore(self, line: str) -> str:
        """Return a line from `join_lines` as the file has it."""
        if not self.escapes:
            return line
        return _MARKED.sub(lambda match: "\\" + chr(ord(match[0]) - _SURROGATE), line)

    def has_marks(self, text: str) -> bool:
        """Return whether an escaped character is in lines from `join_lines`."""
        return _MARKED.search(text) is not None

    def marks(self, line: str, character: str) -> int:
        """Return how often `character` is escaped in a line from `join_lines`."""
        return line.count(chr(_SURROGATE + ord(character)))

    def _marked_lines(self, lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            joined = self._mark(line)
            while joined[-1:] == _LINE_BREAK and len(joined) < LONGEST_RECORD:
                following = next(lines, None)
                if following is None:
                    break
                joined += self._mark(following)
            yield joined

    def _mark(self, line: str) -> str:
        if "\\" not in line:
            return line
        return self._escape.sub(
            lambda match: "".join(chr(_SURROGATE + ord(character)) for character in match[1]), line
        )

    @cached_property
    def _escape(self) -> re.Pattern[str]:
        # After a backslash both characters of a Windows line break are plain.
        return re.compile(rf"\\(\r\n|[\\\"'\r\n{re.escape(self.delimiter)}])")
