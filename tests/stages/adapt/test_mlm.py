from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from bertline.stages.adapt.mlm import IGNORED, Masking
from bertline.stages.adapt.token_types import TokenTypes
from bertline.tokens.arrays import Tokens
from bertline.tokens.truncation import Truncator
from bertline.training.counter_rng import keys, uniform
from tests.support.tiny import make_texts


@pytest.fixture(scope="module")
def types(tiny_encoder: Path) -> TokenTypes:
    return TokenTypes.read(tiny_encoder, mask=4)


@pytest.fixture(scope="module")
def tokens(tiny_encoder: Path) -> Tokens:
    truncator = Truncator(tiny_encoder, max_length=32, long_texts="head", stride=0)
    return truncator.encode([text for text, _ in make_texts(3000)])


def row_keys(tokens: Tokens, epoch: int = 1) -> np.ndarray:
    return keys(1, epoch, np.arange(len(tokens)))


def words(*pieces: list[int]) -> Tokens:
    return Tokens(
        input_ids=np.concatenate([np.array(each, np.int32) for each in pieces]),
        offsets=np.cumsum([0, *map(len, pieces)]),
    )


def test_draws_are_uniform_and_unrelated_from_row_to_row() -> None:
    draws = uniform(keys(1, 1, np.arange(100_000)), 0)
    assert np.histogram(draws, bins=10, range=(0, 1))[0] == pytest.approx(10_000, rel=0.05)
    for others in (
        draws[1:],
        uniform(keys(1, 2, np.arange(99_999)), 0),
        uniform(keys(1, 1, np.arange(99_999)), 1),
    ):
        assert abs(np.corrcoef(draws[:-1], others)[0, 1]) < 0.02


def test_of_the_chosen_tokens_80_percent_are_masked_10_replaced_and_10_left(
    tokens: Tokens, types: TokenTypes
) -> None:
    hidden, targets = Masking(types=types, share=0.3, whole_words=False)(tokens, row_keys(tokens))
    chosen = targets != IGNORED
    masked, left = hidden[chosen] == types.mask, hidden[chosen] == tokens.input_ids[chosen]
    by_chance = 0.1 / len(types.regular_ids)  # a random token may be the same one
    assert masked.mean() == pytest.approx(0.8, abs=0.02)
    assert left.mean() == pytest.approx(0.1 + by_chance, abs=0.02)
    assert (targets[chosen] == tokens.input_ids[chosen]).all()
    assert (hidden[~chosen] == tokens.input_ids[~chosen]).all()


@pytest.mark.parametrize("whole_words", [False, True])
def test_the_share_of_the_tokens_is_chosen(tokens: Tokens, types: TokenTypes, whole_words: bool) -> None:
    _, targets = Masking(types=types, share=0.3, whole_words=whole_words)(tokens, row_keys(tokens))
    assert (targets != IGNORED)[~types.special[tokens.input_ids]].mean() == pytest.approx(0.3, abs=0.02)


def test_special_tokens_are_neither_chosen_nor_put_in(tokens: Tokens, types: TokenTypes) -> None:
    hidden, targets = Masking(types=types, share=0.5, whole_words=False)(tokens, row_keys(tokens))
    assert not types.special[targets[targets != IGNORED]].any()
    put_in = hidden[(hidden != tokens.input_ids) & (hidden != types.mask)]
    assert len(put_in)
    assert not types.special[put_in].any()


def test_every_text_has_a_token_to_predict_if_it_has_any(types: TokenTypes) -> None:
    texts = words(*[[2, 10 + i % 5, 3] for i in range(200)], [2, 1, 3])
    _, targets = Masking(types=types, share=0.01, whole_words=False)(texts, row_keys(texts))
    chosen = np.add.reduceat(targets != IGNORED, texts.offsets[:-1])
    assert chosen.tolist() == [1] * 200 + [0]  # the last is [UNK] alone


def test_the_mask_of_a_row_does_not_depend_on_its_batch(tokens: Tokens, types: TokenTypes) -> None:
    masking = Masking(types=types, share=0.15, whole_words=True)
    whole, targets = masking(tokens, row_keys(tokens))
    for row in (0, 7, 2999):
        span = slice(tokens.offsets[row], tokens.offsets[row + 1])
        alone = words(tokens.input_ids[span].tolist())
        hidden, target = masking(alone, keys(1, 1, np.array([row])))
        assert (hidden == whole[span]).all()
        assert (target == targets[span]).all()


