"""The git tags that the registry is made of, in GTO's grammar: here, and what a git remote has of them."""

import logging
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bertline.project.git import git
from bertline.project.processes import run_process

NAME = "text-classifier"  # in the artifacts section of dvc.yaml
REFS = f"refs/tags/{NAME}[@#]*"
# NAME@v1.0.0 registers, NAME#champion#1 assigns, a ! after version or stage revokes.
_NUMBER = r"(?:0|[1-9]\d*)"
_TAG = re.compile(
    rf"{NAME}(?:@(?P<version>v{_NUMBER}\.{_NUMBER}\.{_NUMBER})|#(?P<stage>[\w-]+))"
    r"(?P<revoked>!?)(?:#(?P<order>\d+))?"
)
_ORIGIN = "origin"
_FETCHED = tuple(f"refs/tags/{NAME}{sign}*" for sign in "@#")  # git fetches no `[@#]*`
_REMOTE_SECONDS = 10
_FETCH_SECONDS = 300
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Event:
    """The meaning of one tag."""

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
    text = git(root, "for-each-ref", f"--format={fields}%01", REFS)
    return sorted(_parse(text), key=lambda event: event.order)


def require_all_tags(root: Path, push: str | None = None) -> None:
    """Bring the registry's tags that this clone lacks, from `origin` and from the remote to `push` to.

    Branches and other tags stay.

    A remote that cannot be reached is a warning: a promotion here may meet another clone's, which git refuses
    when the tags are pushed.

    Raises:
        ValueError: a tag is another one here, because two clones made it at once; or git cannot fetch.
    """
    remotes = git(root, "remote").splitlines()
    for remote in dict.fromkeys((_ORIGIN, push)):
        if remote in remotes:
            _require_tags_of(root, remote)


def _require_tags_of(root: Path, remote: str) -> None:
    there = remote_tags(root, remote)
    if there is None:
        _LOG.warning(
            "%s cannot be reached, so versions of other clones may be unknown here; see: git ls-remote %s",
            remote,
            remote,
        )
        return
    here = local_tags(root)
    if other := sorted(tag for tag in there.keys() & here.keys() if here[tag] != there[tag]):
        raise ValueError(
            f"{other[0]} is another model here than in {remote}: two clones made it at once, and the first "
            f"that pushed it has it; run: git tag --delete {' '.join(map(shlex.quote, other))} && "
            f"git fetch --tags {remote}"
        )
    if there.keys() <= here.keys():
        return
    fetch = ["git", "fetch", "--quiet", "--no-tags", remote, *(f"{refs}:{refs}" for refs in _FETCHED)]
    run_process(fetch, root, seconds=_FETCH_SECONDS, errors=subprocess.DEVNULL)
    if missing := sorted(there.keys() - local_tags(root).keys(), reverse=True):
        raise ValueError(
            f"{remote} has {missing[0]}, which cannot be fetched: another model may be champion; "
            f"run: git fetch --tags {remote}"
        )


def local_tags(root: Path) -> dict[str, str]:
    """Return tag to object of the registry's tags here."""
    return _refs(git(root, "for-each-ref", "--format=%(objectname)%09%(refname)", REFS))


def _refs(text: str) -> dict[str, str]:
    """Return tag to object of lines as git lists them."""
    lines = (line.split("\t") for line in text.splitlines())
    return {name.removeprefix("refs/tags/"): commit for commit, name in lines}


def remote_tags(root: Path, remote: str) -> dict[str, str] | None:
    """Return tag to object of the registry's tags that `remote` has, or None if it cannot be reached."""
    command = ["git", "ls-remote", "--refs", remote, REFS]
    listed = run_process(command, root, seconds=_REMOTE_SECONDS, errors=subprocess.DEVNULL)
    return None if listed is None else _refs(listed)


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
