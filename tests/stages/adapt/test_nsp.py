from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bertline.stages.adapt.mlm import IGNORED
from bertline.stages.adapt.nsp import NEXT, RANDOM, SpanPairs
from bertline.stages.adapt.token_types import TokenTypes
from bertline.tokens.arrays import Tokens
from bertline.tokens.truncation import Truncator
from bertline.training.counter_rng import keys
from tests.support.tiny import make_texts

Texts = list[str] | list[tuple[str, str]]
CLS, SEP = 2, 3


@pytest.fixture(scope="module")
def tokenize(tiny_encoder: Path) -> Callable[[Texts], Tokens]:
    return Truncator(tiny_encoder, max_length=32, long_texts="head", stride=0).encode


@pytest.fixture(scope="module")
def types(tiny_encoder: Path) -> TokenTypes:
    types = TokenTypes.read(tiny_encoder, mask=4)
    ends = types.ends_sentence.copy()
    ends[10] = True  # the tiny vocabulary has no full stop: let one of its words be one
    return replace(types, ends_sentence=ends)


def spans(tokens: Tokens, row: int) -> tuple[list[int], list[int]]:
    """Return A and B of a pair, and check what frames them."""
    ids = tokens.input_ids[tokens.offsets[row] : tokens.offsets[row + 1]].tolist()
    assert tokens.type_ids is not None
    types = tokens.type_ids[tokens.offsets[row] : tokens.offsets[row + 1]]
    second = len(ids) - int(types.sum())
    assert types.tolist() == sorted(types)
    assert (ids[0], ids[second - 1], ids[-1]) == (CLS, SEP, SEP)
    return ids[1 : second - 1], ids[second:-1]


def content(tokens: Tokens, row: int) -> list[int]:
    return tokens.input_ids[tokens.offsets[row] + 1 : tokens.offsets[row + 1] - 1].tolist()


def row_keys(tokens: Tokens, epoch: int = 1) -> np.ndarray:
    return keys(1, epoch, np.arange(len(tokens.offsets) - 1))


def make(tokens: Tokens, types: TokenTypes, max_length: int = 32) -> tuple[Tokens, np.ndarray]:
    return SpanPairs(tokens, types, max_length)(np.arange(len(tokens.offsets) - 1), row_keys(tokens))


def test_half_of_the_pairs_belong_together(tokenize: Callable[[Texts], Tokens], types: TokenTypes) -> None:
    _, labels = make(tokenize([text for text, _ in make_texts(3000)]), types)
    assert set(labels) == {NEXT, RANDOM}
    assert (labels == NEXT).mean() == pytest.approx(0.5, abs=0.03)


def test_b_goes_on_where_a_ends_or_is_the_second_part_of_another_text(
    tokenize: Callable[[Texts], Tokens], types: TokenTypes
) -> None:
    texts = tokenize([text for text, _ in make_texts(300)])
    pairs, labels = make(texts, types)
    whole = [content(texts, row) for row in range(300)]
    seconds = {tuple(text[-length:]) for text in whole for length in range(1, len(text))}
    for row in range(300):
        a, b = spans(pairs, row)
        assert a == whole[row][: len(a)]
        if labels[row] == NEXT:
            assert a + b == whole[row]
        else:
            assert tuple(b) in seconds
    random = np.flatnonzero(labels == RANDOM)
    assert sum(sum(spans(pairs, row), []) == whole[row] for row in random) < len(random) / 20  # noqa: RUF017


def test_a_text_is_cut_at_the_sentence_end_nearest_its_middle(types: TokenTypes) -> None:
    word, end = 12, 10
    body = [word, end, word, word, word, word, end, word, word, word]
    texts = Tokens(input_ids=np.array([CLS, *body, SEP] * 200, np.int32), offsets=np.arange(201) * 12)
    pairs, labels = make(texts, types)
    a, b = spans(pairs, int(np.argmax(labels == NEXT)))
    assert (len(a), len(b)) == (7, 3)


