"""What counts as a word, script by script."""

import unicodedata

import pytest

from bertline.rows.words import find_terms, find_words, spell


@pytest.mark.parametrize(
    "text",
    [
        "रोटी दाल चाय में",  # Hindi: vowel signs
        "বাংলা ভাষা",  # Bengali
        "தமிழ் எழுத்து",  # Tamil
        "తెలుగు భాష",  # Telugu
        "ಕನ್ನಡ ಲಿಪಿ",  # Kannada
        "മലയാളം ന്‍",  # Malayalam, the second with a joiner at its end
        "ශ්‍රී ලංකා",  # Sinhala: a joiner inside
        "שָׁלוֹם עוֹלָם",  # Hebrew with points
        "مُحَمَّد كِتَاب",  # Arabic with points
        "می‌خواهم کتاب‌ها",  # noqa: RUF001  Persian: non-joiners inside
        "አማርኛ ቋንቋ",  # Amharic
        "ދިވެހި ބަސް",  # Thaana
        "ᠮᠣᠩᠭᠣᠯ ᠪᠢᠴᠢᠭ",  # Mongolian
        "tiếng việt",
        "i̇stanbul n̄ande",  # marks without a composed letter
        "한국어 집",
    ],
)
def test_a_word_keeps_the_marks_on_its_letters(text: str):
    assert find_words(text) == find_terms(spell(text)) == spell(text).split()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("iPhone手机", ["iphone", "手", "机"]),
        ("ไม่", ["ไ", "ม", "่"]),
        ("𠮷野家で ok", ["𠮷", "野", "家", "で", "ok"]),
        ("မသွား သွား", [*"မသွားသွား"]),
        ("カ・キ", ["カ", "キ"]),
        ("ꦲꦏꦱꦫ", [*"ꦲꦏꦱꦫ"]),  # Javanese
    ],
)
def test_where_a_script_has_no_spaces_each_letter_is_a_word(text: str, words: list[str]):
    assert find_words(text) == find_terms(spell(text)) == words


@pytest.mark.parametrize(("text", "terms"), [("A 4 é я b2", ["b2"]), ("न जा", ["न", "जा"]), ("집 9", ["집"])])
def test_a_single_letter_is_a_term_only_where_the_script_has_no_capitals(text: str, terms: list[str]):
    assert find_words(text) == spell(text).split()
    assert find_terms(spell(text)) == terms


@pytest.mark.parametrize("text", ["", " .,;!", "😀 👍🏽 👩‍❤️‍👩 🏳️‍🌈 ❤️", "́ ‍ ‌", "。、・"])
def test_marks_emoji_and_punctuation_alone_are_no_words(text: str):
    assert find_words(text) == find_terms(spell(text)) == []


@pytest.mark.parametrize("text", ["Café Zürich", "क़लम", "한국어", "か゛が", "Ἀθῆναι ΣΟΦΟΣ"])
def test_composed_and_decomposed_spellings_have_the_same_words(text: str):
    forms = [find_words(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")]
    assert forms[0] == forms[1]


def test_a_soft_hyphen_does_not_cut_a_word():
    assert find_words("Donau\u00addampf") == ["donaudampf"]


def test_ascii_texts_have_the_same_terms_as_all_others():
    text = "don't stop_me 4x4 a-b x 3.14"
    assert find_terms(f"{text} é") == find_terms(text) == ["don", "stop_me", "4x4", "14"]
