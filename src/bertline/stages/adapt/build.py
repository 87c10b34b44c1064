"""Build the model that `adapt` trains: an encoder with the heads of its objective.

- A head for masked tokens that comes with the weights is kept. Most weights, such as MiniLM's, have none;
  then it is random, and its output matrix is tied to the embeddings.
- For a vocabulary of one's own the embeddings are random, except those of tokens that both vocabularies
  have.
"""

from pathlib import Path

import torch
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    PretrainedConfig,
    PreTrainedModel,
)

from bertline.encoder.collate import collate_for
from bertline.encoder.layers import enable_gradient_checkpointing, reinitialize_parameters
from bertline.encoder.load import load_config, load_pretrained
from bertline.encoder.unpadding import enable_unpadding
from bertline.params.adapt import Params
from bertline.stages.adapt.task import Pretraining
from bertline.stages.adapt.token_types import TokenTypes
from bertline.tokens.arrays import TokenizedSplit
from bertline.tokens.manifest import Manifest
from bertline.tokens.truncation import load_tokenizer

KINDS = {"mlm": AutoModelForMaskedLM, "mlm_nsp": AutoModelForPreTraining}


def build_pretraining(weights: Path, tokens: Path, params: Params) -> PreTrainedModel:
    """Return the encoder of `weights` for the tokenizer in `tokens`, with the heads of the objective.

    In float32. What no file holds is drawn from torch's RNG. Masked tokens alone do not train a pooler: it is
    kept as it is.

    Raises:
        ValueError: the encoder cannot be loaded, or has no model for the objective.
    """
    kind = KINDS[params.objective]
    manifest = Manifest.read(tokens)
    config = _configure(weights, manifest)
    if params.fresh:
        try:
            model: PreTrainedModel = kind.from_config(config, dtype=torch.float32, trust_remote_code=False)
        except ValueError as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(f"adapt.objective is {params.objective}: {reason}") from error
    else:
        model, _ = load_pretrained(kind, weights, config, other_vocabulary=manifest.own_tokenizer)
        source, _ = load_pretrained(AutoModel, weights, load_config(weights))
        _keep(source, model, weights, tokens)
    if params.objective == "mlm_nsp" and not hasattr(getattr(model, "cls", None), "seq_relationship"):
        raise ValueError(
            f"adapt.objective is mlm_nsp, but {config.model_type} has no next-sentence head "
            "as BERT has; set mlm"
        )
    if params.gradient_checkpointing:
        enable_gradient_checkpointing(model)
    if params.unpadded:
        enable_unpadding(model)  # on the CPU, where rounding is small
    return model


def _configure(weights: Path, manifest: Manifest) -> PretrainedConfig:
    config = load_config(weights)
    if manifest.own_tokenizer:
        config.vocab_size = manifest.vocabulary
        for role, i in manifest.special_ids.items():
            if role == "pad" or getattr(config, f"{role}_token_id", None) is not None:
                setattr(config, f"{role}_token_id", i)
    return config


@torch.no_grad()
def _keep(source: PreTrainedModel, model: PreTrainedModel, weights: Path, tokens: Path) -> None:
    """Take over from `source` what `model` was loaded without: the pooler, embeddings of known tokens."""
    encoder = model.base_model
    for name in ("pooler", "pooler_activation"):  # ALBERT has both
        part = getattr(source, name, None)
        if isinstance(part, nn.Module) and getattr(encoder, name, None) is None:
            setattr(encoder, name, part.requires_grad_(False))
    known, own = (load_tokenizer(folder).get_vocab() for folder in (weights, tokens))
    if known != own:
        _draw_vocabulary(model)
        shared = sorted(own.keys() & known.keys())
        rows = source.get_input_embeddings().weight[[known[token] for token in shared]]
        model.get_input_embeddings().weight[[own[token] for token in shared]] = rows


def _draw_vocabulary(model: PreTrainedModel) -> None:
    """Re-initialise the parameters of `model` that belong to single tokens."""
    output = model.get_output_embeddings()
    known = [model.get_input_embeddings().weight, getattr(output, "weight", None)]
    names = [name for name, each in model.named_parameters() if any(each is one for one in known)]
    reinitialize_parameters(model, names)
    if getattr(output, "bias", None) is not None:
        nn.init.zeros_(output.bias)


def build_task(
    model: PreTrainedModel, splits: dict[str, TokenizedSplit], tokens: Path, params: Params
) -> Pretraining:
    """Return what `model` learns from the `splits` in the folder `tokens`; ValueError as in `Pretraining`."""
    manifest = Manifest.read(tokens)
    types = TokenTypes.read(tokens, manifest.special_ids.get("mask"))
    return Pretraining(splits, params, types, manifest.max_length, collate_for(model))
