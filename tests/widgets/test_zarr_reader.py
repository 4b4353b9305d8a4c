from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from pixelwise.axes import Calibration
from pixelwise.classes import create_classes
from pixelwise.config import DataConfig
from pixelwise.errors import DataError
from pixelwise.images import open_image, read_image, write_zarr
from pixelwise.widgets import zarr_reader
from pixelwise.widgets.data_picker import write_layers
from pixelwise.widgets.layers import AXES_KEY, find_file, read_axes
from pixelwise.widgets.readers import write_labels
from pixelwise.widgets.zarr_reader import choose_zarr_reader
from tests.widgets.conftest import add_pairs

pytestmark = pytest.mark.one_binding

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


@pytest.mark.parametrize("kind", ["group", "nothing", "several", "complex", "empty", "plate"])
def test_other_zarrs_are_left_to_others(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.zarr"
    if kind in ("complex", "empty"):
        shape = (0, 9) if kind == "empty" else (8, 9)
        zarr.create_array(path, shape=shape, dtype="complex64" if kind == "complex" else "uint8")
    else:
        path.mkdir()
    if kind in ("group", "plate"):
        attributes = {"ome": {"plate": {"wells": [{"path": "A/1"}]}}} if kind == "plate" else {}
        described = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        (path / "zarr.json").write_text(json.dumps(described))
    assert choose_zarr_reader([str(path)] if kind == "several" else str(path)) is None


def write_image(path: Path, axes: str, calibration: Calibration | None = None) -> None:
    """Write an image as other programs do, without what makes it labels."""
    write_zarr(path, IMAGE, axes=axes, calibration=calibration)
    described = json.loads((path / "zarr.json").read_text())
    described["attributes"]["ome"].pop("image-label", None)
    (path / "zarr.json").write_text(json.dumps(described))


IMAGE = np.random.default_rng(1).integers(0, 255, (2, 300, 280)).astype(np.uint8)


@pytest.mark.parametrize("axes", ["CYX", "TYX", "ZYX"])
def test_an_image_opens_with_its_own_axes(
    tmp_path: Path, make_napari_viewer: Any, axes: str
) -> None:
    """Two channels are no planes."""
    path = tmp_path / "a.zarr"
    units = [None if axes[0] == "C" else "µm", "µm", "µm"]
    calibration = Calibration.create([1 if axes[0] == "C" else 2, 0.5, 0.25], units, [0, 8, 9])
    write_image(path, axes, calibration)
    viewer = make_napari_viewer(show=False)
    [layer] = viewer.open(str(path), plugin="napari-pixelwise")
    assert (layer._type_string, layer.name, layer.rgb) == ("image", "a", False)
    assert layer.multiscale
    assert not isinstance(layer.data[0], np.ndarray), "lazy"
    np.testing.assert_array_equal(np.asarray(layer.data[0]), IMAGE)
    assert read_axes(layer).names == axes == layer.metadata[AXES_KEY]
    assert layer.axis_labels == tuple(axes.lower())
    found = open_image(path).calibration
    np.testing.assert_array_equal(layer.scale, found.scale)
    np.testing.assert_array_equal(layer.translate, found.translation)
    assert [str(unit) for unit in layer.units[1:]] == ["micrometer"] * 2
    assert find_file(layer) == path, "the child reads the file itself"


@pytest.mark.parametrize("kind", ["OME-Zarr", "array"])
def test_colours_open_as_colours(tmp_path: Path, make_napari_viewer: Any, kind: str) -> None:
    pixels = np.moveaxis(np.concatenate([IMAGE, IMAGE[:1]]), 0, -1)[:100]
    path = tmp_path / "a.zarr"
    inner = path / "0" if kind == "OME-Zarr" else path
    if kind == "OME-Zarr":
        axes = [{"name": name, "type": "space"} for name in "yxc"]
        steps = [{"type": "scale", "scale": [0.5, 0.25, 1]}]
        level = {"path": "0", "coordinateTransformations": steps}
        ome = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [level]}]}
        zarr.create_group(path, attributes={"ome": ome})
    zarr.create_array(inner, data=pixels)
    viewer = make_napari_viewer(show=False)
    [layer] = viewer.open(str(path), plugin="napari-pixelwise")
    assert (layer.rgb, layer.multiscale, layer.ndim) == (True, False, 2)
    assert read_axes(layer).names == "YXC"
    assert layer.scale.tolist() == ([0.5, 0.25] if kind == "OME-Zarr" else [1, 1])
    np.testing.assert_array_equal(np.asarray(layer.data), pixels)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_plain_array_opens_and_its_axes_are_asked_for(
    tmp_path: Path, make_napari_viewer: Any, zarr_format: Any
) -> None:
    """A first axis longer than the others may be anything."""
    path = tmp_path / "a.zarr"
    zarr.create_array(path, data=np.zeros((300, 40, 50), np.uint16), zarr_format=zarr_format)
    viewer = make_napari_viewer(show=False)
    [layer] = viewer.open(str(path), plugin="napari-pixelwise")
    assert AXES_KEY not in layer.metadata
    with pytest.raises(DataError, match=r"name the axes, e\.g\. in the field Axes:"):
        read_axes(layer)
    assert read_axes(layer, "TYX").names == "TYX"


def test_an_array_with_named_dimensions_has_their_axes(
    tmp_path: Path, make_napari_viewer: Any
) -> None:
    path = tmp_path / "a.zarr"
    zarr.create_array(path, data=IMAGE > 100, dimension_names=("c", "y", "x"))
    viewer = make_napari_viewer(show=False)
    [layer] = viewer.open(str(path), plugin="napari-pixelwise")
    assert read_axes(layer).names == "CYX"
    assert layer.dtype == np.uint8


@pytest.mark.parametrize("damage", ["missing", "outside", "larger", "no array", "no path"])
def test_an_image_is_whole_without_its_smaller_levels(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.zarr"
    write_image(path, "CYX")
    file = path / "zarr.json"
    described = json.loads(file.read_text())
    levels = described["attributes"]["ome"]["multiscales"][0]["datasets"]
    assert len(levels) > 1
    if damage == "no path":
        del levels[1]["path"]
    elif damage == "no array":
        (path / "1" / "zarr.json").write_text("{")
    else:
        levels[1]["path"] = {"missing": "9", "outside": "../../b", "larger": "0"}[damage]
    file.write_text(json.dumps(described))
    reader = choose_zarr_reader(str(path))
    assert reader is not None
    [(data, options, kind)] = reader(str(path))
    assert (data.shape, options["multiscale"], kind) == (IMAGE.shape, False, "image")


def test_a_largest_level_outside_of_the_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    write_image(path, "CYX")
    text = (path / "zarr.json").read_text()
    (path / "zarr.json").write_text(text.replace('"path": "0"', '"path": "../b.zarr/0"'))
    assert "../b" in (path / "zarr.json").read_text()
    assert choose_zarr_reader(str(path)) is None
