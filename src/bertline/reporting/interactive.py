"""Charts to zoom and to hover over, and tables to filter, in a page of one file.

The charts are Vega-Lite specifications, drawn by Vega as SVG. Their colours are those of the style sheet, so
light, dark and print need no second drawing. Guarantees:

- The same input gives the same bytes.
- Only the two scripts of the page run, because its policy names them by their hashes. So neither a text of
  the data nor a mistake in escaping can run another one, or ask the network.

Does not guarantee a chart where scripts are off: the page must have a table of the same numbers.
"""

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

_JSON = {ord(each): f"\\u{ord(each):04x}" for each in "<>&\u2028\u2029"}


@dataclass(frozen=True)
class Scripts:
    """The two scripts of a page, and the policy that lets only them run."""

    library: Markup
    page: Markup
    policy: str


@cache
def scripts() -> Scripts:
    """Return Vega-Embed (with Vega and Vega-Lite, about 0.9 MB) and our `page.js`."""
    from vl_convert import javascript_bundle  # here: it starts a JavaScript engine

    library = javascript_bundle("window.vegaEmbed = vegaEmbed;")
    page = Path(__file__).with_name("page.js").read_text(encoding="utf-8")
    assert not any("</script" in each.lower() or "<!--" in each for each in (library, page))
    hashes = " ".join(f"'sha256-{_digest(each)}'" for each in (library, page))
    rest = "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    return Scripts(Markup(library), Markup(page), f"default-src 'none'; script-src {hashes}; {rest}")  # noqa: S704 - ours


def script_json(value: Any) -> Markup:
    """Return `value` as JSON for a `<script type="application/json">`: no text of it ends the script."""
    return Markup(json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_JSON))  # noqa: S704 - escaped


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
