"""ND2, on files made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pixelwise.errors import DataError, PixelwiseError
from pixelwise.images import open_image
from tests.fixtures.formats.write import pattern
from tests.images.microscopes.handmade import write_nd2

FRAMES = pattern((6, 5, 7, 2), 4096, "uint16")


@pytest.mark.parametrize("compression", [2, 0], ids=["plain", "zlib"])
def test_time_depth_and_channels(tmp_path: Path, compression: int) -> None:
    write_nd2(tmp_path / "a.nd2", FRAMES, [("T", 3), ("Z", 2)], compression=compression)
    source = open_image(tmp_path / "a.nd2")
    expected = np.moveaxis(FRAMES.reshape(3, 2, 5, 7, 2), -1, 2)
    assert source.axes.names == "TZCYX"
    assert np.array_equal(source.read(), expected)
    region = (slice(1, 3), slice(1, 2), slice(0, 2), slice(1, 4), slice(2, 7))
    assert np.array_equal(source.read_region(region), expected[region])
    assert source.calibration is not None
    assert source.calibration.scale == (0.5, 2, 1, 0.25, 0.25)
    assert source.calibration.units == ("second", "micrometer", None, "micrometer", "micrometer")


def test_one_plane(tmp_path: Path) -> None:
    write_nd2(tmp_path / "a.nd2", FRAMES[:1, ..., :1])
    source = open_image(tmp_path / "a.nd2")
    assert source.axes.names == "YX"
    assert np.array_equal(source.read(), FRAMES[0, ..., 0])


def test_colours(tmp_path: Path) -> None:
    colors = pattern((2, 3, 4, 3), 251)  # as high as there are colours
    write_nd2(tmp_path / "a.nd2", colors, [("Z", 2)], rgb=True)
    source = open_image(tmp_path / "a.nd2")
    assert source.axes.names == "ZYXC"
    assert np.array_equal(source.read(), colors)


def test_components_that_are_no_colours_are_channels(tmp_path: Path) -> None:
    write_nd2(tmp_path / "a.nd2", FRAMES[:2], [("Z", 2)], rgb=True)  # two components of one channel
    source = open_image(tmp_path / "a.nd2")
    assert source.axes.names == "ZCYX"
    assert np.array_equal(source.read(), np.moveaxis(FRAMES[:2], -1, 1))


def test_positions_are_named_and_chosen(tmp_path: Path) -> None:
    path = tmp_path / "a.nd2"
    write_nd2(path, FRAMES[..., :1], [("P", 3), ("Z", 2)])
    stacks = FRAMES[..., 0].reshape(3, 2, 5, 7)
    image = open_image(path).decode()
    assert np.array_equal(image.pixels, stacks[0])
    assert "holds 3 positions; '0' was read" in image.notes[0]
    advice = image.notes[0].split('"')[3]
    chosen = open_image(advice).decode()
    assert np.array_equal(chosen.pixels, stacks[2])
    assert chosen.notes == ()
    with pytest.raises(DataError, match="no positions named '3'"):
        open_image(path / "3")


def test_positions_inside_of_time(tmp_path: Path) -> None:
    write_nd2(tmp_path / "a.nd2", FRAMES[..., :1], [("T", 3), ("P", 2)])
    films = FRAMES[..., 0].reshape(3, 2, 5, 7)
    assert np.array_equal(open_image(tmp_path / "a.nd2" / "1").read(), films[:, 1])


def test_planes_that_are_missing_are_noted(tmp_path: Path) -> None:
    write_nd2(tmp_path / "a.nd2", FRAMES, [("T", 3), ("Z", 2)], missing=[4, 5])
    image = open_image(tmp_path / "a.nd2").decode()
    assert image.notes == ("2 of 6 planes are not in the file and were read as blank",)
    assert not image.pixels[2].any()


@pytest.mark.parametrize(
    ("loops", "compression", "message"),
    [
        ([("?", 6)], 2, "has an unsupported order of planes: CustomLoop"),
        ([("T", 3), ("Z", 2)], 1, "lossy compression"),
    ],
)
def test_what_would_be_read_wrongly_is_refused(
    tmp_path: Path, loops: list[tuple[str, int]], compression: int, message: str
) -> None:
    write_nd2(tmp_path / "a.nd2", FRAMES, loops, compression=compression)
    with pytest.raises(DataError, match=message):
        open_image(tmp_path / "a.nd2")


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.99])
def test_cut_off(tmp_path: Path, share: float) -> None:
    write_nd2(tmp_path / "a.nd2", FRAMES, [("T", 3), ("Z", 2)])
    data = (tmp_path / "a.nd2").read_bytes()
    (tmp_path / "a.nd2").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(PixelwiseError, match=r"a\.nd2"):
        open_image(tmp_path / "a.nd2").read()
