"""A limit on the time of what runs in the flow's own process: it must not hang for ever.

A stage has a process of its own, which `flow.timeouts` can end. The comparison and the promotion run here and
use DVC, git and GTO. One of some 300 promotions under test never came back from a download out of DVC's own
cache, so no later run could start. Nothing can interrupt a thread that hangs, so the process ends: the run is
Crashed, the next one completes the promotion, and the log has the stack of each thread.
"""

import faulthandler
import sys
from collections.abc import Iterator
from contextlib import contextmanager

PROMOTION_SECONDS = 6 * 3600.0
"""For the comparison and the promotion, pushes to remotes included: ten times what a slow network needs."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End this process with the stack of each thread if the block takes longer than `seconds`."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or sys.stderr)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
