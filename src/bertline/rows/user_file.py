"""Read a YAML file that people write, with one clear line for what is wrong."""

from pathlib import Path
from typing import Any

from bertline.core.yaml_text import parse_yaml
from bertline.rows.io import one_line


def read_user_file(path: Path, enough: str) -> Any:
    """Return what the file `path` holds; None if it is empty.

    `enough`: what a file without entries has, for the message if there is none.

    Raises:
        ValueError: the file is missing or no YAML.
    """
    from ruamel.yaml.error import YAMLError

    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} is not here; {enough}, is enough") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid YAML: {one_line(error)}") from None
