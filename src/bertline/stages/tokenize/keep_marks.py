"""Change how a tokenizer normalises texts so that it removes no mark of a letter.

Uncased BERT tokenizers remove all combining marks. In English these are accents; in Hindi they are vowels and
in Japanese they make g of k, so different words get the same ids. An encoder's own tokenizer must stay as it
is, but one that is trained on the user's texts has no reason to lose marks.
"""

import json
from typing import Any

from tokenizers import Tokenizer

JOINERS = "\u200c\u200d"
"""Invisible characters inside Persian, Sinhala and Malayalam words, which distinguish words."""
INVISIBLE = rf"(?![{JOINERS}\t\n\r])[\p{{Cc}}\p{{Cf}}\p{{Co}}\ufffd\ufe0e\ufe0f]"
"""A pattern of characters that BERT's normaliser removes and that no word needs, with selectors of emoji."""
COMPOSED = {"NFD": "NFC", "NFKD": "NFKC"}


def keep_marks(normalizer: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return `normalizer`, as tokenizer.json has it, changed so that it removes no mark of a letter.

    Letter case is treated as before, and so are spaces around Chinese characters. Text in two spellings that
    Unicode calls equal (composed or not) still becomes the same.
    """
    if normalizer is None:
        return None
    match normalizer["type"]:
        case "Sequence":
            kept = (keep_marks(each) for each in normalizer["normalizers"])
            return normalizer | {"normalizers": [each for each in kept if each is not None]}
        case "BertNormalizer":
            clean = {"type": "Replace", "pattern": {"Regex": INVISIBLE}, "content": ""}
            bert = normalizer | {"clean_text": False, "strip_accents": False}
            steps = [{"type": "NFC"}, *([clean] if normalizer["clean_text"] else []), bert]
            return {"type": "Sequence", "normalizers": steps}
        case "StripAccents":
            return None
        case "NFD" | "NFKD" as form:
            return {"type": COMPOSED[form]}
        case _:
            return normalizer


def with_marks(tokenizer: Tokenizer) -> Tokenizer:
    """Return a copy of `tokenizer` that removes no mark of a letter."""
    parts = json.loads(tokenizer.to_str())
    return Tokenizer.from_str(json.dumps(parts | {"normalizer": keep_marks(parts["normalizer"])}))
