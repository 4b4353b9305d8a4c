"""The preset "auto": by the colours of most images, and by the layout of street scenes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pixelwise.config import AugmentationConfig
from pixelwise.events import RunStarted
from pixelwise.patches.decoded_images import DecodedImage
from pixelwise.samples import load_samples
from pixelwise.training.augmentation_choice import choose_augmentation
from pixelwise.training.fit import fit
from tests.training.conftest import create_config, write_discs

RNG = np.random.default_rng(1)
MASK = np.zeros((96, 80), np.uint8)


def create_noise(low: int, high: int, channels: int) -> np.ndarray:
    return RNG.integers(low, high, (channels, *MASK.shape))


def tissue(white: int = 255) -> np.ndarray:
    """Light background, and purple and pink in half of the pixels."""
    image = np.full((3, *MASK.shape), 0.95)
    image[:, :, :40] = np.array([0.5, 0.2, 0.6])[:, None, None]
    image[:, :, 40:60] = np.array([0.9, 0.5, 0.7])[:, None, None]
    return (image * white).astype(np.uint8 if white == 255 else np.uint16)


def grey() -> np.ndarray:
    return np.repeat(create_noise(0, 90, 1), 3, axis=0).astype(np.uint8)


def fluorescence(*channels: int) -> np.ndarray:
    """Discs in some channels on black, as programs export stains in colour."""
    rows, columns = np.mgrid[:96, :80]
    disc = (rows - 48) ** 2 + (columns - 40) ** 2 < 900
    image = np.zeros((3, *MASK.shape), np.uint8)
    for channel in channels:
        image[channel] = disc * 200 + RNG.poisson(4, MASK.shape)
    return image


def colours() -> np.ndarray:
    return create_noise(0, 256, 3).astype(np.uint8)


def choose(images: list[np.ndarray], *, layout: str = "pairs", white: float = 255.0) -> str:
    decoded = [DecodedImage(str(i), image, MASK) for i, image in enumerate(images)]
    config = AugmentationConfig(preset="auto", blur=3.0)
    chosen, reason = choose_augmentation(config, decoded, layout=layout, white=white)
    assert reason
    assert chosen.blur == 3.0
    return chosen.preset


@pytest.mark.parametrize(
    ("create", "preset"),
    [
        (tissue, "histology"),
        (grey, "microscopy"),
        (colours, "microscopy"),
        (lambda: grey()[:1], "microscopy"),
        (lambda: create_noise(0, 200, 5).astype(np.uint8), "microscopy"),
        (lambda: fluorescence(2), "microscopy"),
        (lambda: fluorescence(0, 2), "microscopy"),
        (lambda: np.zeros((3, 96, 80), np.uint8), "microscopy"),
        (lambda: np.full((3, 96, 80), 255, np.uint8), "microscopy"),
    ],
    ids=[
        "tissue",
        "grey",
        "colours",
        "one channel",
        "five channels",
        "blue",
        "magenta",
        "black",
        "white",
    ],
)
def test_by_colours(create: Callable[[], np.ndarray], preset: str) -> None:
    assert choose([create()]) == preset
    assert choose([create()], layout="camvid") == "natural"


def test_of_most_images() -> None:
    assert choose([grey(), tissue(), tissue()]) == "histology"
    assert choose([grey(), grey(), tissue()]) == "microscopy"


def test_white_is_that_of_the_images() -> None:
    assert choose([tissue(4095)], white=4095) == "histology"


def test_one_that_was_asked_for_stays() -> None:
    config = AugmentationConfig(preset="flips")
    decoded = [DecodedImage("a", tissue(), MASK)]
    assert choose_augmentation(config, decoded, layout="pairs", white=255) == (config, "")


def test_real_images() -> None:
    images = [sample.image.transpose(2, 0, 1) for sample in load_samples()]
    assert {choose([image]) for image in images if image.mean() < 50} == {"microscopy"}
    assert {choose([image]) for image in images if image.mean() > 120} == {"histology"}


def test_a_training_says_what_was_chosen_and_why(tmp_path: Path) -> None:
    data = write_discs(tmp_path / "data")
    for preset, said in (("auto", "microscopy (the images are grey"), ("flips", "flips (asked")):
        config = create_config(data, tmp_path / preset, augmentation={"preset": preset})
        events = fit(config)
        started = next(event for event in events if isinstance(event, RunStarted))
        events.close()
        assert started.augmentation.startswith(said)
