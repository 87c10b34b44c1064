"""From the bytes of a file to lines of text: decompression, and encodings detected or given.

Guarantees that a file is read block by block, and that a byte which is not of the encoding given is an
error that names it. Where the encoding was detected, such bytes become U+FFFD and are counted; `validate`
judges how much damage a text may have. Detection is a guess, and reported: on the first `SAMPLE` bytes, or
on the first later ones that are not all ASCII.
"""

import codecs
import io
import re
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from bertline.stages.ingest.compression import open_bytes

SAMPLE = 1 << 20  # bytes from which the encoding is detected
BLOCK = 1 << 20  # bytes decoded at once
MARK = "\ufeff"  # of byte order; at the start of a file it is no part of the text
LONGEST_LINE = 1 << 26  # characters; a longer line is no text, but a file without line breaks
_QUOTED = re.compile('"[^"]*(?:"|$)')
MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16: its mark begins with that of UTF-16
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def detect_encoding(path: Path) -> str:
    """Return the encoding of a text file, as Python names it.

    A byte order mark decides; else UTF-8 if it is sound, or nearly so: some damaged bytes among many sound
    characters do not make a file Latin-1. Then charset-normalizer guesses. An empty file is UTF-8.

    Raises:
        ValueError: no encoding makes text of the file.
    """
    with open_bytes(path) as file:
        sample = file.read(SAMPLE)
        for mark, encoding in MARKS.items():
            if sample.startswith(mark):
                return encoding
        if 2 * sample[1::2].count(0) > len(sample[1::2]):  # ASCII in UTF-16 is also sound UTF-8, full of NULs
            return "utf-16-le"
        if 2 * sample[::2].count(0) > len(sample[::2]):
            return "utf-16-be"
        while sample.isascii() and (more := file.read(SAMPLE)):
            sample = more
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(sample)
    damaged = text.count("\ufffd") - sample.count("\ufffd".encode())
    if 10 * damaged <= len(text) - len(text.encode("ascii", "ignore")):
        return "utf-8"
    return _guess(sample)


def _guess(sample: bytes) -> str:
    from charset_normalizer import from_bytes  # here, because most files are UTF-8

    western = "cp1252"
    if len(sample) - len(sample.decode("ascii", "ignore")) < 10:  # too little to tell
        return western
    best = from_bytes(sample).best()
    if best is None:
        raise ValueError("the encoding cannot be detected; is this a text file? If so, set ingest.encoding")
    # Several encodings may read the sample alike. Most such files are in cp1252.
    return western if western in best.could_be_from_charset else best.encoding


def read_lines(path: Path, encoding: str, *, strict: bool, replaced: Callable[[int], None]) -> Iterator[str]:
    r"""Yield the lines of a text file, each with its `\n`; `\r` alone ends a line only where no `\n` does.

    Unless `strict`, bytes that are not of `encoding` become U+FFFD, and `replaced` gets their number.

    Raises:
        ValueError: a line is too long or, if `strict`, a byte is not of `encoding`.
    """
    return chain.from_iterable(
        io.StringIO(block, newline="\n") for block in _whole_lines(_decode(path, encoding, strict, replaced))
    )


def _whole_lines(blocks: Iterator[str]) -> Iterator[str]:
    """Yield the same text cut behind line breaks only, and one after its last line."""
    begun: list[str] = []
    mac = False
    for number, read in enumerate(blocks):
        mac = mac or (number == 0 and _ends_lines_with_cr(read))
        block = read.replace("\r", "\n") if mac else read
        head, found, tail = block.rpartition("\n")
        if found:
            yield "".join([*begun, head, "\n"])
            begun = []
        begun.append(tail)
        if len(begun) > 1 and sum(map(len, begun)) > LONGEST_LINE:
            raise ValueError(f"a line is longer than {LONGEST_LINE:,} characters; are there no line breaks?")
    if any(begun):
        yield "".join([*begun, "\n"])


def _ends_lines_with_cr(block: str) -> bool:
    r"""Return whether `\r` ends lines, as Excel for Mac writes them: each `\n` stands in quotes."""
    outside = _QUOTED.sub("", block)
    return "\r" in outside[:-1] and "\n" not in outside


def _decode(path: Path, encoding: str, strict: bool, replaced: Callable[[int], None]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)("strict" if strict else "replace")
    position, breaks, started = 0, 0, False
    with open_bytes(path) as file:
        while True:
            block = file.read(BLOCK)
            state = decoder.getstate()
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                at = position + len(block) - len(error.object) + error.start
                line = breaks + error.object.count(b"\n", 0, error.start) + 1
                hint = f"save the file as {encoding} or set ingest.encoding"
                raise ValueError(f"byte {at} (line {line}) is not {encoding}; {hint}") from None
            except UnicodeError as error:
                raise ValueError(f"cannot be read as {encoding} ({error}); set ingest.encoding") from None
            if not strict and "\ufffd" in text:  # some of which the file itself may hold
                sound = codecs.getincrementaldecoder(encoding)("ignore")
                sound.setstate(state)
                held = sound.decode(block, final=not block).count("\ufffd")
                replaced(text.count("\ufffd") - held)
            position, breaks = position + len(block), breaks + text.count("\n")
            if text and not started:
                text, started = text.removeprefix(MARK), True
            if text:
                yield text
            if not block:
                return
