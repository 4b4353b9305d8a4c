"""HDF5: which data set is the image, what its axes are, and pixels that are not there."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from pixelwise.errors import DataError, MissingPackageError
from pixelwise.images import open_image
from tests.fixtures.formats.write import FOLDER, pattern

STACK = pattern((4, 20, 24), 251)


def tag(data: h5py.Dataset, keys: str) -> None:
    """Write the axes as ilastik does."""
    data.attrs["axistags"] = json.dumps({"axes": [{"key": key, "typeFlags": 2} for key in keys]})


def test_one_image_among_tables_is_taken_and_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["volume/data"] = STACK
        file["positions"] = np.zeros((100, 3))
        file["times"] = np.zeros(100)
        file["names"] = np.array([b"a", b"b"])
    image = open_image(tmp_path / "a.h5").decode()
    assert np.array_equal(image.pixels, STACK)
    assert image.notes == ("the data set /volume/data was read, the only image of 4",)


def test_several_images_are_named_and_the_advice_works() -> None:
    with pytest.raises(DataError, match="found 2") as caught:
        open_image(FOLDER / "raw_and_label.h5")
    _, first, _, second, _ = str(caught.value).split('"')
    assert open_image(first).dtype == np.uint16
    assert np.array_equal(open_image(second).read(), pattern((4, 20, 24), 2))


def test_a_file_without_images_says_so(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["bias"] = np.zeros(64)
    with pytest.raises(DataError, match=r"looks like an image in .*weights\.h5, found none"):
        open_image(tmp_path / "weights.h5")


@pytest.mark.parametrize("inner", ["label", "segmentation", "segmentation/label/x", "../raw/x"])
def test_a_wrong_inner_path_is_answered_with_the_right_ones(inner: str) -> None:
    with pytest.raises(DataError, match=r"has no data set.*raw_and_label\.h5/raw"):
        open_image(FOLDER / "raw_and_label.h5" / inner)


@pytest.mark.parametrize(
    ("keys", "names", "reason"),
    [
        ("zyx", "ZYX", "axistags"),
        ("tyx", "TYX", "axistags"),
        ("yxc", "YXC", "axistags"),
        ("?yx", "ZYX", "guessed"),
        ("yx", "ZYX", "guessed"),
        ("zzx", "ZYX", "guessed"),
    ],
)
def test_axistags(tmp_path: Path, keys: str, names: str, reason: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        tag(file.create_dataset("exported_data", data=STACK), keys)
    axes = open_image(tmp_path / "a.h5").axes
    assert axes.names == names
    assert reason in axes.reason


def test_all_singleton_axes_of_ilastik_are_kept(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        tag(file.create_dataset("exported_data", data=STACK[None, :, :, :, None]), "tzyxc")
    source = open_image(tmp_path / "a.h5")
    assert (source.axes.names, source.shape) == ("TZYXC", (1, 4, 20, 24, 1))


def test_number_formats(tmp_path: Path) -> None:
    for dtype in ("?", "i1", ">u2", "<i4", ">f4", "f8", "<f2"):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["a"] = STACK.astype(dtype)
        source = open_image(tmp_path / "a.h5")
        assert source.read().dtype == source.dtype
        assert source.dtype.isnative
        assert np.array_equal(source.read(), STACK.astype(dtype))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"] = STACK.astype(complex)
    with pytest.raises(DataError, match="complex128"):
        open_image(tmp_path / "a.h5" / "a")


def test_chunks_that_were_never_written_are_noted(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("a", (4, 20, 24), "u1", chunks=(1, 20, 24))
        data[0] = STACK[0]
    image = open_image(tmp_path / "a.h5").decode()
    assert image.notes == ("3 of 4 chunks were never written and were read as blank",)
    assert not image.pixels[1:].any()


def test_pixels_in_other_files_are_refused_and_the_remedy_works(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "parts.h5", "w") as file:
        file["x"] = STACK
    with h5py.File(tmp_path / "a.h5", "w") as file:
        layout = h5py.VirtualLayout(STACK.shape, "u1")
        layout[:] = h5py.VirtualSource("parts.h5", "x", STACK.shape)
        file.create_virtual_dataset("a", layout)
    with pytest.raises(DataError, match="are in other files") as caught:
        open_image(tmp_path / "a.h5")
    command = str(caught.value).partition("these files: ")[2]
    python, *words = shlex.split(command)
    assert python == "python"
    subprocess.run([sys.executable, *words], check=True, cwd=tmp_path)
    assert np.array_equal(open_image(tmp_path / "copy.h5").read(), STACK)


def test_a_compression_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", data=STACK, chunks=STACK.shape, compression="gzip")
    data = (tmp_path / "a.h5").read_bytes()
    assert data.count(b"deflate\0") == 1
    at = data.index(b"deflate\0")
    start = at - 8  # number, length of the name, flags, count of values
    assert data[start : start + 2] == b"\1\0"
    unknown = (32008).to_bytes(2, "little")
    renamed = data[:start] + unknown + data[start + 2 :].replace(b"deflate\0", b"bitshuf\0")
    (tmp_path / "a.h5").write_bytes(renamed)
    with pytest.raises(MissingPackageError, match=r"bitshuf.*pip install hdf5plugin"):
        open_image(tmp_path / "a.h5")


def test_regions_decode_their_chunks_only(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", data=STACK, chunks=(1, 20, 24), compression="gzip")
        place = file["a"].id.get_chunk_info(3).byte_offset
    with (tmp_path / "a.h5").open("r+b") as opened:
        opened.seek(place)
        opened.write(bytes(8))
    with open_image(tmp_path / "a.h5").reading() as read:
        assert np.array_equal(read((slice(0, 3), slice(2, 5), slice(0, 24))), STACK[:3, 2:5])
        with pytest.raises(OSError, match=r"a\.h5 is damaged"):
            read((slice(3, 4), slice(0, 20), slice(0, 24)))


@pytest.mark.parametrize(
    "link",
    [
        h5py.ExternalLink("other.h5", "/d"),
        h5py.SoftLink("/group/far"),
        h5py.SoftLink("/loop"),
        h5py.SoftLink("group/far"),
    ],
    ids=["external", "soft", "circle", "relative"],
)
def test_links_into_other_files_are_refused(tmp_path: Path, link: object) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["d"] = np.ones((20, 20), np.uint8)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["near"] = np.ones((20, 20), np.uint8)
        file["group/far"] = h5py.ExternalLink("other.h5", "/d")
        file["group/near"] = h5py.SoftLink("../near")
        file["own"] = h5py.SoftLink("/near")
        file["loop"] = link
    with pytest.raises(DataError, match=r"'loop' in .*is a link to another file, or to nothing"):
        open_image(tmp_path / "a.h5" / "loop")
    assert open_image(tmp_path / "a.h5" / "own").read().all()
