"""Write a classifier as an ONNX file in float32, with its graph fused.

The inputs are `input_ids`, `attention_mask` and, where the encoder learnt them, `token_type_ids`, int64
[batch, tokens]. The outputs are `logits` [batch, classes] and `states` [batch, width], those of
`head.states`. The same weights give the same bytes. That the file agrees with torch is for `parity` to say.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import torch
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions
from torch import nn
from transformers import PreTrainedModel

from bertline.encoder.load import FAULTS
from bertline.head.out_of_scope import Reader, Statistics
from bertline.head.states import find_reader, run_with_states
from bertline.stages.export.first_token import choose_token_early
from bertline.tokens.padding import Padding

OPSET = 18
IR_VERSION = 10
"""The newest version of the format that readers of 2024 know, such as those of text-embeddings-inference."""


class ExportError(ValueError):
    """The architecture cannot be exported."""


class _LogitsAndStates(nn.Module):
    def __init__(self, model: PreTrainedModel, reader: nn.Linear | None) -> None:
        super().__init__()
        self._model, self._reader = model, reader

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids
        outputs = run_with_states(self._model, self._reader, inputs)
        return tuple(each for each in outputs if each is not None)


def write_onnx(model: PreTrainedModel, path: Path, reader: Reader = Statistics.reader) -> None:
    """Write `model`, which is on the CPU and ready for inference, to `path`.

    The states are those that the layer `reader` of the head reads, as in the statistics of the model.

    Raises:
        ExportError: torch cannot export this architecture.
    """
    try:
        exported = _export(model, reader)
    except (*FAULTS, torch.onnx.OnnxExporterError) as error:
        fault = " ".join(str(error.__cause__ or error).split())[:200]
        raise ExportError(f"{type(model).__name__} cannot be exported: {fault}") from error
    fused = _fuse(exported)
    _tidy(fused)
    onnx.save(fused, path)


def _fuse(model: onnx.ModelProto) -> onnx.ModelProto:
    options = FusionOptions("bert")
    options.enable_skip_layer_norm = False  # onnxruntime's own takes seven times as long as its two parts
    with quiet():
        fused = optimizer.optimize_model(
            model, "bert", optimization_options=options, opt_level=0, use_gpu=False
        )
    fused.topological_sort()
    choose_token_early(fused.model.graph)
    graph: onnx.ModelProto = fused.model
    domains = {node.domain for node in graph.graph.node} - {each.domain for each in graph.opset_import}
    graph.opset_import.extend(onnx.helper.make_opsetid(domain, 1) for domain in sorted(domains))
    return graph


def _export(model: PreTrainedModel, reader: Reader) -> onnx.ModelProto:
    with suppress_fused_attention(model), quiet(), torch.inference_mode(mode=False), torch.no_grad():
        names = ["input_ids", "attention_mask"]
        names += ["token_type_ids"] if Padding.of(model.config.to_dict()).typed else []
        # Two texts of unlike length, so that neither size nor the padding is taken for a constant.
        ids = torch.arange(14).reshape(2, 7) % model.config.vocab_size
        example = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": ids * 0}
        example["attention_mask"][1, 5:] = 0
        dynamic = torch.export.Dim.DYNAMIC
        program = torch.onnx.export(
            _LogitsAndStates(model, find_reader(model, reader)).eval(),
            kwargs={name: example[name] for name in names},
            dynamo=True,
            dynamic_shapes={name: {0: dynamic, 1: dynamic} for name in names},
            input_names=names,
            output_names=["logits", "states"],
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None, "the exporter with dynamo returns a program"
    proto: onnx.ModelProto = program.model_proto
    return proto


@contextmanager
def suppress_fused_attention(model: PreTrainedModel) -> Iterator[None]:
    """Let `model` compute attention step by step within the block: the graph is smaller and as fast."""
    before = model.config._attn_implementation
    try:
        model.set_attn_implementation("eager")
        yield
    finally:
        model.set_attn_implementation(before)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the notes of exporter and quantiser, which name nothing that a user can change, off the log."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _tidy(model: onnx.ModelProto) -> None:
    """Remove what names this machine and its versions, and name the sizes of inputs and outputs."""
    graph = model.graph
    model.ir_version = min(model.ir_version, IR_VERSION)
    model.producer_name, model.producer_version, model.doc_string = "bertline", "", ""
    for each in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del each.metadata_props[:]
        each.doc_string = ""
    del graph.value_info[:]
    for each in (*graph.input, *graph.output):
        dims = each.type.tensor_type.shape.dim
        dims[0].dim_param = "batch"
        if each in list(graph.input):
            dims[1].dim_param = "tokens"
