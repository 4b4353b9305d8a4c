from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pixelwise.cards import ENSEMBLE
from pixelwise.errors import ConfigError, ModelFileError
from pixelwise.models.ensemble import Ensemble, create_ensemble
from pixelwise.models.files import create_network, load_model, save_model
from pixelwise.models.registry import create_model
from tests.prediction.conftest import create_card

TINY = {"base_channels": 4, "depth": 2}
MEMBERS = [
    {"architecture": "unet", "encoder": None, "options": TINY},
    {"architecture": "r2unet", "encoder": None, "options": TINY | {"depth": 3}},
]


def test_probabilities_are_averaged_whatever_the_sizes_of_the_networks() -> None:
    members = [create_model(str(m["architecture"]), 3, classes=4, **m["options"]) for m in MEMBERS]  # type: ignore[arg-type]
    ensemble = Ensemble(members).eval()
    assert ensemble.stride == max(member.stride for member in members)
    image = torch.randn(2, 3, 45, 51)
    ensemble.factors[1], ensemble.shifts[1] = 2.0, 0.5
    with torch.inference_mode():
        found = ensemble(image).softmax(dim=1)
        one, other = members[0](image), members[1](image * 2 + 0.5)
    torch.testing.assert_close(found, (one.softmax(dim=1) + other.softmax(dim=1)) / 2)


def test_a_certain_network_stays_certain() -> None:
    members = [create_model("unet", 1, classes=2, **TINY) for _ in range(2)]
    ensemble = Ensemble(members).eval()
    for member in members:
        head = [module for module in member.modules() if isinstance(module, torch.nn.Conv2d)][-1]
        head.weight.data.zero_()
        head.bias.data = torch.tensor([1000.0, -1000.0])  # type: ignore[union-attr]
    with torch.inference_mode():
        found = ensemble(torch.randn(1, 1, 32, 32)).softmax(dim=1)
    assert (found[:, 0] == 1).all()


def test_an_ensemble_is_one_model_file(tmp_path: Path) -> None:
    card = create_card(1, dtype="uint8").model_copy(
        update={"architecture": ENSEMBLE, "encoder": None, "options": {"members": MEMBERS}}
    )
    network = create_network(card).eval()
    save_model(tmp_path / "e.safetensors", network.state_dict(), card)
    loaded = load_model(tmp_path / "e.safetensors")
    image = torch.randn(1, 1, 40, 40)
    with torch.inference_mode():
        assert torch.equal(loaded.network(image), network(image))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"members": MEMBERS[:1]},
        {"members": MEMBERS * 60},
        {"members": [{"architecture": ENSEMBLE, "options": {"members": MEMBERS}}] * 2},
        {"members": "unet"},
        {"members": MEMBERS, "depth": 2},
    ],
)
def test_a_card_that_lists_no_ensemble_is_refused(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        create_ensemble(1, classes=2, options=options)
    card = create_card(1, dtype="uint8")
    weights = create_network(card).state_dict()
    wrong = card.model_copy(update={"architecture": ENSEMBLE, "options": options})
    save_model(tmp_path / "e.safetensors", weights, wrong)
    with pytest.raises(ModelFileError, match=r"cannot be (built|read)"):
        load_model(tmp_path / "e.safetensors")
