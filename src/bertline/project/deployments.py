"""prefect.yaml: the name of the project, and its deployments.

One server may hold several projects. So whatever a project has there carries its name: deployments
(`bertline-weekly`), the work pool (`bertline`) and the tag by which all of its deployments are found.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

PREFECT_FILE = Path("prefect.yaml")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, kw_only=True)
class Project:
    """What prefect.yaml says, with names that no other project of a server has."""

    name: str
    document: dict[str, Any]  # all of it, as `prefect deploy` reads it

    @classmethod
    def read(cls, root: Path) -> "Project":
        """Read prefect.yaml of `root`.

        Raises:
            ValueError: it cannot be read, or a name in it is missing or cannot be used.
        """
        path = root / PREFECT_FILE
        try:
            document = YAML(typ="safe", pure=True).load(path.read_text("utf-8"))
        except FileNotFoundError:
            raise ValueError(f"there is no {path}: run this in the root of a checkout of bertline") from None
        except (YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is no valid YAML ({' '.join(str(error).split())})") from error
        if not isinstance(document, dict):
            raise ValueError(f"{path} has no keys; it must have name and deployments")
        name = _valid_name(document.get("name"), f"{path}: name")
        written = document.get("deployments")
        if not isinstance(written, list) or not all(isinstance(each, dict) for each in written):
            raise ValueError(f"{path}: deployments must be a list, each with a name and an entrypoint")
        return cls(
            name=name, document=document | {"deployments": [_own(each, name, path) for each in written]}
        )

    @property
    def deployments(self) -> list[dict[str, Any]]:
        """The deployments, each with name, tags and work pool as the server is to have them."""
        found: list[dict[str, Any]] = self.document["deployments"]
        return found

    @property
    def pools(self) -> list[str]:
        """The work pools of the deployments; the first is the project's own, if it is used."""
        pools = dict.fromkeys(each["work_pool"]["name"] for each in self.deployments)
        return sorted(pools, key=lambda pool: pool != self.name)


def _own(written: dict[str, Any], project: str, path: Path) -> dict[str, Any]:
    """Return a deployment with the name of its project in its own name, in its tags and as its work pool.

    A trigger that says no `match` hears the events of this project alone.
    """
    name = _valid_name(written.get("name"), f"{path}: the name of a deployment")
    tags = written.get("tags") or []
    pool = {"name": project} | (written.get("work_pool") or {})
    mine = {"match": {"prefect.resource.id": f"bertline.project.{project}"}}
    triggers = [mine | each if isinstance(each, dict) else each for each in written.get("triggers") or []]
    listed = tags if isinstance(tags, list) else [tags]
    return written | {
        "name": f"{project}-{name}",
        "tags": list(dict.fromkeys([project, *listed])),
        "work_pool": pool,
        "triggers": triggers,
    }


def _valid_name(value: object, what: str) -> str:
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    raise ValueError(f"{what} is {value!r}; allowed: letters, digits, and - _ . after the first")
