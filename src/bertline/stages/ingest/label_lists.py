r"""Lists of labels that were printed as text, as CSV files hold them.

| written by | example |
|---|---|
| JSON | `["late", "price"]` |
| Python, pandas | `['late', 'price']`, `('late',)`, `{'late'}`, `set()` |
| NumPy | `['late' 'price']`, `[np.str_('late')]`, `array(['late'], dtype=object)`, `[1 2]` |
| DuckDB, PostgreSQL | `[late, price]`, `{late,price}` |
"""

import ast
import json
import re
import warnings
from functools import lru_cache

from bertline.rows.labels import LabelSpace
from bertline.stages.ingest.values import MISSING, as_text

_BRACKETS = {"[": "]", "(": ")", "{": "}"}
_CALL = re.compile(
    r"(?:np\.|numpy\.)?(?:array|set|frozenset|list|tuple)\((.*?)(?:,\s*dtype=[^'\"()\[\]]+)?\)", re.DOTALL
)
_SCALAR = re.compile(r"\b(?:np|numpy)\.\w+\(([^()]*)\)")  # np.str_('a')
_QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_WORD = r"[^,'\"\[\]{}()\s][^,\"\[\]{}()\s]*"
_TOKEN = re.compile(
    rf"\s*(?:(?P<quoted>{_QUOTED})|(?P<comma>,)|(?P<bare>{_WORD}(?:\s+{_WORD})*))\s*", re.DOTALL
)
_NUMBER = re.compile(r"-?\d+\.?\d*(?:e[+-]?\d+)?|True|False|nan|None", re.ASCII)
_STARTS_OR_ENDS_QUOTED = re.compile(rf"^(?:{_QUOTED})|(?:{_QUOTED})$", re.DOTALL)
_PIECE = re.compile(r"[\[({]\s*['\"].*|.*['\"]\s*[\])}]", re.DOTALL)


def is_list(text: str, space: LabelSpace) -> bool:
    """Return whether a label is a list printed as text.

    - It is where its values are in quotes, or where it is a JSON list.
    - With several labels a row it also is where square or curly brackets enclose the whole label. With one
      label a row, `[other]` is a name.
    """
    text = _strip_call(text.strip())
    if len(text) < 2 or _BRACKETS.get(text[0]) != text[-1]:
        return False
    if space.multi_label and text[0] != "(":
        return True
    body = _SCALAR.sub(r"\1", text[1:-1]).strip().removesuffix(",").rstrip()
    return _STARTS_OR_ENDS_QUOTED.search(body) is not None or _json_list(text) is not None


def is_piece_of_list(text: str) -> bool:
    """Return whether a label begins or ends as a list in quotes does: it was cut at a separator."""
    return _PIECE.fullmatch(text.strip()) is not None


@lru_cache(maxsize=10_000)
def read_list(text: str) -> tuple[str | None, ...]:
    """Return the values of a list printed as text, None for a missing one.

    Raises:
        ValueError: it cannot be read: a mapping, a list of lists, or one that was cut short.
    """
    text = _strip_call(text.strip())
    if (values := _json_list(text)) is not None:
        return tuple(values)
    body = _SCALAR.sub(r"\1", text[1:-1]).strip()
    values, expected, at = [], True, 0
    while at < len(body):
        token = _TOKEN.match(body, at)
        bare = token["bare"] if token else None
        mapping = text[0] == "{" and ":" in (bare or "")
        if token is None or mapping or (bare or "").startswith((":", "...")):
            raise ValueError("not a list of labels")
        at = token.end()
        if token["comma"]:
            if expected:
                values.append("")
            expected = True
            continue
        values.append(_unquote(token["quoted"]) if token["quoted"] else _bare(bare or ""))
        expected = False
    if len(values) == 1 and all(map(_NUMBER.fullmatch, body.split())):  # [1 2], or [1. 0.]
        return tuple(_bare(word.removesuffix(".")) for word in body.split())
    return tuple(values)


def _strip_call(text: str) -> str:
    """Return what `array(...)`, `set(...)` and the like enclose; an empty call is an empty list."""
    call = _CALL.fullmatch(text)
    return (call[1].strip() or "[]") if call else text


def _json_list(text: str) -> list[str | None] | None:
    """Return the values of a JSON list of strings, numbers, booleans and nulls; None for anything else."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, list) or any(isinstance(value, list | dict) for value in values):
        return None
    return [as_text(value) for value in values]


def _bare(word: str) -> str | None:
    return None if word in MISSING else word


def _unquote(token: str) -> str:
    try:
        with warnings.catch_warnings(action="ignore"):  # an unknown escape stays as it is
            return str(ast.literal_eval(token))
    except (SyntaxError, ValueError):  # such as a line break in quotes
        return token[1:-1]
