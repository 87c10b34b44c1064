"""Change single values of params.yaml; every other byte stays, comments included."""

import json
from collections.abc import Mapping

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

Value = bool | int | float | str | None

_NO_STRINGS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


def edit(text: str, changes: Mapping[str, Value]) -> str:
    """Return the YAML `text` with each `section.key` of `changes` set to its value.

    Raises:
        ValueError: a section or key is not in `text`, or holds a list or mapping.
    """
    root = YAML(typ="safe", pure=True).compose(text)
    spans = sorted(
        ((*_span(root, name, text), value) for name, value in changes.items()), key=lambda span: span[0]
    )
    for start, end, value in reversed(spans):
        text = text[:start] + _replace(text[start:end], text[end:], value)
    return text


def spell(value: Value) -> str:
    """Return `value` as params.yaml writes it: null, true, 1.0e-05, cosine."""
    if isinstance(value, str):
        plain = value.isidentifier() and value.lower() not in _NO_STRINGS
        return value if plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):  # YAML 1.1 readers take 1e-05 for a string
        digits, exponent, power = repr(value).partition("e")
        return (digits if "." in digits else f"{digits}.0") + exponent + power
    return json.dumps(value)


def _span(root: Node, name: str, text: str) -> tuple[int, int]:
    """Return the start and end of the value of `name` in `text`; an omitted one (null) is after the colon."""
    node, behind = root, 0
    for key in name.split("."):
        items = node.value if isinstance(node, MappingNode) else []
        found = [(at.end_mark.index, value) for at, value in items if at.value == key]
        if not found:
            raise ValueError(f"there is no {name} to set")
        [(behind, node)] = found
    if not isinstance(node, ScalarNode):
        raise ValueError(f"{name} is not a single value; only single values can be set")
    start, end = node.start_mark.index, node.end_mark.index
    return (start, end) if start < end else (text.index(":", behind) + 1,) * 2


def _replace(old: str, rest: str, value: Value) -> str:
    """Return the new value and the `rest` of the text, whose comment stays in its column if there is room."""
    new = spell(value) if old else f" {spell(value)}"
    bare = rest.lstrip(" ")
    spaces = len(rest) - len(bare)
    if bare.startswith("#"):
        spaces = max(2, spaces + len(old) - len(new))
    return new + " " * spaces + bare
