"""The script that a text is written in: a rough stand-in for its language, which needs no model.

Guarantees that a text has one script, by its letters alone. Does not guarantee a language: English and German
are both Latin.

Source: Unicode Standard Annex 24; the `regex` module has its table.
"""

from collections import Counter
from functools import cache

import regex

NO_LETTERS = "no letters"
OTHER = "another script"
JAPANESE = "Japanese"
"""Han and kana together, as Japanese is written (`Jpan` in ISO 15924)."""

_KANA = ("Hiragana", "Katakana")
_SCRIPTS = (
    *("Latin", "Cyrillic", "Greek", "Arabic", "Hebrew", "Han", *_KANA, "Hangul", "Thai", "Devanagari"),
    *("Bengali", "Gurmukhi", "Gujarati", "Oriya", "Tamil", "Telugu", "Kannada", "Malayalam", "Sinhala"),
    *("Lao", "Khmer", "Myanmar", "Tibetan", "Georgian", "Armenian", "Ethiopic", "Mongolian", "Thaana"),
)


def main_script(text: str) -> str:
    """Return the script of most letters of `text`; of equal ones the first by name.

    `NO_LETTERS`: it has none. `JAPANESE`: the script is Han or kana, and there is kana in it.
    """
    if text.isascii():
        return "Latin" if any(map(str.isalpha, text)) else NO_LETTERS
    counts = Counter(script for character in text if (script := _script(character)))
    if not counts:
        return NO_LETTERS
    script = min(counts, key=lambda name: (-counts[name], name))
    has_kana = any(name in counts for name in _KANA)
    return JAPANESE if has_kana and script in ("Han", *_KANA) else script


@cache
def _script(character: str) -> str | None:
    """Return the script of a letter; None: it is no letter, or one that all scripts share."""
    if not character.isalpha() or regex.match(r"[\p{Common}\p{Inherited}]", character):
        return None
    return next((name for name in _SCRIPTS if regex.match(rf"\p{{{name}}}", character)), OTHER)
