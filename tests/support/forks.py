"""Processes for tests that kill or starve them: forks of one that has imported torch, which takes seconds."""

import os
from collections.abc import Callable
from multiprocessing import get_context
from typing import Any

FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(["bertline.stages.finetune.prepare", "pytest"])


def fork(target: Callable[..., None], *arguments: object) -> Any:
    """Start a process that calls `target`, which must be importable, and return it."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"  # what has threads cannot be forked
    try:
        process = FORKS.Process(target=target, args=arguments)
        process.start()
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before
    return process