def test_another_epoch_has_another_mask(tokens: Tokens, types: TokenTypes) -> None:
    masking = Masking(types=types, share=0.15, whole_words=False)
    masks = [masking(tokens, row_keys(tokens, epoch))[1] != IGNORED for epoch in (1, 2)]
    both = (masks[0] & masks[1]).sum() / masks[0].sum()
    assert both < 0.3  # 0.15 by chance, and more in the shortest texts


def save(tokenizer: Tokenizer, folder: Path) -> TokenTypes:
    tokenizer.add_special_tokens(["<s>", "</s>", "<unk>", "<mask>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    return TokenTypes.read(folder, tokenizer.token_to_id("<mask>"))


def wordpiece(folder: Path) -> tuple[TokenTypes, dict[str, int]]:
    names = ["<unk>", "play", "##ing", "##ful", "dog", ".", "!", "我", "爱", "3"]
    vocabulary = {name: i for i, name in enumerate(names)}
    return save(Tokenizer(models.WordPiece(vocabulary, unk_token="<unk>")), folder), vocabulary


def byte_level(folder: Path) -> tuple[TokenTypes, dict[str, int]]:
    first, rest = "我".encode()[:1], "我".encode()[1:]
    names = {
        pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(text)[0][0]: name
        for text, name in ((" dog", "dog"), ("ing", "##ing"), (" play", "play"), ("我", "我"), ("。", "."))
    }
    characters = next(iter(name for name, text in names.items() if text == "我"))
    assert len(characters) == len(first + rest) == 3
    vocabulary = {name: i for i, name in enumerate([*names, characters[0], characters[1:]])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.decoder = decoders.ByteLevel()
    read = {text: vocabulary[name] for name, text in names.items()}
    return save(tokenizer, folder), read | {"half 我": 5, "other half": 6}


def sentencepiece(folder: Path) -> tuple[TokenTypes, dict[str, int]]:
    names = ["<unk>", "▁play", "ing", "ful", "▁dog", ".", "我们", "▁"]
    tokenizer = Tokenizer(models.Unigram([(name, -1.0) for name in names], unk_id=0))
    return save(tokenizer, folder), {name.removeprefix("▁"): i for i, name in enumerate(names)} | {
        "##ing": 2,
        "我": 6,
    }


@pytest.mark.parametrize("make", [wordpiece, byte_level, sentencepiece])
def test_where_words_start_is_read_from_the_marks_of_the_vocabulary(tmp_path: Path, make: object) -> None:
    types, ids = make(tmp_path)
    starts = {name: bool(types.starts_word[i]) for name, i in ids.items()}
    assert starts["play"]
    assert starts["dog"]
    assert starts["我"]
    assert not starts["##ing"]
    if "half 我" in starts:
        assert starts["half 我"]
        assert not starts["other half"]
    assert types.ends_sentence[ids["."]]
    assert not types.ends_sentence[ids["dog"]]


def test_whole_words_are_chosen_or_left_together(tmp_path: Path) -> None:
    types, ids = wordpiece(tmp_path)
    text = [ids[name] for name in ("play", "##ful", "##ing", "dog", "play", "##ing", "我", "爱", ".")] * 200
    tokens = words(text)
    _, targets = Masking(types=types, share=0.3, whole_words=True)(tokens, keys(1, 1, np.arange(1)))
    chosen = (targets != IGNORED).reshape(-1, 9)
    assert (chosen[:, :3] == chosen[:, :1]).all()
    assert (chosen[:, 4:6] == chosen[:, 4:5]).all()
    assert (chosen[:, 6] != chosen[:, 7]).any()  # each Chinese character is a word
    assert chosen.mean() == pytest.approx(0.3, abs=0.05)


def test_a_vocabulary_without_a_mask_token_is_refused(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "dog": 1}, unk_token="[UNK]"))
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match=r"no \[MASK\] token"):
        TokenTypes.read(tmp_path, mask=None)
