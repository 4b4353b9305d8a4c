from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.config import DataConfig
from pixelwise.datasets.layouts.masks import UnclearPairsError
from pixelwise.datasets.layouts.pairs import find_pairs, read
from pixelwise.errors import ReadError
from pixelwise.images import write_picture

RNG = np.random.default_rng(8)


def fill(root: Path, *names: str) -> Path:
    """Write pictures of noise, and flat ones where a name has a capital M."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        flat = np.repeat(RNG.integers(0, 2, (16, 1), np.uint8) * 255, 16, axis=1)
        write_picture(path, flat if "M" in name else RNG.integers(0, 256, (16, 16), np.uint8))
    return root


def pairs(root: Path, **fields: Any) -> dict[str, str]:
    found = find_pairs(DataConfig.create(path=root, **fields))
    assert found is not None
    return {
        image.relative_to(root).as_posix(): masks[0].relative_to(root).as_posix()
        for image, masks in found.pairs
    }


def test_named_folders_need_not_be_recognised(tmp_path: Path) -> None:
    fill(tmp_path, "JPEGImages/1.png", "SegmentationClass/1.png", "images/1.png", "masks/1.png")
    found = pairs(tmp_path, images="JPEGImages", masks="SegmentationClass")
    assert found == {"JPEGImages/1.png": "SegmentationClass/1.png"}


def test_named_folders_lie_in_the_data_folder_and_nowhere_else(tmp_path: Path) -> None:
    fill(tmp_path, "inner/images/1.png", "inner/masks/1.png", "inner/better/1.png")
    with pytest.raises(ReadError, match=r"better is missing; check 'masks'.*inner/better/"):
        pairs(tmp_path, masks="better")
    assert pairs(tmp_path, masks="inner/better") == {"inner/images/1.png": "inner/better/1.png"}


def test_one_named_folder_inside_the_other(tmp_path: Path) -> None:
    fill(tmp_path, "a.png", "top/a.png")
    assert pairs(tmp_path, images="top", masks=".") == {"top/a.png": "a.png"}
    assert pairs(tmp_path, images=".", masks="top") == {"a.png": "top/a.png"}


def test_sub_folders_of_named_folders_are_part_of_the_names(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{kind}/{city}/1.png" for kind in ("in", "out") for city in ("bern", "ulm")))
    found = pairs(tmp_path, images="in", masks="out")
    assert found == {"in/bern/1.png": "out/bern/1.png", "in/ulm/1.png": "out/ulm/1.png"}


def test_patterns_name_many_folders(tmp_path: Path) -> None:
    fill(tmp_path, *(f"t/{s}/{kind}/1.png" for s in ("p", "q") for kind in ("vv", "vh", "flood")))
    found = pairs(tmp_path, images="t/*/vv", masks="t/*/flood")
    assert found == {"t/p/vv/1.png": "t/p/flood/1.png", "t/q/vv/1.png": "t/q/flood/1.png"}


def test_a_suffix_needs_no_folders(tmp_path: Path) -> None:
    fill(tmp_path, "training/street/1.jpg", "training/street/1_seg.png", "validation/2.jpg",
         "validation/2_seg.png", "validation/2_parts_1.png")  # fmt: skip
    entries = read(DataConfig.create(path=tmp_path, mask_suffix="_seg")).entries
    assert [(e.name, e.mask.path.name, e.split) for e in entries] == [
        ("1", "1_seg.png", "train"),
        ("2", "2_seg.png", "validation"),
    ]


def test_several_folders_of_masks_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, "images/1.png", "mask/1.png", "1st_manual/1_manual1.png")
    with pytest.raises(UnclearPairsError, match=r"mask/, 1st_manual/\. Which ones"):
        pairs(tmp_path)


def test_folders_without_image_files_are_no_rivals(tmp_path: Path) -> None:
    fill(tmp_path, "images/1.png", "masks/1.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "1.txt").write_text("0 .5 .5 .1 .1")
    assert pairs(tmp_path) == {"images/1.png": "masks/1.png"}


def test_several_data_sets_are_not_mixed(tmp_path: Path) -> None:
    fill(tmp_path, "one/images/1.png", "one/masks/1.png", "two/raw/1.png", "two/labels/1.png")
    with pytest.raises(UnclearPairsError, match="several data sets"):
        pairs(tmp_path)


def test_folders_that_look_flat_are_no_images(tmp_path: Path) -> None:
    """They were masks of another kind; the images are gone."""
    fill(tmp_path, "other/M1.png", "labels/M1.png")
    assert find_pairs(DataConfig(path=tmp_path)) is None
    fill(tmp_path, "photos/M1.png")
    write_picture(tmp_path / "photos" / "M1.png", RNG.integers(0, 256, (16, 16), np.uint8))
    assert pairs(tmp_path) == {"photos/M1.png": "labels/M1.png"}


def test_every_name_twice(tmp_path: Path) -> None:
    fill(tmp_path, "1.bmp", "2.bmp", "1.png", "2.png")
    for name in ("1.png", "2.png"):
        write_picture(tmp_path / name, np.zeros((16, 16), np.uint8))
    assert pairs(tmp_path) == {"1.bmp": "1.png", "2.bmp": "2.png"}


def test_one_image_and_one_mask_alone_in_each_folder(tmp_path: Path) -> None:
    fill(tmp_path, "p1/L71.png", "p1/x_newmask2015.png", "p2/L72.png", "p2/y_newmask2015.png")
    assert pairs(tmp_path) == {
        "p1/L71.png": "p1/x_newmask2015.png",
        "p2/L72.png": "p2/y_newmask2015.png",
    }


def test_masks_of_one_name_in_two_formats(tmp_path: Path) -> None:
    fill(tmp_path, "images/1.png", "masks/1.jpg", "masks/1.bmp")
    assert pairs(tmp_path) == {"images/1.png": "masks/1.bmp"}
    fill(tmp_path, "masks/1.png")
    problems = read(DataConfig(path=tmp_path)).problems
    assert [p.fatal for p in problems] == [True]
    advice = str(problems[0]).partition("--mask-suffix ")[2].partition(",")[0]
    mended = read(DataConfig.create(path=tmp_path, mask_suffix=advice))
    assert [(e.image.path.parent.name, e.mask.path.suffix) for e in mended.entries] == [
        ("images", advice)
    ]
    assert not mended.problems


def test_rivals_that_look_like_masks_are_no_images(tmp_path: Path) -> None:
    fill(tmp_path, "images/1.png", "rgb/M1.png", "masks/1.png")
    (tmp_path / "rgb" / "M1.png").rename(tmp_path / "rgb" / "1.png")
    assert pairs(tmp_path, masks="masks") == {"images/1.png": "masks/1.png"}
