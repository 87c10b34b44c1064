"""Tiny random classifiers of every kind of encoder, for the tests of what treats layers differently."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from bertline.encoder.layers import measure_depths

SIZE = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
SIZES: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("bert", "roberta", "modernbert", "mpnet"), SIZE),
    "deberta-v2": SIZE | {"relative_attention": True, "norm_rel_ebd": "layer_norm", "position_buckets": 8},
    "electra": SIZE | {"embedding_size": 8},
    "distilbert": {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 32},
}
DROPOUTS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "dropout",
    "attention_dropout",
    "seq_classif_dropout",
)


def build(kind: str = "bert", *, dropout: bool = True, **changes: Any) -> PreTrainedModel:
    """Return a random classifier of 3 classes over a vocabulary of 40; the same bits every time."""
    torch.manual_seed(0)
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
    config = AutoConfig.for_model(
        kind, vocab_size=40, num_labels=3, **ids, **(SIZES.get(kind, SIZE) | changes)
    )
    for name in DROPOUTS:
        if not dropout and hasattr(config, name):
            setattr(config, name, 0.0)
    return AutoModelForSequenceClassification.from_config(config)


def weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Return a copy of all weights of `model`, by name."""
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


def depth_by_name(model: PreTrainedModel) -> dict[str, int]:
    """Return the depth of every parameter of `model`, by name."""
    depths = measure_depths(model)
    return {name: depths.depth_of(name) for name, _ in model.named_parameters()}
