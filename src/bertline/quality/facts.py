"""One number measured on a batch of rows, and what it means in plain words."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fact:
    """A measured number that an expectation judges; `detail` says in words what it means, or nothing."""

    value: float
    detail: str = ""
