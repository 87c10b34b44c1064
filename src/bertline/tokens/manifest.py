"""The origin of a folder of tokens: all that `adapt` and `finetune` know about it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from bertline.core.files import write_json

MANIFEST = "tokens.json"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The origin of a folder of tokens.

    Attributes:
        weights: the encoder, as params.yaml names it; `weights_sha256` is its fingerprint.
        own_tokenizer: the tokenizer was trained on the training texts; the encoder cannot read its ids yet.
        vocabulary: the number of its tokens; ids begin at 0.
        special_ids: ids of special tokens by role (`pad`, `unk`, `cls`, `sep`, `mask`), those that it has.
        pairs: the rows are sentence pairs.
    """

    weights: str
    weights_sha256: str
    max_length: int
    long_texts: str
    stride: int
    own_tokenizer: bool
    vocabulary: int
    special_ids: dict[str, int]
    pairs: bool
    multi_label: bool
    classes: tuple[str, ...]

    def write(self, folder: Path) -> None:
        """Write the manifest into `folder`."""
        write_json(folder / MANIFEST, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read the manifest of `folder`; ValueError if there is none."""
        try:
            fields = json.loads((folder / MANIFEST).read_text("utf-8"))
        except FileNotFoundError:
            raise ValueError(f"{folder} holds no {MANIFEST}; run `dvc repro tokenize`") from None
        return cls(**fields | {"classes": tuple(fields["classes"])})
