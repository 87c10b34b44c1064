"""Open a file for reading, decompressed."""

import bz2
import gzip
import io
import lzma
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

BUFFER = 1 << 20  # bytes


def open_bytes(path: Path) -> BinaryIO:
    """Open a file for reading, decompressed by its suffix: .gz, .bz2, .xz, .zst; any other as it is."""
    match path.suffix.lower():
        case ".gz":
            return cast(BinaryIO, gzip.open(path))
        case ".bz2":
            return cast(BinaryIO, bz2.open(path))
        case ".xz":
            return cast(BinaryIO, lzma.open(path))
        case ".zst":
            stream = pa.input_stream(str(path), compression="zstd")
            return cast(BinaryIO, io.BufferedReader(stream, BUFFER))
        case _:
            return path.open("rb")
