"""The rows of each batch: texts of similar length go together.

The order is a pure function of (seed, epoch), so a killed run can continue in the middle of an epoch with the
same bits.
"""

import numpy as np

BUCKET_BATCHES = 50
"""Batches whose texts are sorted together: enough for little padding, few enough to stay random."""


def training_order(lengths: np.ndarray, batch_size: int, *, seed: int, epoch: int) -> list[np.ndarray]:
    """Return the row indices of each batch of an epoch: every row once, similar lengths together."""
    random = np.random.default_rng([seed, epoch])
    rows = random.permutation(len(lengths))
    bucket = BUCKET_BATCHES * batch_size
    batches = []
    for start in range(0, len(rows), bucket):
        window = rows[start : start + bucket]
        window = window[np.argsort(lengths[window], kind="stable")]
        batches += [window[i : i + batch_size] for i in range(0, len(window), batch_size)]
    return [batches[i] for i in random.permutation(len(batches))]


def sorted_order(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Return the row indices of each batch for inference: longest last, least padding."""
    return parts(np.argsort(lengths, kind="stable"), batch_size)


def parts(rows: np.ndarray, size: int) -> list[np.ndarray]:
    """Return `rows` in pieces of at most `size`."""
    return [rows[i : i + size] for i in range(0, len(rows), size)]
