"""Which files are images, which module reads each, and that each of them gives the right pixels."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pixelwise.errors import DataError, MissingPackageError, PixelwiseError, ReadError
from pixelwise.images import find_format, open_image
from pixelwise.images.formats import (
    EXTRA,
    FORMATS,
    load_reader,
)
from pixelwise.images.listing import iter_image_files
from tests.fixtures.formats.write import COLORS, FOLDER, pattern

GREY = pattern((20, 24), 251)
DEEP = pattern((20, 24), 65536, "uint16")
TWELVE = pattern((20, 24), 4096, "uint16")
SCALED = (pattern((24, 20, 3, 2), 251) * 2.0 + 1).astype("float32")


@dataclass(frozen=True)
class Case:
    """A file that a library has written, and what is to be read of it."""

    name: str
    axes: str
    pixels: np.ndarray
    note: str = ""
    scale: tuple[float, ...] | None = None


CASES = [
    Case("stack.npy", "ZYX", pattern((3, 20, 24), 4096, "uint16")),
    Case("fortran.npy", "YXC", pattern((20, 24, 3), 251)),
    Case("one.npz", "YX", GREY),
    Case("two.npz/mask", "YX", pattern((20, 24), 2)),
    Case("ilastik.h5", "ZYXC", pattern((3, 20, 24, 2), 251)),
    Case("ilastik.h5/exported_data", "ZYXC", pattern((3, 20, 24, 2), 251)),
    Case("raw_and_label.h5/raw", "TYX", pattern((4, 20, 24), 4096, "uint16"), scale=(1, 0.5, 0.25)),
    Case("raw_and_label.h5/segmentation/label", "ZYX", pattern((4, 20, 24), 2)),
    Case("palette.gif", "YXC", np.array(COLORS, "uint8")[pattern((20, 24), 5)]),
    Case("film.gif", "YXC", np.array(COLORS, "uint8")[pattern((20, 24), 5)], "3 frames"),
    Case("deep.pgm", "YX", DEEP),
    Case("colour.ppm", "YXC", pattern((20, 24, 3), 251)),
    Case("bits.pbm", "YX", pattern((20, 21), 2), "stores black as 1"),
    Case("deep.jp2", "YX", DEEP),
    Case("colour.j2k", "YXC", pattern((20, 24, 3), 65536, "uint16")),
    Case("alpha.jp2", "YXC", pattern((20, 24, 4), 251)[..., :3], "alpha"),
    Case("ct.dcm", "YX", TWELVE.astype("int16") - 1024, "1 x stored -1024", (500, 250)),
    Case("mono1.dcm", "YX", 4095 - TWELVE, "min-is-white", (500, 250)),
    Case("frames.dcm", "ZYX", pattern((3, 20, 24), 4096, "uint16"), scale=(3000, 500, 250)),
    Case("rgb.dcm", "YXC", pattern((20, 24, 3), 251), scale=(500, 250, 1)),
    Case(
        "volume.nii.gz",
        "ZYX",
        pattern((24, 20, 3), 4096, "int16").T,
        "X, Y and Z point to LAS",
        (2000, 500, 500),
    ),
    Case("scaled.nii", "TZYX", SCALED.T, "2 x stored +1"),
    Case("map.mrc", "ZYX", pattern((3, 20, 24), 251, "float32"), "from the bottom", (3, 1.5, 1.5)),
    Case("bytes.mrc", "YX", GREY, "bytes above 127"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_pixel_of_what_other_tools_write(case: Case) -> None:
    source = open_image(FOLDER / case.name)
    image = source.decode()
    assert (source.axes.names, source.shape) == (case.axes, case.pixels.shape)
    assert source.dtype == image.pixels.dtype == case.pixels.dtype
    assert image.pixels.dtype.isnative
    assert np.array_equal(image.pixels, case.pixels)
    assert case.note in "; ".join(image.notes)
    if case.scale is not None:
        assert source.calibration is not None
        assert np.allclose(source.calibration.scale, case.scale)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_regions_are_those_of_the_whole(case: Case) -> None:
    source = open_image(FOLDER / case.name)
    region = tuple(slice(n // 3, max(n // 3 + 1, n - 1)) for n in source.shape)
    with source.reading() as read:
        for part in (region, tuple(slice(0, n) for n in source.shape), region):
            pixels = read(part)
            assert np.array_equal(pixels, case.pixels[part])
            assert pixels.dtype == case.pixels.dtype


FIXTURES = [path for path in sorted(FOLDER.iterdir()) if path.is_file() and path.suffix != ".py"]
NEEDED_WHOLE = [path for path in FIXTURES if path.name != "film.gif"]  # of it only a frame is read


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("path", NEEDED_WHOLE, ids=lambda path: path.name)
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, path: Path, share: float) -> None:
    cut = tmp_path / path.name
    cut.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(PixelwiseError, match=path.name.split(".")[0]):
        open_image(cut).read()


def test_all_formats_have_been_tried() -> None:
    tried = {find_format(path).name for path in FIXTURES}
    by_hand = {"TIFF", "Nikon ND2", "Leica LIF", "Zeiss CZI"}  # in tests of their own
    assert tried | by_hand == {item.name for item in FORMATS}


def test_the_content_decides_on_the_format(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"II*\0" + bytes(20))
    assert find_format(tmp_path / "a.png").name == "TIFF"


def test_a_dicom_file_may_begin_like_a_tiff(tmp_path: Path) -> None:
    data = (FOLDER / "rgb.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(b"II*\0" + data[4:])
    assert open_image(tmp_path / "a.dcm").shape == (20, 24, 3)


def test_no_suffix_belongs_to_two_formats() -> None:
    suffixes = [suffix for item in FORMATS for suffix in item.suffixes]
    assert len(suffixes) == len(set(suffixes))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "is empty"),
        (b"0 1 0\n1 0 1\n", "is text and starts with b'0 1 0"),
        (b"\n<!DOCTYPE html><html>404", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS"),
        (bytes(range(40)), "starts with b'"),
    ],
    ids=["empty", "text", "html", "lfs", "bytes"],
)
def test_what_has_no_format_is_described(tmp_path: Path, content: bytes, found: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ReadError, match=r"JPEG 2000.*HDF5.*DICOM") as caught:
        open_image(tmp_path / "a.png")
    assert found in str(caught.value)
    assert EXTRA in str(caught.value)


@pytest.mark.parametrize("item", [item for item in FORMATS if item.package], ids=lambda x: x.name)
def test_without_the_extra_its_name_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, item: object
) -> None:
    assert hasattr(item, "package")
    starts = {
        "nd2": b"\xda\xce\xbe\x0a", "liffile": b"\x70\0\0\0    \x2a", "czifile": b"ZISRAWFILE",
        "pydicom": bytes(128) + b"DICM", "nibabel": bytes(344) + b"n+1\0",
        "mrcfile": bytes(208) + b"MAP ",
    }  # fmt: skip
    path = tmp_path / f"a{item.suffixes[0]}"
    path.write_bytes(starts[item.package])
    monkeypatch.setitem(sys.modules, item.package, None)
    monkeypatch.delitem(sys.modules, item.module, raising=False)
    with pytest.raises(MissingPackageError) as caught:
        load_reader(path)
    assert str(caught.value).endswith('Type: pip install "napari-pixelwise[microscopes]"')
    assert item.name in str(caught.value)
    assert list(iter_image_files(tmp_path)) == [path]


def test_a_format_of_one_image_has_no_inner_paths() -> None:
    with pytest.raises(DataError, match=r"deep\.jp2 holds one image.*'first'"):
        open_image(FOLDER / "deep.jp2" / "first")


READER = """
import numpy as np
from pixelwise.axes import NamedAxes
from pixelwise.images.formats import ImageFormat
from pixelwise.images.reader import Header

FORMAT = ImageFormat("Steps", "steps", (".steps",), lambda mark: mark.startswith(b"steps"))

def read_header(path, palette):
    return Header((2, 3), np.dtype("uint8"), NamedAxes("YX", "as always"), regions=False)

def decode(path, palette):
    return np.arange(6, dtype=np.uint8).reshape(2, 3), ()
"""


def test_another_package_adds_a_format_by_an_entry_point(tmp_path: Path) -> None:
    package = tmp_path / "package"
    described = package / "steps-1.0.dist-info"
    described.mkdir(parents=True)
    (package / "steps.py").write_text(READER)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: steps\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text("[pixelwise.formats]\nsteps = steps:FORMAT\n")
    (tmp_path / "a.steps").write_bytes(b"steps of one")
    code = f"""
from pathlib import Path
from pixelwise.images import iter_image_files, read_image
(file,) = iter_image_files(Path({str(tmp_path)!r}))
pixels, axes = read_image(file)
assert pixels.tolist() == [[0, 1, 2], [3, 4, 5]], pixels
assert axes.names == "YX"
"""
    path = os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")])
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": path})
