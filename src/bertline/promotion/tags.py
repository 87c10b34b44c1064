"""The git tags that the registry is made of, in GTO's grammar: here, and what a git remote has of them."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bertline.promotion.git import git

NAME = "text-classifier"  # in the artifacts section of dvc.yaml
_REFS = f"refs/tags/{NAME}[@#]*"
# NAME@v1.0.0 registers, NAME#champion#1 assigns, a ! after version or stage revokes.
_NUMBER = r"(?:0|[1-9]\d*)"
_TAG = re.compile(
    rf"{NAME}(?:@(?P<version>v{_NUMBER}\.{_NUMBER}\.{_NUMBER})|#(?P<stage>[\w-]+))"
    r"(?P<revoked>!?)(?:#(?P<order>\d+))?"
)
_REMOTE_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class Event:
    """What one tag says."""

    version: str | None  # of a registration
    stage: str | None  # of an assignment
    revoked: bool
    order: int  # of assignments
    commit: str
    at: int  # seconds since 1970
    message: str


def read_events(root: Path) -> list[Event]:
    """Return what the tags say: registrations, then assignments in the order they were made."""
    fields = "%00".join(("%(refname:strip=2)", "%(*objectname)", "%(creatordate:unix)", "%(contents)"))
    text = git(root, "for-each-ref", f"--format={fields}%01", _REFS)
    return sorted(_parse(text), key=lambda event: event.order)


def require_all_tags(root: Path) -> None:
    """Raise a ValueError if `origin` has tags that this clone has not; a remote that is away has none."""
    here = _refs(git(root, "for-each-ref", "--format=%(objectname)%09%(refname)", _REFS))
    for tag, there in sorted(_remote_refs(root).items(), reverse=True):
        if tag not in here:
            raise ValueError(
                f"origin has {tag}, which this clone does not know: "
                "another model may be champion; run: git fetch --tags origin"
            )
        if here[tag] != there:
            raise ValueError(
                f"{tag} is another model here than in origin; run: "
                f"git tag --delete '{tag}' && git fetch --tags origin"
            )


def _refs(text: str) -> dict[str, str]:
    """Return tag to object of lines as git lists them."""
    lines = (line.split("\t") for line in text.splitlines())
    return {name.removeprefix("refs/tags/"): commit for commit, name in lines}


def _remote_refs(root: Path) -> dict[str, str]:
    # In a session of its own there is no terminal to ask for a password on, which would wait.
    with subprocess.Popen(
        ["git", "ls-remote", "--refs", "origin", _REFS],
        cwd=root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=_REMOTE_SECONDS)
        except BaseException as error:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # git has others speak HTTP and SSH for it
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
    return _refs(said) if process.returncode == 0 else {}


def _parse(text: str) -> Iterator[Event]:
    for record in text.split("\x01"):
        tag, commit, at, message = record.lstrip("\n").split("\0") if record.strip() else ("", "", "", "")
        if commit and (match := _TAG.fullmatch(tag)):  # a lightweight tag has no commit; GTO ignores it too
            yield Event(
                version=match["version"],
                stage=match["stage"],
                revoked=bool(match["revoked"]),
                order=int(match["order"] or 0),
                commit=commit,
                at=int(at),
                message=message.strip(),
            )
