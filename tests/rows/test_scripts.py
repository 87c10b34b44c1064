import pytest

from bertline.rows.scripts import main_script


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("What is it?", "Latin"),
        ("déjà vu", "Latin"),
        ("123 !", "no letters"),
        ("١٢٣", "no letters"),
        ("🎉", "no letters"),
        ("привет world of", "Latin"),
        ("привет hi", "Cyrillic"),
        ("汉字", "Han"),
        ("漢字かな交じり文", "Japanese"),
        ("ラーメン", "Japanese"),
        ("한국어", "Hangul"),
        ("हिन्दी", "Devanagari"),
        ("ᚠᚢᚦ", "another script"),
    ],
)
def test_the_script_of_most_letters_is_the_script_of_a_text(text: str, script: str):
    assert main_script(text) == script
