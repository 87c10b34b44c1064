"""The behavioural tests of a user: behaviour.yaml, which also leaves generic ones out.

Guarantees that what is wrong in the file is one ValueError that names the test. Does not guarantee that a
test asks for the right thing.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from string import Formatter
from typing import Any, Literal

from bertline.evaluation.perturbations import PERTURBATIONS
from bertline.rows.labels import LabelSpace, class_name
from bertline.rows.user_file import read_user_file

MOST_TEXTS = 1000
"""Texts that a test with slots may have."""

Input = str | tuple[str, str]
"""A text, or the two texts of a sentence pair."""

Kind = Literal["minimum_functionality", "invariance", "directional"]
_CHANGES = {"prepend", "append", "replace"}
_KEYS = {
    "minimum_functionality": ({"texts", "label", "labels", "slots"}, {"texts"}),
    "invariance": (_CHANGES, set()),
    "directional": (_CHANGES | {"label", "must_not", "by"}, {"label", "must_not", "by"}),
}
"""By kind: the keys that a test may have beside name and kind, and those that it must have."""


@dataclass(frozen=True, kw_only=True)
class UserTest:
    """A test of behaviour.yaml; a field that its kind does not have is empty.

    Attributes:
        texts: of minimum functionality; they must be answered with `labels`.
        prepend, append: put before and behind a test row's text.
        replace: regular expressions of whole words, each with the words of which one takes its place.
        labels: of minimum functionality the right ones; directional: the one whose probability is watched.
        must_not: "rise" or "fall", by more than `by`.
    """

    name: str
    kind: Kind
    texts: tuple[Input, ...] = ()
    labels: tuple[str, ...] = ()
    prepend: str = ""
    append: str = ""
    replace: tuple[tuple[str, tuple[str, ...]], ...] = ()
    must_not: str = ""
    by: float = 0.0


@dataclass(frozen=True)
class BehaviourFile:
    """What behaviour.yaml says: the generic tests that are left out, the user's own, and bounds by test.

    `bounds`: the highest failure rate that is accepted.
    """

    off: frozenset[str] = frozenset()
    tests: tuple[UserTest, ...] = ()
    bounds: Mapping[str, float] = field(default_factory=dict)


def read_behaviour(path: Path, space: LabelSpace | None) -> BehaviourFile:
    """Return what the file `path` says, for a model of the classes of `space`; None takes any labels.

    Raises:
        ValueError: the file is missing or no YAML, a key, label, list or generic test is wrong, or two tests
            have one name.
    """
    document = read_user_file(path, "an empty mapping, {}") or {}
    if not isinstance(document, dict):
        raise ValueError(f"{path} is {document!r:.120}; allowed: a mapping with off, bounds and tests")
    if unknown := sorted(map(str, set(document) - {"off", "bounds", "tests"})):
        raise ValueError(f"{path}: unknown key {unknown[0]!r}; allowed: off, bounds, tests")
    generic = [each.name for each in PERTURBATIONS]
    off = _texts(document.get("off") or [], f"{path}, off")
    if unknown := sorted(set(off) - set(generic)):
        raise ValueError(f"{path}: off names {unknown[0]!r}; the generic tests are {', '.join(generic)}")
    entries = document.get("tests") or []
    if not isinstance(entries, list):
        raise ValueError(f"{path}: tests is {entries!r:.120}; allowed: a list")
    tests = tuple(_test(entry, f"{path}, test {n}", space) for n, entry in enumerate(entries, start=1))
    names = [*generic, *(test.name for test in tests)]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{path} has two tests named {twice[0]!r}; give each its own name")
    return BehaviourFile(frozenset(off), tests, _bounds(document.get("bounds") or {}, names, path))


def _bounds(bounds: object, names: Sequence[str], path: Path) -> dict[str, float]:
    if not isinstance(bounds, dict):
        raise ValueError(f"{path}: bounds is {bounds!r:.120}; allowed: a failure rate for each test")
    for name, rate in bounds.items():
        if name not in names:
            raise ValueError(f"{path}: bounds names {name!r}; the tests are {', '.join(names)}")
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
            raise ValueError(f"{path}: the bound of {name!r} is {rate!r}; allowed: a rate, 0 <= rate <= 1")
    return {name: float(rate) for name, rate in bounds.items()}


def _test(entry: object, where: str, space: LabelSpace | None) -> UserTest:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not entry["name"].strip():
        raise ValueError(f"{where} is {entry!r:.120}; allowed: a mapping with name and kind")
    where = f"{where}, {entry['name']!r}"
    kind = entry.get("kind")
    if kind not in _KEYS:
        raise ValueError(f"{where}: kind is {kind!r}; allowed: {', '.join(_KEYS)}")
    given = set(entry) - {"name", "kind"}
    allowed, needed = _KEYS[kind]
    if unknown := sorted(map(str, given - allowed)):
        raise ValueError(f"{where}: unknown key {unknown[0]!r}; allowed: {', '.join(sorted(allowed))}")
    if missing := sorted(needed - given):
        raise ValueError(f"{where}: {missing[0]} is missing")
    found: dict[str, Any] = {"name": entry["name"], "kind": kind}
    if kind != "minimum_functionality":
        found |= _change(entry, where)
    else:
        found["texts"] = _fill_slots(_inputs(entry["texts"], f"{where}: texts"), entry.get("slots"), where)
    if kind != "invariance":
        found["labels"] = _labels(entry, where, space)
    if kind == "directional":
        found |= _direction(entry, where)
    return UserTest(**found)


def _change(entry: Mapping[str, Any], where: str) -> dict[str, Any]:
    if not _CHANGES & set(entry):
        raise ValueError(f"{where}: no change; give one of {', '.join(sorted(_CHANGES))}")
    for key in ("prepend", "append"):
        if key in entry and (not isinstance(entry[key], str) or not entry[key]):
            raise ValueError(f"{where}: {key} is {entry[key]!r}; allowed: a text")
    replaced = entry.get("replace", {})
    if not isinstance(replaced, dict) or ("replace" in entry and not replaced):
        raise ValueError(
            f"{where}: replace is {replaced!r:.120}; allowed: words, or a list of them, by pattern"
        )
    return {
        "prepend": entry.get("prepend", ""),
        "append": entry.get("append", ""),
        "replace": tuple(_replacement(*each, where) for each in replaced.items()),
    }


def _replacement(pattern: object, words: object, where: str) -> tuple[str, tuple[str, ...]]:
    try:
        if not isinstance(pattern, str) or re.search(pattern, "") is not None:
            raise ValueError(
                f"{where}: replace has {pattern!r:.120}; allowed: a pattern that finds some text"
            )
    except re.error as error:
        raise ValueError(f"{where}: {pattern!r} is no regular expression: {error}") from None
    try:
        whole_words(pattern)
    except re.error:
        raise ValueError(f"{where}: {pattern!r} has a flag for all of it; write (?i:word)") from None
    given = words if isinstance(words, list) else [words]
    if not given or not all(isinstance(word, str) for word in given):
        raise ValueError(f"{where}: {pattern!r} becomes {words!r:.120}; allowed: a text, or a list of texts")
    return pattern, tuple(given)


def whole_words(pattern: str) -> re.Pattern[str]:
    """Return what finds `pattern` where no word goes on before or behind it; re.error if nothing can."""
    return re.compile(rf"(?<!\w)(?:{pattern})(?!\w)")


def _direction(entry: Mapping[str, Any], where: str) -> dict[str, Any]:
    if entry["must_not"] not in ("rise", "fall"):
        raise ValueError(f"{where}: must_not is {entry['must_not']!r}; allowed: rise, fall")
    by = entry["by"]
    if isinstance(by, bool) or not isinstance(by, int | float) or not 0 <= by < 1:
        raise ValueError(f"{where}: by is {by!r}; allowed: a probability, 0 <= by < 1")
    return {"must_not": entry["must_not"], "by": float(by)}


def _labels(entry: Mapping[str, Any], where: str, space: LabelSpace | None) -> tuple[str, ...]:
    given = [entry["label"]] if "label" in entry else entry.get("labels")
    if given is None or ("label" in entry and "labels" in entry):
        raise ValueError(f"{where}: give either label or, with several labels a row, labels")
    if not isinstance(given, list) or (space and not space.multi_label and len(given) != 1):
        raise ValueError(f"{where}: labels is {given!r:.120}; allowed: one label")
    given = [class_name(str(label)) for label in given]  # YAML reads 1 as a number
    for label in given:
        if space and label not in space.classes:
            raise ValueError(
                f"{where}: the label {label!r} is no class; there are {', '.join(space.classes)}"
            )
    return tuple(sorted(set(given)))


def _texts(value: object, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) and each.strip() for each in value):
        raise ValueError(f"{where} is {value!r:.120}; allowed: a list of texts")
    return value


def _inputs(value: object, where: str) -> list[Input]:
    """Return a list of texts, in which a sentence pair is a list of two."""
    if not isinstance(value, list):
        raise ValueError(f"{where} is {value!r:.120}; allowed: a list of texts")
    found: list[Input] = []
    for each in value:
        first, *second = _texts(each if isinstance(each, list) and len(each) == 2 else [each], where)
        found.append((first, second[0]) if second else first)
    return found


def _fill_slots(texts: Sequence[Input], slots: object, where: str) -> tuple[Input, ...]:
    """Return the texts with every combination of the words for their slots, each text once."""
    if not texts:
        raise ValueError(f"{where}: texts is empty")
    if slots is None:
        return tuple(dict.fromkeys(texts))
    if not isinstance(slots, dict):
        raise ValueError(f"{where}: slots is {slots!r:.120}; allowed: a mapping from slot to words")
    words = {str(name): _texts(each, f"{where}: slot {name}") for name, each in slots.items()}
    filled: dict[Input, None] = {}
    used: set[str] = set()
    for text in texts:
        parts = (text,) if isinstance(text, str) else text
        names = list(dict.fromkeys(name for part in parts for name in _slot_names(part, where)))
        if unknown := [name for name in names if not words.get(name)]:
            raise ValueError(f"{where}: {text!r} has the slot {unknown[0]!r}, which has no words in slots")
        used.update(names)
        for values in product(*(words[name] for name in names)):
            first, *second = (part.format_map(dict(zip(names, values, strict=True))) for part in parts)
            filled[(first, second[0]) if second else first] = None
            if len(filled) > MOST_TEXTS:
                raise ValueError(f"{where}: more than {MOST_TEXTS:,} texts; give fewer words")
    if unused := [name for name in words if name not in used]:
        raise ValueError(f"{where}: no text has the slot {unused[0]!r}; write it as {{{unused[0]}}}")
    return tuple(filled)


def _slot_names(text: str, where: str) -> list[str]:
    try:
        return [name for _, name, _, _ in Formatter().parse(text) if name is not None]
    except ValueError as error:
        raise ValueError(f"{where}: {text!r}: {error}; a brace is written twice") from None
