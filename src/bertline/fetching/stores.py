"""Files in object stores and on the web, through fsspec: copied as they are into data/incoming/fetched/.

Guarantees that a file lands as a whole, under its own name, and only if its content is new. Every file is
read again at every fetch, in pieces: a store's time stamps and tags are not trusted. Credentials come from
where the store's own tools look for them (AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS, ...).
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from bertline.fetching.landing import FETCHED, Landed, land
from bertline.rows.duckdb_query import scratch_folder
from bertline.rows.incoming import kind_of

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

WEB = ("http", "https")


def is_store(scheme: str) -> bool:
    """Return whether fsspec knows the protocol, installed or not."""
    from fsspec import available_protocols

    return scheme in available_protocols()


def fetch_files(url: str) -> list[Landed]:
    """Land the files at `url`, a path or a glob, in the order of their names.

    Raises:
        ValueError: nothing is there, a file is of another kind, two have one name, or a package is missing.
        OSError: the store cannot be reached, refuses, or fails.
    """
    store, path = _open(url)
    with _explained():
        named = _by_name(_find(store, path, web=_is_web(url)), web=_is_web(url))
    landed = []
    for name, remote in sorted(named.items()):
        with scratch_folder() as folder:
            made = folder / name
            with _explained():
                store.get_file(remote, str(made))
            landed.append(land(made, FETCHED / name, f"{made.stat().st_size:,} bytes"))
    return landed


def _open(url: str) -> "tuple[AbstractFileSystem, str]":
    from fsspec.core import url_to_fs

    options: dict[str, object] = {"skip_instance_cache": True, "use_listings_cache": False}
    if _is_web(url):  # the bytes as the server has them: a .gz file is not to be unpacked on the way
        options["client_kwargs"] = {"auto_decompress": False, "headers": {"Accept-Encoding": "identity"}}
    try:
        store, path = url_to_fs(url, **options)
    except ImportError as error:
        raise ValueError(f"a package is missing ({error})") from None
    except Exception as error:  # each store has its own
        raise OSError(_reason(error)) from None
    return store, path


def _find(store: "AbstractFileSystem", path: str, *, web: bool) -> list[str]:
    from glob import has_magic

    if "*" in path if web else has_magic(path):  # on the web a ? begins the options
        found = [each for each, about in store.glob(path, detail=True).items() if about["type"] == "file"]
        if not found:
            raise ValueError("no file matches")
        return found
    # A web server is asked only once, for the file itself: fsspec takes one that is down for a missing file.
    if not web and store.info(path)["type"] != "file":
        raise ValueError("this is a folder; name its files with a glob, e.g. with /*.csv at the end")
    return [path]


def _by_name(paths: list[str], *, web: bool) -> dict[str, str]:
    """Return the paths by the names they land under."""
    named = defaultdict(list)
    for path in paths:
        named[PurePosixPath(unquote(urlsplit(path).path) if web else path).name].append(path)
    for name, same in named.items():
        _require_readable(name)
        if len(same) > 1:
            raise ValueError(f"two files are called {name!r}: {same[0]} and {same[1]}; fetch one folder only")
    return {name: path for name, (path,) in named.items()}


def _require_readable(name: str) -> None:
    if name.startswith("."):
        raise ValueError(f"{name!r} begins with a dot: `ingest` ignores such a file")
    try:
        kind_of(Path(name))
    except ValueError as error:
        raise ValueError(f"{name!r}: {error}") from None


def _is_web(url: str) -> bool:
    return url.partition("://")[0].lower() in WEB


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except ValueError:
        raise
    except FileNotFoundError as error:
        raise ValueError(f"there is no such file: {error}") from None
    except Exception as error:  # each store has its own, few of them an OSError
        raise OSError(_reason(error)) from None


def _reason(error: Exception) -> str:
    return f"the store cannot be read ({type(error).__name__}: {error})"
