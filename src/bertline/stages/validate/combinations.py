"""The distinct combinations of the features of all rows: what Great Expectations judges instead of the rows.

An expectation on rows is a function of the columns it names, so equal rows meet or break it together.
Memory: 4 bytes a row, and the distinct combinations.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Codes = npt.NDArray[np.int32]

MOST_KEYS = 2**62


class Combinations:
    """Collects the distinct rows of tables that come one after the other."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._code_of: dict[tuple[object, ...], int] = {}
        self._codes: list[Codes] = []

    def add(self, rows: pa.Table) -> None:
        """Collect the rows of `rows`."""
        if not len(rows):
            return
        within, first = _group(rows)
        distinct = zip(*rows.take(pa.array(first)).to_pydict().values(), strict=True)
        codes = [self._code_of.setdefault(each, len(self._code_of)) for each in distinct]
        self._codes.append(np.array(codes, np.int32)[within])

    def codes(self) -> Codes:
        """Return for every row of all tables the position of its combination in `distinct`."""
        return np.concatenate([np.empty(0, np.int32), *self._codes])

    def distinct(self) -> pa.Table:
        """Return the distinct rows in the order they first came in."""
        columns = list(zip(*self._code_of, strict=True)) or [()] * len(self._schema)
        return pa.table(
            [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)],
            schema=self._schema,
        )


def _group(rows: pa.Table) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the number of each row's group, and the position of the first row of each group."""
    key, keys = np.zeros(len(rows), np.int64), 1
    for column in rows.columns:
        encoded = pc.dictionary_encode(column.combine_chunks(), null_encoding="encode")
        values = len(encoded.dictionary)
        if keys * values > MOST_KEYS:  # as few keys as there are groups so far
            found, key = np.unique(key, return_inverse=True)
            keys = len(found)
        if values > 1:
            key = key * values + encoded.indices.to_numpy()
            keys *= values
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    return group, first
