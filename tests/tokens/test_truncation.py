import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, processors
from transformers import AutoTokenizer

from bertline.tokens.arrays import Tokens
from bertline.tokens.truncation import ENCODE_BATCH, Truncator
from tests.support.tiny import FILLERS, PEAK_MEMORY

LONG = " ".join(FILLERS)  # a word is a token: 5, 6, ... 16
CLS, SEP = 2, 3
INPUTS = [
    "what is the cat",
    "Blue dog, two unseenword",
    "",
    "the cat " * 20,
    ("what is the cat", "a red fish"),
    ("the cat " * 20, "a red fish"),
    ("a red fish", "the cat " * 20),
    ("the cat " * 20, "my dog " * 20),
    ("", "a bird"),
    ("the cat", ""),
]


def truncator(folder: Path, max_length: int, long_texts: str = "head", stride: int = 0) -> Truncator:
    return Truncator(folder, max_length=max_length, long_texts=long_texts, stride=stride)


def sequences_of(tokens: Tokens) -> list[list[int]]:
    return [part.tolist() for part in np.split(tokens.input_ids, tokens.offsets[1:-1])]


def types_of(tokens: Tokens) -> list[list[int]]:
    assert tokens.type_ids is not None
    return [part.tolist() for part in np.split(tokens.type_ids, tokens.offsets[1:-1])]


@pytest.mark.parametrize(("long_texts", "side"), [("head", "right"), ("tail", "left")])
def test_tokens_are_those_of_transformers_own_tokenizer(
    tiny_encoder: Path, long_texts: str, side: str
) -> None:
    theirs = AutoTokenizer.from_pretrained(tiny_encoder, truncation_side=side)
    ours = truncator(tiny_encoder, 16, long_texts).encode(INPUTS)
    for i, each in enumerate(INPUTS):
        texts = each if isinstance(each, tuple) else (each,)
        expected = theirs(*([text] for text in texts), truncation=True, max_length=16)
        assert sequences_of(ours)[i] == expected["input_ids"][0]
        assert types_of(ours)[i] == expected["token_type_ids"][0]


@pytest.mark.parametrize(("long_texts", "side"), [("head", "right"), ("tail", "left")])
@pytest.mark.parametrize("max_length", [9, 12])
def test_a_pair_is_cut_as_the_library_does_whatever_its_lengths(
    tiny_encoder: Path, long_texts: str, side: str, max_length: int
) -> None:
    library = Tokenizer.from_file(str(tiny_encoder / "tokenizer.json"))
    library.enable_truncation(max_length, direction=side)
    pairs = [(" ".join(FILLERS[:a]), " ".join(FILLERS[:b])) for a in range(12) for b in range(12)]
    encoded = truncator(tiny_encoder, max_length, long_texts).encode(pairs)
    assert sequences_of(encoded) == [each.ids for each in library.encode_batch(pairs)]
    assert types_of(encoded) == [each.type_ids for each in library.encode_batch(pairs)]
    assert encoded.truncated.tolist() == [a + b + 3 > max_length for a in range(12) for b in range(12)]


def test_the_ends_are_a_quarter_of_the_room_and_the_rest(tiny_encoder: Path) -> None:
    encoded = truncator(tiny_encoder, 10, "head_tail").encode([LONG, "the cat", " ".join(FILLERS[:8])])
    first, *others = sequences_of(encoded)
    assert first == [CLS, 5, 6, 11, 12, 13, 14, 15, 16, SEP]  # 2 and 6 of 12 words
    assert others == sequences_of(truncator(tiny_encoder, 10).encode(["the cat", " ".join(FILLERS[:8])]))
    assert encoded.truncated.tolist() == [1, 0, 0]


def test_of_512_tokens_the_ends_are_the_128_and_382_of_the_paper(tiny_encoder: Path) -> None:
    words = [FILLERS[i % 12] for i in range(900)]
    (ids,) = sequences_of(truncator(tiny_encoder, 512, "head_tail").encode([" ".join(words)]))
    whole = [5 + i % 12 for i in range(900)]
    assert ids == [CLS, *whole[:128], *whole[-382:], SEP]


def test_of_a_pair_only_the_longer_text_loses_its_middle(tiny_encoder: Path) -> None:
    encoded = truncator(tiny_encoder, 14, "head_tail").encode([(LONG, "a red fish"), ("a red fish", LONG)])
    short = sequences_of(truncator(tiny_encoder, 14).encode(["a red fish"]))[0][1:-1]
    kept = [5, 6, 11, 12, 13, 14, 15, 16]  # 8 of the 11 tokens there is room for: 2 and 6
    assert sequences_of(encoded) == [[CLS, *kept, SEP, *short, SEP], [CLS, *short, SEP, *kept, SEP]]
    assert types_of(encoded) == [[0] * 10 + [1] * 4, [0] * 5 + [1] * 9]


