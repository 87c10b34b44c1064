"""Techniques of the literature on fine-tuning BERT, each one change away from the user's params.yaml.

docs/training.md has the source of each.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bertline.params.adapt import Params as Adapt
from bertline.params.finetune import Resolved as Finetune
from bertline.tuning.yaml_edit import Value

RESTARTS = 3


@dataclass(frozen=True)
class Technique:
    """Settings to try: `changes` maps `section.key` to the value."""

    name: str
    changes: Mapping[str, Value]


@dataclass(frozen=True)
class Techniques:
    """The techniques that can be tried with the user's settings, and why others cannot, by name."""

    possible: list[Technique]
    impossible: Mapping[str, str]

    def choose(self, names: list[str]) -> list[Technique]:
        """Return the techniques of these names, in the order of `names`; all for no names.

        Raises:
            ValueError: a name is unknown, in use already, or cannot be combined with the user's settings.
        """
        by_name = {technique.name: technique for technique in self.possible}
        for name in names:
            if name in self.impossible:
                raise ValueError(f"{name} cannot be combined with params.yaml: {self.impossible[name]}")
            if name not in by_name:
                raise ValueError(
                    f"no technique is called {name!r}, or params.yaml uses it already; "
                    f"choose from {', '.join(by_name)}"
                )
        return [by_name[name] for name in dict.fromkeys(names)] if names else self.possible


def find_techniques(finetune: Finetune, adapt: Adapt, encoder_layers: int) -> Techniques:
    """Return the techniques for these settings and an encoder of so many layers.

    A technique that the settings use already is left out.

    Raises:
        ValueError: the settings themselves cannot be used with this encoder.
    """
    layers = min(finetune.layers or encoder_layers, encoder_layers)
    try:
        whole = replace(finetune, layers=layers)  # so that every check knows how many layers there are
    except ValueError as error:
        raise ValueError(f"finetune.{error}, with this encoder of {encoder_layers} layers") from None
    possible, impossible = [], {}
    for name, settings in _settings(finetune, layers).items():
        try:
            changed = replace(whole, **settings)  # type: ignore[arg-type]
        except ValueError as error:
            impossible[name] = f"finetune.{error}"
            continue
        if changed != whole:
            possible.append(Technique(name, {f"finetune.{key}": value for key, value in settings.items()}))
    if adapt.objective == "none":
        possible.append(Technique("mlm", {"adapt.objective": "mlm"}))
    return Techniques(possible, impossible)


def _settings(finetune: Finetune, layers: int) -> dict[str, dict[str, Value]]:
    """Return the changes of section `finetune` by technique, for an encoder of which `layers` are kept."""
    half, two_thirds = max(layers // 2, 1), max(round(2 * layers / 3), 1)
    rate, epochs = finetune.learning_rate, finetune.epochs
    lora_rate = rate if finetune.lora_rank else min(rate * 10, 1.0)  # ten times that of full fine-tuning
    return {
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
        "lora-8": {"lora_rank": 8, "learning_rate": lora_rate},
        "balanced": {"class_weights": "balanced"},
        "focal": {"loss": "focal"},
        "label-smoothing-0.1": {"label_smoothing": 0.1},
        "r-drop-1": {"r_drop": 1.0},
        "ema-0.98": {"ema_decay": 0.98},
        f"restarts-{RESTARTS}": {"restarts": RESTARTS},
        "layers-two-thirds": {"layers": two_thirds},
    }
