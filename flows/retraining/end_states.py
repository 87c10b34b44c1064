"""What a retraining can end as: the name, the message and the exit status of its final state.

The names tell the ends apart in Prefect's UI and for automations. The message is one line, and begins with
the reason. A cancelled run and one whose process is gone get their states, `Cancelled` and `Crashed`, from
Prefect and from an automation.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from prefect import State
from prefect.states import Completed, Failed

from bertline.project.layout import VALIDATION_RESULT
from bertline.project.reproduction import StageError
from bertline.promotion.promote import PromotionDecision
from flows.retraining.summary import Data, Summary

GOOD_ENDS = {"Completed": 0, "Promoted": 0, "Kept": 10, "NeedsPerson": 11, "Cached": 12}
"""The states of runs that ended well, each with the exit status that a caller may ask for; else it is 0."""

BAD_ENDS = ("Failed", "TimedOut", "BatchStopped", "Crashed")
"""The states of runs that did not, but for those that a person cancelled."""

FAILED, BATCH_STOPPED, INTERRUPTED = 1, 3, 130
OTHER_ENDS = ("Fetched", "NothingNew")
"""The states of runs that were to fetch only: they are no sign that retraining works."""

_LENGTH = 400  # characters of a message; the log has the rest


def decided(
    decision: PromotionDecision, version: str | None, stages: Collection[str], summary: Summary
) -> State[Summary]:
    """Return the state of a run that came to a verdict; `stages` are the names of its stages' states."""
    if version:
        name = "Promoted"
    elif decision.verdict == "ask":
        name = "NeedsPerson"
    elif decision.verdict == "keep":
        name = "Cached" if set(stages) == {"Cached"} else "Kept"
    else:
        name = "Completed"  # a dry run
    message = "\n".join([*decision.decisive, summary.verdict, summary.shared or ""])
    return Completed(name=name, message=one_line(message), data=summary)


def partial(until: str) -> State[None]:
    """Return the state of a run that was to stop after the stage `until`."""
    return Completed(message=f"ran up to {until}; no model was judged", data=None)


def cooling_down(message: str) -> State[None]:
    """Return the state of a run that did nothing, because another one has only just ended."""
    return Completed(name="Cached", message=message, data=None)


def stopped(root: Path, error: ValueError | OSError) -> State[Summary]:
    """Return the state of a run that ended with an error that has a message for its user."""
    name = "BatchStopped" if isinstance(error, StageError) and stopped_batch(root, error) else "Failed"
    return Failed(name=name, message=one_line(str(error)), data=error)


def stopped_batch(root: Path, error: StageError) -> Data | None:
    """Return what `validate` found, if `error` says that it stopped the batch."""
    # DVC removes a stage's outputs before it runs, so a result that is there is of this batch.
    if error.stage != "validate" or not (root / VALIDATION_RESULT).exists():
        return None
    data = Data.read(root)
    return None if data.validated["passed"] else data


def exit_status(state: State[Any], *, detailed: bool) -> int:
    """Return the exit status of the command whose run ended in `state`."""
    if state.is_completed():
        return GOOD_ENDS[state.name or "Completed"] if detailed else 0
    return BATCH_STOPPED if state.name == "BatchStopped" else FAILED


def one_line(message: str) -> str:
    """Return `message` as one line of bounded length."""
    line = "; ".join(stripped for each in message.splitlines() if (stripped := each.strip()))
    return line if len(line) <= _LENGTH else f"{line[:_LENGTH]} ..."
