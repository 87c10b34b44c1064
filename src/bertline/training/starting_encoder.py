"""Which encoder `finetune` starts from: the one that `adapt` wrote, or the pretrained weights.

Imports neither torch nor transformers.
"""

import json
from pathlib import Path

from bertline.core.files import write_json
from bertline.tokens.manifest import Manifest
from bertline.tokens.pretrained import find_pretrained, fingerprint

ADAPTED = "adapted.json"


def find_source(manifest: Manifest) -> Path:
    """Return the folder of the weights the tokens were made for; ValueError if they have changed since."""
    folder = find_pretrained(manifest.weights)
    if fingerprint(folder) != manifest.weights_sha256:
        raise ValueError(
            f"{manifest.weights!r} has changed since it was tokenised; run `dvc repro -f tokenize`"
        )
    return folder


def write_facts(folder: Path, *, adapted: bool, **facts: object) -> None:
    """Write into `folder` whether it holds an adapted encoder, and how it was made."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / ADAPTED, {"adapted": adapted, **facts})


def find_encoder(manifest: Manifest, adapted: Path) -> Path:
    """Return the folder of the encoder to fine-tune: `adapted`, if it holds one, else that of the weights.

    Raises:
        ValueError: `adapt` has not run, or the weights are not those the tokens were made for.
    """
    try:
        facts = json.loads((adapted / ADAPTED).read_text("utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{adapted} holds no {ADAPTED}; run `dvc repro adapt`") from None
    return adapted if facts["adapted"] else find_source(manifest)
