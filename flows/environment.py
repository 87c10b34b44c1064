"""What the environment of this process must look like before Prefect is imported, and what it must not hold.

The environment of a machine is made for connections to the outside. Prefect's client, server and worker talk
to each other on loopback, which a proxy for the outside must not stop.
"""

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import redirect_stderr
from typing import Any, TypeVar

LOOPBACK = ("127.0.0.1", "localhost", "::1")
T = TypeVar("T")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def prepare() -> None:
    """Set what Prefect reads from the environment at its import, for this process and its children."""
    # These have no place in prefect.toml, where all else is.
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")  # looking for plugins costs 0.3 s; there are none
    bypass_proxies_on_loopback(os.environ)


def require_settings() -> None:
    """End this process with one line if a setting of Prefect is wrong, wherever it is set.

    The value stays out of the line: it may be a password.
    """
    from pydantic import ValidationError

    with redirect_stderr(io.StringIO()):  # Prefect prints the error at its import, and goes on
        from prefect.settings import get_current_settings
        from prefect.settings.base import PrefectBaseSettings
    try:
        get_current_settings()
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)[0]
        section = next(each for each in _subclasses(PrefectBaseSettings) if each.__name__ == error.title)
        name = "_".join([section.model_config["env_prefix"].rstrip("_"), *map(str, wrong["loc"])]).upper()
        sys.exit(
            f"error: Prefect does not take {name}: {wrong['msg']}; correct it where it is set: "
            "the environment, .env, prefect.toml or Prefect's profile"
        )


def _subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    for each in kind.__subclasses__():
        yield from (each, *_subclasses(each))


def bypass_proxies_on_loopback(environment: MutableMapping[str, str]) -> None:
    """Add loopback to the hosts that are reached without a proxy.

    Clients read `no_proxy` first, and `NO_PROXY` only without it. Both are set, to the hosts of the one that
    counted before.
    """
    hosts = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    known = [host for each in hosts.split(",") if (host := each.strip())]
    if "*" not in known:
        known += [host for host in LOOPBACK if host not in known]
    environment["no_proxy"] = environment["NO_PROXY"] = ",".join(known)


def require_usable() -> None:
    """Raise a ValueError if no HTTP client can be made here, because of a proxy or a certificate file."""
    import httpx

    made(httpx.Client).close()


def made(client: Callable[[], T]) -> T:
    """Return the HTTP client that `client` makes; a ValueError if a proxy or a certificate file forbids it.

    The values stay out of the message: the address of a proxy may hold a password.
    """
    import httpx

    try:
        return client()
    except OSError as error:
        names = _names(_CERTIFICATES)
        raise ValueError(f"the certificates of {names} cannot be read ({error}); mend or unset it") from error
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        names = _names(_PROXIES)
        raise ValueError(f"{names} cannot be used ({type(error).__name__}); mend or unset it") from error


def _names(variables: Iterable[str]) -> str:
    """Return those of `variables` that are set, as they are spelled there."""
    spellings = [name for each in variables for name in (each, each.lower())]
    return ", ".join(name for name in spellings if os.environ.get(name)) or "the environment"
