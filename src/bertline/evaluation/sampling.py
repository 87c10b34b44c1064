"""A seeded sample of rows, for what would take too long on all of them."""

import numpy as np
import numpy.typing as npt


def sampled(n_rows: int, limit: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the places of at most `limit` of `n_rows` rows, ascending; all of them if they are no more.

    The sample is a function of the three numbers. With another number of rows it is another sample.
    """
    if n_rows <= limit:
        return np.arange(n_rows, dtype=np.int64)
    return np.sort(np.random.default_rng(seed).choice(n_rows, limit, replace=False)).astype(np.int64)
