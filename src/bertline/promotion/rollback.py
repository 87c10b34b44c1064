"""Make an older version the champion again. Nothing is deleted: a rollback is one more tag."""

from pathlib import Path

from bertline.project.run_lock import only_run
from bertline.registry.conditions import require_taggable
from bertline.registry.git_remote import announce
from bertline.registry.registry import Registry
from bertline.registry.versions import Version


def roll_back(root: Path, name: str | None, *, push: str | None = None) -> Version:
    """Make the version called `name` champion; without a name, the one before the champion.

    So v3 goes back to v2, and from there to v1, not to v3 again. `push` is as in `promote`.

    Raises:
        ValueError: there is no such version, its model cannot be fetched, or no tag can be made.
    """
    require_taggable(root, push)
    with only_run(root):
        registry = Registry(root)
        champion = registry.champion()
        version = registry.find(name) if name else _previous(registry, champion)
        if push:
            announce(root, version.commit)
        registry.assign(version, f"rolled back from {champion.name if champion else 'none'}")
        return version


def _previous(registry: Registry, champion: Version | None) -> Version:
    """Return the version that was champion before `champion` became it for the first time."""
    if champion is None:
        raise ValueError("there is no champion, so nothing to roll back; name a version")
    history = registry.champion_history()
    if champion == history[0]:
        raise ValueError(f"{champion.name} is the first champion; there is no version before it")
    return history[history.index(champion) - 1]
