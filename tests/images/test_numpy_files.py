"""NumPy files: never a pickle, never more than the header can keep, any order and byte order."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pixelwise.errors import BudgetError, DataError, PixelwiseError, ReadError
from pixelwise.images import open_image
from tests.fixtures.formats.write import FOLDER, pattern

DTYPES = ["?", "u1", "i1", "<u2", ">u2", "<i4", ">i4", "u8", "<f2", ">f4", "<f8"]


class Bomb:
    """What a pickle can do when it is loaded."""

    def __reduce__(self) -> Any:
        return os.abort, ()


@given(
    dtype=st.sampled_from(DTYPES),
    order=st.sampled_from("CF"),
    shape=st.sampled_from([(5, 6), (3, 20, 24), (20, 24, 3), (2, 3, 20, 24)]),
    version=st.sampled_from([(1, 0), (2, 0), (3, 0)]),
    packed=st.booleans(),
)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_number_format_order_and_version(
    tmp_path: Path,
    dtype: str,
    order: Any,
    shape: tuple[int, ...],
    version: tuple[int, int],
    packed: bool,
) -> None:
    array = np.asarray(pattern(shape, 2 if dtype == "?" else 100, "int64"), dtype, order=order)
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=version)
    path = tmp_path / ("a.npz" if packed else "a.npy")
    if packed:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("arr_0.npy", stream.getvalue())
    else:
        path.write_bytes(stream.getvalue())
    source = open_image(path)
    region = tuple(slice(1, n) for n in shape)
    assert source.dtype == (np.uint8 if dtype == "?" else np.dtype(dtype).newbyteorder("="))
    assert np.array_equal(source.read(), array)
    assert source.read().dtype == source.read_region(region).dtype == source.dtype
    assert np.array_equal(source.read_region(region), array[region])


def test_pickles_are_refused_unread(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", a=np.array([[Bomb()]], dtype=object))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(DataError, match=r"Python objects \(a pickle\).*numpy\.save"):
            open_image(tmp_path / name)


def test_cellposes_own_file_is_refused_with_what_to_export(tmp_path: Path) -> None:
    np.save(tmp_path / "a_seg.npy", {"masks": pattern((20, 24), 3), "outlines": 1})
    with pytest.raises(DataError, match=r"a_seg\.npy is Cellpose's own file.*Save masks as PNG"):
        open_image(tmp_path / "a_seg.npy")
    np.save(tmp_path / "b_seg.npy", pattern((20, 24), 3))  # a mask that a person called so
    assert np.array_equal(open_image(tmp_path / "b_seg.npy").read(), pattern((20, 24), 3))


def test_what_is_no_array_of_real_numbers_is_refused(tmp_path: Path) -> None:
    for array, message in (
        (np.zeros((5, 6), [("red", "u1"), ("green", "u1")]), r"fields red, green.*array\['red'\]"),
        (np.zeros((5, 6), complex), "complex128"),
        (np.zeros((5, 6), "U3"), "<U3"),
        (np.zeros((5, 6), "V4"), "V4"),
        (np.zeros((5, 6), np.longdouble), "float128.*float64"),
    ):
        np.save(tmp_path / "a.npy", array)
        with pytest.raises(DataError, match=message):
            open_image(tmp_path / "a.npy").read()


def write_header(path: Path, shape: str, dtype: str = "|u1", content: int = 100) -> None:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    text = text.ljust(117) + "\n"
    header = b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text.encode()
    path.write_bytes(header + bytes(content))


def test_a_header_that_promises_too_much_is_named(tmp_path: Path) -> None:
    write_header(tmp_path / "a.npy", "(100000, 100000, 100000)")
    with pytest.raises(
        ReadError, match=r"truncated.*1000000000000128 bytes in all, but there are 228"
    ):
        open_image(tmp_path / "a.npy")


def test_a_huge_file_meets_the_budget(tmp_path: Path) -> None:
    write_header(tmp_path / "a.npy", "(1000000, 100000)", content=0)
    os.truncate(tmp_path / "a.npy", 128 + 10**11)  # a file with holes: it takes no room
    source = open_image(tmp_path / "a.npy", budget_bytes=10**6)
    with pytest.raises(BudgetError, match="100 GB"):
        source.read()
    assert source.read_region((slice(10, 12), slice(5, 9))).shape == (2, 4)


def test_an_archive_that_promises_too_much_meets_the_budget(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        write_header(tmp_path / "a.npy", "(5000, 5000)", content=5000 * 5000)
        archive.write(tmp_path / "a.npy", "a.npy")
    with pytest.raises(BudgetError):
        open_image(tmp_path / "a.npz", budget_bytes=10**6).read()


@pytest.mark.parametrize(
    "shape",
    ["(-3, -4)", "(-100, 5)", "(True, 100)", "'ab'", "(5.0, 6)", "(5,", "__import__('os').abort()"],
)
def test_odd_headers_are_refused(tmp_path: Path, shape: str) -> None:
    write_header(tmp_path / "a.npy", shape)
    with pytest.raises(PixelwiseError, match=r"a\.npy"):
        open_image(tmp_path / "a.npy").read()


def test_several_arrays_of_an_archive_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'2 arrays.*two\.npz/image", ".*two\.npz/mask"') as caught:
        open_image(FOLDER / "two.npz")
    advice = str(caught.value).split('"')[1]
    assert np.array_equal(open_image(advice).read(), pattern((20, 24), 251))
    with pytest.raises(DataError, match="no array 'msk'"):
        open_image(FOLDER / "two.npz" / "msk")
    with pytest.raises(DataError, match=r"stack\.npy holds one array"):
        open_image(FOLDER / "stack.npy" / "image")


def test_further_arrays_in_one_file_are_noted(tmp_path: Path) -> None:
    with (tmp_path / "a.npy").open("wb") as file:
        np.save(file, pattern((20, 24), 5))
        np.save(file, pattern((20, 24), 6))
    image = open_image(tmp_path / "a.npy").decode()
    assert np.array_equal(image.pixels, pattern((20, 24), 5))
    assert image.notes == ("holds more than one array; the first was read",)


def test_files_of_python_2_are_read(tmp_path: Path) -> None:
    write_header(tmp_path / "a.npy", "(10L, 10L)")
    assert open_image(tmp_path / "a.npy").read().shape == (10, 10)


def test_axes_can_be_given(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", pattern((2, 20, 24), 100))
    assert open_image(tmp_path / "a.npy", axes="CYX").axes.names == "CYX"
