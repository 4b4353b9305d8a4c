from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelwise.datasets import load_dataset
from pixelwise.errors import BudgetError
from pixelwise.images.budget import VARIABLE
from tests.datasets.layouts import test_monuseg, test_qupath
from tests.fixtures.formats.write import FOLDER


def write_qupath(folder: Path) -> None:
    Image.fromarray(np.zeros((16, 20), np.uint8)).save(folder / "a.png")
    test_qupath.write(folder / "a.geojson", test_qupath.feature())


def write_monuseg(folder: Path) -> None:
    test_monuseg.fill(folder / "Tissue Images", folder / "Annotations")


def copy(name: str) -> Callable[[Path], object]:
    source = FOLDER.parent / "exports" / name
    return lambda folder: shutil.copytree(source, folder, dirs_exist_ok=True)


@pytest.mark.parametrize(
    "write",
    [write_qupath, write_monuseg, copy("coco"), copy("imagej"), copy("labelme/json")],
    ids=["qupath", "monuseg", "coco", "imagej", "labelme"],
)
def test_a_mask_that_is_drawn_respects_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], object]
) -> None:
    write(tmp_path)
    sample = load_dataset(tmp_path).samples[0]
    monkeypatch.setenv(VARIABLE, "10B")
    with pytest.raises(BudgetError, match=r"pixels of uint8.*the budget is"):
        sample.read_mask()
