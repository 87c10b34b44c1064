"""Counter-based random numbers: a pure function of a key and a place, as in JAX.

A row gets the same numbers in an epoch in any batch, micro-batch, process or resumed run. Not for
cryptography. Source: SplitMix64, Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators,
OOPSLA 2014.
"""

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def keys(*parts: int | np.ndarray) -> np.ndarray:
    """Return a key, uint64, for each combination of `parts`: integers >= 0 and arrays of them, broadcast."""
    key = np.zeros(1, np.uint64)
    for part in parts:
        key = _mix(key + _GOLDEN + np.asarray(part).astype(np.uint64))
    return key


def uniform(keys: np.ndarray, places: int | np.ndarray) -> np.ndarray:
    """Return the number at `places` (integers >= 0) in the stream of each key, float64 in [0, 1)."""
    steps = (np.atleast_1d(places) + 1).astype(np.uint64) * _GOLDEN
    return (_mix(keys + steps) >> np.uint64(11)) * 2.0**-53


def _mix(bits: np.ndarray) -> np.ndarray:
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = bits ^ (bits >> np.uint64(31))
    return mixed
