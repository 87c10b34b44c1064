"""Find the rows that are too similar to a row on a later side of the split; they leave their side.

Two rows resemble each other by the Jaccard similarity of the sets of 5-grams of characters of their
`content_key` (of a pair: of both texts): shared 5-grams / all 5-grams. A text of fewer than five characters
is its own only 5-gram. Candidates come from MinHash (Broder 1997) and banding (Leskovec, Rajaraman & Ullman,
Mining of Massive Datasets, 3.4): P permutations in bands of r make two rows of similarity s candidates with
probability 1 - (1 - s^r)^(P/r). `rows_per_band` takes the longest bands that find 98 % at the threshold:
at 0.8, 12 bands of 5 find 99.2 %, and 99.998 % at 0.9, but only 12 % of the pairs at 0.4. Every candidate is
then measured exactly, so no row is removed by chance.

A row in scope and one out of scope (`OUT_OF_SCOPE`) are no pair. No model is trained on the second, so it is
no leak, and to remove the first would cost a training row and spare the model its hardest rows out of scope.

Guarantees a cost linear in the rows: from a bucket of equal bands, a row is compared with `WITNESSES` rows
of each later side. Does not guarantee to find every pair: see above; and in a crowded bucket it compares a
sample, another one in each band. Among 4,000 letters that share all but five words, 83 % of the rows with a
twin were found; among edited questions of TREC 99.8 % and more. Similar rows on one side are no leak, so it
does not look for them.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import rensa

from bertline.rows.duckdb_query import connect, scratch_folder, select
from bertline.rows.io import read_chunks
from bertline.rows.labels import is_out_of_scope
from bertline.rows.schema import ROW_SCHEMA
from bertline.rows.text_key import PAIR_SEPARATOR, content_key
from bertline.stages.split.assign import SIDES

SHINGLE = 5  # characters
PERMUTATIONS = 60
WITNESSES = 5
_CHARACTERS = 1 << 20  # hashed at once: so few that malloc keeps the memory instead of returning it

TWINS = pa.schema({"row": pa.int64(), "twin": pa.int64(), "similarity": pa.float32()})
"""`row` resembles `twin`, which lies on a later side; both are positions in the file of rows."""

SET_ASIDE = pa.schema(
    [*ROW_SCHEMA, ("twin", pa.string()), ("similarity", pa.float32()), ("twin_side", pa.string())]
)
"""A removed row, the id and the side of its twin, and their similarity."""


def find_twins(path: Path, sides: npt.NDArray[np.uint8], threshold: float) -> pa.Table:
    """Return as `TWINS` the rows of the file `path` that must leave their side, with a twin each.

    The twin is the most similar row found on a later side, at least `threshold` similar; if several are
    equally similar, the first. `sides` [rows] says where each row lies: 0 is the earliest side. A twin may be
    removed itself, for a row on a still later side. Memory: 12 bytes a row, and DuckDB's limit.
    """
    with scratch_folder() as scratch:
        bands = write_bands(path, sides, rows_per_band(threshold), scratch / "bands.parquet")
        _write_candidates(scratch / "bands.parquet", bands, scratch / "candidates.parquet")
        best = np.zeros(len(sides), np.float32)
        twins = np.full(len(sides), -1, np.int64)
        for row, twin, found in _measure(path, scratch / "candidates.parquet"):
            if found >= threshold and (np.float32(found), -twin) > (best[row], -twins[row]):
                best[row], twins[row] = found, twin
    rows = np.flatnonzero(twins >= 0)
    return pa.table([rows, twins[rows], best[rows]], schema=TWINS)


def with_twins(
    path: Path, aside: Iterable[pa.Table], twins: pa.Table, sides: npt.NDArray[np.uint8]
) -> Iterator[pa.Table]:
    """Yield as `SET_ASIDE` the tables of `aside`, which hold the rows of `twins` in its order."""
    positions, places = np.unique(twins["twin"].to_numpy(), return_inverse=True)
    ids = pick_rows(path, positions, ["id"])["id"].take(places)
    names = pa.array(SIDES).take(sides[twins["twin"].to_numpy()])
    columns = pa.table(
        [ids, twins["similarity"], names], schema=pa.schema(list(SET_ASIDE)[len(ROW_SCHEMA) :])
    )
    start = 0
    for rows in aside:
        part = columns.slice(start, len(rows))
        yield pa.table([*rows.columns, *part.columns], schema=SET_ASIDE)
        start += len(rows)


def pick_rows(path: Path, positions: npt.NDArray[np.int64], columns: list[str]) -> pa.Table:
    """Return some columns of the rows of the file `path` at these positions, which rise."""
    picked = [ROW_SCHEMA.empty_table().select(columns)]
    start = 0
    for chunk in read_chunks(path, columns=columns):
        low, high = np.searchsorted(positions, [start, start + len(chunk)])
        picked.append(chunk.take(positions[low:high] - start))
        start += len(chunk)
    return pa.concat_tables(picked)


def similarity(one: frozenset[str], other: frozenset[str]) -> float:
    """Return the Jaccard similarity of two sets of 5-grams."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


@lru_cache(512)  # rows of a crowded bucket are measured again and again; few, because a text may be long
def shingles(text: str, pair: str | None = None) -> frozenset[str]:
    """Return the 5-grams of a row."""
    key = pair_key(text, pair)
    return frozenset(key[start : start + SHINGLE] for start in range(max(1, len(key) - SHINGLE + 1)))


def rows_per_band(threshold: float) -> int:
    """Return the most permutations a band may have, so that 98 % of the pairs at `threshold` are found."""
    divisors = [r for r in range(1, PERMUTATIONS + 1) if PERMUTATIONS % r == 0]
    return max(r for r in divisors if 1 - (1 - threshold**r) ** (PERMUTATIONS / r) >= 0.98)


