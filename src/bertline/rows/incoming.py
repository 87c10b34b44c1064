"""The folder where raw files arrive, and which kinds of files are read."""

from pathlib import Path, PurePosixPath

INCOMING = PurePosixPath("data/incoming")
COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
TEXT_FILES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")


def kind_of(path: Path) -> str:
    """Return the suffix that says how to read a file, without that of its compression.

    Raises:
        ValueError: files with this suffix are not read.
    """
    compressed = path.suffix.lower() in COMPRESSIONS
    kind = (path.with_suffix("") if compressed else path).suffix.lower()
    if kind in TEXT_FILES or (kind == ".parquet" and not compressed):
        return kind
    allowed = f"{', '.join(TEXT_FILES)}, each also with {', '.join(COMPRESSIONS)}; .parquet"
    raise ValueError(f"unknown kind of file; allowed: {allowed}")
