"""The tips of the literature on fine-tuning BERT, each one change away from the user's params.yaml.

docs/training.md has the source of each.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bertline.params.adapt import Params as Adapt
from bertline.params.finetune import Params as Finetune
from bertline.tuning.editing import Value

RESTARTS = 3


@dataclass(frozen=True)
class Tip:
    """Settings to try: `changes` maps `section.key` to the value."""

    name: str
    changes: Mapping[str, Value]


def all_tips(finetune: Finetune, adapt: Adapt, depth: int) -> list[Tip]:
    """Return the tips for these params and an encoder of `depth` layers, but those followed already."""
    depth = min(finetune.layers or depth, depth)
    half, two_thirds = max(depth // 2, 1), max(round(2 * depth / 3), 1)
    rate, epochs = finetune.learning_rate, finetune.epochs  # of all weights; updates of low rank want more
    changes: dict[str, dict[str, Value]] = {
        "learning-rate-halved": {"learning_rate": rate / 2},
        "learning-rate-doubled": {"learning_rate": min(rate * 2, 1.0)},
        "textbook": {"learning_rate": 1e-5, "epochs": 10},
        "batch-16": {"batch_size": 16},
        "epochs-doubled": {"epochs": 2 * epochs, "patience": 2},
        "cosine": {"schedule": "cosine"},
        "constant": {"schedule": "constant"},
        "no-warmup": {"warmup": 0.0},
        "layer-decay-0.95": {"layer_decay": 0.95},
        "layer-decay-0.9": {"layer_decay": 0.9},
        "reinit-1": {"reinit_layers": 1},
        "reinit-2": {"reinit_layers": 2},
        "frozen-embeddings": {"frozen_layers": 0},
        "frozen-half": {"frozen_layers": half},
        "frozen-half-cached": {"frozen_layers": half, "cache_activations": True},
        "unfreezing": {"unfreeze_epochs": epochs - 1},
        "lora-8": {"lora_rank": 8, "learning_rate": rate if finetune.lora_rank else min(rate * 10, 1.0)},
        "balanced": {"class_weights": "balanced"},
        "focal": {"loss": "focal"},
        "label-smoothing-0.1": {"label_smoothing": 0.1},
        "r-drop-1": {"r_drop": 1.0},
        "averaging-0.98": {"averaging": 0.98},
        f"restarts-{RESTARTS}": {"restarts": RESTARTS},
        "layers-two-thirds": {"layers": two_thirds},
    }
    tips = [
        Tip(name, {f"finetune.{key}": value for key, value in settings.items()})
        for name, settings in changes.items()
        if any(getattr(finetune, key) != value for key, value in settings.items())
    ]
    if adapt.objective == "none":
        tips.append(Tip("mlm", {"adapt.objective": "mlm"}))
    return tips


def choose(tips: list[Tip], names: list[str]) -> list[Tip]:
    """Return the tips of these names, in the order of `names`; all for no names.

    Raises:
        ValueError: a name is none of theirs.
    """
    by_name = {tip.name: tip for tip in tips}
    for name in names:
        if name not in by_name:
            raise ValueError(
                f"no tip is called {name!r}, or it is followed already; choose from {', '.join(by_name)}"
            )
    return [by_name[name] for name in dict.fromkeys(names)] if names else tips
