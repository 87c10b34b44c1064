r"""The words of a text, in every script.

A word is a run of letters, digits and underscores, with the marks written on its letters: the vowel signs of
Hindi, the points of Hebrew and Arabic, the joiners inside Persian and Sinhala words. Python's `\w` knows no
marks and cuts a Hindi word at every vowel. Two rules follow from the script:

- In scripts without spaces between words each letter counts as a word, as in BERT's tokenizer.
- A single letter is no term of a classifier if its script has capitals ("a", "I") or if it is a digit.

Guarantees: two spellings that Unicode calls equal (composed or not, upper or lower case) have the same words.
Does not guarantee the words of a dictionary: nothing is stemmed, and Thai is not segmented.

Source: Unicode Technical Standard 18, annex C, `\w`; the `regex` module has its character classes.
"""

import re
import unicodedata
from functools import cache

import regex

from bertline.rows.text_key import INVISIBLE

UNSPACED = (
    r"\u0e00-\u109f"  # Thai, Lao, Tibetan, Myanmar
    r"\u1780-\u17ff\u1950-\u19df"  # Khmer, Tai Le, New Tai Lue
    r"\u1a20-\u1aaf\u1b00-\u1b7f"  # Tai Tham, Balinese
    r"\u3005-\u3007\u3040-\u312f\u31a0-\u31bf\u31f0-\u31ff\uff66-\uff9f\U0001b000-\U0001b16f"  # Japanese
    r"\u3400-\ua4cf\uf900-\ufaff\U00016fe0-\U000187ff\U00020000-\U0003ffff"  # Chinese, Yi, Tangut
    r"\ua980-\ua9ff\uaa60-\uaadf"  # Javanese, more Myanmar, Tai Viet
)
"""The characters of scripts without spaces, as they may stand in the brackets of a regular expression."""

_ANY = r"[\w\p{N}]"  # letters, marks, digits, underscores and joiners
_FIRST = rf"(?:[a-z0-9_]|[{_ANY}--[\p{{M}}\p{{Join_Control}}{UNSPACED}]])"  # ASCII first: twice as fast
_NEXT = rf"(?:[a-z0-9_]|[{_ANY}--[{UNSPACED}]])"
_LETTER = rf"[{_ANY}&&[{UNSPACED}]]"

WORD = rf"(?V1){_FIRST}{_NEXT}*+|{_LETTER}"
"""The pattern of a word in a text that `spell` returned, for the `regex` module."""

TERM = rf"(?V1){_FIRST}{_NEXT}++|{_LETTER}|\p{{Lo}}"
"""The pattern of a word that a classifier counts: no single letter of a script with capitals, no digit."""

_ASCII_TERM = "[a-z0-9_]{2,}"  # what TERM finds in ASCII texts, four times as fast


def spell(text: str) -> str:
    """Return `text` in the one spelling its words are compared in: NFC, case folded, nothing invisible."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", text.translate(INVISIBLE).casefold())


def find_words(text: str) -> list[str]:
    """Return the words of `text` in their order."""
    found: list[str] = _pattern(WORD).findall(spell(text))
    return found


def find_terms(spelled: str) -> list[str]:
    """Return what `TERM` finds in a text that `spell` returned, in its order."""
    if spelled.isascii():
        return _ascii_terms().findall(spelled)
    found: list[str] = _pattern(TERM).findall(spelled)
    return found


@cache
def _pattern(pattern: str) -> "regex.Pattern[str]":
    return regex.compile(pattern)


@cache
def _ascii_terms() -> "re.Pattern[str]":
    return re.compile(_ASCII_TERM)
