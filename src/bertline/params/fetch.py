"""The `fetch` section of params.yaml; the comments there explain each setting."""

import re
from dataclasses import dataclass

from bertline.core.bounds import STRICT, require

SINCE = re.compile(r"(?<![:\w\\]):since\b")  # where the query names the bound; ::since is a cast

_SOURCE = re.compile(r"env:[A-Za-z_]\w*|hub:.+|(?!env:|hub:)[A-Za-z][\w+.-]*:/.*", re.DOTALL)
_WEB = re.compile(r"(env:)?https?:", re.IGNORECASE)
_SCHEME = re.compile(r"(env:)?([\w+.-]+:/+)?")
_SECRET = re.compile(
    r":.*@|\?.*(passw|pwd|token|secret|signature|\bsig|access_?key|api_?key|\bkey|\bauth|\bcode|credential)"
    r"\w*(=|%3d)",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, kw_only=True)
class Params:
    """The data that is fetched before the pipeline runs."""

    __pydantic_config__ = STRICT

    source: str | None
    query: str | None
    since_column: str | None
    subset: str | None
    split: str | None

    def __post_init__(self) -> None:
        if self.source is not None:
            _require_no_secret(self.source)
            allowed = "null, env:NAME, hub:OWNER/NAME, or a URL such as sqlite:///FILE or s3://BUCKET/*.csv"
            require("source", self.source, _SOURCE.fullmatch(self.source) is not None, allowed)
            hub = self.source.startswith("hub:")
            require("query", self.query, self.query is None or not hub, "null: a hub data set has no query")
            for name, value in ("subset", self.subset), ("split", self.split):
                require(name, value, value is None or hub, f"null: only a hub data set has a {name}")
        incremental = SINCE.search(self.query or "") is not None
        allowed = (
            "the column that the query compares :since with"
            if incremental
            else "null: no :since in the query"
        )
        require("since_column", self.since_column, bool(self.since_column) == incremental, allowed)


def _require_no_secret(source: str) -> None:
    """Refuse a URL with a password in it, without repeating it. Rather refuses one URL too many."""
    rest = _SCHEME.sub("", source, count=1)
    web_user = _WEB.match(source) is not None and "@" in rest.partition("/")[0]
    if not source.startswith("hub:") and (web_user or _SECRET.search(rest)):
        raise ValueError(
            "source seems to hold a password or token, and params.yaml is no place for one; put the URL into"
            " an environment variable, e.g. WAREHOUSE_URL, and write source: env:WAREHOUSE_URL"
        )
