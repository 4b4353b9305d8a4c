from __future__ import annotations

from pathlib import Path

import numpy as np

from pixelwise.datasets import load_dataset
from pixelwise.datasets.layouts.dsb2018 import recognise
from pixelwise.images import write_picture


def fill(root: Path, name: str, *, masks: int = 2) -> None:
    for folder in ("images", "masks"):
        (root / name / folder).mkdir(parents=True, exist_ok=True)
    write_picture(root / name / "images" / f"{name}.png", np.zeros((6, 7, 3), np.uint8))
    for i in range(masks):
        mask = np.zeros((6, 7), np.uint8)
        mask[i] = 255
        write_picture(root / name / "masks" / f"n{i}.png", mask)


def test_masks_are_merged(tmp_path: Path) -> None:
    fill(tmp_path, "aa")
    fill(tmp_path, "bb", masks=3)
    data = load_dataset(tmp_path)
    assert data.layout == "dsb2018"
    assert [int(sample.read_mask().sum()) for sample in data.samples] == [14, 21]
    assert [item.name for item in data.classes] == ["background", "nucleus"]


def test_folders_that_lack_something_are_problems(tmp_path: Path) -> None:
    fill(tmp_path, "aa")
    fill(tmp_path, "bb", masks=0)
    (tmp_path / "cc").mkdir()
    data = load_dataset(tmp_path)
    assert len(data.samples) == 1
    assert "one image in images/ and at least one mask in masks/, found 1 and 0" in str(
        data.problems[0]
    )


def test_pairs_by_split_are_not_taken_for_it(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for folder in ("images", "masks"):
            (tmp_path / split / folder).mkdir(parents=True)
        write_picture(tmp_path / split / "images" / f"{split}.png", np.zeros((4, 4), np.uint8))
    assert recognise(tmp_path) is None


def test_the_real_set(data_dir: Path) -> None:
    data = load_dataset(data_dir / "dsb2018" / "stage1_train")
    assert len(data.samples) == 12
    assert (data.in_channels, data.dtypes) == (3, ("uint8",))
    shares = [sample.read_mask().mean() for sample in data.samples]
    assert 0.001 < min(shares) < max(shares) < 0.6
