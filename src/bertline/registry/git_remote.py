"""Share promotions through a git remote: the registry's tags, and the experiments that they name.

Guarantees:

- All refs of a promotion reach the remote, or none (`git push --atomic`).
- A version is listed in `.bertline/unpushed` before its tags are made, until they are pushed: after a kill,
  or when the remote is away, the next call pushes them.
- Where another clone was quicker, its promotion stands and the tags made here are deleted. The experiment
  stays here, and the model in DVC's remote.
"""

import json
import shlex
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from bertline.core.files import write_json
from bertline.core.params_loading import PARAMS_FILE, load_params
from bertline.params.promote import Params
from bertline.project.git import git
from bertline.project.layout import SCRATCH
from bertline.project.processes import child_process
from bertline.registry.tags import REFS, local_tags, remote_tags, require_all_tags
from bertline.registry.versions import Version

UNPUSHED = SCRATCH / "unpushed"
_PUSH_SECONDS = 300
_REASON = 200  # characters of git's message
_TAGS = "refs/tags/"


def chosen_remote(root: Path, asked: str | None = None) -> str | None:
    """Return the git remote to push to: the one that is `asked` for, or else `promote.push`; None for none.

    Raises:
        ValueError: git has no remote of that name here.
    """
    name = asked or load_params(Params, root / PARAMS_FILE).push
    remotes = git(root, "remote").splitlines()
    if name and name not in remotes:
        there = ", ".join(remotes) or "none"
        source = "the option push" if asked else "promote.push in params.yaml"
        raise ValueError(
            f"{source} is {name!r}, no git remote of this checkout; there are: {there}; "
            f"run: git remote add {shlex.quote(name)} URL"
        )
    return name


def announce(root: Path, commit: str) -> None:
    """Note that the version at `commit` is to be pushed, before its tags are made."""
    listed = _read_list(root)
    listed.setdefault(commit, sorted(_refs_of(root, commit)))
    (root / SCRATCH).mkdir(exist_ok=True)
    write_json(root / UNPUSHED, listed)


def share(root: Path, remote: str | None, version: Version | None) -> str | None:
    """Push the versions that were announced to `remote`; `version` is the one that was just tagged, if any.

    Returns:
        One line on what became of it, with the command that pushes it if it was not; None if there is nothing
        to push.

    Raises:
        ValueError: another clone has pushed a tag of the same number; its promotion stands now.
    """
    if remote is None:
        remotes = git(root, "remote").splitlines()
        if not version or not remotes:
            return None
        where = "origin" if "origin" in remotes else remotes[0]
        command = push_command(where, _refs_of(root, version.commit))
        return f"known in this checkout alone; to share it: {command} (or set promote.push)"
    refs = unpushed(root)
    if not refs:
        return None
    reason = _push(root, remote, refs)
    if reason is not None and (taken := _taken(root, remote, refs)):
        _take_back(root, remote, refs)
        raise ValueError(
            f"another clone was quicker: {remote} has another {', '.join(taken)}, which stands now; nothing "
            "was pushed, the experiment stays here; see: bertline history; then run the same command again"
        )
    if reason is not None:
        command = push_command(remote, refs)
        return f"not pushed to {remote} ({reason}); the next run tries again, or run: {command}"
    (root / UNPUSHED).unlink()
    return f"pushed to {remote}: {', '.join(_short(refs))}"


def unpushed(root: Path) -> set[str]:
    """Return the refs that are to be pushed, and were not."""
    found = [_refs_of(root, commit) for commit in _read_list(root)]
    return {ref for refs in found if any(ref.startswith(_TAGS) for ref in refs) for ref in refs}


def push_command(remote: str, refs: Iterable[str]) -> str:
    """Return the command that pushes `refs` to `remote`."""
    return f"git push --atomic {remote} {' '.join(map(shlex.quote, _short(refs)))}"


def _read_list(root: Path) -> dict[str, list[str]]:
    """Return the commits that are to be pushed, each with the refs that it had before."""
    with suppress(OSError, ValueError):  # none, or damaged
        return dict(json.loads((root / UNPUSHED).read_text("utf-8")))
    return {}


def _refs_of(root: Path, commit: str) -> set[str]:
    """Return the registry's tags on `commit`, and its experiments."""
    found = git(root, "for-each-ref", "--format=%(refname)", "--points-at", commit, REFS, "refs/exps")
    return {ref for ref in found.splitlines() if not ref.startswith("refs/exps/exec/")}


def _taken(root: Path, remote: str, refs: Iterable[str]) -> list[str]:
    """Return those tags among `refs` that are other ones in `remote`."""
    ours, theirs = local_tags(root), remote_tags(root, remote) or {}
    return [tag for tag in _short(refs) if theirs.get(tag) not in (None, ours.get(tag))]


def _take_back(root: Path, remote: str, refs: Iterable[str]) -> None:
    """Delete those tags among `refs` that were made here and never pushed, and fetch those of `remote`."""
    before = {ref for listed in _read_list(root).values() for ref in listed}
    made = [ref.removeprefix(_TAGS) for ref in refs if ref.startswith(_TAGS) and ref not in before]
    if made:
        git(root, "tag", "--delete", *sorted(made))
    (root / UNPUSHED).unlink()
    require_all_tags(root, remote)


def _push(root: Path, remote: str, refs: Iterable[str]) -> str | None:
    """Push `refs`, and return why git did not; None if it did."""
    command = ["git", "push", "--quiet", "--atomic", remote, *(f"{ref}:{ref}" for ref in sorted(refs))]
    try:
        with child_process(command, root, seconds=_PUSH_SECONDS) as process:
            printed, _ = process.communicate()
    except subprocess.TimeoutExpired:
        return f"no end after {_PUSH_SECONDS} seconds"
    said = " ".join(printed.decode("utf-8", errors="replace").split())
    return None if process.returncode == 0 else said[:_REASON]


def _short(refs: Iterable[str]) -> list[str]:
    return sorted(ref.removeprefix(_TAGS) for ref in refs)
