"""The state that the registry's tags describe: registered versions, and which of them were champion."""

from collections.abc import Iterable
from dataclasses import dataclass

from bertline.registry.tags import Event

CHAMPION = "champion"


@dataclass(frozen=True, kw_only=True)
class Version:
    """A registered model: a tag on the commit of the experiment that made it."""

    name: str  # v1.2.0
    commit: str
    registered: int  # seconds since 1970
    reasons: str
    deprecated: bool  # by people: its tags stay, but it can no longer be champion


def registered_versions(events: Iterable[Event]) -> list[Version]:
    """Return every version that was ever registered, in that order, deprecated ones too."""
    registrations = [event for event in events if event.version]
    revoked = {event.version for event in registrations if event.revoked}
    return [
        Version(
            name=str(each.version),
            commit=each.commit,
            registered=each.at,
            reasons=each.message,
            deprecated=each.version in revoked,
        )
        for each in sorted(registrations, key=lambda each: each.at)
        if not each.revoked
    ]


def champion_history(events: Iterable[Event], versions: Iterable[Version]) -> list[Version]:
    """Return which of `versions` were made champion, oldest first; the last one is champion now.

    A rollback repeats a version. One that is champion no more because people revoked it is left out.
    """
    by_commit = {version.commit: version for version in versions}
    history: list[Version] = []
    for event in events:
        if event.stage != CHAMPION or event.commit not in by_commit:
            continue
        if event.revoked:
            history = [each for each in history if each.commit != event.commit]
        else:
            history.append(by_commit[event.commit])
    return history
