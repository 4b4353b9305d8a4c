from __future__ import annotations

from pathlib import Path

import pytest

from pixelwise.config import DataConfig
from pixelwise.datasets.layouts import Listing
from pixelwise.datasets.layouts.pairs import read, recognise
from pixelwise.errors import ReadError


def fill(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def listed(root: Path, **fields: object) -> Listing:
    return read(DataConfig.create(path=root, **fields))


def pairs(listing: Listing) -> list[tuple[str, str, str | None]]:
    return [(e.image.path.name, e.mask.path.name, e.split) for e in listing.entries]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["images/a.png", "masks/a.png"], [("a.png", "a.png", None)]),
        (["Images/a.tif", "Labels/a.png"], [("a.tif", "a.png", None)]),
        (["inputs/a.png", "masks/a.png"], [("a.png", "a.png", None)]),
        (["raw/a.jpg", "gt/a.bmp"], [("a.jpg", "a.bmp", None)]),
        (["x/a.png", "y/a.png"], [("a.png", "a.png", None)]),
        (["images/a.png", "masks/a_mask.png"], [("a.png", "a_mask.png", None)]),
        (["images/img_1.png", "masks/mask_1.png"], [("img_1.png", "mask_1.png", None)]),
        (
            ["train/images/a.png", "train/masks/a.png", "val/images/b.png", "val/masks/b.png"],
            [("a.png", "a.png", "train"), ("b.png", "b.png", "validation")],
        ),
        (
            ["images/train/a.png", "masks/train/a.png", "images/test/b.png", "masks/test/b.png"],
            [("b.png", "b.png", "test"), ("a.png", "a.png", "train")],
        ),
        (["a.png", "a_mask.png"], [("a.png", "a_mask.png", None)]),
        (["a.tif", "a-labels.tif"], [("a.tif", "a-labels.tif", None)]),
        (["a.tif", "a_seg.tif"], [("a.tif", "a_seg.tif", None)]),
        (["img2d.tif", "mask2d.tif"], [("img2d.tif", "mask2d.tif", None)]),
        (["1_raw_ZYX.tif", "1_label_ZYX.tif"], [("1_raw_ZYX.tif", "1_label_ZYX.tif", None)]),
        (["train/a.png", "train/a_mask.png"], [("a.png", "a_mask.png", "train")]),
    ],
    ids=[
        *("usual", "capitals", "inputs", "raw-gt", "x-y", "suffix-in-folder", "prefix-in-folder"),
        *("split-outside", "split-inside", "one-folder", "dash", "seg", "stardist", "plantseg"),
        "split-one-folder",
    ],
)  # fmt: skip
def test_arrangements(
    tmp_path: Path, names: list[str], found: list[tuple[str, str, str | None]]
) -> None:
    fill(tmp_path, *names)
    assert recognise(tmp_path)
    listing = listed(tmp_path)
    assert pairs(listing) == found
    assert not listing.problems


@pytest.mark.parametrize(
    "names",
    [[], ["a.png", "b.png"], ["images/a.png"], ["masks/a.png"], ["a.png", "results/a_mask.png"]],
    ids=["empty", "no-masks", "images-only", "masks-only", "results"],
)
def test_what_is_not_recognised(tmp_path: Path, names: list[str]) -> None:
    assert recognise(fill(tmp_path, *names)) is None


def test_unpaired_files_are_named(tmp_path: Path) -> None:
    fill(tmp_path, "images/a.png", "images/b.png", "masks/b.png", "masks/c.png", "images/Thumbs.db")
    listing = listed(tmp_path)
    assert pairs(listing) == [("b.png", "b.png", None)]
    assert [(p.kind, Path(p.where).name) for p in listing.problems] == [
        ("unpaired", "a.png"),
        ("unpaired", "c.png"),
    ]
    assert "has no mask" in str(listing.problems[0])
    assert "has no image" in str(listing.problems[1])


def test_unpaired_in_one_folder(tmp_path: Path) -> None:
    fill(tmp_path, "a.png", "a_mask.png", "b.png", "c_mask.png")
    messages = [str(problem) for problem in listed(tmp_path).problems]
    assert any("b.png has no mask" in message for message in messages)
    assert any("c_mask.png has no image" in message for message in messages)


def test_images_of_one_name_in_two_formats(tmp_path: Path) -> None:
    """They may differ, and of two equal ones one would be validated on."""
    fill(tmp_path, "images/a.png", "images/a.jpg", "masks/a.png")
    listing = listed(tmp_path)
    assert pairs(listing) == [("a.png", "a.png", None)]
    assert "only" in str(listing.problems[0])
    fill(tmp_path, "images/a.tif")
    assert [p.fatal for p in listed(tmp_path).problems] == [True]


def test_what_was_not_read_is_counted(tmp_path: Path) -> None:
    fill(tmp_path, "images/a.png", "images/b.heic", "masks/a.png", "masks/b.mat", "masks/notes.txt")
    messages = [str(problem) for problem in listed(tmp_path).problems]
    assert messages == [f"{tmp_path}/images: 2 files have an unsupported format: b.heic, b.mat"]


def test_what_was_taken_for_a_result_is_counted(tmp_path: Path) -> None:
    fill(tmp_path, "a.png", "a_mask.png", "a_overlay.png")
    assert "1 files look like results" in str(listed(tmp_path).problems[0])


def test_links_are_not_followed_twice(tmp_path: Path) -> None:
    fill(tmp_path, "real/images/a.png", "real/masks/a.png")
    for name in ("images", "masks"):
        (tmp_path / name).symlink_to(tmp_path / "real" / name)
    assert pairs(listed(tmp_path)) == [("a.png", "a.png", None)]


def test_named_folders(tmp_path: Path) -> None:
    fill(tmp_path, "photos/a.png", "drawn/a.png", "photos/sub/x.png")
    listing = listed(tmp_path, images="photos", masks="drawn")
    assert pairs(listing) == [("a.png", "a.png", None)]


def test_masks_elsewhere(tmp_path: Path) -> None:
    fill(tmp_path, "data/a.png", "far/a.png")
    listing = listed(tmp_path / "data", images=".", masks=str(tmp_path / "far"))
    assert pairs(listing) == [("a.png", "a.png", None)]


def test_one_folder_named_and_one_found(tmp_path: Path) -> None:
    fill(tmp_path, "images/a.png", "masks/a.png", "better/a.png")
    found = listed(tmp_path, masks="better").entries
    assert [entry.mask.path.parent.name for entry in found] == ["better"]


def test_a_named_folder_that_is_missing(tmp_path: Path) -> None:
    fill(tmp_path, "images/a.png", "masks/a.png")
    with pytest.raises(ReadError, match=r"nowhere is missing; check 'masks'.* images/, masks/"):
        listed(tmp_path, masks="nowhere")


@pytest.mark.parametrize("suffix", ["_cells", "_CELLS", "_cells.png"])
def test_a_given_suffix(tmp_path: Path, suffix: str) -> None:
    fill(tmp_path, "a.png", "a_cells.png", "b.png")
    listing = listed(tmp_path, mask_suffix=suffix)
    assert pairs(listing) == [("a.png", "a_cells.png", None)]
    assert len(listing.problems) == 1
