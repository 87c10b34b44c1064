from pathlib import Path

import numpy as np
import pytest

from bertline.stages.tokenize.token_writer import Chunk, pack_ids, write_split
from bertline.tokens.arrays import Encoded, Tokens, join, read_batch, read_split, read_tokens
from bertline.tokens.manifest import Manifest
from bertline.tokens.truncation import Truncator

LONG = "the cat " * 20
TEXTS = ["what is the cat", "Blue dog, two unseenword", "", LONG, "a red fish", LONG + "my dog", "a"]
PAIRS = [("what is the cat", "a red fish"), (LONG, "a red fish"), ("", "a bird"), ("the cat", "")]


def rows_of(tokens: Tokens, values: np.ndarray | None = None) -> list[list[list[int]]]:
    """Return the ids (or other `values`) of each window of each row."""
    values = tokens.input_ids if values is None else values
    sequences = [part.tolist() for part in np.split(values, tokens.offsets[1:-1])]
    return [[sequences[j] for j in tokens.sequences(np.array([i]))] for i in range(len(tokens))]


def chunk(encoded: Encoded, first: int = 0, classes: int | None = None) -> Chunk:
    numbers = np.arange(first, first + len(encoded))
    labels = numbers % 3 if classes is None else (numbers[:, None] >> np.arange(classes)).astype(np.uint8) & 1
    return Chunk(pack_ids([f"{number:032x}" for number in numbers]), encoded, labels)


@pytest.fixture(params=["texts", "pairs", "mixed", "windows"])
def encoded(request: pytest.FixtureRequest, tiny_encoder: Path) -> Encoded:
    inputs = {"texts": TEXTS, "windows": TEXTS, "pairs": PAIRS, "mixed": [*TEXTS, *PAIRS]}[request.param]
    long_texts = "windows" if request.param == "windows" else "head"
    return Truncator(tiny_encoder, max_length=16, long_texts=long_texts, stride=2).encode(inputs)


def test_rows_are_taken_as_they_are(encoded: Encoded) -> None:
    order = np.array([3, 2, 2, 0])
    taken = encoded.take(order)
    assert rows_of(taken) == [rows_of(encoded)[i] for i in order]
    if encoded.type_ids is not None:
        assert rows_of(taken, taken.type_ids) == [rows_of(encoded, encoded.type_ids)[i] for i in order]
    assert taken.truncated.tolist() == encoded.truncated[order].tolist()
    assert taken.lengths.tolist() == encoded.lengths[order].tolist()


def test_windows_pairs_and_texts_can_be_joined(tiny_encoder: Path) -> None:
    cutters = [
        Truncator(tiny_encoder, max_length=16, long_texts=each, stride=2) for each in ("head", "windows")
    ]
    parts = [cutters[0].encode(TEXTS[:2]), cutters[1].encode(TEXTS), cutters[0].encode(PAIRS)]
    both = join(parts)
    assert rows_of(both) == [row for part in parts for row in rows_of(part)]
    assert len(both) == sum(map(len, parts))
    types = rows_of(parts[2], parts[2].type_ids)
    assert rows_of(both, both.type_ids)[-len(PAIRS) :] == types
    assert both.lengths.tolist() == [length for part in parts for length in part.lengths]


def test_the_sequences_of_rows_are_in_the_order_of_the_rows(tiny_encoder: Path) -> None:
    tokens = Truncator(tiny_encoder, max_length=16, long_texts="windows", stride=2).encode(TEXTS)
    assert tokens.row_offsets is not None
    counts = np.diff(tokens.row_offsets)
    assert counts.tolist() == [1, 1, 1, 4, 1, 4, 1]  # 40, 42 tokens in windows of 14 that share 2
    assert tokens.sequences(np.array([5, 0, 3])).tolist() == [8, 9, 10, 11, 0, 3, 4, 5, 6]


@pytest.mark.parametrize("classes", [None, 1, 5], ids=["single-label", "one class", "multi-label"])
def test_a_split_reads_back_as_written(encoded: Encoded, tmp_path: Path, classes: int | None) -> None:
    written = chunk(encoded, classes=classes)
    write_split(tmp_path / "x.arrow", [written])
    split = read_split(tmp_path / "x.arrow")
    assert rows_of(split) == rows_of(encoded)
    assert (split.type_ids is None) == (encoded.type_ids is None)
    if encoded.type_ids is not None:
        assert rows_of(split, split.type_ids) == rows_of(encoded, encoded.type_ids)
    assert (split.row_offsets is None) == (encoded.row_offsets is None)
    assert split.labels.dtype == written.labels.dtype
    assert split.labels.tolist() == written.labels.tolist()
    assert split.lengths.tolist() == encoded.lengths.tolist()
    batch = read_batch(tmp_path / "x.arrow")
    assert [each.hex() for each in batch["id"].to_pylist()] == [f"{i:032x}" for i in range(len(encoded))]
    assert read_tokens(batch).truncated.tolist() == encoded.truncated.tolist()
    batch.validate(full=True)
    assert {column.null_count for column in batch.columns} == {0}


@pytest.mark.parametrize("classes", [None, 4], ids=["single-label", "multi-label"])
def test_the_bytes_of_a_split_do_not_depend_on_its_chunks(
    encoded: Encoded, tmp_path: Path, classes: int | None
) -> None:
    write_split(tmp_path / "whole.arrow", [chunk(encoded, classes=classes)])
    for size in (1, 2, 4):
        starts = range(0, len(encoded), size)
        parts = [np.arange(start, min(start + size, len(encoded))) for start in starts]
        chunks = [chunk(encoded.take(part), part[0], classes) for part in parts]
        write_split(tmp_path / "parts.arrow", chunks)
        assert (tmp_path / "parts.arrow").read_bytes() == (tmp_path / "whole.arrow").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"whole.arrow", "parts.arrow"}


def test_texts_that_fit_are_written_alike_however_long_ones_are_cut(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    for long_texts in ("head", "windows"):
        truncator = Truncator(tiny_encoder, max_length=64, long_texts=long_texts, stride=2)
        write_split(tmp_path / f"{long_texts}.arrow", [chunk(truncator.encode(TEXTS))])
    assert (tmp_path / "head.arrow").read_bytes() == (tmp_path / "windows.arrow").read_bytes()


@pytest.mark.parametrize("classes", [None, 4], ids=["single-label", "multi-label"])
def test_a_split_is_mapped_and_not_copied(encoded: Encoded, tmp_path: Path, classes: int | None) -> None:
    write_split(tmp_path / "x.arrow", [chunk(encoded, 0, classes), chunk(encoded, 9, classes)])
    split = read_split(tmp_path / "x.arrow")
    with (tmp_path / "x.arrow").open("r+b") as file:
        file.write(bytes((tmp_path / "x.arrow").stat().st_size))  # what a copy would not notice
    for array in (split.input_ids, split.type_ids, split.offsets, split.row_offsets, split.labels):
        assert array is None or not array.any()


def test_a_manifest_reads_back_as_written(manifest: Manifest, tmp_path: Path) -> None:
    manifest.write(tmp_path)
    assert Manifest.read(tmp_path) == manifest


def test_a_missing_split_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dvc repro tokenize"):
        read_split(tmp_path / "train.arrow")
    with pytest.raises(ValueError, match="dvc repro tokenize"):
        Manifest.read(tmp_path)