def write_bands(path: Path, sides: npt.NDArray[np.uint8], rows: int, bands_path: Path) -> int:
    """Write the band hashes of each row of the file `path`, its side and whether it is out of scope.

    Returns the number of bands.
    """
    bands = PERMUTATIONS // rows
    hashed = {f"band{each}": pa.uint64() for each in range(bands)}
    schema = pa.schema({"side": pa.uint8(), "outside": pa.bool_()} | hashed)
    start = 0
    with pq.ParquetWriter(bands_path, schema, compression="none", use_dictionary=False) as writer:
        for chunk in read_chunks(path, columns=["text", "text_pair", "label"]):
            hashes = np.concatenate([hash_bands(keys, rows) for keys in _portions(_keys(chunk))])
            places = sides[start : start + len(chunk)]
            columns = [places, is_out_of_scope(chunk), *np.ascontiguousarray(hashes.T)]
            writer.write_table(pa.table(columns, schema=schema))
            start += len(chunk)
    assert start == len(sides)
    return bands


def hash_bands(keys: list[str], rows: int) -> npt.NDArray[np.uint64]:
    """Return one number for each band of `rows` MinHash values, [keys, bands]; equal bands, equal numbers."""
    padded = [key.ljust(SHINGLE, "\0") for key in keys]
    lengths = np.fromiter(map(len, padded), np.int64, len(padded))
    ends = np.cumsum(lengths)
    points = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), np.uint32)
    hashes = points[SHINGLE - 1 :].astype(np.uint64)
    factor = np.uint64(0x9E3779B97F4A7C15)
    weight = np.uint64(1)
    with np.errstate(over="ignore"):
        for place in range(SHINGLE - 2, -1, -1):
            weight = weight * factor
            hashes += points[place : place + len(hashes)] * weight
        # The permutations are linear, as the hash is so far; of linear on linear the minima are not random.
        hashes ^= hashes >> np.uint64(32)
        hashes *= np.uint64(0xBF58476D1CE4E5B9)
    within = np.ones(len(hashes), bool)
    for place in range(1, SHINGLE):  # the windows that reach into the next text
        within[ends[:-1] - place] = False
    offsets = np.concatenate([[0], np.cumsum(lengths - SHINGLE + 1)]).astype(np.uint64)
    digests = rensa.RMinHash.digest_matrix_from_flat_token_hashes(hashes[within], offsets, PERMUTATIONS, 1)
    bands = np.array(digests.to_rows(), np.uint64).reshape(len(keys), PERMUTATIONS // rows, rows)
    result = np.zeros(bands.shape[:2], np.uint64)
    for place in range(rows):
        result = result * factor + bands[:, :, place]
    return result


def _keys(chunk: pa.Table) -> list[str]:
    texts, pairs = chunk["text"].to_pylist(), chunk["text_pair"].to_pylist()
    return [pair_key(text, pair) for text, pair in zip(texts, pairs, strict=True)]


def pair_key(text: str, pair: str | None) -> str:
    """Return the key whose 5-grams stand for a row."""
    key = content_key(text)
    return key if pair is None else f"{key}{PAIR_SEPARATOR}{content_key(pair)}"


def _portions(keys: list[str]) -> Iterator[list[str]]:
    """Cut a chunk of keys so that a portion holds about `_CHARACTERS`, and at least one key."""
    start, characters = 0, 0
    for position, key in enumerate(keys):
        if characters > _CHARACTERS:
            yield keys[start:position]
            start, characters = position, 0
        characters += len(key) + SHINGLE
    yield keys[start:]


def _write_candidates(bands_path: Path, bands: int, path: Path) -> None:
    """Write the pairs of rows that share a band and lie on different sides, both in scope or both out."""
    joins = " UNION ALL ".join(
        # In each band the witnesses are others: rows in an order that a prime and a power of 48271 shuffle.
        f"""
        SELECT rows.file_row_number AS row, unnest(witnesses.twins) AS twin
        FROM read_parquet($bands, file_row_number=true) AS rows
        JOIN (
            SELECT band{each} AS band, side, outside, arg_min(
                file_row_number, file_row_number * {pow(48271, each + 1, 2**31 - 1)} % 2147483647, {WITNESSES}
            ) AS twins
            FROM read_parquet($bands, file_row_number=true) WHERE side > 0 GROUP BY ALL
        ) AS witnesses ON rows.band{each} = witnesses.band AND rows.outside = witnesses.outside
            AND rows.side < witnesses.side
        """  # noqa: S608  no text from outside
        for each in range(bands)
    )
    with connect() as database, pq.ParquetWriter(path, pa.schema(list(TWINS)[:2])) as writer:
        query = f"SELECT DISTINCT row, twin FROM ({joins}) ORDER BY row, twin"  # noqa: S608  as above
        for pairs in select(database, query, {"bands": str(bands_path)}):
            writer.write_table(pairs)


def _measure(path: Path, candidates: Path) -> Iterator[tuple[int, int, float]]:
    """Yield row, twin and their similarity for each candidate."""
    query = """
        SELECT row, twin, one.text, one.text_pair, other.text, other.text_pair
        FROM read_parquet($candidates)
        JOIN read_parquet($rows, file_row_number=true) AS one ON row = one.file_row_number
        JOIN read_parquet($rows, file_row_number=true) AS other ON twin = other.file_row_number
    """
    with connect() as database:
        for pairs in select(database, query, {"candidates": str(candidates), "rows": str(path)}):
            row, twin, *texts = (column.to_pylist() for column in pairs.columns)
            for numbers in zip(row, twin, *texts, strict=True):
                one, other = shingles(*numbers[2:4]), shingles(*numbers[4:6])
                yield numbers[0], numbers[1], similarity(one, other)
