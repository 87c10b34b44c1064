"""The diagnosis of a finished training: what its curves say is wrong, each with the setting to change.

Warns where the curves show more than the noise of the validation rows: a rise of accuracy must be two
standard errors. So small validation splits give few warnings, and no warning is no proof of good settings.
"""

import math
from collections.abc import Sequence
from statistics import fmean

import numpy as np

from bertline.metrics.classification import Targets, count_by_class
from bertline.params.finetune import Resolved
from bertline.training.history import Epoch, History, Step, best_epoch

FELL = 0.9
"""The loss fell if the mean of its last steps is below this share of the mean of its first."""
FIRST_STEPS = 50
"""The first steps are these at most: with many rows, most is learnt in the first of a hundred steps."""
FEW_STEPS, LARGE_BATCH = 50, 32
"""So few steps may be too few to learn anything, if the batches could be smaller."""
ROSE = 1.25
"""The validation loss rose if it ends above its minimum times this."""
FEW_ROWS = 5
"""Of a class with fewer validation rows, no prediction may be bad luck."""
NAMED = 5


def diagnose(
    history: History,
    targets: Targets,
    predicted: Targets,
    classes: Sequence[str],
    params: Resolved,
    *,
    rate_is_auto: bool,
) -> list[str]:
    """Return a warning for each thing that is wrong, with the next step.

    Args:
        history: of the training.
        targets: of the N validation rows: class indices [N], or 0 and 1 [N, C] for several labels a row.
        predicted: what the model that is kept says, in the same form.
        classes: the names of the C classes.
        params: what it was trained with.
        rate_is_auto: whether the recipe chose its learning rate.
    """
    epochs = [each for each in history if isinstance(each, Epoch)]
    stuck = _is_stuck([each.loss for each in history if isinstance(each, Step)], params, rate_is_auto)
    trend = stuck or _still_rises(epochs, len(targets), params) or _overfits(epochs, len(targets))
    best = best_epoch(history, params.select_by)
    # Rare classes are learnt last: where the last epoch was the best, more of them come first.
    unfinished = best is not None and best.epoch == params.epochs and not stuck
    remedy = f"finetune.epochs: {2 * params.epochs}" if unfinished else "finetune.class_weights: balanced"
    missed = _never_predicted(targets, predicted, classes, remedy)
    return [each for each in (trend, missed) if each]


def _is_stuck(losses: Sequence[float], params: Resolved, rate_is_auto: bool) -> str | None:
    steps = len(losses)
    first = fmean(losses[: min(max(steps // 10, 1), FIRST_STEPS)])
    last = fmean(losses[-max(steps // 10, 1) :])
    if steps < 10 or last < FELL * first:
        return None
    rate = f"{params.learning_rate / 4:g}" if rate_is_auto else "auto"
    remedy = f"set finetune.learning_rate: {rate}, or check the labels"
    if steps < FEW_STEPS and params.batch_size > LARGE_BATCH:
        remedy = f"set finetune.batch_size: {max(params.batch_size // 8, LARGE_BATCH)}"
    return (
        f"the training loss did not fall in {steps:,} steps ({first:.3g} in the first, {last:.3g} in the "
        f"last): {remedy}"
    )


def _still_rises(epochs: Sequence[Epoch], rows: int, params: Resolved) -> str | None:
    """Compare the last quarter of the epochs with those before, unless patience stopped the training."""
    if len(epochs) < max(params.epochs, 2):
        return None
    before, late = _split(epochs, 3 * len(epochs) // 4)
    reached, score = max(map(_accuracy, before)), max(map(_accuracy, late))
    falls = min(map(_loss, late)) < min(map(_loss, before))
    if not falls or score - reached < 2 * _standard_error(reached, rows):
        return None
    return (
        f"validation was still rising at the end (accuracy {reached:.3f} up to epoch {len(before)}, "
        f"{score:.3f} after it), so more epochs would help: set finetune.epochs: {2 * len(epochs)}"
    )


def _overfits(epochs: Sequence[Epoch], rows: int) -> str | None:
    """Look for a validation loss that rises from the first half on, with no accuracy gained after it."""
    lowest = min(epochs, key=_loss)
    early, late = _split(epochs, lowest.epoch)
    if not late or lowest.epoch > len(epochs) / 2:
        return None
    rose = _loss(epochs[-1]) > ROSE * _loss(lowest) and epochs[-1].train_loss < lowest.train_loss
    gained = max(map(_accuracy, late)) - max(map(_accuracy, early))
    if not rose or gained >= _standard_error(_accuracy(lowest), rows):
        return None
    fewer = min(lowest.epoch + 1, len(epochs) - 1)
    return (
        f"the training overfits: the validation loss rose from {_loss(lowest):.3g} after epoch "
        f"{lowest.epoch} to {_loss(epochs[-1]):.3g}, and accuracy gained nothing: "
        f"set finetune.epochs: {fewer}"
    )


def _never_predicted(targets: Targets, predicted: Targets, classes: Sequence[str], remedy: str) -> str | None:
    counts = count_by_class(targets, predicted, len(classes))
    missed: list[int] = np.flatnonzero((counts.predicted == 0) & (counts.actual >= FEW_ROWS)).tolist()
    if not missed:
        return None
    largest = sorted(missed, key=lambda each: -counts.actual[each])
    named = ", ".join(f"{classes[each]} ({counts.actual[each]} rows)" for each in largest[:NAMED])
    more = f" and {len(missed) - NAMED} more" if len(missed) > NAMED else ""
    return f"never predicted on validation: {named}{more}: set {remedy}, or add rows of these classes"


def _split(epochs: Sequence[Epoch], after: int) -> tuple[Sequence[Epoch], Sequence[Epoch]]:
    return epochs[:after], epochs[after:]


def _accuracy(epoch: Epoch) -> float:
    return epoch.scores["accuracy"]


def _loss(epoch: Epoch) -> float:
    return epoch.scores["loss"]


def _standard_error(accuracy: float, rows: int) -> float:
    """Return the standard error of an accuracy on so many rows, and that of one wrong row at least."""
    return math.sqrt(max(accuracy * (1 - accuracy), 1 / rows) / rows)
