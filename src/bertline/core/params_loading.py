"""Read params.yaml into typed, frozen objects, or say in one line which field is wrong and what is allowed.

Guarantees: no key is ignored, none is defaulted, no type is coerced (an integer where a float is
asked for is fine). Does not guarantee that a combination of valid values trains well.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from bertline.core.yaml_text import parse_yaml

PARAMS_FILE = Path("params.yaml")

T = TypeVar("T")


def load_params(params: type[T], path: Path = PARAMS_FILE) -> T:
    """Return the section of `path` that `params` describes, e.g. `finetune` for `params/finetune.py`.

    `params` may have a table `RENAMED` of the keys and values that an earlier version called otherwise.

    Raises:
        ValueError: the file or a field is wrong; the message names the field, the value and what is allowed,
            and the new name of a key that was renamed.
    """
    return parse_section(params, read_document(path), path)


def parse_section(params: type[T], document: Mapping[str, object], path: Path) -> T:
    """Do what `load_params` does with the sections of `path` at hand."""
    section = params.__module__.rpartition(".")[2]
    if section not in document:
        raise ValueError(f"{path}: section {section!r} is missing")
    return _parse(section, params, document[section], path)


def read_document(path: Path) -> dict[str, object]:
    """Return the sections of `path` as they stand; ValueError if it is no YAML mapping."""
    from ruamel.yaml.error import YAMLError  # here, as in `parse_yaml`

    try:
        document = parse_yaml(path.read_text(encoding="utf-8"))
        _check_keys(document, str(path))
    except FileNotFoundError:
        raise ValueError(f"{path} is not here; run from the folder that holds dvc.yaml") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from None
    except (YAMLError, RecursionError) as error:
        raise ValueError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise ValueError(f"{path} holds no sections")
    return document


def _check_keys(value: object, where: str) -> None:
    """Refuse keys that YAML does not read as text, such as true and 1.50: as text they would be others."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise ValueError(f"{where} has the key {key!r}, which is no text; put it in quotes")
            _check_keys(inner, f"{where}: {key}")


def _parse(section: str, params: type[T], value: object, path: Path) -> T:
    from pydantic import TypeAdapter, ValidationError  # for the same reason as in `read_document`

    try:
        # Through JSON, because pydantic's strict mode accepts a mapping for a dataclass only there.
        return TypeAdapter(params).validate_json(json.dumps(value, default=str))
    except ValidationError as error:
        # An unknown key first: a misspelt key is also a missing one, and the spelling is the news.
        errors = [dict(each) for each in error.errors()]
        worst = min(errors, key=lambda each: each["type"] != "unexpected_keyword_argument")
        worst = _join_alternatives(worst, errors, value)
        raise ValueError(
            f"{path}: {_explain_renamed(section, params, worst) or _explain(section, params, worst)}"
        ) from None


def _join_alternatives(
    error: dict[str, Any], errors: list[dict[str, Any]], section: object
) -> dict[str, Any]:
    """Return the errors of one key as one, if it allows several types: pydantic has an error for each."""
    key, *inner = error["loc"] or [None]
    if not inner or not isinstance(section, Mapping) or error["input"] != section.get(key):
        return error
    allowed = [_allowed(each) for each in errors if each["loc"][:1] == (key,)]
    return error | {"loc": (key,), "msg": " or ".join(allowed)}


def _explain_renamed(section: str, params: type, error: dict[str, object]) -> str | None:
    """Return what to write instead of a key or value of an earlier version; None if it is not one."""
    renamed: Mapping[str, str] = getattr(params, "RENAMED", {})
    location, value = error["loc"], error["input"]
    assert isinstance(location, tuple)
    if len(location) != 1:
        return None
    key = location[0]
    value_now = renamed.get(value, value) if isinstance(value, str) else value
    spelled = value_now if isinstance(value_now, str) else json.dumps(value_now, default=str)
    if error["type"] == "unexpected_keyword_argument" and key in renamed:
        return f"{section}.{key} is called {renamed[key]} now; write: {renamed[key]}: {spelled}"
    if error["type"] == "literal_error" and value_now != value:
        return f"{section}.{key}: {value} is called {value_now} now; write: {key}: {spelled}"
    return None


def _explain(section: str, params: type, error: dict[str, object]) -> str:
    location = error["loc"]
    assert isinstance(location, tuple)
    field = ".".join(str(part) for part in (section, *location))
    fields = ", ".join(field.name for field in dataclasses.fields(params))
    match error["type"]:
        case "unexpected_keyword_argument":
            return f"unknown key {field}; allowed: {fields}"
        case "missing" | "missing_keyword_only_argument":
            return f"{field} is missing; {section} needs all of: {fields}"
        case "value_error":  # raised by `require`, which names the field itself
            return f"{section}.{str(error['msg']).removeprefix('Value error, ')}"
        case "dataclass_type":
            return f"section {section} is {error['input']!r}; allowed: a mapping with {fields}"
        case _:
            return f"{field} is {error['input']!r}; allowed: {_allowed(error)}"


def _allowed(error: dict[str, object]) -> str:
    return str(error["msg"]).removeprefix("Input should be ")
