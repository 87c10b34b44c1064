"""Run the ONNX file of a model with onnxruntime, on the CPU. Imports no torch.

Shape suffixes: S sequences, C classes, H the width of the states.
"""

from pathlib import Path

import numpy as np
import onnxruntime

ERRORS = 3
"""The severity from which onnxruntime writes to stderr; below are notes on nodes that it removes."""

SLOW = ["SkipLayerNormFusion"]
"""onnxruntime's one node takes seven times as long as the two that it replaces."""


class OnnxBackend:
    """The ONNX file at `path`. A batch is computed by the thread that calls `run`; several may at once.

    Args:
        path: has the inputs `input_ids`, `attention_mask` and perhaps `token_type_ids`, int64 [S, T], and the
            outputs `logits` [S, C] and perhaps `states` [S, H].

    Raises:
        ValueError: the file is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = ERRORS
        options.enable_mem_pattern = False  # batches differ in shape, so a plan for one serves no other
        try:
            self._session = onnxruntime.InferenceSession(
                path, options, ["CPUExecutionProvider"], disabled_optimizers=SLOW
            )
        except Exception as error:  # its errors have no base class of their own
            fault = " ".join(str(error).split())[:200]
            raise ValueError(f"{path} cannot be loaded ({fault}); fetch or export the model again") from error
        self._inputs = [each.name for each in self._session.get_inputs()]
        self._outputs = [each.name for each in self._session.get_outputs()]

    def run(self, inputs: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
        """Return logits [S, C] and states [S, H], float32, for the `inputs` that `Padding.inputs` made."""
        given = {"token_type_ids": np.zeros_like(inputs["input_ids"])} | inputs
        results = self._session.run(self._outputs, {name: given[name] for name in self._inputs})
        found = dict(zip(self._outputs, results, strict=True))
        return found["logits"], found.get("states")
