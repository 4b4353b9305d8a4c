"""DICOM: what values mean, colours, frames, and what is no plane of pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless

from pixelwise.errors import DataError
from pixelwise.images import open_image
from tests.fixtures.formats.write import FOLDER, pattern

TWELVE = pattern((20, 24), 4096, "uint16")


def change(tmp_path: Path, name: str, **values: Any) -> Path:
    """Write a file of the fixtures once more, with other values in its header."""
    header = pydicom.dcmread(FOLDER / name)
    for key, value in values.items():
        if value is None:
            delattr(header, key)
        elif key.endswith("TableDescriptor"):
            header.add_new(key, "US", value)
        else:
            setattr(header, key, value)
    header.save_as(tmp_path / "a.dcm")
    return tmp_path / "a.dcm"


def test_slopes_that_are_no_integers_give_floats(tmp_path: Path) -> None:
    path = change(tmp_path, "ct.dcm", RescaleSlope="0.5", RescaleIntercept="3")
    source = open_image(path)
    assert source.dtype == np.float32
    assert np.array_equal(source.read(), TWELVE * np.float32(0.5) + 3)


def test_signed_values_and_an_intercept_alone(tmp_path: Path) -> None:
    path = change(tmp_path, "ct.dcm", PixelRepresentation=1, RescaleSlope=None, RescaleIntercept=5)
    signed = np.where(TWELVE > 2047, TWELVE.astype(int) - 4096, TWELVE)
    assert np.array_equal(open_image(path).read(), signed + 5)


def test_min_is_white_of_signed_values(tmp_path: Path) -> None:
    path = change(tmp_path, "mono1.dcm", PixelRepresentation=1)
    signed = np.where(TWELVE > 2047, TWELVE.astype(int) - 4096, TWELVE)
    assert np.array_equal(open_image(path).read(), -1 - signed)


def test_bits_of_an_overlay_are_left_out(tmp_path: Path) -> None:
    path = change(tmp_path, "ct.dcm", PixelData=(TWELVE | 0xA000).tobytes(), RescaleIntercept=0)
    assert np.array_equal(open_image(path).read(), TWELVE)


def test_a_palette_gives_colours_or_indices(tmp_path: Path) -> None:
    index = pattern((20, 24), 5)
    table = pattern((3, 6), 251)
    tables = {
        f"{name}PaletteColorLookupTable{part}": value
        for name, row in zip(("Red", "Green", "Blue"), table, strict=True)
        for part, value in (("Descriptor", [6, 0, 8]), ("Data", row.tobytes()))
    }
    path = change(
        tmp_path, "ct.dcm", PhotometricInterpretation="PALETTE COLOR", BitsAllocated=8,
        BitsStored=8, HighBit=7, PixelData=index.tobytes(), RescaleSlope=None,
        RescaleIntercept=None, **tables,
    )  # fmt: skip
    source = open_image(path)
    assert source.axes.names == "YXC"
    assert np.array_equal(source.read(), table.T[index])
    assert np.array_equal(open_image(path, palette="index").read(), index)


def test_films_count_time(tmp_path: Path) -> None:
    source = open_image(change(tmp_path, "frames.dcm", FrameTime=40))
    assert source.axes.names == "TYX"
    assert source.calibration is not None
    assert source.calibration.scale[0] == 0.04


def test_jpeg_2000_is_decoded(tmp_path: Path) -> None:
    data = imagecodecs.jpeg2k_encode(TWELVE, level=0, reversible=True, codecformat="j2k")
    path = compress(tmp_path, JPEG2000Lossless, data)
    assert np.array_equal(open_image(path).read(), TWELVE.astype("int16") - 1024)


def test_a_codec_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = compress(tmp_path, JPEGLSLossless, imagecodecs.jpegls_encode(TWELVE))
    with pytest.raises(DataError, match=r"JPEG-LS Lossless.*pip install python-gdcm"):
        open_image(path)


def compress(tmp_path: Path, syntax: str, data: bytes) -> Path:
    header = pydicom.dcmread(FOLDER / "ct.dcm")
    header.PixelData = encapsulate([bytes(data)])
    header["PixelData"].VR = "OB"
    header.file_meta.TransferSyntaxUID = syntax
    header.save_as(tmp_path / "a.dcm")
    return tmp_path / "a.dcm"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"PixelData": None}, r"DICOM file without pixels \(CT Image Storage\)"),
        ({"TotalPixelMatrixColumns": 5000}, "tiled whole-slide image"),
        ({"HighBit": 15}, "in upper bits"),
        ({"PhotometricInterpretation": "HSV"}, "colours HSV"),
        ({"SegmentSequence": [pydicom.Dataset(), pydicom.Dataset()]}, "2 segments"),
    ],
)
def test_what_is_no_plane_is_refused(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_image(change(tmp_path, "ct.dcm", **values))


def rescaled(slope: float) -> pydicom.Dataset:
    """Group of a frame whose values are scaled."""
    values, group = pydicom.Dataset(), pydicom.Dataset()
    values.RescaleSlope, values.RescaleIntercept = slope, 0
    group.PixelValueTransformationSequence = [values]
    return group


def test_rescaling_of_frames(tmp_path: Path) -> None:
    groups = [rescaled(2), rescaled(2), rescaled(2)]
    path = change(tmp_path, "frames.dcm", PerFrameFunctionalGroupsSequence=groups)
    assert np.array_equal(open_image(path).read(), pattern((3, 20, 24), 4096, "int64") * 2)
    groups = [rescaled(2), rescaled(2), rescaled(3)]
    path = change(tmp_path, "frames.dcm", PerFrameFunctionalGroupsSequence=groups)
    with pytest.raises(DataError, match="frames differently"):
        open_image(path)
