"""Hugging Face data sets, of the hub or a folder: one Parquet file per split in data/incoming/fetched/.

Guarantees the order and the columns of the data set, with class names in the place of their numbers (no
class, -1, is null), and that no code of a data set is run. Does not guarantee that the hub holds tomorrow
what it holds today: name a revision for that. A private data set needs HF_TOKEN in the environment.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from bertline.fetching.landing import FETCHED, Landed, land
from bertline.rows.duckdb_query import scratch_folder
from bertline.rows.io import write_rows
from bertline.rows.schema import CHUNK


def fetch_splits(source: str, subset: str | None, split: str | None) -> list[Landed]:
    """Land the splits of `source`, a folder or OWNER/NAME[@REVISION], as NAME[-SUBSET]-SPLIT.parquet.

    Raises:
        ValueError: there is no such data set, subset or split, or it cannot be read.
        OSError: the hub cannot be reached.
    """
    with scratch_folder() as folder, _no_bars():
        with _explained(on_hub=not Path(source).expanduser().is_dir()):
            name, splits = _load(source, subset, folder / "cache")
        if split is not None and split not in splits:
            raise ValueError(f"there is no split {split!r} (fetch.split); choose from {', '.join(splits)}")
        landed = []
        for each in splits if split is None else [split]:
            made, path = (
                folder / "made.parquet",
                FETCHED / f"{'-'.join(filter(None, (name, subset, each)))}.parquet",
            )
            rows = write_rows(_tables(splits[each]), made, _schema(splits[each].features))
            landed.append(land(made, path, f"{rows:,} rows"))
        return landed


def _load(source: str, subset: str | None, cache: Path) -> tuple[str, Mapping[str, Any]]:
    """Return the name of the data set and its splits by name, as `datasets.Dataset`."""
    from huggingface_hub import constants

    constants.HF_HUB_DISABLE_TELEMETRY = True
    from datasets import Dataset, config, load_dataset, load_from_disk

    config.HF_UPDATE_DOWNLOAD_COUNTS = False

    folder = Path(source).expanduser()
    if not folder.is_dir():
        if source.startswith((".", "/", "~")) or source.count("/") > 1:
            raise ValueError("there is no such folder")
        repository, _, revision = source.partition("@")
        splits = load_dataset(repository, subset, revision=revision or None, trust_remote_code=False)
        return repository.rpartition("/")[2], splits
    if any((folder / file).is_file() for file in ("dataset_dict.json", "state.json")):
        if subset is not None:
            raise ValueError(
                f"fetch.subset is {subset!r}, but a folder of save_to_disk has no subsets; allowed: null"
            )
        saved = load_from_disk(str(folder))
        splits = {str(saved.split or "train"): saved} if isinstance(saved, Dataset) else saved
    else:
        splits = load_dataset(str(folder), subset, cache_dir=str(cache), trust_remote_code=False)
    return folder.resolve().name, splits


def _schema(features: Mapping[str, Any]) -> pa.Schema:
    kinds: Any = features
    types = {field.name: field.type for field in kinds.arrow_schema}
    for name, feature in features.items():
        if _names(feature):
            types[name] = pa.string()
        elif _names(getattr(feature, "feature", None)):
            types[name] = pa.list_(pa.string())
    return pa.schema(types)


def _tables(split: Any) -> Iterator[pa.Table]:
    """Yield the rows of a split, with class names in the place of their numbers."""
    schema = _schema(split.features)
    for table in split.with_format("arrow").iter(batch_size=CHUNK):
        columns = (_named(table[name], split.features[name]) for name in schema.names)
        yield pa.table(
            [column.cast(kind) for column, kind in zip(columns, schema.types, strict=True)], schema=schema
        )


def _named(column: pa.ChunkedArray, feature: Any) -> pa.ChunkedArray | pa.Array:
    if names := _names(feature):
        return pa.array((names.get(value) for value in column.to_pylist()), pa.string())
    if names := _names(getattr(feature, "feature", None)):
        lists = (
            None if each is None else [names.get(value) for value in each] for each in column.to_pylist()
        )
        return pa.array(lists, pa.list_(pa.string()))
    return column


def _names(feature: Any) -> dict[int, str]:
    """Return the class names by number; empty for a feature that is no ClassLabel."""
    from datasets import ClassLabel

    return dict(enumerate(feature.names)) if isinstance(feature, ClassLabel) else {}


@contextmanager
def _no_bars() -> Iterator[None]:
    import datasets

    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


@contextmanager
def _explained(*, on_hub: bool) -> Iterator[None]:
    """Raise ValueError for a wrong name or a broken data set, OSError for a hub that does not answer."""
    from datasets.exceptions import DatasetsError

    try:
        yield
    except (DatasetsError, FileNotFoundError, ValueError, RuntimeError) as error:
        raise ValueError(str(error.__cause__ or error)) from None
    except Exception as error:  # of the hub and of the network, in several libraries
        about = f"({type(error).__name__}: {error})"
        if on_hub:
            raise OSError(
                "the Hugging Face hub cannot be reached from here; on a machine that reaches it, save the"
                " data set with datasets' save_to_disk; copy the folder here"
                f" and set fetch.source to hub:FOLDER {about}"
            ) from None
        if isinstance(error, OSError):
            raise
        raise ValueError(f"the folder cannot be read as a data set {about}") from None
