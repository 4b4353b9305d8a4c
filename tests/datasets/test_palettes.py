"""Masks of one data set in every encoding: classes come out the same, or the set is refused."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from pixelwise.datasets import Dataset, load_dataset
from pixelwise.errors import DataError

SIDE = 24
BLACK, WHITE, RED, BLUE, GREEN = (
    *((0, 0, 0), (255, 255, 255), (255, 0, 0)),
    *((0, 0, 255), (0, 128, 0)),
)
Write = Callable[[Path, np.ndarray], Path]
"""Writes a mask of classes 0, 1, ... to a path without suffix, and gives the path."""


def draw(seed: int, classes: int = 2) -> np.ndarray:
    """Classes (Y, X) in blocks, each of several connected regions."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((SIDE, SIDE), np.uint8)
    for value in range(1, classes):
        for _ in range(3):
            y, x = rng.integers(0, SIDE - 4, 2)
            labels[y : y + 5 - value, x : x + 4] = value
    labels[:classes, 0] = range(classes)
    labels[-1, : 2 * classes] = [0, *range(classes), *[0] * (classes - 1)]
    return labels


def write_set(folder: Path, writers: list[Write], classes: int = 2) -> list[np.ndarray]:
    """Images and masks, one writer for each; gives the classes that were drawn."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    drawn = [draw(i, classes) for i in range(len(writers))]
    for i, (write, labels) in enumerate(zip(writers, drawn, strict=True)):
        grey = np.random.default_rng(i).integers(0, 255, labels.shape, np.uint8)
        Image.fromarray(grey).save(folder / "images" / f"{i}.png")
        write(folder / "masks" / f"{i}", labels)
    return drawn


def as_palette(colors: list[tuple[int, ...]], suffix: str = ".png", **options: Any) -> Write:
    """Write palette entry `colors[i]` for class i, in the order `order` of entries."""
    order = options.pop("order", range(len(colors)))

    def write(path: Path, labels: np.ndarray) -> Path:
        picture = Image.fromarray(np.argsort([*order]).astype(np.uint8)[labels], "P")
        picture.putpalette([value for i in order for value in colors[i][:3]])
        if suffix == ".tif":
            picture.save(path.with_suffix(".tif"), **options)
            return path.with_suffix(".tif")
        picture.save(path.with_suffix(suffix), **options)
        return path.with_suffix(suffix)

    return write


def as_grey(*values: int, suffix: str = ".png") -> Write:
    def write(path: Path, labels: np.ndarray) -> Path:
        Image.fromarray(np.array(values, np.uint8)[labels]).save(path.with_suffix(suffix))
        return path.with_suffix(suffix)

    return write


def as_colors(colors: list[tuple[int, ...]], suffix: str = ".png") -> Write:
    def write(path: Path, labels: np.ndarray) -> Path:
        pixels = np.array(colors, np.uint8)[labels]
        options = {"lossless": True, "exact": True} if suffix == ".webp" else {}
        if suffix == ".tif":
            extra = ["unassalpha"] * (pixels.shape[-1] in (2, 4))
            kind = "rgb" if pixels.shape[-1] > 2 else "minisblack"
            tifffile.imwrite(
                path.with_suffix(suffix), pixels, photometric=kind, extrasamples=extra,
                planarconfig="contig",
            )  # fmt: skip
        else:
            Image.fromarray(pixels).save(path.with_suffix(suffix), **options)
        return path.with_suffix(suffix)

    return write


def as_bits(bits: int) -> Write:
    """Grey PNG of 1, 2 or 4 bits, which Pillow cannot write; values as they are drawn."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    def write(path: Path, labels: np.ndarray) -> Path:
        rows = b""
        for row in labels:
            text = "".join(format(int(value), f"0{bits}b") for value in row)
            rows += b"\0" + int(text, 2).to_bytes(len(text) // 8, "big")
        head = struct.pack(">IIBBBBB", labels.shape[1], labels.shape[0], bits, 0, 0, 0, 0)
        path.with_suffix(".png").write_bytes(
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        )  # fmt: skip
        return path.with_suffix(".png")

    return write


def check(folder: Path, drawn: list[np.ndarray], **fields: Any) -> Dataset:
    """Every mask is read as the classes that were drawn, up to their numbers after 0."""
    data = load_dataset(folder, **fields)
    numbers: dict[int, int] = {}
    for sample, labels in zip(data.samples, drawn, strict=True):
        found = sample.read_mask()[0]
        for value in np.unique(labels).tolist():
            (number,) = np.unique(found[labels == value]).tolist()
            assert numbers.setdefault(value, number) == number
    assert len(set(numbers.values())) == len(numbers)
    assert numbers[0] == 0
    return data


def notes(data: Dataset) -> str:
    return " | ".join(map(str, data.problems))


FOUR = [BLACK, RED, BLUE, GREEN]
ORDERS = [(0, 1, 2, 3), (3, 1, 0, 2), (1, 0, 2, 3), (2, 3, 1, 0)]


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_palettes_in_another_order_are_read_by_colour(tmp_path: Path, suffix: str) -> None:
    drawn = write_set(tmp_path / "a", [as_palette(FOUR, suffix, order=o) for o in ORDERS], 4)
    data = check(tmp_path / "a", drawn)
    assert {c.color for c in data.classes} == {"#000000", "#ff0000", "#0000ff", "#008000"}
    assert "the palettes of the files differ" in notes(data)


def test_palettes_beside_rgb_files(tmp_path: Path) -> None:
    writers = [as_palette(FOUR, order=ORDERS[1]), as_colors(FOUR), as_palette(FOUR, ".bmp")]
    drawn = write_set(tmp_path / "a", writers, 4)
    assert "colours are the classes" in notes(check(tmp_path / "a", drawn))


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
@pytest.mark.parametrize("size", [2, 4, 256])
def test_one_palette_for_all_gives_its_indices(tmp_path: Path, suffix: str, size: int) -> None:
    rng = np.random.default_rng(size)
    colors = [BLACK, *map(tuple, rng.integers(1, 255, (size - 1, 3)).tolist())]
    classes = min(size, 5)
    drawn = write_set(tmp_path / "a", [as_palette(colors, suffix)] * 3, classes)
    data = check(tmp_path / "a", drawn)
    assert not data.mapping.startswith(f"{classes} colours")
    assert "its indices are the classes" in notes(data)


def test_palettes_cut_after_the_last_used_entry_are_one(tmp_path: Path) -> None:
    """Optimisers leave out entries at the end; padding differs too."""
    writers = [as_palette([*FOUR, WHITE]), as_palette(FOUR), as_palette([*FOUR, *[BLACK] * 252])]
    drawn = write_set(tmp_path / "a", writers, 4)
    data = check(tmp_path / "a", drawn)
    assert "its indices are the classes" in notes(data)


def test_palettes_that_differ_in_unused_entries_are_one(tmp_path: Path) -> None:
    writers = [as_palette([*FOUR, color], ".bmp") for color in (RED, WHITE, GREEN)]
    drawn = write_set(tmp_path / "a", writers, 4)
    assert "its indices are the classes" in notes(check(tmp_path / "a", drawn))


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
@pytest.mark.parametrize("orders", [[(1, 0)] * 3, [(0, 1), (1, 0), (1, 0)], [(0, 1)] * 3])
def test_two_entries_of_white_and_black(
    tmp_path: Path, suffix: str, orders: list[tuple[int, int]]
) -> None:
    writers = [as_palette([BLACK, WHITE], suffix, order=order) for order in orders]
    check(tmp_path / "a", write_set(tmp_path / "a", writers))


def test_two_entries_of_a_colour_and_black(tmp_path: Path) -> None:
    drawn = write_set(tmp_path / "a", [as_palette([BLACK, RED], order=(1, 0))] * 2)
    assert "index 0 of the palette is #ff0000" in notes(check(tmp_path / "a", drawn))


def test_a_white_background_of_qupath_is_index_0(tmp_path: Path) -> None:
    drawn = write_set(tmp_path / "a", [as_palette([WHITE, RED, BLUE, BLACK])] * 2, 3)
    data = check(tmp_path / "a", drawn)
    assert "index 0 is #ffffff" in notes(data)


def test_classes_given_by_colour_are_looked_up_in_the_palette(tmp_path: Path) -> None:
    drawn = write_set(tmp_path / "a", [as_palette(FOUR)] * 2, 4)
    classes = {"#000000": "none", "#ff0000": "a", "#0000ff": "b", "#008000": "c"}
    data = check(tmp_path / "a", drawn, classes=classes)
    assert [c.name for c in data.classes] == ["none", "a", "b", "c"]


def test_classes_given_by_number_are_indices_of_a_shared_palette(tmp_path: Path) -> None:
    drawn = write_set(tmp_path / "a", [as_palette([BLACK, WHITE], order=(1, 0))] * 2)
    data = load_dataset(tmp_path / "a", classes={"1": "none", "0": "cell"})
    assert np.array_equal(data.samples[0].read_mask()[0], drawn[0])


def test_classes_given_by_number_can_be_the_greys_of_a_palette(tmp_path: Path) -> None:
    drawn = write_set(tmp_path / "a", [as_palette([BLACK, WHITE], order=(1, 0))] * 2)
    check(tmp_path / "a", drawn, classes={"0": "none", "255": "cell"})


def test_classes_given_by_number_cannot_be_colours(tmp_path: Path) -> None:
    write_set(tmp_path / "a", [as_palette(FOUR, order=order) for order in ORDERS], 4)
    data = load_dataset(tmp_path / "a", classes={"0": "a", "1": "b", "2": "c", "3": "d"})
    with pytest.raises(DataError, match="give them as colours"):
        data.samples[0].read_mask()


@pytest.mark.parametrize(
    ("writers", "classes"),
    [
        ([as_bits(1), as_grey(0, 1), as_grey(0, 1)], 2),
        ([as_bits(1), as_grey(0, 255), as_bits(1)], 2),
        ([as_bits(2), as_grey(0, 1, 2, 3)], 4),
        ([as_bits(2), as_grey(0, 85, 170, 255)], 4),
        ([as_bits(2), as_bits(4)], 4),
        ([as_bits(4)] * 2, 5),
        ([as_bits(2)] * 2, 4),
        ([as_palette([BLACK, WHITE], order=(1, 0)), as_grey(0, 255), as_bits(1)], 2),
        ([as_palette(FOUR), as_grey(0, 1, 2, 3)], 4),
        ([as_palette([BLACK, WHITE, (128, 128, 128)]), as_grey(0, 255, 128)], 3),
    ],
    ids=[
        *("1 bit, 8 bits of 0 1", "1 bit, 8 bits of 0 255", "2 bits, 0 to 3", "2 bits, x85"),
        *("2 and 4 bits", "4 bits", "2 bits", "white first, grey, 1 bit", "indices in grey"),
        "greys of a palette",
    ],
)
def test_files_of_several_depths(tmp_path: Path, writers: list[Write], classes: int) -> None:
    check(tmp_path / "a", write_set(tmp_path / "a", writers, classes))


def test_grey_files_beside_rgb_files(tmp_path: Path) -> None:
    """Optimisers save a mask without colours as grey, of one bit if it is black and white."""
    colors = [BLACK, WHITE, RED, (128, 128, 128)]
    writers = [as_colors(colors), as_grey(0, 255, 0, 128), as_grey(0, 255, 0, 0)]
    drawn = write_set(tmp_path / "a", writers, 4)
    drawn[1][drawn[1] == 2] = 0
    drawn[2][drawn[2] > 1] = 0
    as_bits(1)(tmp_path / "a" / "masks" / "2", drawn[2])
    check(tmp_path / "a", drawn)


@pytest.mark.parametrize("write", [as_grey(0, 1, 2, 3), as_bits(2)])
def test_indices_beside_rgb_files_are_refused(tmp_path: Path, write: Write) -> None:
    write_set(tmp_path / "a", [as_colors(FOUR), write], 4)
    with pytest.raises(DataError, match=r"which is no colour of the others"):
        load_dataset(tmp_path / "a")


def test_indices_in_rgb_files_are_like_those_in_grey_files(tmp_path: Path) -> None:
    writers = [as_grey(0, 1, 2), as_colors([(0, 0, 0), (1, 1, 1), (2, 2, 2)])]
    check(tmp_path / "a", write_set(tmp_path / "a", writers, 3))


@pytest.mark.parametrize(
    "writers",
    [
        [as_bits(2), as_grey(0, 1, 2, 7)],
        [as_palette(FOUR), as_grey(0, 60, 120, 180)],
        [as_palette(FOUR, order=ORDERS[1]), as_palette(FOUR, order=ORDERS[2]), as_grey(0, 1, 2, 3)],
    ],
    ids=["beyond 2 bits", "greys that the palette has not", "indices beside palettes that differ"],
)
def test_values_that_fit_no_reading_are_refused(tmp_path: Path, writers: list[Write]) -> None:
    write_set(tmp_path / "a", writers, 4)
    with pytest.raises(DataError, match=r"neither their stored values nor their colours.*8-bit"):
        load_dataset(tmp_path / "a")


CLEAR, OPAQUE = (255, 255, 255, 0), (255, 255, 255, 255)


@pytest.mark.parametrize(
    "write",
    [
        as_colors([CLEAR, OPAQUE]),
        as_colors([(0, 0, 0, 0), (0, 0, 0, 255)]),
        as_colors([(255, 0), (255, 255)]),
        as_colors([CLEAR, OPAQUE], ".tif"),
        as_colors([(7, 0), (7, 255)], ".tif"),
        as_colors([CLEAR, OPAQUE], ".webp"),
        as_palette([WHITE, WHITE], transparency=b"\x00\xff"),
        as_palette([WHITE, WHITE], order=(1, 0), transparency=b"\xff\x00"),
    ],
    ids=["white", "black", "LA", "TIFF", "grey TIFF", "WebP", "palette", "palette, opaque first"],
)
def test_a_mask_in_alpha(tmp_path: Path, write: Write) -> None:
    drawn = write_set(tmp_path / "a", [write] * 3)
    assert "alpha channel was read as the mask" in notes(check(tmp_path / "a", drawn))


def test_alpha_that_repeats_the_colours_is_left_out(tmp_path: Path) -> None:
    writers = [as_colors([(0, 0, 0, 0), (*RED, 255), (*BLUE, 255)])] * 2
    drawn = write_set(tmp_path / "a", writers, 3)
    assert "their colours were read" in notes(check(tmp_path / "a", drawn))


def test_an_opaque_alpha_says_nothing(tmp_path: Path) -> None:
    writers = [as_colors([(*BLACK, 255), (*RED, 255)])] * 2
    assert "transparent" not in notes(check(tmp_path / "a", write_set(tmp_path / "a", writers)))


def test_a_mask_in_colours_and_alpha_is_refused_and_the_advice_works(tmp_path: Path) -> None:
    """Class 2 is black on transparent black."""
    write = as_colors([(0, 0, 0, 0), (*RED, 255), (0, 0, 0, 255)])
    write_set(tmp_path / "a", [write] * 2, 3)
    with pytest.raises(DataError, match="distinguishes pixels of one colour") as caught:
        load_dataset(tmp_path / "a")
    follow(str(caught.value))
    with Image.open(tmp_path / "a" / "masks" / "0.png") as picture:
        assert picture.mode == "RGB"


def follow(message: str) -> None:
    """Do what a message says: run the line of Python in it."""
    code = message.split('python -c "')[1].rsplit('"', 1)[0]
    exec(code, {})


def test_a_mask_without_alpha_among_those_in_alpha_is_refused(tmp_path: Path) -> None:
    write_set(tmp_path / "a", [as_colors([CLEAR, OPAQUE])] * 3)
    as_grey(0, 255)(tmp_path / "a" / "masks" / "1", draw(1))
    with pytest.raises(DataError, match=r"1\.png has no alpha channel"):
        load_dataset(tmp_path / "a")


def test_one_mask_of_many_that_hides_its_object_in_alpha_is_refused(tmp_path: Path) -> None:
    colors = as_colors([(*BLACK, 255), (*WHITE, 255)])
    write_set(tmp_path / "a", [colors, colors, as_colors([CLEAR, OPAQUE])])
    with pytest.raises(DataError, match="alpha"):
        load_dataset(tmp_path / "a").samples[2].read_mask()


def test_plain_masks_are_read_as_before_and_nothing_is_said(tmp_path: Path) -> None:
    drawn = write_set(tmp_path / "a", [as_grey(0, 1, 2)] * 2, 3)
    assert check(tmp_path / "a", drawn).problems == ()


def test_palettes_that_are_plain_greys_are_none(tmp_path: Path) -> None:
    """Programs add them to grey images; that one has fewer entries than another means nothing."""

    def write(entries: int) -> Write:
        ramp = as_palette([(grey, grey, grey) for grey in range(entries)])
        return lambda path, labels: ramp(path, labels)

    drawn = write_set(tmp_path, [write(256), write(200), write(256)])
    assert "palette" not in notes(check(tmp_path, drawn))
