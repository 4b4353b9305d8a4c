from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import get_args

import numpy as np
import pytest
import torch

from pixelwise.config import OptimizerName, ScheduleName, TrainingConfig
from pixelwise.training.optimizers import Schedule, create_optimizer

STEPS = 10


def rates(**fields: object) -> np.ndarray:
    config = TrainingConfig(learning_rate=1e-2, min_learning_rate=1e-4, **fields)
    schedule = Schedule(config, STEPS)
    return np.array([schedule.rate(step) for step in range(config.epochs * STEPS)])


@pytest.mark.parametrize("name", get_args(ScheduleName))
def test_rates_stay_between_their_bounds(name: str) -> None:
    values = rates(schedule=name, epochs=20)
    assert (values >= 1e-4 * 0.999).all()
    assert (values <= 1e-2 * 1.001).all()


def test_constant() -> None:
    assert (rates(schedule="constant", epochs=3) == 1e-2).all()


def test_cosine_warms_up_then_falls_to_the_lowest() -> None:
    values = rates(schedule="cosine", epochs=20, warmup_epochs=2)
    peak = int(values.argmax())
    assert peak == 2 * STEPS
    assert (np.diff(values[: peak + 1]) > 0).all()
    assert (np.diff(values[peak:]) < 0).all()
    assert values[-1] < 2e-4


def test_cosine_equals_torch() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1e-2)
    oracle = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20 * STEPS, eta_min=1e-4)
    for value in rates(schedule="cosine", epochs=20, warmup_epochs=0):
        assert value == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        oracle.step()


def test_cyclic_is_a_triangle_as_in_the_published_system() -> None:
    values = rates(schedule="cyclic", epochs=8, cycle_epochs=4)
    assert values[0] == pytest.approx(1e-4)
    assert values[2 * STEPS] == pytest.approx(1e-2)
    np.testing.assert_allclose(values[: 4 * STEPS], values[4 * STEPS :])


def test_one_cycle_rises_for_a_third_and_ends_low() -> None:
    values = rates(schedule="one_cycle", epochs=20)
    assert int(values.argmax()) == pytest.approx(0.3 * 20 * STEPS, abs=1)
    assert values[-1] < values[0] < 1e-3


def test_plateau_follows_its_factor_down_to_the_lowest() -> None:
    schedule = Schedule(
        TrainingConfig(schedule="plateau", learning_rate=1e-2, min_learning_rate=1e-4), STEPS
    )
    assert [schedule.rate(5, factor=f) for f in (1, 0.1, 0.001)] == pytest.approx(
        [1e-2, 1e-3, 1e-4]
    )


@pytest.mark.parametrize("name", get_args(OptimizerName))
def test_every_optimizer_goes_downhill_and_leaves_frozen_weights(name: str) -> None:
    moving, frozen = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(3))
    frozen.requires_grad_(requires_grad=False)
    optimizer = create_optimizer([moving, frozen], TrainingConfig(optimizer=name))
    for _ in range(5):
        optimizer.zero_grad()
        (moving**2).sum().backward()
        optimizer.step()
    assert (moving < 1).all()
    assert (frozen == 1).all()
    assert optimizer.param_groups[0]["params"] == [moving]


@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("adamw", torch.optim.AdamW),
        ("adam", torch.optim.Adam),
        ("sgd", partial(torch.optim.SGD, momentum=0.9, nesterov=True)),
    ],
    ids=["adamw", "adam", "sgd"],
)
def test_the_state_is_there_at_once_and_is_what_torch_makes(
    name: str, oracle: Callable[..., torch.optim.Optimizer]
) -> None:
    config = TrainingConfig(optimizer=name, weight_decay=0.1)
    torch.manual_seed(0)
    first = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    ours, theirs = (torch.nn.Parameter(first.clone()) for _ in range(2))
    optimizer = create_optimizer([ours], config)
    other = oracle([theirs], lr=config.learning_rate, weight_decay=0.1, fused=True)
    created = {key: value.clone() for key, value in optimizer.state[ours].items()}
    for _ in range(3):
        for parameter, moving in ((ours, optimizer), (theirs, other)):
            parameter.grad = parameter.detach().sin()
            moving.step()
        assert torch.equal(ours, theirs)
    assert created.keys() == other.state[theirs].keys()
    for key, value in other.state[theirs].items():
        assert torch.equal(optimizer.state[ours][key], value)
        assert not created[key].any()
        assert created[key].dtype == value.dtype
        assert created[key].stride() == value.stride()
