"""Quantise an ONNX file dynamically: weights int8 by output channel, activations when they are computed.

Matrix products only. Embeddings stay in float32: to look a row up is as fast, and onnxruntime gives a whole
table one scale, so that one large value makes all others coarse. The last layer stays in float32, too: it is
small, and its rounding would move every logit.
Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from bertline.stages.export.onnx_model import quiet


def write_int8(fp32: Path, int8: Path, *, reduce_range: bool) -> None:
    """Write the file `fp32` with int8 weights to `int8`.

    `reduce_range`: use 7 of the 8 bits. Processors without VNNI add two products in 16 bits, which overflow
    otherwise. It is never read from the machine, or two machines would export two models.
    """
    model = onnx.load(fp32)
    last = [node.name for node in model.graph.node if "logits" in node.output]
    last += [f"{name}_MatMul" for name in last]  # what the quantiser makes of a Gemm
    with quiet():
        quantize_dynamic(
            model,
            int8,
            op_types_to_quantize=["MatMul"],  # and Gemm, which the quantiser makes one
            per_channel=True,
            reduce_range=reduce_range,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=last,
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},  # fused nodes do not tell theirs
        )
    quantized = onnx.load(int8)
    quantized.producer_name, quantized.producer_version = model.producer_name, ""
    onnx.save(quantized, int8)
