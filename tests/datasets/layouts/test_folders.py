from __future__ import annotations

from pathlib import Path

import pytest

from pixelwise.datasets.layouts.folders import (
    ImageFolder,
    Role,
    describe_unread,
    find_split,
    list_folders,
    pair_folders,
)


def folder(relative: str, *files: str) -> ImageFolder:
    path = Path("/data", relative)
    return ImageFolder(path, relative, tuple(path / name for name in files or ("a.png",)))


@pytest.mark.parametrize(
    ("relative", "role"),
    [
        ("images", "images"),
        ("train/img", "images"),
        ("masks/train", "masks"),
        ("dataset/images/train/label", "masks"),
        ("label_images", "masks"),
        ("s1_raw", "images"),
        ("x", "images"),
        ("y", "masks"),
        ("xy", "unknown"),
        ("DEM", "unknown"),
        ("test_predict", "results"),
        ("results/images", "results"),
        ("01_RES", "results"),
        ("high_res/images", "images"),
        ("SegmentationClassVisualization", "results"),
    ],
)
def test_the_role_that_a_folder_is_called_by(relative: str, role: Role) -> None:
    assert folder(relative).role == role


def test_the_names_of_all_files_can_tell_masks() -> None:
    assert folder("here", "a_label.tif", "b_label.tif").role == "masks"
    assert folder("here", "a_label.tif", "b.tif").role == "unknown"


@pytest.mark.parametrize(
    ("relative", "split"),
    [
        ("train/images", "train"),
        ("train_img", "train"),
        ("ISIC_Training_Input", "train"),
        ("Val/Rural", "validation"),
        ("train_test", None),
        ("images", None),
    ],
)
def test_splits(relative: str, split: str | None) -> None:
    assert find_split(relative) == split


@pytest.mark.parametrize(
    ("images", "masks", "pairs"),
    [
        ("images", "masks", {"images": "masks"}),
        ("01 02", "01_ST/SEG 02_ST/SEG", {"01": "01_ST/SEG", "02": "02_ST/SEG"}),
        ("Slide_01 Slide_02", "GT_01 GT_02", {"Slide_01": "GT_01", "Slide_02": "GT_02"}),
        ("train_img test_img", "train_label", {"train_img": "train_label"}),
        ("img imageJ", "gt", {"img": "gt"}),
        ("a/s1_raw b/s1_raw", "a/mask b/mask", {"a/s1_raw": "a/mask", "b/s1_raw": "b/mask"}),
        ("Slide_01", "GT_02", {}),
        ("train/images", "val/masks", {}),
        ("train/a train/b", "val/masks/a val/masks/b", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_folders_that_belong_together(images: str, masks: str, pairs: dict[str, str]) -> None:
    found = pair_folders(*([folder(name) for name in side.split()] for side in (images, masks)))
    assert {image.relative: mask.relative for image, mask in found.pairs} == pairs


def test_folders_that_fit_equally_well_are_rivals() -> None:
    found = pair_folders([folder("images")], [folder("masks"), folder("annotations")])
    assert not found.pairs
    assert [item.relative for item in found.rivals] == ["masks", "annotations"]


def test_listing_leaves_out_hidden_folders_and_looks_into_all_others(tmp_path: Path) -> None:
    for name in ("a.png", "deep/er/b.tif", ".cache/c.png", "__MACOSX/d.png", "e.zarr/f.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = {item.relative: [file.name for file in item.files] for item in list_folders(tmp_path)}
    assert found == {"": ["a.png", "e.zarr"], "deep/er": ["b.tif"]}


def test_masks_of_no_image_format_are_named(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "0.xyz").write_bytes(b"nothing known")
    assert "masks/ holds 1 files" in describe_unread(tmp_path)
    assert "0.xyz" in describe_unread(tmp_path)
    (tmp_path / "masks" / "0.png").touch()
    assert describe_unread(tmp_path) == ""
