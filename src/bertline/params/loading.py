"""Read params.yaml into typed, frozen objects, or say in one line which field is wrong and what is allowed.

Guarantees: no key is ignored, none is defaulted, no type is coerced (an integer where a float is
asked for is fine). Does not guarantee that a combination of valid values trains well.
"""

import dataclasses
import json
from pathlib import Path
from typing import TypeVar

PARAMS_FILE = Path("params.yaml")

T = TypeVar("T")


def load_params(params: type[T], path: Path = PARAMS_FILE) -> T:
    """Return the section of `path` that `params` describes, e.g. `finetune` for `params/finetune.py`.

    Raises:
        ValueError: the file or a field is wrong; the message names the field, the value and what is allowed.
    """
    section = params.__module__.rpartition(".")[2]
    document = read_document(path)
    if section not in document:
        raise ValueError(f"{path}: section {section!r} is missing")
    return _parse(section, params, document[section], path)


def read_document(path: Path) -> dict[str, object]:
    """Return the sections of `path` as they stand; ValueError if it is no YAML mapping."""
    from ruamel.yaml import YAML  # here, so that the typed objects need nothing but the standard library
    from ruamel.yaml.error import YAMLError

    try:
        document = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
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
        worst = min(error.errors(), key=lambda each: each["type"] != "unexpected_keyword_argument")
        raise ValueError(f"{path}: {_explain(section, params, dict(worst))}") from None


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
            allowed = str(error["msg"]).removeprefix("Input should be ")
            return f"{field} is {error['input']!r}; allowed: {allowed}"
