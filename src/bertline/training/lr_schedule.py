"""Learning-rate schedules: a linear warm-up, then one of four curves, each a pure function of the step."""

import math

from bertline.params.training import Training


def total_steps(rows: int, params: Training) -> int:
    """Return the steps of a whole training on `rows` rows; every epoch has the same number of steps."""
    return params.epochs * math.ceil(rows / params.batch_size)


def learning_rate(step: int, steps: int, params: Training) -> float:
    """Return the learning rate of `step` (from 1) of `steps`.

    It rises linearly in the warm-up. After that:

    - linear: falls to 0 after the last step (Devlin et al., BERT, 2019).
    - cosine: falls along half a cosine to 0 (Loshchilov and Hutter, SGDR, 2017, without restarts).
    - inverse_sqrt: proportional to 1/sqrt(step) (Vaswani et al., Attention Is All You Need, 2017).
    - constant: stays.
    """
    warmup = round(params.warmup * steps)
    if step <= warmup:
        return params.learning_rate * step / warmup
    done = (step - warmup - 1) / (steps - warmup)
    match params.schedule:
        case "linear":
            factor = 1 - done
        case "cosine":
            factor = (1 + math.cos(math.pi * done)) / 2
        case "inverse_sqrt":
            factor = math.sqrt(max(1, warmup) / (step - 1)) if step > max(1, warmup) else 1.0
        case "constant":
            factor = 1.0
    return params.learning_rate * factor
