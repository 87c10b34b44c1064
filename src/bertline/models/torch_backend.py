"""Run the weights of a model with torch, on the CPU: for what cannot be exported, and for older versions.

Shape suffixes: S sequences, C classes, H the width of the states.
"""

from pathlib import Path

import numpy as np
import torch

from bertline.encoder.classifier import load_classifier
from bertline.head.out_of_scope import Reader
from bertline.head.states import find_reader, run_with_states


class TorchBackend:
    """The weights of the model folder `folder`, with the states that the layer `reader` of the head reads.

    Raises:
        ValueError: they are missing or damaged.
    """

    def __init__(self, folder: Path, *, threads: int, reader: Reader) -> None:
        torch.set_num_threads(threads)
        self._model = load_classifier(folder)
        self._reader = find_reader(self._model, reader)

    def run(self, inputs: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
        """Return logits [S, C] and states [S, H], float32, for the `inputs` that `Padding.inputs` made."""
        tensors = {name: torch.from_numpy(each) for name, each in inputs.items()}
        with torch.inference_mode():
            logits_SC, states_SH = run_with_states(self._model, self._reader, tensors)
        return logits_SC.float().numpy(), None if states_SH is None else states_SH.float().numpy()
