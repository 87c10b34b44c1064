"""Classify texts or sentence pairs with a fine-tuned model folder, truncated exactly as in training.

Does not fetch models: `promotion.registry` does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError

from bertline.encoder.classifier import load_classifier
from bertline.encoder.collate import collate_padded, mean_over_windows, window_counts
from bertline.encoder.ordering import sorted_order
from bertline.params.tokenize import LongTexts
from bertline.rows.labels import LabelSpace
from bertline.tokens.arrays import Tokens
from bertline.tokens.pretrained import FILES
from bertline.tokens.truncation import Truncator


@dataclass(frozen=True, kw_only=True)
class _InputSettings:
    """How a model reads texts, from bertline.json; older files have fewer fields."""

    __pydantic_config__ = ConfigDict(strict=True)

    max_length: int
    long_texts: LongTexts = "head"
    stride: int = 0
    pairs: bool = False


class Classifier:
    """A model folder written by `finetune`, ready to classify.

    Args:
        folder: holds config.json, model.safetensors, tokenizer.json and bertline.json.
        threads: CPU threads of the process.
        batch_size: sequences of a forward pass (texts, or windows of long texts).

    Raises:
        ValueError: `folder` is not such a folder.
    """

    def __init__(self, folder: Path, *, threads: int = 1, batch_size: int = 64) -> None:
        settings = _read_settings(folder)
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise ValueError(f"the model in {folder} has no {missing[0]}; fetch or train it again")
        torch.set_num_threads(threads)
        self._model = load_classifier(folder)
        self._collate = collate_padded(self._model.config)
        self._truncator = Truncator(
            folder, max_length=settings.max_length, long_texts=settings.long_texts, stride=settings.stride
        )
        self._folder = folder
        self._batch_size = batch_size
        self.pairs = settings.pairs
        config = self._model.config
        classes = tuple(config.id2label[i] for i in range(self._model.num_labels))
        self.space = LabelSpace(classes, config.problem_type == "multi_label_classification")

    def probabilities(self, texts: Sequence[str | tuple[str, str]]) -> np.ndarray:
        """Return the probability of each label, float32 [texts, labels], in the order of `space.classes`.

        - A text is a string, or the two strings of a sentence pair if the model was trained on `pairs`.
        - The probabilities of a row add up to 1, except in a multi-label model, where each is independent.
        - The logits of the windows of a long text are averaged.

        Raises:
            ValueError: a logit is not a number, or the texts are pairs and the model reads windows.
        """
        tokens = self._truncator.encode(texts)
        sequences = Tokens(input_ids=tokens.input_ids, offsets=tokens.offsets, type_ids=tokens.type_ids)
        logits_SC = torch.empty(len(sequences), len(self.space.classes))
        with torch.inference_mode():
            for each in sorted_order(sequences.lengths, self._batch_size):
                logits_SC[each] = self._model(**self._collate(sequences, each)).logits.float()
        if not logits_SC.isfinite().all():
            raise ValueError(
                f"the model in {self._folder} gives NaN or infinity for these texts; fine-tune it again"
            )
        logits_BC = mean_over_windows(logits_SC, window_counts(tokens, np.arange(len(tokens))))
        return (logits_BC.sigmoid() if self.space.multi_label else logits_BC.softmax(dim=1)).numpy()


def _read_settings(folder: Path) -> _InputSettings:
    path = folder / "bertline.json"
    try:
        return TypeAdapter(_InputSettings).validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise ValueError(
            f"{path} is damaged ({where}{first['msg']}); fetch or train the model again"
        ) from None
    except (FileNotFoundError, NotADirectoryError):
        if (folder / "config.json").is_file():
            raise ValueError(
                f"the model in {folder} has no bertline.json, so the length of its inputs is unknown; "
                "`dvc repro finetune` writes one"
            ) from None
        raise ValueError(
            f"there is no model in {folder}; `dvc repro finetune` trains models/candidate"
        ) from None
