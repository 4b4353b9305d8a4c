from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.cards import read_card
from pixelwise.classes import create_classes
from pixelwise.comparison.ensemble import join_models
from pixelwise.errors import DataError
from pixelwise.models.files import create_network, load_model, save_model
from pixelwise.normalization import create_fixed
from pixelwise.prediction.predict import predict
from tests.prediction.conftest import create_card


def write_models(folder: Path, *changes: dict[str, Any]) -> list[Path]:
    """Write models of random weights, whose cards are changed."""
    files = []
    for number, change in enumerate(changes):
        card = create_card(1, dtype="uint8").model_copy(update=change)
        files.append(folder / f"{number}.safetensors")
        save_model(files[-1], create_network(card).state_dict(), card)
    return files


def test_its_probabilities_are_the_mean_of_its_members_own(tmp_path: Path) -> None:
    fixed = [create_fixed(np.array([m]), np.array([s]), "x") for m, s in ((90, 40), (120, 25))]
    files = write_models(tmp_path, *({"normalization": one} for one in fixed))
    joined = join_models(files)
    save_model(tmp_path / "e.safetensors", joined.network.state_dict(), joined.card)
    image = np.random.default_rng(0).integers(0, 255, (90, 75), np.uint8)
    settings: dict[str, Any] = {"probabilities": True, "device": "cpu", "precision": "fp32"}
    found = predict(tmp_path / "e.safetensors", image, **settings)
    each = [predict(file, image, **settings) for file in files]
    assert np.abs(each[0] - each[1]).max() > 0.01, "the members differ"
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=2e-5)


def test_the_card_says_what_all_were_trained_on(tmp_path: Path) -> None:
    files = write_models(tmp_path, {"intensities": (3.0, 200.0)}, {"intensities": (0.0, 180.0)})
    card = join_models(files).card
    assert card.intensities == (0.0, 200.0)
    assert len(card.options["members"]) == 2
    assert card.options["members"][0]["architecture"] == read_card(files[0]).architecture
    assert load_model(files[0]).card.class_names == card.class_names


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"classes": create_classes(["background", "wall"])}, "their classes differ"),
        ({"background": None}, "their background differ"),
        ({"dtype": "uint16"}, "their dtype of the images differ"),
        ({"resize": (64, 64)}, "their size that images are resized to differ"),
        (
            {"normalization": create_fixed(np.array([9.0]), np.array([2.0]), "mean")},
            ".* by mean",
        ),
    ],
)
def test_models_that_do_not_fit_are_refused(
    change: dict[str, Any], why: str, tmp_path: Path
) -> None:
    files = write_models(tmp_path, {}, change)
    with pytest.raises(DataError, match=f"cannot be joined: .*{why}"):
        join_models(files)
