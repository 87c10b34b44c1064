"""Damage that a wrong encoding leaves in a text: U+FFFD, control characters and mojibake.

UTF-8 that was read as Windows-1252 turns each character into a lead and one to three tails:

| lead | tails | was |
|---|---|---|
| A with circumflex or tilde (C2, C3) | 1, also a guillemet or a no-break space | a letter of Latin-1 |
| C4, C5, CE, CF, D0, D1, D8, D9 | 1 | a letter of Latin, Greek, Cyrillic or Arabic |
| the multiplication sign (D7), twice in a row | 1 each | a Hebrew word |
| E0 to EF | 2 | most other letters, quotes, the euro sign |
| F0 to F4 | 3 | an emoji |

Sound texts hold some of these pairs: a capital E with acute (C9) before a closing quote, a closing quote or
dots after other letters with accents, a multiplication sign before a price. So C9 is no lead, and a tail that
is punctuation counts only before a letter or among other tails. The tests of `features` have both kinds.
"""

_LEAD = bytes.fromhex("C2 C3 C4 C5 CE CF D0 D1 D8 D9").decode("latin-1")
_TAILS = {chr(byte) for byte in range(0x80, 0xC0)} | {*bytes(range(0x80, 0xA0)).decode("cp1252", "ignore")}
_QUOTES = {*bytes.fromhex("85 91 92 93 94 96 97").decode("cp1252")}  # dots and dashes, too
# A single guillemet or no-break space is the tail of many letters (ë, û, à); two of them hardly ever occur.
_MARKS = _QUOTES | {*"«»\N{NO-BREAK SPACE}"}


def _any(characters: set[str]) -> str:
    return f"[{''.join(sorted(characters))}]"


def _tails(count: int) -> str:
    """Return the pattern of `count` tails that are not all marks."""
    marks, other, tail = map(_any, (_MARKS, _TAILS - _MARKS, _TAILS))
    return "|".join(f"{marks}{{{at}}}{other}{tail}{{{count - 1 - at}}}" for at in range(count))


_PAIR = rf"[ÂÃ]{_any(_TAILS - _QUOTES)}|[{_LEAD}](?:{_any(_TAILS - _MARKS)}|{_any(_MARKS)}\p{{L}})"
_HEBREW = {chr(byte) for byte in range(0x90, 0xAB)} | {*bytes(range(0x90, 0xA0)).decode("cp1252", "ignore")}
_MOJIBAKE = rf"{_PAIR}|(?:\x{{D7}}{_any(_HEBREW)}){{2}}|[à-ï](?:{_tails(2)})|[ð-ô](?:{_tails(3)})"
_CONTROL = "[\\x00-\\x08\\x0B\\x0C\\x0E-\\x1F\\x7F\\x{80}-\\x{9F}\\x{FFFD}]"
DAMAGE = f"{_MOJIBAKE}|{_CONTROL}"
"""The pattern of all damage, for RE2; tabs and line ends are sound."""
