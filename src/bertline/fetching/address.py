"""The address to fetch from, and the parts of it that must never be shown.

Guarantees that neither the URL of an environment variable nor its password, its options or, on the web, its
user pass `Address.hide`, also where a library quoted the URL again; the path of such a URL may. Call `hide`
before cutting a text, or half of a secret may stay. A URL that params.yaml holds has no secrets: the params
object sees to it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote, unquote_plus

Lookup = Callable[[str], str | None]
"""Gives the secret URL behind a name, e.g. `os.environ.get`; None if there is none."""

_URL = re.compile(
    r"(?P<scheme>[\w+.-]+)://(?:(?P<user>[^:/?@]*)(?P<password>:[^@]*)?@)?[^@?]*(\?(?P<options>.*))?",
    re.DOTALL,
)

# These hide a secret that is not found by its value: the library has cut it off, or quoted it twice.
_SHAPES = (
    (re.compile(r"\?[^\s'\"<>]*=[^\s'\"<>]*"), "?***"),
    (re.compile(r"//[^\s/@'\"]*@"), "//***@"),
)
_SHORT = 3
"""A secret of fewer characters is hidden only by the shape of the URL, because other words contain it."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """A URL, and the form of it that messages may show."""

    url: str
    shown: str  # the URL as params.yaml has it, env:NAME for a secret one
    secrets: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Address({self.shown})"

    @property
    def scheme(self) -> str:
        """The part before the `://`, e.g. postgresql+psycopg or s3."""
        return self.url.partition("://")[0].lower()

    def hide(self, message: str) -> str:
        """Return `message` with every secret in it replaced by ***."""
        for secret in self.secrets:
            message = _however_quoted(secret).sub("***", message)
        if self.secrets:
            for pattern, shown in _SHAPES:
                message = pattern.sub(shown, message)
        return message


def find_address(source: str, lookup: Lookup) -> Address:
    """Return the address that `source` of params.yaml stands for.

    Raises:
        ValueError: env:NAME is not set or holds no URL; the message does not repeat its value.
    """
    if not source.startswith("env:"):
        return Address(url=source, shown=source, secrets=())
    name = source.removeprefix("env:")
    url = (lookup(name) or "").strip()
    if not url:
        raise ValueError(
            f"fetch.source is {source}, but the environment variable {name} is not set; put the URL there"
            f" (a flow also takes it from the Prefect Secret block {block_name(name)!r})"
        )
    parts = _URL.fullmatch(url)
    if parts is None:
        raise ValueError(
            f"{source} does not hold a valid URL; write dialect://user:password@host/database, and"
            " percent-encode @ : / ? # and % in user, password and options (@ is %40)"
        )
    return Address(url=url, shown=source, secrets=_secrets(url, parts))


def block_name(variable: str) -> str:
    """Return the name of the Prefect block for an environment variable: WAREHOUSE_URL is warehouse-url."""
    return variable.lower().replace("_", "-")


def _however_quoted(secret: str) -> re.Pattern[str]:
    """Match `secret` with any of its characters percent-encoded: libraries quote a URL again."""
    characters = (
        f"(?:{re.escape(each)}|{''.join(f'%{byte:02x}' for byte in each.encode(errors='surrogatepass'))}"
        f"{'|[+]' if each == ' ' else ''})"
        for each in secret
    )
    return re.compile("".join(characters), re.IGNORECASE)


def _secrets(url: str, parts: re.Match[str]) -> tuple[str, ...]:
    """Return the secrets, raw and decoded, the longest first."""
    found = {url, (parts["password"] or "").removeprefix(":"), parts["options"] or ""}
    if parts["scheme"].startswith("http"):
        found.add(parts["user"] or "")  # a token may stand alone
    options = (option.partition("=")[2] for option in re.split("[&;]", parts["options"] or ""))
    found.update(value for value in options if len(value) > 3)  # a shorter one is a port or a flag
    found |= {decode(each) for each in found for decode in (unquote, unquote_plus)}
    return tuple(sorted((each for each in found if len(each) >= _SHORT), key=len, reverse=True))
