"""Classify texts or sentence pairs with a fine-tuned model folder, cutting them exactly as in training.

Does not fetch models: `promotion.registry` does.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from bertline.modeling.batches import model_inputs, sorted_order
from bertline.modeling.encoder import load_classifier
from bertline.modeling.tokens import encode, load_tokenizer


class Classifier:
    """A model folder written by `finetune`, ready to classify.

    Args:
        folder: holds config.json, model.safetensors, tokenizer.json and bertline.json.
        threads: CPU threads of the process.
        batch_size: texts a forward pass.

    Raises:
        ValueError: `folder` is not such a folder.
    """

    def __init__(self, folder: Path, *, threads: int = 1, batch_size: int = 64) -> None:
        try:
            max_length = json.loads((folder / "bertline.json").read_text("utf-8"))["max_length"]
        except FileNotFoundError:
            raise ValueError(
                f"there is no model in {folder}; `dvc repro finetune` trains models/candidate"
            ) from None
        torch.set_num_threads(threads)
        self._model = load_classifier(folder)
        self._tokenizer = load_tokenizer(folder, max_length)
        self._batch_size = batch_size
        self.labels: tuple[str, ...] = tuple(
            self._model.config.id2label[i] for i in range(self._model.num_labels)
        )

    def probabilities(self, texts: Sequence[str | tuple[str, str]]) -> np.ndarray:
        """Return the probability of each label, float32 [texts, labels], columns in the order of `labels`.

        A text is a string, or the two strings of a sentence pair.
        """
        tokens = encode(self._tokenizer, texts)
        result = np.empty((len(texts), len(self.labels)), dtype=np.float32)
        with torch.inference_mode():
            for rows in sorted_order(tokens.lengths, self._batch_size):
                logits_BC = self._model(**model_inputs(tokens, rows, self._model.config)).logits
                result[rows] = logits_BC.float().softmax(dim=1).numpy()
        return result
