from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.axes import Calibration
from pixelwise.classes import create_classes
from pixelwise.images import write_zarr
from pixelwise.widgets.zarr_reader import choose_zarr_reader

CLASSES = create_classes(["background", "cell", "debris"])
LABELS = np.random.default_rng(0).integers(0, 3, (2, 300, 280)).astype(np.uint8)


def test_labels_open_with_classes_where_they_lie(tmp_path: Path, make_napari_viewer: Any) -> None:
    path = tmp_path / "a_labels.zarr"
    calibration = Calibration.create([2, 0.5, 0.25], ["µm"] * 3, [7, 8, 9])
    write_zarr(path, LABELS, axes="ZYX", classes=CLASSES, calibration=calibration)
    viewer = make_napari_viewer(show=False)
    [layer] = viewer.open(str(path), plugin="napari-pixelwise")
    assert (layer._type_string, layer.name, layer.multiscale) == ("labels", "a_labels", True)
    np.testing.assert_array_equal(np.asarray(layer.data[0]), LABELS)
    np.testing.assert_array_equal(layer.scale, calibration.scale)
    np.testing.assert_array_equal(layer.translate, calibration.translation)
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
    assert layer.axis_labels == ("z", "y", "x")
    assert list(layer.features["class"]) == ["background", "cell", "debris"]
    np.testing.assert_allclose(layer.get_color(1)[:3], np.array(CLASSES[1].rgb) / 255, atol=1e-6)


def test_objects_open_with_colours_of_napari(tmp_path: Path, make_napari_viewer: Any) -> None:
    write_zarr(tmp_path / "a.zarr", LABELS[0, :100, :90].astype(np.uint32), axes="YX")
    viewer = make_napari_viewer(show=False)
    [layer] = viewer.open(str(tmp_path / "a.zarr"), plugin="napari-pixelwise")
    assert (layer._type_string, layer.multiscale, layer.data.shape) == ("labels", False, (100, 90))


@pytest.mark.parametrize("kind", ["probabilities", "group", "nothing", "several"])
def test_other_zarrs_are_left_to_others(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.zarr"
    if kind == "probabilities":
        write_zarr(path, np.zeros((3, 8, 9), np.float16), axes="CYX", classes=CLASSES)
    else:
        path.mkdir()
        if kind == "group":
            (path / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    assert choose_zarr_reader([str(path)] if kind == "several" else str(path)) is None
