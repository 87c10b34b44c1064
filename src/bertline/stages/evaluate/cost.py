"""What an answer costs, by counting: cost.json. Nothing is measured, so every machine writes the same bytes.

FLOPs are those of the matrix products of a BERT-like encoder, two for each multiplication with addition:

- a token meets in each of L layers four matrices of attention [H, H] and two of the feed-forward part [H, I]
  (three where it is gated), so 2 L (4 H² + 2 H I);
- a text of T tokens adds the products of queries, keys and values, 4 L H T², and the head, 2 (H² + H C).

`flops_per_text` is at the mean number of tokens. Left out: normalisation, activations, embeddings, and what a
served file saves (it may compute one token in its last layer, and in 8 bits). Latency is measured on demand,
by `bertline predict --time`.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bertline.core.files import write_json
from bertline.evaluation.sampling import sampled
from bertline.metrics.rounding import rounded
from bertline.models.classifier import Classifier
from bertline.models.folder import FP32, SERVED
from bertline.params.evaluate import Params
from bertline.rows.io import inputs
from bertline.tokens.pretrained import WEIGHTS

LAYERS = ("num_hidden_layers", "n_layers", "n_layer")
HIDDEN = ("hidden_size", "dim", "n_embd")
INNER = ("intermediate_size", "hidden_dim", "n_inner")
GATED = {"modernbert"}  # a third matrix in the feed-forward part


def write_cost(params: Params, rows: pa.Table, classifier: Classifier, model: Path, report: Path) -> None:
    """Write cost.json: parameters, bytes of the file that answers, FLOPs and tokens, of the folder `model`.

    Tokens are the mean of at most `evaluate.sample_rows` of the test rows.
    """
    sample = rows.take(sampled(rows.num_rows, params.sample_rows, params.seed))
    tokens = float(np.mean(classifier.count_tokens(inputs(sample))))
    config = json.loads((model / "config.json").read_text("utf-8"))
    served = model / (SERVED if classifier.settings.is_exported else WEIGHTS)
    cost = {
        "parameters": count_parameters(model),
        "bytes": served.stat().st_size,
        **count_flops(config, tokens, len(classifier.space.classes)),
        "tokens_per_text": tokens,
        "rows": sample.num_rows,
        "of_rows": rows.num_rows,
    }
    write_json(report / "cost.json", rounded(cost))


def count_flops(config: dict[str, Any], tokens: float, n_classes: int) -> dict[str, int]:
    """Return flops_per_token and flops_per_text at so many tokens; nothing for a config of another kind."""
    found = [next((config[name] for name in names if config.get(name)), None) for names in (LAYERS, HIDDEN)]
    layers, hidden = found
    if layers is None or hidden is None:
        return {}
    inner = next((config[name] for name in INNER if config.get(name)), 4 * hidden)
    matrices = 3 if config.get("model_type") in GATED else 2
    per_token = 2 * layers * (4 * hidden**2 + matrices * hidden * inner)
    attention = 4 * layers * hidden * tokens**2
    head = 2 * (hidden**2 + hidden * n_classes)
    return {"flops_per_token": per_token, "flops_per_text": round(per_token * tokens + attention + head)}


def count_parameters(model: Path) -> int:
    """Return the numbers of the weights of the folder `model`: of its float32 ONNX file, or its safetensors.

    Constants of the ONNX graph that are single numbers are no weights. It stores equal weights once.
    """
    if (model / WEIGHTS).is_file():
        from safetensors import safe_open

        with safe_open(model / WEIGHTS, "numpy") as weights:
            shapes = [weights.get_slice(name).get_shape() for name in weights.keys()]  # noqa: SIM118 no mapping
        return int(sum(np.prod(shape, dtype=np.int64) for shape in shapes))
    import onnx

    path = model / FP32 if (model / FP32).is_file() else model / SERVED
    tensors = onnx.load(path).graph.initializer
    sizes = [
        np.prod(each.dims, dtype=np.int64) for each in tensors if each.data_type == onnx.TensorProto.FLOAT
    ]
    return int(sum(size for size in sizes if size > 1))
