"""Work one step ahead in another thread: Arrow reads, computes and writes outside Python's lock."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(steps: Iterator[T]) -> Iterator[T]:
    """Yield what `steps` yields, in its order, while the next one is made; at most one waits in memory."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, steps, None)
        while (step := coming.result()) is not None:
            coming = thread.submit(next, steps, None)
            yield step
