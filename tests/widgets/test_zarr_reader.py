from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.axes import Calibration
from pixelwise.classes import create_classes
from pixelwise.config import DataConfig
from pixelwise.images import open_image, read_image, write_zarr
from pixelwise.widgets import zarr_reader
from pixelwise.widgets.data_picker import write_layers
from pixelwise.widgets.readers import write_labels
from pixelwise.widgets.zarr_reader import choose_zarr_reader
from tests.widgets.conftest import add_pairs

CLASSES = create_classes(["background", "cell", "debris"])
LABELS = np.random.default_rng(0).integers(0, 3, (2, 300, 280)).astype(np.uint8)


def test_labels_open_with_classes_where_they_lie(tmp_path: Path, make_napari_viewer: Any) -> None:
    path = tmp_path / "a_labels.zarr"
    calibration = Calibration.create([2, 0.5, 0.25], ["µm"] * 3, [7, 8, 9])
    write_zarr(path, LABELS, axes="ZYX", classes=CLASSES, calibration=calibration)
    viewer = make_napari_viewer(show=False)
    [layer] = viewer.open(str(path), plugin="napari-pixelwise")
    assert (layer._type_string, layer.name, layer.multiscale) == ("labels", "a_labels", False)
    assert layer.editable
    np.testing.assert_array_equal(layer.data, LABELS)
    np.testing.assert_array_equal(layer.scale, calibration.scale)
    np.testing.assert_array_equal(layer.translate, calibration.translation)
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
    assert layer.axis_labels == ("z", "y", "x")
    assert list(layer.features["class"]) == ["background", "cell", "debris"]
    np.testing.assert_allclose(layer.get_color(1)[:3], np.array(CLASSES[1].rgb) / 255, atol=1e-6)


def test_labels_larger_than_memory_stay_lazy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_napari_viewer: Any
) -> None:
    """And what is written of them is their largest level, not the smallest."""
    monkeypatch.setattr(zarr_reader, "MOST_BYTES", 100)
    write_zarr(tmp_path / "a.zarr", LABELS, axes="ZYX", classes=CLASSES)
    viewer = make_napari_viewer(show=False)
    [layer] = viewer.open(str(tmp_path / "a.zarr"), plugin="napari-pixelwise")
    assert layer.multiscale
    data, attributes, _ = layer.as_layer_data_tuple()
    for name in ("b.tif", "b.zarr"):
        write_labels(str(tmp_path / name), data, attributes)
        np.testing.assert_array_equal(read_image(tmp_path / name)[0], LABELS)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("name", ["disc 0 labels.tif", "disc 0 labels.zarr"])
def test_annotations_are_the_same_the_next_day(
    tmp_path: Path, open_widget: Any, name: str, sparse: bool
) -> None:
    """Drawn with Annotate, saved, opened and trained on: classes, colours, what 0 means."""
    widget = open_widget("Annotate")
    viewer = widget.viewer
    add_pairs(viewer, 1, 300)
    viewer.layers.pop()
    widget.set_classes(CLASSES)
    widget.sparse.setChecked(sparse)
    drawn = widget.create()
    drawn.data[20:40, 20:60] = 1
    drawn.data[60:90, 20:60] = 2
    before = write_layers([(viewer.layers[0], drawn)], ["YX"], DataConfig(path=tmp_path / "before"))
    [path] = [drawn.save(str(tmp_path / name), plugin="napari-pixelwise")[0]]
    [again] = viewer.open(path, plugin="napari-pixelwise")
    assert again._type_string == "labels"
    assert again.editable
    np.testing.assert_array_equal(again.data, drawn.data)
    np.testing.assert_allclose(again.get_color(2), drawn.get_color(2), atol=1e-6)
    after = write_layers([(viewer.layers[0], again)], ["YX"], DataConfig(path=tmp_path / "after"))
    assert after.sparse == sparse
    assert after.model_dump(exclude={"path"}) == before.model_dump(exclude={"path"})


def test_axes_are_the_same_when_it_is_saved_again(tmp_path: Path, make_napari_viewer: Any) -> None:
    write_zarr(tmp_path / "a.zarr", LABELS, axes="TYX", classes=CLASSES)
    viewer = make_napari_viewer(show=False)
    [layer] = viewer.open(str(tmp_path / "a.zarr"), plugin="napari-pixelwise")
    data, attributes, _ = layer.as_layer_data_tuple()
    write_labels(str(tmp_path / "b.zarr"), data, attributes)
    assert open_image(tmp_path / "b.zarr").axes.names == "TYX"


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
