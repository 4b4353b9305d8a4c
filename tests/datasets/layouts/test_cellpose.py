from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pixelwise.datasets import Dataset, inspect_dataset, load_dataset
from pixelwise.datasets.layouts.cellpose import recognise
from pixelwise.errors import DataError
from pixelwise.images import write_picture, write_tiff


def paint(*paths: Path, value: int = 0) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((8, 12), value, np.uint8)
        pixels[:, :4] = 0
        if path.suffix == ".tif":
            write_tiff(path, pixels.astype(np.uint16), axes="YX")
        else:
            write_picture(path, pixels)


def test_an_export_holds_what_went_in(
    exports: Path, require_truth: Callable[[Dataset, str], None]
) -> None:
    data = load_dataset(exports / "cellpose")
    assert data.layout == "cellpose"
    assert [item.name for item in data.classes] == ["background", "object"]
    require_truth(data, "cellpose")
    inspection = inspect_dataset(data)
    assert inspection.sound
    assert round(inspection.classes[1].share, 3) == 0.08


@pytest.mark.parametrize(
    ("image", "mask", "others"),
    [
        ("a.png", "a_cp_masks.png", []),
        ("a.tif", "a_cp_masks.tif", ["a_seg.npy"]),
        ("a.png", "masks/a_cp_masks.png", []),
        ("train/a.png", "train/a_cp_masks.png", []),
        ("a_img.tif", "a_masks.tif", ["a_flows.tif"]),
        ("a.tif", "a_masks.tif", ["a_flows.tif", "a_cp_outlines.txt"]),
        ("a_img.png", "a_img_cp_masks.png", []),
    ],
)
def test_arrangements(tmp_path: Path, image: str, mask: str, others: list[str]) -> None:
    paint(tmp_path / image)
    paint(tmp_path / mask, value=7)
    for other in others:
        if other.endswith(".tif"):
            paint(tmp_path / other)
        else:
            (tmp_path / other).write_bytes(b"x")
    data = load_dataset(tmp_path)
    assert data.layout == "cellpose"
    assert [(s.image_path, s.mask_path) for s in data.samples] == [
        (tmp_path / image, tmp_path / mask)
    ]
    assert data.samples[0].split == ("train" if "train" in image else None)
    assert data.samples[0].read_mask().sum() == 64
    assert not data.problems


def test_names_that_others_give_too_are_left_to_pairs(tmp_path: Path) -> None:
    paint(tmp_path / "a.tif", tmp_path / "a_masks.tif")
    assert recognise(tmp_path) is None


def test_a_pickle_is_refused_with_what_to_save_instead(tmp_path: Path) -> None:
    paint(tmp_path / "a.png")
    np.save(tmp_path / "a_seg.npy", np.array({"masks": 1}, object), allow_pickle=True)
    with pytest.raises(DataError, match=r"a_seg\.npy.*File > Save masks as PNG/(?i:tif)"):
        load_dataset(tmp_path)
    paint(tmp_path / "b.png")
    paint(tmp_path / "b_cp_masks.png", value=1)
    data = load_dataset(tmp_path)
    assert [s.name for s in data.samples] == ["b"]
    assert "a_seg.npy is a pickle" in str(data.problems[0])
    assert "Save masks as PNG/TIF" in str(data.problems[0])


def test_two_masks_of_one_image_are_refused(tmp_path: Path) -> None:
    paint(tmp_path / "a.png", tmp_path / "a_cp_masks.png", tmp_path / "a_cp_masks.tif")
    with pytest.raises(DataError, match="are both masks of a: expected one"):
        load_dataset(tmp_path)


def test_what_is_left_over_is_said(tmp_path: Path) -> None:
    paint(tmp_path / "a.png", tmp_path / "b.png")
    paint(tmp_path / "a_cp_masks.png", tmp_path / "c_cp_masks.png", value=1)
    text = "\n".join(map(str, load_dataset(tmp_path).problems))
    assert "b.png has no mask such as b_cp_masks.png; left out" in text
    assert "c_cp_masks.png has no image of its name; left out" in text


def test_the_users_folders_come_first(tmp_path: Path) -> None:
    paint(tmp_path / "raw" / "a.png")
    paint(tmp_path / "corrected" / "a_cp_masks.png", value=1)
    data = load_dataset(tmp_path, layout="cellpose", images="raw", masks="corrected")
    assert len(data.samples) == 1
