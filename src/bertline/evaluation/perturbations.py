"""Small changes of a text that should not change its class: the generic invariance tests.

A change is a pure function of the seed, its name and the text, so it does not depend on the other texts. It
returns the text itself where it finds nothing to change. Does not guarantee that the meaning stays: in "may"
without its capital a month is lost.

Source: Ribeiro et al., Beyond Accuracy: Behavioral Testing of NLP Models with CheckList, ACL 2020.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from bertline.evaluation.word_lists import CITIES, CONTRACTIONS, FEMALE_NAMES, MALE_NAMES, SIGNATURES
from bertline.rows.scripts import main_script

LATIN = frozenset({"Latin"})
ALPHABETS = frozenset({"Latin", "Cyrillic", "Greek", "Armenian", "Georgian"})
"""Scripts in which a word is still read with two letters swapped or one repeated."""

_WORD = re.compile(r"[^\W\d_]{4,}")
_NUMBER = re.compile(r"(?<!\w)[0-9]+(?!\w)")
_DAY, _YEAR = re.compile(r"[12][0-9]|3[01]"), re.compile(r"1[0-9]{3}|20[0-9]{2}")
_NAME = re.compile(rf"\b(?:{'|'.join((*FEMALE_NAMES, *MALE_NAMES, *CITIES))})\b")
_END = re.compile("[.!?\u3002\uff01\uff1f]+\\s*$")  # the last three end a sentence in Chinese
_LETTER = re.compile(r"[^\W\d_]")
_CONTRACTED = {short: long for long, short in CONTRACTIONS}
_EXPANDED = dict(CONTRACTIONS)
_ACCENTS = {"a": "á", "e": "é", "i": "í", "o": "ó", "u": "ú"}


@dataclass(frozen=True)
class Perturbation:
    """A change that should not change the class, for texts in one of `scripts`; None: in all.

    `fits_pairs`: whether a sentence pair still says the same where only its first text is changed.
    """

    name: str
    description: str
    change: Callable[[str, Random], str]
    scripts: frozenset[str] | None = None
    fits_pairs: bool = True

    def apply(self, text: str, seed: int) -> str:
        """Return the changed text, or `text` itself where nothing can be changed, or nothing would remain."""
        changed = self.change(text, random_of(seed, self.name, text))
        return changed if changed.strip() else text

    def fits(self, text: str) -> bool:
        """Return whether the change makes sense in the script of `text`."""
        return self.scripts is None or main_script(text) in self.scripts


def random_of(seed: int, name: str, text: str) -> Random:
    """Return the random numbers of the test `name` for `text`, which depend on nothing else."""
    digest = hashlib.sha256(f"{seed}:{name}:{text}".encode()).digest()
    return Random(int.from_bytes(digest))  # noqa: S311  not for secrets


def _swap_letters(text: str, random: Random) -> str:
    """Swap two neighbouring letters inside a word; the first letter stays."""
    words = [match for match in _WORD.finditer(text) if len(set(match[0][1:].lower())) > 1]
    if not words:
        return text
    word = random.choice(words)
    places = [i for i in range(word.start() + 1, word.end() - 1) if text[i].lower() != text[i + 1].lower()]
    at = random.choice(places)
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def _repeat_letter(text: str, random: Random) -> str:
    words = list(_WORD.finditer(text))
    if not words:
        return text
    word = random.choice(words)
    at = random.randrange(word.start() + 1, word.end())
    return text[:at] + text[at] * 3 + text[at + 1 :]


def _toggle_punctuation(text: str, _random: Random) -> str:
    """Drop the marks at the end, or add a full stop where there is none."""
    end = _END.search(text)
    return f"{text.rstrip()}." if end is None else text[: end.start()]


def _widen_spaces(text: str, random: Random) -> str:
    spaces = [match.start() for match in re.finditer(" ", text)]
    at = random.choice(spaces) if spaces else len(text)
    return f" {text[:at]}  {text[at:].lstrip(' ')} "


def _change_contractions(text: str, _random: Random) -> str:
    """Write contractions out; where there are none, contract what can be.

    At the end of a clause nothing is contracted: "that's what it is".
    """
    expanded = _replace_phrases(text, _CONTRACTED)
    return _replace_phrases(text, _EXPANDED, r"(?=\s+\w)") if expanded == text else expanded


def _replace_phrases(text: str, phrases: dict[str, str], before: str = "") -> str:
    def other(match: re.Match[str]) -> str:
        phrase = phrases[match[0].lower().replace("\u2019", "'")]
        return phrase[0].upper() + phrase[1:] if match[0][0].isupper() else phrase

    names = sorted(phrases, key=len, reverse=True)
    pattern = "|".join(re.escape(name).replace("'", "['\u2019]") for name in names)
    return re.sub(rf"\b(?:{pattern})\b{before}", other, text, flags=re.IGNORECASE)


def _change_numbers(text: str, random: Random) -> str:
    """Replace each number by another one of as many digits; what may be a day or a year stays one.

    0 and 1 stay, since the noun behind them may: "1 day". So do digits of a word: "B2B".
    """

    def other(match: re.Match[str]) -> str:
        digits = match[0]
        if digits in ("0", "1"):
            return digits
        while True:
            number = _other_number(digits, random)
            if number != digits:
                return number

    return _NUMBER.sub(other, text)


def _other_number(digits: str, random: Random) -> str:
    if _DAY.fullmatch(digits):
        return str(random.randrange(10, 29))
    century = digits[:2] if _YEAR.fullmatch(digits) else ""
    rest = "".join(random.choices("0123456789", k=len(digits) - len(century)))
    return century + rest if century or digits[0] == "0" else random.choice("23456789") + rest[1:]


def _change_names(text: str, random: Random) -> str:
    """Replace each first name and each city of the lists by another one, the same one throughout a text."""
    found: dict[str, str] = {}

    def other(match: re.Match[str]) -> str:
        name = match[0]
        if name not in found:
            names = next(names for names in (FEMALE_NAMES, MALE_NAMES, CITIES) if name in names)
            free = [each for each in names if each not in text and each not in found.values()]
            found[name] = random.choice(free or [name])
        return found[name]

    return _NAME.sub(other, text)


def _change_accents(text: str, random: Random) -> str:
    """Remove the accents; where there are none, add one."""
    composed = unicodedata.normalize("NFC", text)
    plain = "".join(c for c in unicodedata.normalize("NFD", composed) if unicodedata.category(c) != "Mn")
    if plain != composed:
        return unicodedata.normalize("NFC", plain)
    vowels = [i for i, letter in enumerate(text) if letter in _ACCENTS]
    if not vowels:
        return text
    at = random.choice(vowels)
    return text[:at] + _ACCENTS[text[at]] + text[at + 1 :]


def _sign(text: str, random: Random) -> str:
    return f"{text}\n{random.choice(SIGNATURES)}"


def _greet(text: str, _random: Random) -> str:
    return f"Hello! {text}"


def _thank(text: str, _random: Random) -> str:
    return f"{text} Thanks."


def _add_emoji(text: str, random: Random) -> str:
    return f"{text} {random.choice('📌📎💬📅🔎')}" if _LETTER.search(text) else text


PERTURBATIONS = (
    Perturbation("typos", "two neighbouring letters of a word are swapped", _swap_letters, ALPHABETS),
    Perturbation("upper case", "all letters are capitals", lambda text, _: text.upper()),
    Perturbation("lower case", "no letter is a capital", lambda text, _: text.lower()),
    Perturbation("punctuation", "the last mark is dropped, or a full stop is added", _toggle_punctuation),
    Perturbation("white space", "there are more spaces", _widen_spaces),
    Perturbation("contractions", "contractions are written out, or made", _change_contractions, LATIN),
    Perturbation("numbers", "numbers are others of as many digits", _change_numbers, fits_pairs=False),
    Perturbation("names", "first names and cities are others", _change_names, LATIN, fits_pairs=False),
    Perturbation("emoji", "an emoji without a mood is at the end", _add_emoji),
    Perturbation("accents", "accents are dropped, or one is added", _change_accents, LATIN),
    Perturbation("repeated letters", "a letter stands three times", _repeat_letter, ALPHABETS),
    Perturbation("signature", "an English greeting with a name is at the end", _sign, LATIN),
    Perturbation("prefix", "an English salutation is at the beginning", _greet, LATIN),
    Perturbation("suffix", "an English word of thanks is at the end", _thank, LATIN),
)
"""The generic tests, in the order of the report."""
