from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pixelwise.config import TrainConfig
from pixelwise.events import EpochEnded
from pixelwise.training import loop
from pixelwise.training.determinism import choose_algorithms, restoring_torch_settings
from pixelwise.training.fit import fit, resume
from tests.training.conftest import create_config

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


@pytest.fixture(params=[True, False], ids=["strict and warned", "neither"])
def chosen(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a user has chosen for the process, beside what a training will choose."""
    with restoring_torch_settings(torch.device("cpu")):
        torch.use_deterministic_algorithms(request.param, warn_only=True)
        torch.backends.cudnn.benchmark = request.param
        yield


def read_switches() -> list[Any]:
    states = [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]
    return [
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
        *(state.tolist() for state in states),
    ]


def end(config: TrainConfig, _: pytest.MonkeyPatch) -> None:
    list(fit(config))


def fail(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(*_: object, **__: object) -> None:
        raise ValueError("no such axis")

    monkeypatch.setattr(loop, "validate", spoil)
    with pytest.raises(ValueError, match="axis"):
        list(fit(config))


def close(config: TrainConfig, _: pytest.MonkeyPatch) -> None:
    events = fit(config)
    next(event for event in events if isinstance(event, EpochEnded))
    events.close()


def go_on(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    close(config, monkeypatch)
    list(resume(config.run))


@pytest.mark.usefixtures("chosen")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("train", [end, fail, close, go_on])
def test_a_training_leaves_the_process_as_it_was(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, train: Any
) -> None:
    before = read_switches()
    train(create_config(discs, tmp_path / "run", training={"device": device}), monkeypatch)
    assert read_switches() == before


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_training_chooses_its_algorithms(deterministic: bool) -> None:
    with restoring_torch_settings(torch.device("cpu")):
        choose_algorithms(deterministic=deterministic)
        assert torch.are_deterministic_algorithms_enabled() is deterministic
        assert torch.backends.cudnn.benchmark is not deterministic


def test_a_setting_of_the_environment_goes_with_the_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    with restoring_torch_settings(torch.device("cpu")):
        choose_algorithms(deterministic=True)
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
