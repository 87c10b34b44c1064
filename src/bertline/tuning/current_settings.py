"""The settings of the user's own fine-tuning, in numbers where params.yaml says auto.

Does not guarantee that the tokens are those of the data as they are now: the size of the last ones counts.
"""

from pathlib import Path

from bertline.core.params_loading import load_params
from bertline.encoder.load import load_config
from bertline.params.finetune import Params, Resolved
from bertline.params.tokenize import Params as Tokenize
from bertline.stages.finetune.recipe import resolve
from bertline.tokens.arrays import read_split
from bertline.tokens.manifest import Manifest
from bertline.tokens.pretrained import find_pretrained

TOKENS = Path("data/tokens")


def read_settings() -> tuple[Resolved, int]:
    """Return the settings of the current folder, and how many layers its encoder has.

    Raises:
        ValueError: the encoder is not there; or finetune.epochs is auto and there are no tokens yet.
    """
    params = load_params(Params)
    config = load_config(find_pretrained(load_params(Tokenize).weights))
    rows = classes = 1
    if params.epochs == "auto":
        rows, classes = len(read_split(TOKENS / "train.arrow")), len(Manifest.read(TOKENS).classes)
    layers: int = config.num_hidden_layers
    resolved, _ = resolve(params, rows=rows, classes=classes, layers=layers, hidden_size=config.hidden_size)
    return resolved, layers
