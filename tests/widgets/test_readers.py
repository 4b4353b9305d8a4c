from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.datasets import load_dataset
from pixelwise.images import read_image
from pixelwise.patches import make_patches
from pixelwise.samples import samples_path
from pixelwise.widgets.readers import choose_model_reader, choose_reader
from tests.training.conftest import discs

__all__ = ["discs"]
pytestmark = [pytest.mark.display, pytest.mark.one_binding]
PLUGIN = "napari-pixelwise"


def test_a_data_set_folder_opens_as_pairs(make_napari_viewer: Any, discs: Path) -> None:
    viewer = make_napari_viewer()
    viewer.open(discs, plugin=PLUGIN)
    assert len(viewer.layers) == 12
    assert viewer.layers["0"].rgb
    assert set(np.unique(viewer.layers["0 mask"].data)) == {0, 1}


def test_a_patch_folder_opens_as_a_stack(
    make_napari_viewer: Any, discs: Path, tmp_path: Path
) -> None:
    make_patches(load_dataset(discs), tmp_path / "patches", size=32)
    viewer = make_napari_viewer()
    viewer.open(tmp_path / "patches", plugin=PLUGIN)
    assert viewer.layers[0].data.shape == (24, 32, 32, 3)
    viewer.open(tmp_path / "patches" / "patches.json", plugin=PLUGIN)
    assert len(viewer.layers) == 4


def test_a_model_opens_predict(make_napari_viewer: Any, write_model: Callable[..., Path]) -> None:
    viewer = make_napari_viewer()
    viewer.open(write_model(), plugin=PLUGIN)
    (dock,) = viewer.window.dock_widgets.values() or [None]
    widget = dock.inner_widget() if hasattr(dock, "inner_widget") else dock
    assert Path(widget.model.value).name == "model-1.safetensors"
    assert "kind 1" in widget.card_text.text()
    assert len(viewer.layers) == 0


def test_other_things_are_left_to_others(tmp_path: Path) -> None:
    assert choose_reader(str(tmp_path)) is None
    (tmp_path / "x.safetensors").write_bytes(b"1234")
    assert choose_model_reader(str(tmp_path / "x.safetensors")) is None
    assert choose_reader([str(tmp_path)]) is None
    assert choose_reader(str(samples_path())) is not None


def test_labels_are_written_with_their_axes(make_napari_viewer: Any, tmp_path: Path) -> None:
    viewer = make_napari_viewer()
    data = np.arange(2 * 8 * 9).reshape(2, 8, 9) * 3
    layer = viewer.add_labels(data, name="a", metadata={"pixelwise axes": "TYX"})
    layer.save(str(tmp_path / "a.tif"), plugin=PLUGIN)
    saved, axes = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(saved, data)
    assert axes.names == "TYX"
    assert saved.dtype == np.uint16
