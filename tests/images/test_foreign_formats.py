"""Formats that are not read are refused by name, whatever they look like inside."""

from __future__ import annotations

import gzip
import pickle
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.io import savemat

from pixelwise.errors import ReadError
from pixelwise.images import open_image
from pixelwise.images.foreign_formats import FOREIGN_FORMATS
from pixelwise.images.formats import IMAGE_SUFFIXES

GREY = np.arange(400, dtype=np.uint8).reshape(20, 20)


def write_matlab(path: Path) -> None:
    savemat(path, {"image": GREY})


def write_matlab_73(path: Path) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        file["image"] = GREY
    data = bytearray(path.read_bytes())
    data[:116] = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116)
    path.write_bytes(data)


def write_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["image"] = GREY


def write_tiff(path: Path) -> None:
    tifffile.imwrite(path, GREY)


def write_jpeg(path: Path) -> None:
    Image.fromarray(GREY).save(path, format="jpeg")


def write_jp2(path: Path) -> None:
    Image.fromarray(GREY).save(path, format="jpeg2000")


def write_gz(path: Path) -> None:
    path.write_bytes(gzip.compress(GREY.tobytes()))


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.roi", b"Iout")


def write_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"masks": GREY}))


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("a.mat", write_matlab, r"a\.mat is a MATLAB file.*imwrite"),
        ("a.h5", write_matlab_73, r"a\.h5 is a MATLAB file"),
        ("a.mat", write_matlab_73, r"a\.mat is a MATLAB file"),
        ("a.mat", write_hdf5, r"a\.mat is a MATLAB file"),
        ("a.ilp", write_hdf5, r"an ilastik project.*export"),
        ("a.ims", write_hdf5, r"an Imaris file.*bfconvert"),
        ("a.vsi", write_tiff, r"an Olympus VSI file.*QuPath"),
        ("a.dng", write_tiff, r"a camera's raw picture.*preview"),
        ("a.NEF", write_tiff, r"a camera's raw picture"),
        ("a.mrxs", write_jpeg, r"a MIRAX slide"),
        ("a.nd2", write_jp2, r"an ND2 file of before 2010"),
        ("a.tif.gz", write_gz, r"an archive.*Unpack it"),
        ("RoiSet.zip", write_zip, r"an archive"),
        ("masks.pkl", write_pickle, r"a pickle.*numpy\.save"),
        ("a.png", write_pickle, r"a pickle"),
    ],
)
def test_real_files_are_refused_by_name(
    tmp_path: Path, name: str, write: object, message: str
) -> None:
    assert callable(write)
    write(tmp_path / name)
    with pytest.raises(ReadError, match=message):
        open_image(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "start", "message"),
    [
        ("a.psd", b"8BPS\0\1", "Photoshop"),
        ("a.png", b"8BPS\0\1", "Photoshop"),
        ("a.xcf", b"gimp xcf v011", "GIMP"),
        ("a.svg", b'<?xml version="1.0"?><svg/>', "SVG"),
        ("a.heic", b"\0\0\0\x18ftypheic", "HEIC"),
        ("a.jpg", b"\0\0\0\x18ftypheix", "HEIC"),
        ("a.avif", b"\0\0\0\x1cftypavif", "AVIF"),
        ("a.bin", b"\0\0\0\x1cftypisom", "a video.*ffmpeg"),
        ("a.oib", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Olympus OIB"),
        ("a.zvi", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Zeiss ZVI"),
        ("a.oif", b"[Version Info]", "OIF"),
        ("a.nrrd", b"NRRD0004\n", "NRRD.*SimpleITK"),
        ("a.pam", b"P7\nWIDTH 3", "rare format"),
        ("a.pdf", b"%PDF-1.7", "PDF"),
        ("a.dcm", b"\x08\0\x05\0CS", "DICOM file without its first 132 bytes.*save_as"),
        ("a.img", bytes(200), "Analyze"),
    ],
)
def test_first_bytes_or_suffix_tell(tmp_path: Path, name: str, start: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(start)
    with pytest.raises(ReadError, match=message):
        open_image(tmp_path / name)


def test_a_known_format_under_a_foreign_suffix_is_read(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.heic", format="png")  # phones rename what they send
    assert np.array_equal(open_image(tmp_path / "a.heic").read(), GREY)
    tifffile.imwrite(tmp_path / "a.svs", GREY)
    assert np.array_equal(open_image(tmp_path / "a.svs").read(), GREY)


def test_no_suffix_is_both_foreign_and_read_but_those_that_differ_inside() -> None:
    foreign = [suffix for item in FOREIGN_FORMATS for suffix in item.suffixes]
    assert len(foreign) == len(set(foreign))
    assert set(foreign) & IMAGE_SUFFIXES == {".nd2", ".dcm", ".dicom"}
