"""What is seen of a layer, and the rectangle around a shape: found, read, and placed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtTest import QTest

from pixelwise.errors import DataError
from pixelwise.widgets.regions import LayerRegion, _read_canvas_size, find_shape, find_view

pytestmark = pytest.mark.display
SHAPE = (3, 400, 600)


@pytest.fixture
def viewer(make_napari_viewer: Any) -> Any:
    one = make_napari_viewer()
    one.window._qt_window.resize(900, 700)
    return one


def look_at(viewer: Any, y: float, x: float, *, zoom: float) -> tuple[float, float]:
    """Move the view, and give half of its height and width in world units."""
    camera = getattr(viewer, "scene", viewer).camera
    camera.center, camera.zoom = (0, y, x), zoom
    QTest.qWait(50)
    height, width = _read_canvas_size(viewer)
    return height / 2 / zoom, width / 2 / zoom


def extent(layer: Any) -> np.ndarray:
    """Least and greatest world coordinates of the pixels' edges."""
    return np.add(layer.extent.world, [-0.5 * layer.scale, 0.5 * layer.scale])


def test_the_view_of_a_plane(viewer: Any) -> None:
    image = viewer.add_image(np.zeros(SHAPE), scale=(5, 0.5, 2), translate=(0, 10, 20))
    viewer.dims.set_point(0, 10)
    down, across = look_at(viewer, 110, 620, zoom=8)
    region = find_view(viewer, image, "ZYX")
    assert (region.level, region.plane) == (0, {"Z": 2})
    top, left = (110 - 10 - down) / 0.5 + 0.5, (620 - 20 - across) / 2 + 0.5
    assert region.rows == (int(top), int(np.ceil(top + 2 * down / 0.5)))
    assert region.columns == (int(left), int(np.ceil(left + across)))
    look_at(viewer, 110, 620, zoom=0.01)
    region = find_view(viewer, image, "ZYX")
    assert (region.rows, region.columns) == ((0, 400), (0, 600))
    look_at(viewer, 9000, 620, zoom=8)
    with pytest.raises(DataError, match="Nothing of"):
        find_view(viewer, image, "ZYX")
    image.visible = False
    with pytest.raises(DataError, match="is hidden"):
        find_view(viewer, image, "ZYX")
    image.visible = True
    viewer.dims.order = (1, 0, 2)
    with pytest.raises(DataError, match="Show the rows and columns"):
        find_view(viewer, image, "ZYX")


def test_the_shown_level_of_a_pyramid(viewer: Any) -> None:
    levels = [np.zeros((size, size, 3), np.uint8) for size in (4001, 2000, 1000)]
    image = viewer.add_image(levels, multiscale=True, rgb=True, scale=(0.1, 0.1))
    down, across = look_at(viewer, 200, 200, zoom=12)
    image._data_level = 1  # what napari chooses when it draws
    region = find_view(viewer, image, "YXC")
    assert region.level == 1
    assert region.size == (2000, 2000)
    factor = 4001 / 2000
    assert region.rows[0] == int(((200 - down) / 0.1 + 0.5) / factor)
    labels = viewer.add_labels(
        np.zeros((region.rows[1] - region.rows[0], region.columns[1] - region.columns[0]), "u1"),
        **region.place("YX"),
    )
    seen = np.array([[200 - down, 200 - across], [200 + down, 200 + across]])
    assert (np.abs(extent(labels) - seen) <= 0.1 * factor).all(), "within a pixel of the level"
    whole = LayerRegion(image, "YXC", 1, {}, (0, 2000), (0, 2000))
    over = viewer.add_labels(np.zeros((2000, 2000), "u1"), **whole.place("YX"))
    np.testing.assert_allclose(extent(over), extent(image), atol=1e-9)


@pytest.mark.parametrize("angle", [0, 30])
def test_a_result_lies_over_its_pixels(viewer: Any, angle: float) -> None:
    options = {"scale": (2, 3), "translate": (7, -5), "rotate": angle}
    image = viewer.add_image(np.zeros((100, 200)), **options)
    region = LayerRegion(image, "YX", 0, {}, (40, 60), (150, 190))
    labels = viewer.add_labels(np.zeros((20, 40), "u1"), **region.place("YX"))
    for place in ((0, 0), (19, 39)):
        there = np.add(place, (40, 150))
        np.testing.assert_allclose(labels.data_to_world(place), image.data_to_world(there))
    stack = LayerRegion(viewer.add_image(np.zeros(SHAPE), scale=(5, 1, 1)), "ZYX", 0, {"Z": 2},
                        (10, 20), (30, 40))  # fmt: skip
    where = stack.place("ZCYX")
    np.testing.assert_allclose(where["translate"], (10, 0, 10, 30))
    np.testing.assert_allclose(where["scale"], (5, 1, 1, 1))


def test_the_rectangle_around_a_shape(viewer: Any) -> None:
    image = viewer.add_image(np.zeros(SHAPE), scale=(5, 0.5, 2))
    with pytest.raises(DataError, match="Draw a rectangle"):
        find_shape(viewer, image, "ZYX")
    shapes = viewer.add_shapes([[[10, 20], [10, 80], [30, 80], [30, 20]]])
    viewer.dims.set_point(0, 5)
    region = find_shape(viewer, image, "ZYX")
    assert region.plane == {"Z": 1}
    assert (region.rows, region.columns) == ((20, 61), (10, 41))
    shapes.add_ellipses([[[50, 50], [50, 60], [70, 60], [70, 50]]])
    shapes.selected_data = set()
    with pytest.raises(DataError, match="2 shapes: select"):
        find_shape(viewer, image, "ZYX")
    shapes.selected_data = {1}
    assert find_shape(viewer, image, "ZYX").rows == (100, 141)
    shapes.data = [[[2, 10, 20], [2, 10, 80], [2, 30, 80], [2, 30, 20]]]
    viewer.add_shapes([[10, 20, 20], [10, 10, 80], [10, 30, 80]], shape_type="polygon")
    assert find_shape(viewer, image, "ZYX").plane == {"Z": 2}, "the shape has a plane of its own"


def test_a_region_is_read_with_what_is_around_it() -> None:
    from napari.layers import Image

    pixels = np.arange(np.prod((2, 3, 500, 700))).reshape(2, 3, 500, 700)
    region = LayerRegion(Image(pixels), "TCYX", 0, {"T": 1}, (300, 310), (20, 30))
    found, place = region.read((60, 60))
    top, left = place.corner
    assert (top, left) == (172, 0)
    assert place.plane == (500, 700)
    assert region.source_axes == "CYX"
    np.testing.assert_array_equal(found, pixels[1, :, 172:438, 0:158])
    found, place = region.read(None)
    np.testing.assert_array_equal(found, pixels[1])
    assert place.corner == (0, 0)
