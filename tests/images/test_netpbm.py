"""PBM, PGM and PPM: values as stored, in every variant; Pillow tells the same where it can."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from pixelwise.errors import DataError, ReadError
from pixelwise.images import open_image
from tests.fixtures.formats.write import pattern


def write(path: Path, kind: int, pixels: np.ndarray, highest: int, comment: str = "") -> None:
    """Write any kind; bitmaps get 1 where `pixels` are 0, as black is."""
    height, width = pixels.shape[:2]
    top = "" if kind in (1, 4) else f"{highest}\n"
    head = f"P{kind}\n{comment}{width} {height}\n{top}".encode()
    stored = 1 - pixels if kind in (1, 4) else pixels
    if kind <= 3:
        body = "\n".join(" ".join(map(str, row.ravel())) for row in stored).encode()
    elif kind == 4:
        body = np.packbits(stored, axis=1).tobytes()
    else:
        body = stored.astype("u1" if highest < 256 else ">u2").tobytes()
    path.write_bytes(head + body)


@given(
    kind=st.integers(1, 6),
    highest=st.sampled_from([1, 3, 15, 255, 256, 4095, 65535]),
    width=st.integers(1, 20),
    comment=st.sampled_from(["", "# by hand\n", "#\n# P5 3 3\n"]),
)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_variant(tmp_path: Path, kind: int, highest: int, width: int, comment: str) -> None:
    highest = 1 if kind in (1, 4) else highest
    shape = (7, width, 3) if kind in (3, 6) else (7, width)
    pixels = pattern(shape, highest + 1, "int64")
    write(tmp_path / "a.pnm", kind, pixels, highest, comment)
    source = open_image(tmp_path / "a.pnm")
    assert source.dtype == ("uint8" if highest < 256 else "uint16")
    assert source.header.white == (highest if highest < 255 and len(shape) == 2 else None)
    assert source.axes.names == ("YXC" if len(shape) == 3 else "YX")
    assert np.array_equal(source.read(), pixels)
    assert source.read().dtype == source.dtype
    if highest in (1, 255) and kind != 2:
        seen = np.asarray(Image.open(tmp_path / "a.pnm")).astype(int)
        assert (
            np.array_equal(seen // seen.max() if highest == 1 else seen, pixels) or not seen.any()
        )


def test_white_is_1_in_a_bitmap(tmp_path: Path) -> None:
    (tmp_path / "a.pbm").write_bytes(b"P1 3 2 110\n001")
    image = open_image(tmp_path / "a.pbm").decode()
    assert image.pixels.tolist() == [[0, 0, 1], [1, 1, 0]]
    assert image.notes == ("stores black as 1 (PBM): read as displayed, black as 0 and white as 1",)


def test_values_that_are_no_whole_bytes_are_noted(tmp_path: Path) -> None:
    write(tmp_path / "a.pgm", 5, pattern((7, 9), 4096, "int64"), 4095)
    assert open_image(tmp_path / "a.pgm").notes == ("stores values up to 4095: read as 0 to 4095",)
    assert open_image(tmp_path / "a.pgm", palette="index").notes == ()


def test_several_pictures_in_one_file_are_noted(tmp_path: Path) -> None:
    write(tmp_path / "a.pgm", 5, pattern((7, 9), 256), 255)
    data = (tmp_path / "a.pgm").read_bytes()
    (tmp_path / "a.pgm").write_bytes(data + data)
    image = open_image(tmp_path / "a.pgm").decode()
    assert np.array_equal(image.pixels, pattern((7, 9), 256))
    assert image.notes == ("holds more than one picture; the first was read",)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"P5 9 7 255\n" + bytes(62), ReadError, "truncated.*at least 74 bytes, the file has 73"),
        (b"P4 9 7\n" + bytes(13), ReadError, "truncated"),
        (b"P2 3 2 255\n1 2 3 4 5  ", ReadError, "truncated: expected 6 values, found 5"),
        (b"P2 3 1 255\n1 x 3", ReadError, "damaged"),
        (b"P2 3 1 7\n1 8 3", ReadError, "value 8, but its header says 7"),
        (b"P5 2 1 7\n\1\x08", ReadError, "value 8, but its header says 7"),
        (b"P5 2 1 65536\n" + bytes(9), ReadError, "highest value is 65536"),
        (b"P5 2 1 0\n" + bytes(9), ReadError, "highest value is 0"),
        (b"P5 0 1 255\n", DataError, "0 x 1 pixels"),
        (b"P5 one two", ReadError, "damaged"),
        (b"P6 99999999 99999999 255\n", ReadError, "truncated"),
        (b"P3 99999999 99999999 255\n", ReadError, "truncated"),
    ],
)
def test_damage(tmp_path: Path, content: bytes, error: type[Exception], message: str) -> None:
    (tmp_path / "a.pnm").write_bytes(content)
    with pytest.raises(error, match=message):
        open_image(tmp_path / "a.pnm").read()
