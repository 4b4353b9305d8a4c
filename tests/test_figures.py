from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.classes import VOID, create_classes
from pixelwise.errors import WriteError
from pixelwise.figures import (
    ERROR_COLORS,
    Panel,
    draw_comparison,
    draw_confusion,
    draw_overview,
    find_outlines,
    overlay,
    paint_errors,
    to_rgb8,
)
from pixelwise.images import open_image

RNG = np.random.default_rng(8)
CLASSES = create_classes(["background", "a", "b"], ["#000000", "#ff0000", "#00ff00"])
GREY = np.full((8, 9, 3), 100, np.uint8)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i4", "f4", "f8"])
def test_any_image_becomes_rgb(channels: int, dtype: str) -> None:
    planes = RNG.integers(0, 100, (channels, 8, 9)).astype(dtype)
    shown = to_rgb8(planes)
    assert (shown.shape, shown.dtype) == ((8, 9, 3), np.uint8)
    assert shown.flags.c_contiguous


def test_8_bit_pictures_stay_as_they_are() -> None:
    planes = RNG.integers(0, 256, (3, 8, 9), np.uint8)
    assert np.array_equal(to_rgb8(planes), np.moveaxis(planes, 0, -1))
    assert np.array_equal(to_rgb8(planes[:1])[..., 2], planes[0])


def test_dim_pictures_are_stretched() -> None:
    dim = RNG.integers(0, 20, (3, 50, 50), np.uint8)
    assert to_rgb8(dim).max() == 255
    red, green = to_rgb8(np.stack([dim[0], dim[0] // 2, dim[0] // 2]))[..., :2].T.astype(int)
    assert (red >= green).all()  # colours stay, because RGB is stretched together


@given(scale=st.floats(1e-6, 1e6), offset=st.floats(-1e3, 1e3))
def test_stretching_does_not_depend_on_the_unit(scale: float, offset: float) -> None:
    ramp = np.linspace(0, 1, 2000).reshape(1, 40, 50)
    shown = to_rgb8(ramp * scale + offset * scale)
    assert (shown.min(), shown.max()) == (0, 255)
    assert np.all(np.diff(shown[..., 0].ravel().astype(int)) >= 0)


@pytest.mark.parametrize("value", [0, 7, np.nan, np.inf])
def test_flat_and_undefined_images(value: float) -> None:
    assert np.array_equal(to_rgb8(np.full((1, 4, 5), value, "f4")), np.zeros((4, 5, 3)))


def test_two_channels_are_magenta_and_green() -> None:
    planes = np.zeros((2, 10, 10), np.uint16)
    planes[0, :5], planes[1, 5:] = 1000, 1000
    shown = to_rgb8(planes)
    assert shown[0, 0].tolist() == [255, 0, 255]
    assert shown[9, 0].tolist() == [0, 255, 0]


def test_overlay_tints_areas_and_leaves_background() -> None:
    labels = np.zeros((8, 9), np.uint8)
    labels[:, 4:] = 1
    shown = overlay(GREY, labels, classes=CLASSES, alpha=0.4)
    assert shown[4, 0].tolist() == [100, 100, 100]
    assert shown[4, 8].tolist() == [162, 60, 60]
    assert shown[4, 4].tolist() == [224, 20, 20]  # outline: twice as strong
    assert shown.dtype == np.uint8


def test_void_is_striped() -> None:
    shown = overlay(GREY, np.full((8, 9), VOID, np.uint8), classes=CLASSES)
    assert set(np.unique(shown)) == {100, 162}


def test_outlines() -> None:
    labels = np.zeros((7, 7), np.uint8)
    labels[3, 3] = 1
    cross = find_outlines(labels)
    assert cross.sum() == 5
    assert find_outlines(labels, width=2).sum() == 9
    assert not find_outlines(np.ones((4, 4))).any()


@pytest.mark.parametrize("count", [0, 1, 5])
def test_overview(tmp_path: Path, count: int) -> None:
    panels = [Panel(f"image {i}", GREY, np.eye(8, 9, dtype=np.uint8)) for i in range(count)]
    draw_overview(panels, CLASSES, shares=[0.5, 0.5, 0.0], title="nuclei", path=tmp_path / "a.png")
    assert open_image(tmp_path / "a.png").read().std() > 5
    with pytest.raises(WriteError, match="nowhere"):
        draw_overview(
            panels, CLASSES, shares=[1, 0, 0], title="", path=tmp_path / "nowhere" / "a.png"
        )


def test_importing_it_loads_no_matplotlib() -> None:
    code = "import sys, pixelwise.figures; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_name_with_dollars_is_no_formula(tmp_path: Path) -> None:
    classes = create_classes(["$x_", r"$\frac$", "a"])
    names = [item.name for item in classes]
    draw_confusion(np.eye(3, dtype=np.int64), names, tmp_path / "a.svg")
    panel = Panel("$\\frac$ \x1b", np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.uint8))
    draw_comparison([(panel, panel.labels)], classes, tmp_path / "b.png")
    assert (tmp_path / "b.png").stat().st_size


def test_errors_are_painted_and_void_is_none() -> None:
    image = np.full((1, 6, 3), 100, np.uint8)
    truth = np.array([[0, 1, 0, 2, 255, 1]])
    painted = paint_errors(image, truth, np.array([[0, 1, 1, 1, 1, 0]]))
    colors = [f"#{bytes(pixel).hex()}" for pixel in painted[0]]
    false, wrong, missed = (ERROR_COLORS[k] for k in ("false positive", "wrong class", "missed"))
    assert colors == ["#323232", "#323232", false, wrong, "#323232", missed]
