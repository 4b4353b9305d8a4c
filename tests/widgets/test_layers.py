"""Axes of layers, pairs, and results that lie where their source lies."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.layers._source import layer_source

from pixelwise.axes import from_planes
from pixelwise.classes import create_classes
from pixelwise.errors import DataError
from pixelwise.images import read_image, write_tiff
from pixelwise.widgets.layers import (
    SOURCE,
    add_result,
    color_labels,
    find_file,
    image_shape,
    name_files,
    pair_layers,
    placement,
    read_axes,
    read_classes,
    save_array,
    write_pair,
)


@pytest.mark.parametrize(
    ("layer", "axes"),
    [
        (Image(np.zeros((8, 9))), "YX"),
        (Image(np.zeros((8, 9, 3), np.uint8), rgb=True), "YXC"),
        (Image(np.zeros((5, 8, 9, 3), np.uint8), rgb=True), "ZYXC"),
        (Image(np.zeros((5, 8, 9))), "ZYX"),
        (Image(np.zeros((2, 8, 9)), axis_labels=("c", "y", "x")), "CYX"),
        (Image(np.zeros((2, 3, 8, 9)), axis_labels=("t", "c", "y", "x")), "TCYX"),
        (Image([np.zeros((64, 64)), np.zeros((32, 32))], multiscale=True), "YX"),
        (Image(da.zeros((4, 8, 9))), "ZYX"),
    ],
    ids=["grey", "rgb", "rgb stack", "stack", "channels", "time", "pyramid", "dask"],
)
def test_axes_are_read_and_said(layer: Image, axes: str) -> None:
    assert read_axes(layer).names == axes
    assert axes in str(read_axes(layer))


def test_pairs_go_by_name_then_by_size() -> None:
    one, two = Image(np.zeros((8, 9)), name="one"), Image(np.zeros((7, 9)), name="two")
    named = Labels(np.zeros((8, 9), int), name="one mask")
    other, large = Labels(np.zeros((7, 9), int), name="x"), Labels(np.zeros((99, 9), int), name="y")
    assert pair_layers([one, two], [large, other, named]) == [(one, named), (two, other)]
    wrong = Labels(np.zeros((3, 3), int), name="one labels")
    assert pair_layers([one], [wrong]) == []


def test_labels_that_were_drawn_on_an_image_come_before_its_mask() -> None:
    image = Image(np.zeros((8, 9)), name="nuclei")
    mask = Labels(np.zeros((8, 9), np.uint8), name="nuclei mask")
    drawn = Labels(np.zeros((8, 9), np.uint8), name="mine", metadata={SOURCE: "nuclei"})
    assert pair_layers([image], [mask, drawn]) == [(image, drawn)]
    other = Labels(np.zeros((8, 9), np.uint8), name="else", metadata={SOURCE: "other"})
    assert pair_layers([image], [other, mask]) == [(image, mask)]


def test_a_result_lies_where_its_source_lies() -> None:
    viewer = ViewerModel()
    turn = np.deg2rad(30)
    rotate = np.array(
        [[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]]
    )
    source = Image(
        np.zeros((4, 8, 9)), scale=(3, 0.5, 0.5), translate=(1, 2, 3), rotate=rotate,
        units=("um", "um", "um"), axis_labels=("z", "y", "x"),
    )  # fmt: skip
    classes = create_classes(["background", "cell"])
    found = add_result(
        viewer, np.zeros((4, 8, 9), np.uint8), name="r",
        where=placement(source, "ZYX", "ZYX"), classes=classes,
    )  # fmt: skip
    np.testing.assert_allclose(found.scale, source.scale)
    np.testing.assert_allclose(found.translate, source.translate)
    np.testing.assert_allclose(found.rotate, source.rotate)
    assert found.units == source.units
    assert read_classes([found]) == {"0": "background", "1": "cell"}
    np.testing.assert_allclose(found.get_color(1)[:3], np.array(classes[1].rgb) / 255, atol=0.01)
    assert found.colormap.map(np.uint8(0))[..., 3] == 0


def test_labels_of_channels_drop_their_axis() -> None:
    source = Image(np.zeros((5, 2, 8, 9)), scale=(7, 1, 2, 3), axis_labels=("t", "c", "y", "x"))
    where = placement(source, "TCYX", "TYX")
    assert where["scale"].tolist() == [7, 2, 3]


def test_probabilities_have_an_axis_of_their_own() -> None:
    viewer = ViewerModel()
    source = Image(np.zeros((5, 8, 9)), scale=(7, 2, 3))
    planes = np.zeros((5, 2, 8, 9), np.float32)
    found = add_result(
        viewer, from_planes(planes, "ZCYX", (5, 2, 8, 9)), name="p",
        where=placement(source, "ZYX", "ZCYX"), classes=None,
    )  # fmt: skip
    assert found.scale.tolist() == [7, 1, 2, 3]
    assert found._type_string == "image"


def test_lazy_arrays_are_saved_part_by_part(tmp_path: Path) -> None:
    array = np.arange(7 * 20 * 30, dtype=np.uint16).reshape(7, 20, 30)
    for number, lazy in enumerate([array, da.from_array(array, chunks=(2, 20, 30))]):
        save_array(lazy, tmp_path / f"{number}.npy")
        np.testing.assert_array_equal(np.load(tmp_path / f"{number}.npy"), array)


def test_a_layer_s_own_file_is_used_only_if_it_holds_its_pixels(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", np.zeros((30, 40), np.uint8), axes="YX")
    with layer_source(path=str(tmp_path / "a.tif"), reader_plugin="napari"):
        layer = Image(np.zeros((30, 40), np.uint8))
    assert find_file(layer) is None  # in memory: it may have been changed
    layer.data = da.zeros((30, 40), dtype=np.uint8)
    assert find_file(layer) == tmp_path / "a.tif"
    layer.data = da.zeros((30, 41), dtype=np.uint8)
    assert find_file(layer) is None
    assert find_file(Image(da.zeros((30, 40)))) is None


def test_pairs_are_written_as_the_engine_reads_them(tmp_path: Path) -> None:
    image = Image(np.full((2, 8, 9), 300, np.uint16), name="a b/c")
    labels = Labels(np.full((2, 8, 9), 2, np.int64), name="m")
    (name,) = name_files([image])
    write_pair(image, labels, tmp_path, name=name, axes="ZYX")
    pixels, axes = read_image(tmp_path / "images" / f"{name}.tif")
    assert (pixels.dtype, axes.names) == (np.dtype(np.uint16), "ZYX")
    mask, _ = read_image(tmp_path / "masks" / f"{name}.tif")
    assert mask.dtype == np.uint8
    assert mask.max() == 2


def test_labels_of_another_shape_are_refused(tmp_path: Path) -> None:
    image, labels = Image(np.zeros((8, 9)), name="i"), Labels(np.zeros((9, 9), int), name="l")
    with pytest.raises(DataError, match=r"l has shape \(9, 9\), i needs labels of shape \(8, 9\)"):
        write_pair(image, labels, tmp_path, name="i", axes="YX")


def test_file_names_differ() -> None:
    layers = [Image(np.zeros((4, 4)), name=name) for name in ("a/b", "a b", "ü", "//")]
    assert len(set(name_files(layers))) == 4


def test_shapes_that_labels_must_have() -> None:
    assert image_shape(Image(np.zeros((8, 9, 3), np.uint8), rgb=True)) == (8, 9)
    assert image_shape(Image(np.zeros((2, 8, 9)), axis_labels=("c", "y", "x"))) == (8, 9)


def test_classes_can_start_at_one() -> None:
    labels = Labels(np.zeros((4, 4), int))
    color_labels(labels, create_classes(["a", "b"], ["#8c8c8c", "#ff0000"]), first=1)
    assert read_classes([labels]) == {"1": "a", "2": "b"}
