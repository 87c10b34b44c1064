"""Records of JSON files: one object a line, one array of objects, or objects printed over several lines.

Objects are read one at a time, so a file may be larger than memory. In a file with an object a line, a line
that cannot be read costs its own row alone. In an array or among objects over several lines the end of a
damaged object is in doubt, so the file is refused with the line.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from bertline.rows.labels import LabelSpace
from bertline.stages.ingest.label_column import NEEDS_SEPARATOR
from bertline.stages.ingest.records import Broken, ColumnSpec, Records, check_columns, collect

LONGEST_OBJECT = 1 << 26  # characters
BLANK = " \t\r\n"


def read_jsonl(lines: Iterator[str], wanted: ColumnSpec, space: LabelSpace) -> Iterator[Records]:
    """Read JSON objects. Values are strings, numbers or booleans; labels may be lists of them.

    A column that a record lacks is null there; one that all of them lack is an error.
    """
    names: dict[str, None] = {}
    records = _read_records(_split_objects(lines), wanted, space, names)
    return collect(records, {name: i for i, name in enumerate(wanted)}, names)


def _read_records(
    objects: Iterable[tuple[int, str]], wanted: ColumnSpec, space: LabelSpace, names: dict[str, None]
) -> Iterator[Sequence[object] | Broken]:
    """Yield the values of each object; `names` gets the columns that are met until none is missing."""
    missing = set(wanted)
    found = 0
    for number, raw in objects:
        try:
            record = _parse_object(raw)
            if missing:
                names.update(dict.fromkeys(record))
                missing.difference_update(record)
            found += 1
            yield [_check_value(record.get(name), name, wanted[name], space) for name in wanted]
        except _UnreadableError as error:
            yield Broken(f"line {number}{error}", raw, error.reason, f"line {number}")
    if found and missing:
        check_columns(list(names), wanted)


class _UnreadableError(ValueError):
    """Why an object cannot be read: in full, and as `reason` without what differs between objects."""

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = (message if reason is None else reason).removeprefix(":").strip()


def _parse_object(raw: str) -> dict[str, object]:
    try:
        record = json.loads(raw)
    except json.JSONDecodeError as error:
        raise _UnreadableError(f" is not JSON: {error.msg} at column {error.colno}", "not JSON") from None
    except (ValueError, RecursionError) as error:  # too long a number, too deep a nesting
        raise _UnreadableError(
            f" is not JSON that can be read: {error}", "not JSON that can be read"
        ) from None
    if not isinstance(record, dict):
        raise _UnreadableError(f" is not a JSON object but {_kind(record)}")
    return record


def _check_value(value: object, name: str, key: str, space: LabelSpace) -> object:
    """Return a string, number, boolean or null, or a list of them if it is a label."""
    if isinstance(value, list) and key == "label_column":
        if not space.multi_label:
            raise _UnreadableError(f": {name!r} {NEEDS_SEPARATOR}")
        return [_check_value(each, name, "", space) for each in value]
    if isinstance(value, list | dict):
        raise _UnreadableError(f": {name!r} is {_kind(value)}; allowed: a string, a number or a boolean")
    return value


def _kind(value: object) -> str:
    """Return what a JSON value is, without its content: a report shows no texts."""
    match value:
        case dict():
            return "an object"
        case list():
            return "a list"
        case str():
            return "a string"
        case None:
            return "null"
        case _:
            return "a number or a boolean"


def _split_objects(lines: Iterator[str]) -> Iterator[tuple[int, str]]:
    """Yield the text of each object and the number of its first line."""
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip(BLANK))
    first = next(numbered, None)
    if first is None:
        return
    start = first[1].strip(BLANK)
    everything = chain([first], numbered)
    array = start[0] == "[" and start[1:].lstrip(BLANK)[:1] in ("", "{", "]")
    if array or start == "{":
        yield from _split_values(everything, array=array)
    else:
        for number, line in everything:
            yield number, line.rstrip("\r\n")


def _split_values(lines: Iterator[tuple[int, str]], *, array: bool) -> Iterator[tuple[int, str]]:
    """Yield the values of an array, or values one after the other; each may lie over several lines.

    Raises:
        ValueError: a value is damaged, the array has no end, or something stands after it.
    """
    between = f"{BLANK}," if array else BLANK
    text, begun, number, opened, closed = "", 0, 0, not array, False
    for number, line in lines:
        begun, waiting, text, at = (begun if text else number), bool(text), text + line, 0
        if waiting and not any(end in line for end in "}]") and len(text) < LONGEST_OBJECT:
            continue  # no object can end here
        if not opened:
            opened, at = True, text.index("[") + 1
        while (at := _skip(text, at, between)) < len(text):
            if closed:
                raise ValueError(f"line {number}: there is text after the end of the JSON array")
            if array and text[at] == "]":
                closed, at = True, at + 1
            elif end := _end_of_value(text, at, begun):
                yield begun, text[at:end]
                begun, at = number, end
            else:
                break
        text = text[at:]
    if text or (array and not closed):
        what = "array" if array else "object"
        raise ValueError(f"line {begun or number}: the file ends in the middle of a JSON {what}")


def _end_of_value(text: str, at: int, line: int) -> int | None:
    """Return where the value that begins at `at` ends; None if it may go on in the next line."""
    try:
        _, end = json.JSONDecoder().raw_decode(text, at)
    except json.JSONDecodeError as error:
        if _is_unfinished(error, text):
            return None
        raise ValueError(f"line {line}: a JSON object is damaged: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # too long a number, too deep a nesting
        raise ValueError(f"line {line}: a JSON object cannot be read: {error}") from None
    return end


def _skip(text: str, at: int, characters: str) -> int:
    """Return the first position from `at` on that holds none of `characters`."""
    while at < len(text) and text[at] in characters:
        at += 1
    return at


def _is_unfinished(error: json.JSONDecodeError, text: str) -> bool:
    """Return whether a value may go on in the next line: the parser stopped at the end of what is there."""
    unclosed = error.msg.startswith("Unterminated string") and text.find("\n", error.pos) == len(text) - 1
    return len(text) < LONGEST_OBJECT and (error.pos >= len(text.rstrip(BLANK)) - 1 or unclosed)
