"""The recipe: the epochs and the learning rate of a fine-tuning where params.yaml says auto.

Both are pure functions of the size of the data and of the encoder. They were chosen by validation
(`python -m benchmarks.recipe`; the table is in DECISIONS.md).

Does not guarantee the best number: texts and labels are not looked at, so noisy labels may want fewer epochs
and fine distinctions more. `diagnosis` says after the training whether that was so.
"""

import math

from bertline.params.finetune import Params, Resolved

FEWEST_EPOCHS, MOST_EPOCHS = 3, 32
EPOCHS, BATCH_SIZE = 110.0, 32
"""What one row per class would get, in batches of this size."""

LOWEST_RATE, HIGHEST_RATE = 1e-5, 1e-3
RATE_TIMES_SIZE = 2e-4 * 6 * 384  # MiniLM has 6 layers of 384 units and wants 2e-4
LORA_FACTOR = 10  # Hu et al. 2022 take 5e-4 where full fine-tuning takes 5e-5


def choose_epochs(rows: int, classes: int, batch_size: int) -> int:
    """Return the epochs for so many training rows and classes.

    In batches of 32 they are 110 over the square root of the rows per class. Twice the batch size counts as
    half the rows, since an epoch then has half the steps.

    The result lies in `FEWEST_EPOCHS` to `MOST_EPOCHS`.
    """
    epochs = round(EPOCHS * math.sqrt(classes / rows * batch_size / BATCH_SIZE))
    return min(max(epochs, FEWEST_EPOCHS), MOST_EPOCHS)


def choose_learning_rate(layers: int, hidden_size: int, *, low_rank: bool = False) -> float:
    """Return the learning rate for an encoder of which `layers` layers of `hidden_size` units are trained.

    It falls with the size: 2e-4 for MiniLM (measured, DECISIONS.md), 5e-5 for BERT-base and 1.9e-5 for
    BERT-large, which are in the ranges of Devlin et al. 2019. The result lies in `LOWEST_RATE` to
    `HIGHEST_RATE`; updates of low rank get ten times that.
    """
    rate = RATE_TIMES_SIZE / (max(layers, 1) * hidden_size)
    rate = min(max(rate, LOWEST_RATE), HIGHEST_RATE)
    return float(f"{rate * (LORA_FACTOR if low_rank else 1):.1e}")


def resolve(
    params: Params, *, rows: int, classes: int, layers: int, hidden_size: int
) -> tuple[Resolved, list[str]]:
    """Return `params` with numbers only, and a line about each that was auto.

    Args:
        params: of params.yaml.
        rows: of the training split.
        classes: of the data.
        layers: of the encoder, as it is before `params.layers`.
        hidden_size: of the encoder.

    Raises:
        ValueError: the number of epochs does not fit the other settings.
    """
    epochs, rate, lines = params.epochs, params.learning_rate, []
    if epochs == "auto":
        epochs = choose_epochs(rows, classes, params.batch_size)
        data = f"{rows:,} rows in {classes} classes at batch size {params.batch_size}"
        lines.append(f"epochs: auto -> {epochs} for {data}")
    if rate == "auto":
        trained = (params.layers or layers) - (params.frozen_layers or 0)
        low_rank = params.lora_rank is not None
        rate = choose_learning_rate(trained, hidden_size, low_rank=low_rank)
        of = f"{trained} trained layers of {hidden_size} units" + (", in low rank" if low_rank else "")
        lines.append(f"learning_rate: auto -> {rate:g} for {of}")
    try:
        return Resolved(**vars(params) | {"epochs": epochs, "learning_rate": rate}), lines
    except ValueError as error:
        raise ValueError(
            f"finetune.epochs is auto, which is {epochs} for these data, and {error}; "
            "set finetune.epochs to a number, or change that"
        ) from None
