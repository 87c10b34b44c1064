from pathlib import Path

import pytest

from bertline.modeling.tokens import Manifest, encode, load_tokenizer, read_split, write_split


def test_ids_are_those_of_transformers_own_tokenizer(tiny_encoder: Path) -> None:
    from transformers import AutoTokenizer

    texts = ["what is the cat", "Blue dog, two unseenword", ""]
    theirs = AutoTokenizer.from_pretrained(tiny_encoder)(texts, truncation=True, max_length=16)["input_ids"]
    assert encode(load_tokenizer(tiny_encoder, 16), texts)[0] == theirs


def test_long_texts_are_cut_and_counted_and_keep_their_special_tokens(tiny_encoder: Path) -> None:
    input_ids, cut = encode(
        load_tokenizer(tiny_encoder, 8), ["the cat", "the cat " * 20, "dog " * 6, "dog " * 7]
    )
    assert [len(row) for row in input_ids] == [4, 8, 8, 8]
    assert cut == 2
    assert {(row[0], row[-1]) for row in input_ids} == {(2, 3)}


def test_a_split_reads_back_as_written(tmp_path: Path) -> None:
    rows = [[2, 5, 3], [2, 3], [2, 7, 8, 9, 3]]
    write_split(tmp_path / "x.arrow", ["a", "b", "c"], rows, [1, 0, 2])
    split = read_split(tmp_path / "x.arrow")
    assert [split.input_ids[split.offsets[i] : split.offsets[i + 1]].tolist() for i in range(3)] == rows
    assert split.labels.tolist() == [1, 0, 2]
    assert split.lengths.tolist() == [3, 2, 5]


def test_a_missing_split_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dvc repro tokenize"):
        read_split(tmp_path / "train.arrow")
    with pytest.raises(ValueError, match="dvc repro tokenize"):
        Manifest.read(tmp_path)