def test_a_text_without_sentences_is_cut_at_the_word_nearest_its_middle(types: TokenTypes) -> None:
    starts = types.starts_word.copy()
    starts[13] = False
    body = [12, 12, 12, 13, 13, 12, 12, 12]
    texts = Tokens(input_ids=np.array([CLS, *body, SEP] * 200, np.int32), offsets=np.arange(201) * 10)
    pairs, labels = make(texts, replace(types, starts_word=starts))
    a, b = spans(pairs, int(np.argmax(labels == NEXT)))
    assert (len(a), len(b)) == (5, 3)


def test_the_spans_of_sentence_pairs_are_the_two_texts(
    tokenize: Callable[[Texts], Tokens], types: TokenTypes
) -> None:
    texts = [text for text, _ in make_texts(200)]
    rows = tokenize(list(zip(texts[::2], texts[1::2], strict=True)))
    pairs, labels = make(rows, types, max_length=64)
    originals = [spans(rows, row) for row in range(100)]
    for row in range(100):
        a, b = spans(pairs, row)
        assert a == originals[row][0]
        assert (b == originals[row][1]) == (labels[row] == NEXT)
        assert any(b == other for _, other in originals)


@pytest.mark.parametrize("max_length", [8, 9, 20])
def test_no_pair_is_longer_than_allowed_and_the_longer_span_is_cut_first(
    tokenize: Callable[[Texts], Tokens], types: TokenTypes, max_length: int
) -> None:
    texts = tokenize([text for text, _ in make_texts(300)])
    pairs, _ = make(texts, types, max_length)
    full, _ = make(texts, types, max_length=1000)
    room, cut = max_length - 3, 0
    for row in range(300):
        (a, b), (whole_a, whole_b) = spans(pairs, row), spans(full, row)
        assert len(a) + len(b) == min(room, len(whole_a) + len(whole_b))
        cut += len(a) < len(whole_a) or len(b) < len(whole_b)
        assert len(a) == len(whole_a) or len(a) >= len(b)
        assert len(b) == len(whole_b) or len(b) >= len(a) - 1
        assert whole_a[len(whole_a) - len(a) :] == a  # the border stays
        assert whole_b[: len(b)] == b
    assert cut


def test_a_single_word_stays_as_it_is_and_says_nothing_of_next_sentences(
    tokenize: Callable[[Texts], Tokens], types: TokenTypes
) -> None:
    texts = tokenize(["cat", "my cat is red", "where is the dog"])
    pairs, labels = make(texts, types)
    assert labels[0] == IGNORED
    assert IGNORED not in labels[1:]
    assert pairs.input_ids[: pairs.offsets[1]].tolist() == [CLS, *content(texts, 0), SEP]


def test_the_pair_of_a_row_does_not_depend_on_its_batch(
    tokenize: Callable[[Texts], Tokens], types: TokenTypes
) -> None:
    texts = tokenize([text for text, _ in make_texts(100)])
    make_pairs = SpanPairs(texts, types, 32)
    whole, labels = make_pairs(np.arange(100), row_keys(texts))
    for row in (0, 42, 99):
        alone, label = make_pairs(np.array([row]), row_keys(texts)[[row]])
        assert spans(alone, 0) == spans(whole, row)
        assert label == labels[row]


def test_another_window_of_the_same_text_is_never_the_random_one(
    tokenize: Callable[[Texts], Tokens], types: TokenTypes
) -> None:
    windows = tokenize(["cat dog horse bird"] * 50 + ["red green blue white"])
    texts = replace(windows, row_offsets=np.array([0, 50, 51]))
    pairs, labels = make(texts, types)
    blue = content(windows, 50)[2:]
    assert {tuple(spans(pairs, row)[1]) for row in np.flatnonzero(labels[:50] == RANDOM)} == {tuple(blue)}


@pytest.mark.parametrize("texts", [["cat", "dog"], ["my cat"], ["my cat", "dog"]])
def test_fewer_than_two_texts_to_cut_are_refused(
    tokenize: Callable[[Texts], Tokens], types: TokenTypes, texts: list[str]
) -> None:
    with pytest.raises(ValueError, match="needs two texts of two words each"):
        make(tokenize(texts), types)
