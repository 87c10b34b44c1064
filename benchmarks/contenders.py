"""The contenders that are timed: the textbook loop, Hugging Face's Trainer and bertline's loop."""

import math
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
)

from bertline.params.finetune import Resolved
from bertline.stages.finetune.prepare import fine_tune
from bertline.tokens.arrays import TokenizedSplit
from bertline.training.checkpoints import Checkpoints
from bertline.training.history import Epoch, Step

Example = dict[str, torch.Tensor | list[int] | int]


class Texts(Dataset[Example]):
    """The textbook's data set: a text is tokenised and padded to the maximum each time it is asked for."""

    def __init__(self, texts: list[str], labels: list[int], tokenizer: object, max_length: int) -> None:
        self.texts, self.labels, self.tokenizer, self.max_length = texts, labels, tokenizer, max_length

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, i: int) -> Example:
        encoded = self.tokenizer(
            self.texts[i],
            padding="max_length",
            truncation=True,
            max_length=self.max_length,
            return_tensors="pt",
        )
        return {name: tensor[0] for name, tensor in encoded.items()} | {"labels": self.labels[i]}


class Rows(Dataset[Example]):
    """Tokenised once: what a careful user hands to the Trainer."""

    def __init__(self, split: TokenizedSplit) -> None:
        self.split = split

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, i: int) -> Example:
        start, end = self.split.offsets[i], self.split.offsets[i + 1]
        return {"input_ids": self.split.input_ids[start:end].tolist(), "labels": int(self.split.labels[i])}


class Clock:
    """Times the last epoch; all of it, with what came before, if it is the only one."""

    def __init__(self, params: Resolved) -> None:
        self._device, self._timed = torch.device(params.device), params.epochs if params.epochs > 1 else 0
        self._start = self.seconds = math.nan

    def start(self, epoch: int) -> None:
        """Take note of the start of `epoch`, or with 0 of that of the run."""
        if epoch == self._timed:
            self._start = now(self._device)

    def stop(self) -> None:
        """Take note of the end of an epoch."""
        self.seconds = now(self._device) - self._start


class Watch(TrainerCallback):
    """Starts the clock with each epoch of the Trainer, and stops it with the last step."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def on_epoch_begin(self, args: object, state: TrainerState, control: object, **_: object) -> None:
        """Start the clock, if the last epoch begins."""
        self._clock.start(round(state.epoch or 0) + 1)

    def on_epoch_end(self, args: object, state: object, control: object, **_: object) -> None:
        """Stop the clock."""
        self._clock.stop()


def now(device: torch.device) -> float:
    """Return the time in seconds, after everything that runs on `device`."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def head(split: TokenizedSplit, rows: int) -> TokenizedSplit:
    """Return the first `rows` rows of `split`, each of which is one sequence."""
    picked, labels = split.pick(np.arange(min(rows, len(split)))), split.labels[:rows]
    return TokenizedSplit(
        input_ids=picked.input_ids, offsets=picked.offsets, type_ids=picked.type_ids, labels=labels
    )


def textbook(model: PreTrainedModel, clock: Clock, *, rows: Texts, params: Resolved) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=params.learning_rate)
    for epoch in range(1, params.epochs + 1):
        clock.start(epoch)
        for batch in DataLoader(rows, batch_size=params.batch_size, shuffle=True):
            moved = {name: tensor.to(model.device) for name, tensor in batch.items()}
            with torch.autocast("cuda", dtype=torch.bfloat16, enabled=params.device == "cuda"):
                loss = model(**moved).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), params.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()
        clock.stop()


def trainer(
    model: PreTrainedModel,
    clock: Clock,
    *,
    split: TokenizedSplit,
    params: Resolved,
    collate: object,
    sampling: str,
) -> None:
    use_trainer(
        model,
        split,
        params,
        collate,
        Watch(clock),
        lr_scheduler_type="constant",
        train_sampling_strategy=sampling,
        use_cpu=params.device == "cpu",
        bf16=params.device == "cuda",
    )


def use_trainer(
    model: PreTrainedModel,
    split: TokenizedSplit,
    params: Resolved,
    collate: object,
    watch: TrainerCallback,
    **settings: object,
) -> None:
    """Train with Hugging Face's Trainer, which neither saves nor prints."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=params.batch_size,
            num_train_epochs=params.epochs,
            learning_rate=params.learning_rate,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            **settings,
        )
        run = Trainer(model=model, args=arguments, train_dataset=Rows(split), data_collator=collate)
        run.remove_callback(PrinterCallback)
        run.add_callback(watch)
        run.train()


def ours(model: PreTrainedModel, clock: Clock, *, split: TokenizedSplit, params: Resolved) -> None:
    """Take the steps of every epoch, without the time of its evaluation, which the others do not do."""
    steps = math.ceil(len(split) / params.batch_size)
    clock.start(epoch=1)
    with tempfile.TemporaryDirectory() as scratch:
        splits = {"train": split, "validation": head(split, params.batch_size)}
        for event in fine_tune(model, splits, params, Checkpoints("benchmark", Path(scratch))):
            if isinstance(event, Step) and event.step % steps == 0:
                clock.stop()
                if event.step == steps * params.epochs:
                    break
            elif isinstance(event, Epoch):
                clock.start(event.epoch + 1)
