"""NIfTI: the order of axes, scaling, and what is no image of real numbers."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from pixelwise.errors import DataError
from pixelwise.images import open_image
from tests.fixtures.formats.write import pattern


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize(
    ("shape", "names"),
    [
        ((7, 9), "YX"),
        ((7, 9, 1), "ZYX"),
        ((7, 9, 5), "ZYX"),
        ((7, 9, 5, 3), "TZYX"),
        ((7, 9, 5, 1, 3), "CZYX"),
        ((7, 9, 5, 2, 3), "CTZYX"),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", ">i2", "float32"])
def test_axes(
    tmp_path: Path, suffix: str, kind: type, shape: tuple[int, ...], names: str, dtype: str
) -> None:
    pixels = pattern(shape, 251, dtype)
    header = kind.header_class(endianness=">" if dtype.startswith(">") else "<")
    header.set_data_dtype(pixels.dtype)
    nibabel.save(kind(pixels, np.eye(4), header), tmp_path / f"a{suffix}")
    source = open_image(tmp_path / f"a{suffix}")
    expected = pixels[:, :, :, 0].T if names == "CZYX" else pixels.T
    assert source.axes.names == names
    assert source.dtype == pixels.dtype.newbyteorder("=")
    assert np.array_equal(source.read(), expected)
    region = tuple(slice(n // 2, n) for n in source.shape)
    assert np.array_equal(source.read_region(region), expected[region])


def test_orientation_is_told_and_not_changed(tmp_path: Path) -> None:
    pixels = pattern((7, 9, 5), 251)
    for affine, codes in ((np.diag([-1, -1, 1, 1]), "LPS"), (np.eye(4), "RAS")):
        nibabel.save(nibabel.Nifti1Image(pixels, affine), tmp_path / "a.nii")
        image = open_image(tmp_path / "a.nii").decode()
        assert np.array_equal(image.pixels, pixels.T)
        assert image.notes == (
            f"read as stored, not rotated: X, Y and Z point to {codes} in the patient",
        )


def test_units(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(pattern((7, 9, 5, 2), 251), np.diag([2, 3, 4, 1]))
    image.header.set_zooms((2, 3, 4, 500))
    image.header.set_xyzt_units("micron", "msec")
    nibabel.save(image, tmp_path / "a.nii")
    found = open_image(tmp_path / "a.nii").calibration
    assert found is not None
    assert found.scale == (0.5, 4, 3, 2)
    assert found.units == ("second", *["micrometer"] * 3)


def test_what_is_no_real_number_is_refused(tmp_path: Path) -> None:
    colors = np.zeros((7, 9, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    for pixels in (colors, np.zeros((7, 9, 5), np.complex64)):
        nibabel.save(nibabel.Nifti1Image(pixels, np.eye(4)), tmp_path / "a.nii")
        with pytest.raises(DataError, match="expected real numbers"):
            open_image(tmp_path / "a.nii")
