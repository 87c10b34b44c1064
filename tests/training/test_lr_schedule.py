from collections.abc import Callable
from itertools import pairwise
from math import cos, pi

import pytest
import torch
from transformers import (
    get_cosine_schedule_with_warmup,
    get_inverse_sqrt_schedule,
    get_linear_schedule_with_warmup,
)

from bertline.params.finetune import Params
from bertline.training.lr_schedule import learning_rate

MakeParams = Callable[..., Params]
SCHEDULES = ["linear", "cosine", "inverse_sqrt", "constant"]


def rates(params: Params, steps: int = 100) -> list[float]:
    return [learning_rate(step, steps, params) for step in range(1, steps + 1)]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_rate_rises_evenly_to_its_peak_and_never_again(params: MakeParams, schedule: str) -> None:
    found = rates(params(schedule=schedule, warmup=0.1, learning_rate=0.5))
    assert found[:10] == pytest.approx([i / 20 for i in range(1, 11)])
    assert found[10] == max(found) == 0.5
    assert all(later <= earlier for earlier, later in pairwise(found[10:]))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 3, 100])
@pytest.mark.parametrize("warmup", [0.0, 0.4, 0.99])
def test_every_step_of_every_length_moves_the_weights(
    params: MakeParams, schedule: str, steps: int, warmup: float
) -> None:
    found = rates(params(schedule=schedule, warmup=warmup, learning_rate=0.5), steps)
    assert all(0 < rate <= 0.5 for rate in found)
    assert max(found) == 0.5


@pytest.mark.parametrize(
    ("schedule", "last"),
    [
        ("linear", 1 / 90),
        ("cosine", (1 - cos(pi / 90)) / 2),
        ("inverse_sqrt", (10 / 99) ** 0.5),
        ("constant", 1),
    ],
)
def test_where_a_schedule_ends(params: MakeParams, schedule: str, last: float) -> None:
    assert rates(params(schedule=schedule, warmup=0.1, learning_rate=1.0))[-1] == pytest.approx(last)


@pytest.mark.parametrize(
    ("schedule", "theirs"),
    [
        ("linear", lambda it: get_linear_schedule_with_warmup(it, 10, 100)),
        ("cosine", lambda it: get_cosine_schedule_with_warmup(it, 10, 100)),
        ("inverse_sqrt", lambda it: get_inverse_sqrt_schedule(it, 10)),
    ],
)
def test_after_the_warm_up_the_rates_are_those_of_transformers(
    params: MakeParams, schedule: str, theirs: Callable[..., torch.optim.lr_scheduler.LRScheduler]
) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = theirs(optimizer)
    expected = []
    for _ in range(100):
        expected.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    ours = rates(params(schedule=schedule, warmup=0.1, learning_rate=1.0))
    assert ours[10:] == pytest.approx(expected[10:])  # theirs starts the warm-up at 0, so wastes a step
