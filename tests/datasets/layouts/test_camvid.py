from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pixelwise.classes import VOID
from pixelwise.datasets import load_dataset
from pixelwise.errors import DataError
from pixelwise.images import read_image, write_picture


def fill(root: Path, split: str, name: str, value: int = 3) -> None:
    for folder in (split, f"{split}annot"):
        (root / folder).mkdir(exist_ok=True)
    write_picture(root / split / f"{name}.png", np.zeros((4, 5, 3), np.uint8))
    write_picture(root / f"{split}annot" / f"{name}.png", np.full((4, 5), value, np.uint8))


def test_splits_and_void(tmp_path: Path) -> None:
    fill(tmp_path, "train", "a")
    fill(tmp_path, "val", "b", value=11)
    fill(tmp_path, "test", "c", value=10)
    data = load_dataset(tmp_path)
    assert {s.name: s.split for s in data.samples} == {
        "a": "train",
        "b": "validation",
        "c": "test",
    }
    assert {s.name: int(s.read_mask()[0, 0, 0]) for s in data.samples} == {
        "a": 3,
        "b": VOID,
        "c": 10,
    }


def test_unknown_labels_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, "train", "a", value=12)
    with pytest.raises(DataError, match=r"a\.png: .*12 \(20 pixels\)"):
        load_dataset(tmp_path).samples[0].read_mask()


def test_unpaired(tmp_path: Path) -> None:
    fill(tmp_path, "train", "a")
    write_picture(tmp_path / "train" / "b.png", np.zeros((4, 5, 3), np.uint8))
    write_picture(tmp_path / "trainannot" / "c.png", np.zeros((4, 5), np.uint8))
    assert [Path(p.where).name for p in load_dataset(tmp_path).problems] == ["b.png", "c.png"]


def test_the_real_set(data_dir: Path) -> None:
    data = load_dataset(data_dir / "camvid")
    train, validation = data.split()
    assert (len(train.samples), len(validation.samples)) == (36, 10)
    assert [item.name for item in data.classes][::5] == ["Sky", "Tree", "Bicyclist"]
    sample = data.samples[0]
    raw, _ = read_image(sample.mask_path)
    expected = np.where(raw == 11, VOID, raw)
    assert np.array_equal(sample.read_mask()[0], expected)
