"""A random sample of rows of a bounded size, for measures that cost too much on all of them.

The rows with the smallest ids (a bottom-k sketch: Cohen & Kaplan 2007). An id is a hash, so these are a
random sample: the same one for any order and chunks of the rows. Does not hold the rows it leaves out, and
does not estimate the error of a number of the sample.
"""

import pyarrow as pa
import pyarrow.compute as pc

SAMPLE = 10_000  # a share measured on them is off by at most 0.01 in 19 of 20 samples


class RandomSample:
    """The `SAMPLE` rows with the smallest ids among the rows seen so far, or all if they are fewer."""

    def __init__(self) -> None:
        self._rows: pa.Table | None = None

    def update(self, chunk: pa.Table) -> None:
        """Take in the rows of `chunk`."""
        if self._rows is not None and len(self._rows) == SAMPLE:  # sorted: the last id is the largest
            chunk = chunk.filter(pc.less(chunk["id"], self._rows["id"][-1]))
        if self._rows is not None:
            chunk = pa.concat_tables([self._rows, chunk])
        smallest = pc.sort_indices(chunk["id"])[:SAMPLE]
        self._rows = chunk.take(smallest).combine_chunks()

    @property
    def rows(self) -> pa.Table:
        """The rows of the sample, sorted by id; a table without columns if no row was seen."""
        return pa.table({}) if self._rows is None else self._rows
