"""Classify texts or sentence pairs with a fine-tuned model folder, cutting them exactly as in training.

Does not fetch models: `promotion.registry` does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError

from bertline.modeling.batches import collate_padded, pool, sorted_order, windows
from bertline.modeling.cutting import Cutter
from bertline.modeling.encoder import load_classifier
from bertline.modeling.tokens import Tokens
from bertline.modeling.weights import FILES
from bertline.params.tokenize import LongTexts


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """How a model reads texts, as bertline.json has it; older models say less."""

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
        batch_size: texts a forward pass, or windows of long texts.

    Raises:
        ValueError: `folder` is not such a folder.
    """

    def __init__(self, folder: Path, *, threads: int = 1, batch_size: int = 64) -> None:
        reading = _reading(folder)
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise ValueError(f"the model in {folder} has no {missing[0]}; fetch or train it again")
        torch.set_num_threads(threads)
        self._model = load_classifier(folder)
        self._collate = collate_padded(self._model.config)
        self._cutter = Cutter(
            folder, max_length=reading.max_length, long_texts=reading.long_texts, stride=reading.stride
        )
        self._folder = folder
        self._batch_size = batch_size
        self.pairs = reading.pairs
        self.multi_label: bool = self._model.config.problem_type == "multi_label_classification"
        self.labels: tuple[str, ...] = tuple(
            self._model.config.id2label[i] for i in range(self._model.num_labels)
        )

    def probabilities(self, texts: Sequence[str | tuple[str, str]]) -> np.ndarray:
        """Return the probability of each label, float32 [texts, labels], columns in the order of `labels`.

        A text is a string, or the two strings of a sentence pair: a model of `pairs` has only learnt to read
        those, another only single texts. Probabilities of a multi-label model are each on its own, those of
        another add up to 1; of a long text's windows the logits are averaged.

        Raises:
            ValueError: what the model says is not a number, or the texts are pairs that it cannot cut.
        """
        tokens = self._cutter.encode(texts)
        sequences = Tokens(input_ids=tokens.input_ids, offsets=tokens.offsets, type_ids=tokens.type_ids)
        logits_SC = torch.empty(len(sequences), len(self.labels))
        with torch.inference_mode():
            for each in sorted_order(sequences.lengths, self._batch_size):
                logits_SC[each] = self._model(**self._collate(sequences, each)).logits.float()
        if not logits_SC.isfinite().all():
            raise ValueError(
                f"what the model in {self._folder} says of these texts is not a number; fine-tune it anew"
            )
        logits_BC = pool(logits_SC, windows(tokens, np.arange(len(tokens))))
        return (logits_BC.sigmoid() if self.multi_label else logits_BC.softmax(dim=1)).numpy()


def _reading(folder: Path) -> _Reading:
    path = folder / "bertline.json"
    try:
        return TypeAdapter(_Reading).validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise ValueError(
            f"{path} is damaged ({where}{first['msg']}); fetch or train the model again"
        ) from None
    except (FileNotFoundError, NotADirectoryError):
        if (folder / "config.json").is_file():
            raise ValueError(
                f"the model in {folder} has no bertline.json, so how it reads texts is not known; "
                "`dvc repro finetune` writes one"
            ) from None
        raise ValueError(
            f"there is no model in {folder}; `dvc repro finetune` trains models/candidate"
        ) from None
