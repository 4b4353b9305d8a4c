from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pixelwise.datasets.channel_images import ChannelFiles
from pixelwise.errors import DataError
from pixelwise.images import write_tiff


def save(path: Path, pixels: np.ndarray, axes: str = "YX") -> Path:
    write_tiff(path, pixels, axes=axes)
    return path


def test_channels_follow_each_other(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    planes = rng.integers(0, 999, (3, 5, 7)).astype(np.uint16)
    files = tuple(save(tmp_path / f"{n}.tif", plane) for n, plane in enumerate(planes))
    image = ChannelFiles(files)
    assert image.path == files[0]
    header = image.read_header()
    assert (header.shape, header.dtype) == ((1, 3, 5, 7), "uint16")
    assert np.array_equal(image.read()[0], planes[None])


def test_files_with_channels_of_their_own(tmp_path: Path) -> None:
    first = save(tmp_path / "a.tif", np.zeros((2, 5, 7), np.uint8), "CYX")
    second = save(tmp_path / "b.tif", np.ones((5, 7), np.uint8))
    image = ChannelFiles((first, second))
    assert image.read_header().shape == (1, 3, 5, 7)
    assert image.read()[0].mean(axis=(0, 2, 3)).tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    "other", [np.zeros((5, 8), np.uint8), np.zeros((5, 7), np.uint16)], ids=["size", "dtype"]
)
def test_channels_that_differ_are_refused(tmp_path: Path, other: np.ndarray) -> None:
    first = save(tmp_path / "a.tif", np.zeros((5, 7), np.uint8))
    second = save(tmp_path / "b.tif", other)
    image = ChannelFiles((first, second))
    with pytest.raises(DataError, match=r"b.tif has shape .* expected the same of all channels"):
        image.read_header()
    with pytest.raises(DataError, match="expected the same of all channels"):
        image.read()
