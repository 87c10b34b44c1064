"""The conditions for registering a version and for assigning a champion."""

from pathlib import Path

from bertline.project.reproducible import require_identity, require_repository, require_saveable
from bertline.registry.tags import require_all_tags


def require_rebuildable(root: Path, push: str | None = None) -> None:
    """Check that a run in `root` could be promoted, and rebuilt from its version; fetch missing tags.

    They come from `origin`, and from the remote to `push` to.

    Raises:
        ValueError: git or DVC is not set up, code is not committed or not this project's, or tags cannot be
            fetched; the message has the next command.
    """
    require_saveable(root)
    require_all_tags(root, push)


def require_taggable(root: Path, push: str | None = None) -> None:
    """Check that a tag could be made in `root`, and pushed; fetch missing tags, as `require_rebuildable`.

    Raises:
        ValueError: git or DVC is not set up, or tags cannot be fetched; the message has the next command.
    """
    require_repository(root)
    require_identity(root)
    require_all_tags(root, push)
