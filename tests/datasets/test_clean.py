from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from pixelwise.datasets import inspect_dataset, load_dataset
from pixelwise.errors import DataError
from tests.disks import disks, write_set


def byte(mask: np.ndarray, value: int = 255) -> np.ndarray:
    return (mask * value).astype(np.uint8)


def soften(mask: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(byte(mask)).filter(ImageFilter.GaussianBlur(2)))


@pytest.mark.parametrize("suffix", [".jpg", ".png"], ids=["lossy", "soft"])
def test_greys_of_edges_are_no_objects(tmp_path: Path, suffix: str) -> None:
    def draw(_: int, mask: np.ndarray) -> np.ndarray:
        return byte(mask) if suffix == ".jpg" else soften(mask)

    root = write_set(tmp_path, draw, suffix=suffix)
    with pytest.raises(DataError, match=r"not clean.*0-127=background,128-255=object") as caught:
        load_dataset(root, classes="instances")
    advice = str(caught.value).rpartition("--classes ")[2].rstrip(".")
    share = inspect_dataset(load_dataset(root, classes=advice)).classes[1].share
    true = np.mean([disks(seed).mean() for seed in range(6)])
    assert share == pytest.approx(true, rel=0.1)  # smoothing rounds small disks


def test_numbers_and_whites_are_objects(tmp_path: Path) -> None:
    root = write_set(tmp_path, lambda seed, mask: byte(mask, 255 if seed % 2 else 7))
    assert load_dataset(root, classes="instances").classes[1].name == "object"


@pytest.mark.parametrize("soft", [False, True])
def test_masks_of_single_objects(tmp_path: Path, soft: bool) -> None:
    for seed in range(2):
        name, mask = f"n{seed}", disks(seed)
        for folder in ("images", "masks"):
            (tmp_path / name / folder).mkdir(parents=True)
        Image.fromarray(byte(mask, 200)).save(tmp_path / name / "images" / f"{name}.png")
        drawn = soften(mask) if soft else byte(mask)
        Image.fromarray(drawn).save(tmp_path / name / "masks" / "0.png")
    found = inspect_dataset(load_dataset(tmp_path, "dsb2018"))
    assert found.sound is not soft
    assert ("greys between 0 and" in found.text()) is soft


def test_one_file_that_numbers_the_objects_of_an_image(tmp_path: Path) -> None:
    numbered = np.zeros((40, 40), np.uint8)
    for number in range(1, 5):
        numbered[8 * number : 8 * number + 5, 5:20] = number
    for folder, pixels in (("images", numbered * 40), ("masks", numbered)):
        (tmp_path / "n" / folder).mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / "n" / folder / "n.png")
    (sample,) = load_dataset(tmp_path, "dsb2018").samples
    assert np.array_equal(sample.read_mask()[0], numbered > 0)
