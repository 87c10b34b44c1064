"""Bring data from the outside world into data/incoming/, so that `ingest` can be a function of files.

Guarantees that a fetch that failed or was killed left every file as it was or whole and new, and that no
message shows a secret of the address. Guarantees nothing about the data: that is what `validate` judges.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from bertline.fetching.address import Address, Lookup, find_address
from bertline.fetching.landing import Landed
from bertline.params.fetch import Params
from bertline.rows.io import one_line

LONGEST = 600
"""Characters shown of an error."""


def fetch(params: Params, lookup: Lookup) -> list[Landed]:
    """Land what `params` names under the current folder; an empty list if there is nothing, or nothing new.

    `lookup` gives the URL behind env:NAME, e.g. `os.environ.get`.

    Raises:
        ValueError: the user's mistake; trying again does not help.
        OSError: the outside world or the disk fails.
    """
    if params.source is None:
        return []
    address = find_address(params.source, lookup)
    try:
        with _quiet():
            return _fetch(address, params)
    except (ValueError, OSError) as error:
        # Cut only when hidden: the beginning of a secret would not be found.
        hidden = one_line(ValueError(address.hide(str(error))), LONGEST)
        message = f"fetch.source {address.shown}: {hidden}"
        mistake = isinstance(error, ValueError)
    # Outside of the except clause, so that the driver's own error, which may show a secret, is left behind.
    raise ValueError(message) if mistake else OSError(message)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries from logging: they show whole URLs, and repeat errors."""
    names = (
        "sqlalchemy",
        "fsspec",
        "s3fs",
        "aiobotocore",
        "botocore",
        "datasets",
        "huggingface_hub",
        "httpx",
    )
    levels = {logger: logger.level for logger in map(logging.getLogger, names)}
    for logger in levels:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def _fetch(address: Address, params: Params) -> list[Landed]:
    """Fetch from the kind of place that the address names; import no more than that needs."""
    if address.url.startswith("hub:"):
        from bertline.fetching.hub import fetch_splits

        return fetch_splits(address.url.removeprefix("hub:"), params.subset, params.split)
    from bertline.fetching.stores import fetch_files, is_store

    if is_store(address.scheme):
        if params.query is not None:
            raise ValueError("fetch.query is set, but these are files, not a database; allowed: null")
        return fetch_files(address.url)
    from bertline.fetching.tables import fetch_table

    if params.query is None:
        raise ValueError('a database needs fetch.query, e.g. "SELECT text, label FROM tickets"')
    return fetch_table(address.url, params.query, params.since_column)
