"""The `flow` section of params.yaml, of no stage; the comments there explain each setting."""

import re
from dataclasses import dataclass

from bertline.core.bounds import STRICT, require

MESSAGES = (
    "promoted",
    "kept",
    "needs_person",
    "batch_stopped",
    "failed",
    "crashed",
    "recovered",
    "overdue",
    "summary",
)
_BLOCK = re.compile(r"[a-z0-9-]+/[a-z0-9-]+")


@dataclass(frozen=True, kw_only=True)
class Params:
    """How retrainings are operated."""

    __pydantic_config__ = STRICT

    notify: list[str]
    messages: list[str]
    overdue: int
    cooldown: int
    wait: int
    timeouts: dict[str, int]

    def __post_init__(self) -> None:
        for each in self.notify:
            ok = _BLOCK.fullmatch(each) is not None
            require("notify", each, ok, "blocks of the Prefect server as TYPE/NAME, e.g. slack-webhook/team")
        for each in self.messages:
            require("messages", each, each in MESSAGES, ", ".join(MESSAGES))
        require("overdue", self.overdue, self.overdue >= 1, ">= 1 (days)")
        require("cooldown", self.cooldown, self.cooldown >= 0, ">= 0 (seconds)")
        require("wait", self.wait, self.wait >= 0, ">= 0 (seconds)")
        for stage, seconds in self.timeouts.items():
            require(f"timeouts.{stage}", seconds, seconds >= 1, ">= 1 (seconds)")
