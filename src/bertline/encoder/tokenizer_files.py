"""Write the tokenizer of a model so that transformers 4 and 5 load it and read texts as in training.

Training reads texts with tokenizer.json alone. How transformers reads a folder also depends on the class
that tokenizer_config.json names: version 5 writes a class that version 4 does not have (TokenizersBackend),
and a class such as BertTokenizer replaces rules of tokenizer.json by its own. So the folder gets

- tokenizer.json, copied as it is;
- tokenizer_config.json with the generic class that both versions have, with which tokenizer.json decides.
"""

import json
import shutil
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from bertline.core.files import disk_errors, write_json
from bertline.tokens.pretrained import GENERIC_CLASS

CONFIG = "tokenizer_config.json"
PRIVATE = ("auto_map", "backend", "is_local", "local_files_only", "processor_class")
"""Fields that are of one version of transformers, or of the folder that the tokenizer came from."""


def save_tokenizer(folder: Path, max_length: int, out: Path, *, type_ids: bool) -> None:
    """Write the tokenizer of `folder` into `out`, for a model that reads at most `max_length` tokens.

    `type_ids`: the model takes token types.

    Raises:
        OSError: the disk is full.
    """
    kind = PreTrainedTokenizerFast if _names_code(folder) else AutoTokenizer
    tokenizer = kind.from_pretrained(folder, model_max_length=max_length, trust_remote_code=False)
    with disk_errors():
        tokenizer.save_pretrained(out)
        shutil.copyfile(folder / "tokenizer.json", out / "tokenizer.json")
    fields = json.loads((out / CONFIG).read_text("utf-8"))
    fields = {name: value for name, value in fields.items() if name not in PRIVATE}
    names = ["input_ids", *(["token_type_ids"] if type_ids else []), "attention_mask"]
    fields |= {"tokenizer_class": GENERIC_CLASS, "model_input_names": names}
    for side in ("padding_side", "truncation_side"):  # where a class has another default than the generic one
        if getattr(tokenizer, side) != "right":
            fields[side] = getattr(tokenizer, side)
    extra = fields.get("extra_special_tokens")
    if isinstance(extra, list):  # version 4 knows the list by its older name, and another thing by this one
        fields["additional_special_tokens"] = fields.pop("extra_special_tokens")
    write_json(out / CONFIG, dict(sorted(fields.items())))


def _names_code(folder: Path) -> bool:
    """Return whether the tokenizer of `folder` has a class of its own, which is never used."""
    path = folder / CONFIG
    return path.is_file() and "auto_map" in json.loads(path.read_text("utf-8"))
