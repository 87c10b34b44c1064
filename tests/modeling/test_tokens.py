from pathlib import Path

import numpy as np
import pytest
from tiny import FILLERS

from bertline.modeling.token_writer import Chunk, pack_ids, write_split
from bertline.modeling.tokens import (
    ENCODED_AT_ONCE,
    Encoded,
    Manifest,
    Tokens,
    encode,
    join,
    load_tokenizer,
    read_batch,
    read_split,
    read_tokens,
)


def rows_of(tokens: Tokens) -> list[list[int]]:
    return [tokens.input_ids[tokens.offsets[i] : tokens.offsets[i + 1]].tolist() for i in range(len(tokens))]


def types_of(tokens: Tokens) -> list[list[int]]:
    assert tokens.type_ids is not None
    return [tokens.type_ids[tokens.offsets[i] : tokens.offsets[i + 1]].tolist() for i in range(len(tokens))]


def chunk(encoded: Encoded, first: int = 0) -> Chunk:
    numbers = range(first, first + len(encoded))
    return Chunk(pack_ids([f"{number:032x}" for number in numbers]), encoded, np.array(numbers) % 3)


INPUTS = [
    "what is the cat",
    "Blue dog, two unseenword",
    "",
    ("what is the cat", "a red fish"),
    ("the cat " * 20, "a red fish"),
    ("a red fish", "the cat " * 20),
    ("the cat " * 20, "my dog " * 20),
    ("", "a bird"),
    ("the cat", ""),
]


def test_tokens_are_those_of_transformers_own_tokenizer(tiny_encoder: Path) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(tiny_encoder)
    ours = encode(load_tokenizer(tiny_encoder, 16), INPUTS)
    for i, each in enumerate(INPUTS):
        texts = each if isinstance(each, tuple) else (each,)
        expected = theirs(*([text] for text in texts), truncation=True, max_length=16)
        assert rows_of(ours)[i] == expected["input_ids"][0]
        assert types_of(ours)[i] == expected["token_type_ids"][0]


def test_long_texts_are_cut_and_counted_and_keep_their_special_tokens(tiny_encoder: Path) -> None:
    encoded = encode(load_tokenizer(tiny_encoder, 8), ["the cat", "the cat " * 20, "dog " * 6, "dog " * 7])
    assert encoded.lengths.tolist() == [4, 8, 8, 8]
    assert encoded.cut.tolist() == [0, 1, 0, 1]
    assert {(row[0], row[-1]) for row in rows_of(encoded)} == {(2, 3)}


def test_a_pair_is_cut_exactly_if_both_texts_together_are_too_long(tiny_encoder: Path) -> None:
    tokenizer = load_tokenizer(tiny_encoder, 12)
    pairs = [(" ".join(FILLERS[:a]), " ".join(FILLERS[:b])) for a in range(12) for b in range(12)]
    too_long = [a + b + 3 > 12 for a in range(12) for b in range(12)]
    assert encode(tokenizer, pairs).cut.tolist() == too_long


def test_more_texts_than_are_encoded_at_once_keep_their_order(tiny_encoder: Path) -> None:
    tokenizer = load_tokenizer(tiny_encoder, 8)
    texts = [FILLERS[i % len(FILLERS)] for i in range(ENCODED_AT_ONCE + 3)]
    assert rows_of(encode(tokenizer, texts)) == [[2, 5 + i % len(FILLERS), 3] for i in range(len(texts))]
    assert len(encode(tokenizer, [])) == 0


def test_rows_are_taken_and_joined_as_they_are(tiny_encoder: Path) -> None:
    encoded = encode(load_tokenizer(tiny_encoder, 16), INPUTS)
    order = np.array([8, 3, 3, 0, 5])
    taken = encoded.take(order)
    assert rows_of(taken) == [rows_of(encoded)[i] for i in order]
    assert types_of(taken) == [types_of(encoded)[i] for i in order]
    assert taken.cut.tolist() == encoded.cut[order].tolist()
    texts = encode(load_tokenizer(tiny_encoder, 16), INPUTS[:2])
    assert texts.type_ids is None
    both = join([texts, taken])
    assert rows_of(both) == rows_of(texts) + rows_of(taken)
    assert types_of(both) == [[0] * len(row) for row in rows_of(texts)] + types_of(taken)


@pytest.mark.parametrize("inputs", [INPUTS, INPUTS[:3]], ids=["pairs", "texts"])
def test_a_split_reads_back_as_written(tiny_encoder: Path, tmp_path: Path, inputs: list[str]) -> None:
    encoded = encode(load_tokenizer(tiny_encoder, 16), inputs)
    write_split(tmp_path / "x.arrow", [chunk(encoded)])
    split = read_split(tmp_path / "x.arrow")
    assert rows_of(split) == rows_of(encoded)
    if inputs is INPUTS:
        assert types_of(split) == types_of(encoded)
    else:
        assert split.type_ids is None
    assert split.labels.tolist() == [i % 3 for i in range(len(inputs))]
    assert split.lengths.tolist() == encoded.lengths.tolist()
    batch = read_batch(tmp_path / "x.arrow")
    assert [each.hex() for each in batch["id"].to_pylist()] == [f"{i:032x}" for i in range(len(inputs))]
    assert read_tokens(batch).cut.tolist() == encoded.cut.tolist()
    batch.validate(full=True)
    assert {column.null_count for column in batch.columns} == {0}


def test_the_bytes_of_a_split_do_not_depend_on_its_chunks(tiny_encoder: Path, tmp_path: Path) -> None:
    encoded = encode(load_tokenizer(tiny_encoder, 16), INPUTS)
    write_split(tmp_path / "whole.arrow", [chunk(encoded)])
    for size in (1, 2, 4):
        parts = [range(start, min(start + size, len(INPUTS))) for start in range(0, len(INPUTS), size)]
        tokenizer = load_tokenizer(tiny_encoder, 16)
        chunks = [chunk(encode(tokenizer, INPUTS[part.start : part.stop]), part.start) for part in parts]
        write_split(tmp_path / "parts.arrow", chunks)
        assert (tmp_path / "parts.arrow").read_bytes() == (tmp_path / "whole.arrow").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"whole.arrow", "parts.arrow"}


def test_a_split_is_mapped_and_not_copied(tiny_encoder: Path, tmp_path: Path) -> None:
    encoded = encode(load_tokenizer(tiny_encoder, 16), INPUTS)
    write_split(tmp_path / "x.arrow", [chunk(encoded), chunk(encoded, 9)])
    split = read_split(tmp_path / "x.arrow")
    with (tmp_path / "x.arrow").open("r+b") as file:
        file.write(bytes((tmp_path / "x.arrow").stat().st_size))  # what a copy would not notice
    for array in (split.input_ids, split.type_ids, split.offsets, split.labels):
        assert array is not None
        assert not array.any()


def test_a_missing_split_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dvc repro tokenize"):
        read_split(tmp_path / "train.arrow")
    with pytest.raises(ValueError, match="dvc repro tokenize"):
        Manifest.read(tmp_path)
