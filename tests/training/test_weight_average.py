"""The averaged weights: what is validated, previewed and saved; the others are trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from pixelwise.models.files import load_model
from pixelwise.runs import RunFolder
from pixelwise.summaries import read_epochs
from pixelwise.training.fit import fit
from pixelwise.training.setup import prepare
from pixelwise.training.state import TrainingState
from pixelwise.training.validation import validate
from pixelwise.training.weight_average import WeightAverage
from tests.training.conftest import create_config, read_state


def create_network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def set_all(network: nn.Module, value: float) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(value)


def test_the_average_follows_its_formula() -> None:
    network, expected = create_network(), 0.0
    set_all(network, 0.0)
    average = WeightAverage(network, 0.9)
    for step in range(200):
        value = float(step % 7)
        set_all(network, value)
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    weights = average.join(dict(network.state_dict()))
    torch.testing.assert_close(weights["0.weight"], torch.full((2, 1, 3, 3), expected))
    assert weights["1.num_batches_tracked"] == 0


def test_it_is_applied_for_a_while() -> None:
    network = create_network()
    set_all(network, 2.0)
    average = WeightAverage(network, 0.5)
    set_all(network, 4.0)
    places = [parameter.data_ptr() for parameter in network.parameters()]
    with pytest.raises(KeyError), average.applied():
        assert all((parameter == 2).all() for parameter in network.parameters())
        raise KeyError
    assert all((parameter == 4).all() for parameter in network.parameters())
    assert [parameter.data_ptr() for parameter in network.parameters()] == places


def test_frozen_weights_are_not_copied() -> None:
    network = create_network()
    network[0].requires_grad_(False)
    assert "0.weight" not in WeightAverage(network, 0.5).state_dict()


def test_without_an_average_the_network_is_its_own() -> None:
    network = create_network()
    average = WeightAverage(network, 0.0)
    set_all(network, 3.0)
    average.update(0)
    with average.applied():
        assert all((parameter == 3).all() for parameter in network.parameters())
    state = dict(network.state_dict())
    assert average.join(state) == state
    assert average.state_dict() == {}


def test_the_saved_model_has_the_scores_of_its_epoch(discs: Path, tmp_path: Path) -> None:
    training = {"epochs": 3, "monitor": "last", "weight_average": 0.9}
    config = create_config(discs, tmp_path / "run", training=training)
    list(fit(config))
    parts = read_state(config.run)["parts"]
    model, raw, name = load_model(RunFolder(config.run).model), parts["network"], "head.weight"
    saved = model.network.state_dict()
    torch.testing.assert_close(saved[name], parts["average"][name], rtol=0, atol=0)
    assert not torch.allclose(saved[name], raw[name])
    state = TrainingState(prepare(config))
    state.setup.network.load_state_dict(saved)
    state.average.switch_off()
    validation = validate(state)
    assert validation is not None
    assert validation.loss == pytest.approx(read_epochs(RunFolder(config.run))[-1].validation_loss)
