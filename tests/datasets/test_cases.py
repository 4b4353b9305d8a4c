"""Folders and names that misled other programs, found in their public bug reports.

The six masks of disks hold 5221 of 55,296 pixels. Each kind is tried as it was reported and in
variants of its own.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from pixelwise.datasets import Dataset, inspect_dataset, load_dataset
from pixelwise.errors import DataError

Array = npt.NDArray[Any]
SHARE = 5221 / 55_296


def draw_disks(seed: int, count: int = 6, size: int = 96) -> npt.NDArray[np.bool_]:
    rng = np.random.default_rng(seed)
    mask = np.zeros((size, size), bool)
    rows, columns = np.mgrid[:size, :size]
    for _ in range(count):
        y, x = rng.integers(4, size - 4), rng.integers(4, size - 4)
        mask |= (rows - y) ** 2 + (columns - x) ** 2 < rng.integers(4, 11) ** 2
    return mask


def draw_image(mask: npt.NDArray[np.bool_], seed: int) -> npt.NDArray[np.uint8]:
    noise = np.random.default_rng(seed + 100).normal(0, 15, mask.shape)
    return np.clip(60 + 100 * mask + noise, 0, 255).astype(np.uint8)


def save(path: Path, pixels: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".tif", ".tiff"):
        tifffile.imwrite(path, pixels)
    else:
        Image.fromarray(pixels).save(path)


def fill(root: Path, image: str, mask: str, *, count: int = 6, high: int = 255) -> None:
    """Write images and masks of disks under names that hold their number as {}."""
    for i in range(count):
        disks = draw_disks(i)
        save(root / image.format(i), draw_image(disks, i))
        save(root / mask.format(i), (disks * high).astype(np.uint8))


def measure(data: Dataset) -> tuple[int, float]:
    """Count the pairs, and measure the share of foreground."""
    found = inspect_dataset(data)
    assert found.sound, found.text()
    return found.images, found.classes[1].share


@pytest.mark.parametrize(
    ("image", "mask", "fields"),
    [
        ("img_{}.tif", "img_{}_masks.tif", {}),
        ("img_{}.tif", "img_{}_masks.tif", {"mask_suffix": "_masks"}),
        ("img_{}.tif", "img_{}_masks.tif", {"images": ".", "masks": ".", "mask_suffix": "_masks"}),
        ("images/img_{}.png", "masks/img_{}_mask.png", {}),
        ("IMG_000{}.png", "IMG_000{}_mask.png", {}),
        ("raw {}.tif", "raw {} Mask.tif", {}),
        ("scan{}.png", "scan{}.png_LABEL.png", {"mask_suffix": ".png_label"}),
        ("x/well_0{}_img.png", "y/segmentation-well-{}.png", {}),
    ],
)
def test_a_suffix_for_masks_and_a_word_for_images(
    tmp_path: Path, image: str, mask: str, fields: dict[str, str]
) -> None:
    fill(tmp_path, image, mask)
    assert measure(load_dataset(tmp_path, **fields)) == (6, pytest.approx(SHARE))


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("JPEGImages", "SegmentationClass"),
        ("train_images", "train_masks"),
        ("photos", "drawn"),
        ("imagesTr", "labelsTr"),
        ("a/b", "c d"),
        ("results", "predictions"),
    ],
)
@pytest.mark.parametrize("layout", ["auto", "pairs"])
def test_folders_that_are_named(tmp_path: Path, images: str, masks: str, layout: str) -> None:
    fill(tmp_path, images + "/{}.png", masks + "/{}.png", high=1)
    data = load_dataset(tmp_path, layout, images=images, masks=masks)
    assert measure(data) == (6, pytest.approx(SHARE))


def test_labels_as_text_beside_masks(tmp_path: Path) -> None:
    fill(tmp_path, "images/{}.png", "masks/{}.png")
    for folder, name in (("labels", "0.txt"), ("annotations", "instances_default.json")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text("{}")
    assert measure(load_dataset(tmp_path)) == (6, pytest.approx(SHARE))


@pytest.mark.parametrize("second", ["mask/{}_training_mask.png", "masks2/{}.png", "gt/{}.png"])
def test_two_folders_of_masks_are_refused_with_both_names(tmp_path: Path, second: str) -> None:
    fill(tmp_path, "images/{}_training.tif", "1st_manual/{}_manual1.png")
    for i in range(6):
        save(tmp_path / second.format(i), np.full((96, 96), 255, np.uint8))
    with pytest.raises(DataError) as caught:
        load_dataset(tmp_path)
    assert "1st_manual/" in str(caught.value)
    assert f"{second.partition('/')[0]}/" in str(caught.value)
    data = load_dataset(tmp_path, masks="1st_manual")
    assert measure(data) == (6, pytest.approx(SHARE))


def test_names_that_differ_in_letter_case_alone(tmp_path: Path) -> None:
    for letter, first in (("A", 0), ("a", 10)):
        for i in range(3):
            disks = draw_disks(first + i)
            save(tmp_path / f"images/P1_{letter}{i}.png", draw_image(disks, i))
            save(tmp_path / f"masks/P1_{letter}{i}_mask.png", (disks * 255).astype(np.uint8))
    samples = load_dataset(tmp_path).samples
    assert len(samples) == 6
    for sample in samples:
        assert sample.mask_path.stem == f"{sample.image_path.stem}_mask"


@pytest.mark.parametrize(
    ("image", "mask"),
    [("IMAGE_{}.PNG", "image_{}_mask.png"), ("a/Scan{}.png", "a/scan{}_MASK.png")],
)
def test_letter_case_is_ignored_where_it_tells_nothing(
    tmp_path: Path, image: str, mask: str
) -> None:
    fill(tmp_path, image, mask)
    assert measure(load_dataset(tmp_path)) == (6, pytest.approx(SHARE))


@pytest.mark.parametrize(("one", "other"), [("NFC", "NFD"), ("NFD", "NFC")])
@pytest.mark.parametrize("name", ["\u00fcber{}", "caf\u00e9 {}"])
def test_normal_forms(tmp_path: Path, name: str, one: Any, other: Any) -> None:
    image, mask = unicodedata.normalize(one, name), unicodedata.normalize(other, name)
    fill(tmp_path, f"images/{image}.png", f"masks/{mask}.png")
    assert measure(load_dataset(tmp_path)) == (6, pytest.approx(SHARE))


@pytest.mark.parametrize("image", ["{}.ome.tif", "{}.OME.tiff"])
@pytest.mark.parametrize("mask", ["{}.tif", "{}_mask.png", "{}.ome.tif"])
def test_names_of_ome_tiffs(tmp_path: Path, image: str, mask: str) -> None:
    fill(tmp_path, f"images/{image}", f"masks/{mask}")
    assert measure(load_dataset(tmp_path)) == (6, pytest.approx(SHARE))


@pytest.mark.parametrize(
    ("first", "second"),
    [("({})_mask", "({})_mask_1"), ("({})_mask_1", "({})_mask_2"), ("({})-gt", "({})-gt2")],
)
def test_two_masks_of_one_image_are_joined(tmp_path: Path, first: str, second: str) -> None:
    total = 0
    for i in range(6):
        one = draw_disks(i)
        other = draw_disks(300 + i, 2) & ~one
        save(tmp_path / f"benign ({i}).png", draw_image(one | other, i))
        save(tmp_path / f"benign {first.format(i)}.png", (one * 255).astype(np.uint8))
        if i in (1, 2) or first.endswith("1"):
            save(tmp_path / f"benign {second.format(i)}.png", (other * 255).astype(np.uint8))
            one = one | other
        total += int(one.sum())
    data = load_dataset(tmp_path)
    assert measure(data) == (6, pytest.approx(total / 55_296))
    assert any("joined" in str(problem) for problem in data.problems)


def test_two_masks_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, "{}.png", "{}_mask.png", count=2)
    disks = draw_disks(1)
    save(tmp_path / "1_mask_1.png", (disks * 128).astype(np.uint8))
    found = inspect_dataset(load_dataset(tmp_path, strict=False, classes="0=a,128=b,255=c"))
    assert not found.sound
    assert "1_mask_1.png and" in found.text()


def test_masks_of_one_image_that_are_stored_differently_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, "{}.png", "{}_mask.png", count=2)
    save(tmp_path / "1_mask_1.png", draw_disks(9).astype(np.uint8) & ~draw_disks(1))
    found = inspect_dataset(load_dataset(tmp_path, strict=False))
    assert not found.sound
    assert "one uses 1 and the other 255" in found.text()


def test_masks_of_nothing_but_foreground_teach_nothing(tmp_path: Path) -> None:
    fill(tmp_path, "images/{}.png", "masks/{}.png")
    for i in range(6):
        save(tmp_path / f"masks/{i}.png", np.full((96, 96), 255, np.uint8))
    found = inspect_dataset(load_dataset(tmp_path))
    assert not found.sound
    assert "all masks hold only one class, foreground" in found.text()