def test_windows_are_those_of_the_library_and_know_their_row(tiny_encoder: Path) -> None:
    texts = [" ".join(FILLERS[:n]) for n in range(13)]
    for max_length, stride in ((8, 0), (8, 2), (8, 3), (9, 3), (14, 1)):
        library = Tokenizer.from_file(str(tiny_encoder / "tokenizer.json"))
        library.enable_truncation(max_length, stride=stride)
        expected = [
            [each.ids, *(rest.ids for rest in each.overflowing)] for each in library.encode_batch(texts)
        ]
        encoded = truncator(tiny_encoder, max_length, "windows", stride).encode(texts)
        assert sequences_of(encoded) == [ids for row in expected for ids in row]
        assert not encoded.truncated.any()
        for i, row in enumerate(expected):
            assert [sequences_of(encoded)[j] for j in encoded.sequences(np.array([i]))] == row
        assert encoded.lengths.tolist() == [sum(map(len, row)) for row in expected]


def test_short_texts_are_the_same_however_long_ones_are_cut(tiny_encoder: Path) -> None:
    expected = truncator(tiny_encoder, 16).encode(INPUTS[:3])
    for long_texts in ("tail", "head_tail", "windows"):
        encoded = truncator(tiny_encoder, 16, long_texts, 2).encode(INPUTS[:3])
        assert sequences_of(encoded) == sequences_of(expected)
        assert encoded.row_offsets is None


def test_pairs_in_windows_are_refused_however_short(tiny_encoder: Path) -> None:
    with pytest.raises(ValueError, match=r"'windows', which is for single texts; .* head, tail or head_tail"):
        truncator(tiny_encoder, 16, "windows").encode(["the cat", ("the cat", "a dog")])


@pytest.mark.parametrize("kind", ["roberta", "sequence", "none"])
@pytest.mark.parametrize("long_texts", ["head", "tail", "head_tail", "windows"])
def test_special_tokens_stand_where_the_tokenizer_puts_them(
    tiny_encoder: Path, tmp_path: Path, kind: str, long_texts: str
) -> None:
    roberta = processors.RobertaProcessing(("[SEP]", SEP), ("[CLS]", CLS))
    processor = {
        "roberta": roberta,
        "sequence": processors.Sequence([processors.ByteLevel(), roberta]),
        "none": processors.ByteLevel(),
    }[kind]
    tokenizer = Tokenizer.from_file(str(tiny_encoder / "tokenizer.json"))
    tokenizer.post_processor = processor
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    encoded = truncator(tmp_path, 8, long_texts).encode([LONG, "the cat"])
    whole = [range(5, 17), tokenizer.encode("the cat", add_special_tokens=False).ids]
    for ids, row in zip(
        sequences_of(encoded), [0, 0, 1] if len(encoded.offsets) == 4 else [0, 1], strict=True
    ):
        inner = ids if kind == "none" else ids[1:-1]
        assert kind == "none" or (ids[0], ids[-1]) == (CLS, SEP)
        assert len(ids) <= 8
        assert set(inner) <= set(whole[row])
    if kind != "none" and long_texts != "windows":
        pair = sequences_of(truncator(tmp_path, 9, long_texts).encode([(LONG, "the")]))[0]
        assert [i for i, each in enumerate(pair) if each in (CLS, SEP)] == [0, 5, 6, 8]  # </s></s> between


def test_more_texts_than_are_encoded_at_once_keep_their_order(tiny_encoder: Path) -> None:
    texts = [FILLERS[i % len(FILLERS)] for i in range(ENCODE_BATCH + 3)]
    texts[7] = texts[-1] = LONG
    for long_texts in ("head", "windows"):
        encoded = truncator(tiny_encoder, 8, long_texts).encode(texts)
        rows = [encoded.sequences(np.array([i])) for i in range(len(texts))]
        found = [[sequences_of(encoded)[j] for j in row] for row in (rows[0], rows[8], rows[-2])]
        assert found == [[[CLS, 5 + i % 12, SEP]] for i in (0, 8, ENCODE_BATCH + 1)]
        assert [len(rows[i]) for i in (7, len(texts) - 1)] == [2 if long_texts == "windows" else 1] * 2
        assert len(encoded) == len(texts)
        assert len(truncator(tiny_encoder, 8, long_texts).encode([])) == 0


def test_memory_for_long_pairs_grows_with_their_tokens_alone(tiny_encoder: Path) -> None:
    """The library's own truncation takes 1 GB for these 20 pairs: each part of one with each of the other."""
    program = (
        "import sys; from pathlib import Path; from bertline.tokens.truncation import Truncator\n"
        "truncator = Truncator(Path(sys.argv[1]), max_length=128, long_texts='head', stride=0)\n"
        f"before, long = {PEAK_MEMORY}, 'the cat ' * 1000\n"
        "assert truncator.encode([(long, long)] * 20).lengths.tolist() == [128] * 20\n"
        f"print(({PEAK_MEMORY} - before) // 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tiny_encoder)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 100
