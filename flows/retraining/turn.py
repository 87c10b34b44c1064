"""A run's turn in its checkout: how long it waits for another one, and what the other one left, mended.

A run of a deployment waits for `flow.wait` seconds, because nobody would start it again. One by hand is
refused at its start: the person decides.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect import runtime

from bertline.core.params_loading import PARAMS_FILE, load_params
from bertline.params.flow import Params
from bertline.project.recovery import our_turn
from flows.logs import run_logger


@contextmanager
def taken(root: Path) -> Iterator[bool]:
    """Be the only one at work in `root` within the block of a flow; ValueError if another one stays.

    Yields whether the turn begins here; not if it is that of the command that runs the flow in its process.
    """
    with our_turn(root, wait=_patience(root), say=run_logger().info) as begins:
        yield begins


def _patience(root: Path) -> float:
    return load_params(Params, root / PARAMS_FILE).wait if runtime.deployment.id else 0.0
