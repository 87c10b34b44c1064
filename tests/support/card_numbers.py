"""The numbers of a model card that stand in none of the JSON files that it shows."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

NUMBER = r"(?<![\w.#;-])\d[\d,]*(?:\.\d+)?(?![\w])"
CONSTANT = {"0.5"}
"""From which probability on a text has a label, where it may have several."""


def untraced(card: str, files: Iterable[Path], texts: Iterable[str] = ()) -> list[str]:
    """Return the numbers of `card` outside code and `texts` that are no number of one of the JSON `files`."""
    known = {
        shown for file in files for value in _values(json.loads(file.read_text())) for shown in _shown(value)
    }
    for text in sorted(texts, key=len, reverse=True):
        card = card.replace(text, "")
    body = re.sub(r"(?s)```.*?```|`[^`]*`", "", card)
    return [number for number in re.findall(NUMBER, body) if number not in known | CONSTANT]


def _values(document: Any) -> Iterator[Any]:
    if isinstance(document, dict | list):
        for each in document.values() if isinstance(document, dict) else document:
            yield from _values(each)
        if isinstance(document, dict):
            yield from document
    else:
        yield document


def _shown(value: Any) -> Iterator[str]:
    """Yield a number in each way that the card writes one; of a text, the numbers in it."""
    if isinstance(value, str):
        yield from re.findall(NUMBER, value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from (f"{value}", f"{value:.3f}", f"{100 * value:.1f}", f"{value:,.0f}", f"{100 * value:,.0f}")
        yield f"{value / 1e6:,.1f}"
