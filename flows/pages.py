"""The report pages and the models' cards of a checkout, served on loopback: `python -m flows.pages PORT`.

Guarantees: it only reads, and only from reports/ and the cards; it answers to nobody beyond this machine,
and not to a web page that has its own name point at loopback. What it shows is the state of the checkout now,
also where the link stands in an older run.
"""

import sys
from html import escape
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from flows.environment import LOOPBACK

_REPORTS = "reports"
_CARDS = "models/*/README.md"


def pages(root: Path) -> Starlette:
    """Return the application that serves the pages of `root`."""

    def index(request: Request) -> Response:
        shown = sorted((root / _REPORTS).rglob("*.html")) + sorted(root.glob(_CARDS))
        paths = [escape(each.relative_to(root).as_posix(), quote=True) for each in shown]
        links = "\n".join(f'<li><a href="/{path}">{path}</a></li>' for path in paths)
        content = f"<ul>\n{links}\n</ul>" if links else "<p>No run has written a report yet.</p>"
        title = escape(f"Reports of {root.name}")
        head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        return HTMLResponse(f"{head}<h1>{title}</h1>{content}")

    def card(request: Request) -> Response:
        cards = {each.parent.name: each for each in root.glob(_CARDS)}
        if (name := request.path_params["model"]) not in cards:
            raise HTTPException(404)
        return PlainTextResponse(cards[name].read_text("utf-8"))

    # DVC may place reports as links into its cache.
    reports = StaticFiles(directory=root / _REPORTS, html=True, follow_symlink=True, check_dir=False)
    return Starlette(
        routes=[
            Route("/", index, methods=["GET"]),
            Route("/models/{model}/README.md", card, methods=["GET"]),
            Mount(f"/{_REPORTS}", reports),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK])],
    )


if __name__ == "__main__":
    uvicorn.run(pages(Path.cwd()), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
