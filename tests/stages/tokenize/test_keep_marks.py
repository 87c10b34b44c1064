"""A tokenizer that is trained on the user's texts removes no mark of a letter."""

import pytest
from tokenizers import Tokenizer, models, normalizers

from bertline.stages.tokenize.keep_marks import with_marks

UNCASED = Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
UNCASED.normalizer = normalizers.BertNormalizer()


def normalized_by(*steps: normalizers.Normalizer) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence(list(steps)) if len(steps) != 1 else steps[0]
    return tokenizer


@pytest.mark.parametrize(
    "tokenizer",
    [
        UNCASED,
        normalized_by(normalizers.StripAccents()),
        normalized_by(normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()),
        normalized_by(normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents()])),
    ],
    ids=["bert", "alone", "in a sequence", "in a sequence of sequences"],
)
def test_marks_are_kept_whatever_removed_them(tokenizer: Tokenizer) -> None:
    words = ["कुल", "कल", "が", "か", "pêche", "peche"]
    before, after = (
        {each.normalizer.normalize_str(word) if each.normalizer else word for word in words}
        for each in (tokenizer, with_marks(tokenizer))
    )
    assert len(before) < len(words) == len(after)


def test_a_tokenizer_that_removes_nothing_is_as_it_was() -> None:
    tokenizer = normalized_by(normalizers.NFC(), normalizers.Lowercase())
    assert with_marks(tokenizer).to_str() == tokenizer.to_str()
    assert with_marks(Tokenizer(models.BPE())).normalizer is None


def test_case_and_chinese_characters_are_treated_as_before() -> None:
    texts = ["The CAT's 今天 bag\x00 \u00ad", "a\tb\ufffd"]
    before, after = (each.normalizer.normalize_str for each in (UNCASED, with_marks(UNCASED)))
    assert [after(text).split() for text in texts] == [before(text).split() for text in texts]
