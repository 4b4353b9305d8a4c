"""The net under every reader: pictures and masks in all encodings come back, or are refused.

A few pictures and label images are drawn at random and written as other programs might write
them. What a data set gives back must be the same pixels and the same classes. A refusal is right
too; anything else is a fault. `PIXELWISE_ROUND_TRIPS` sets the number of examples of a long run.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelwise.classes import VOID
from pixelwise.datasets import load_dataset
from pixelwise.errors import PixelwiseError
from pixelwise.images import write_zarr
from pixelwise.images.content import ImageContent

Array = npt.NDArray[Any]
EXAMPLES = int(os.environ.get("PIXELWISE_ROUND_TRIPS", "60"))
SEEN: Counter[str] = Counter()

MOST_REFUSED = 0.5
"""Of the examples; a reader that refuses everything would pass all else."""


# Meanings: from class indices to the values that are stored


@dataclass(frozen=True)
class Meaning:
    """How classes are written: values (or colours) of class 0, 1, ..., and of void."""

    name: str
    values: tuple[int, ...]
    void: int | None = None
    colors: bool = False


def create_meaning(kind: str, classes: int, rng: np.random.Generator) -> Meaning:
    """Draw the values of one kind of mask."""
    if kind == "0 and 1":
        return Meaning(kind, (0, 1))
    if kind == "0 and 255":
        return Meaning(kind, (0, 255))
    if kind == "indices":
        return Meaning(kind, tuple(range(classes)))
    if kind == "indices and void":
        return Meaning(kind, tuple(range(max(classes, 3))), void=255)
    if kind == "codes":
        step = 255 // (classes - 1)
        return Meaning(kind, tuple(i * step for i in range(classes)))
    colors = rng.choice(np.arange(0x102030, 0xEFEFEF, 0x0B0D11), classes - 1, replace=False)
    return Meaning(kind, (0, *map(int, colors)), colors=True)


KINDS = ("0 and 1", "0 and 255", "indices", "indices and void", "codes", "colours")


def encode(labels: Array, meaning: Meaning) -> Array:
    """Write class indices (255 is void) as values (Y, X), or as colours (Y, X, 3)."""
    table = np.zeros(256, np.int64)
    table[: len(meaning.values)] = meaning.values
    table[VOID] = 0 if meaning.void is None else meaning.void
    stored = table[labels]
    if not meaning.colors:
        return stored.astype(np.uint8)
    return np.stack([stored >> 16, stored >> 8 & 255, stored & 255], -1).astype(np.uint8)


# Containers: from pixels to files


def write_png(path: Path, pixels: Array, rng: np.random.Generator) -> None:
    Image.fromarray(pixels).save(path.with_suffix(".png"))


def write_alpha_png(path: Path, pixels: Array, rng: np.random.Generator) -> None:
    picture = Image.fromarray(pixels)
    picture.putalpha(255)
    picture.save(path.with_suffix(".png"))


def write_png16(path: Path, pixels: Array, rng: np.random.Generator) -> None:
    require_grey(pixels)
    Image.fromarray(pixels.astype(np.uint16)).save(path.with_suffix(".png"))


def write_bit_png(path: Path, pixels: Array, rng: np.random.Generator) -> None:
    require_two(pixels)
    Image.fromarray(pixels > 0).save(path.with_suffix(".png"))


def write_palette(path: Path, pixels: Array, rng: np.random.Generator, suffix: str) -> None:
    """Write colours by a palette in an order of this file's own; values by a fixed palette."""
    options = {"optimize": False} if suffix == ".gif" else {}
    if pixels.ndim == 2:
        picture = Image.fromarray(pixels).convert("L")
        indexed = Image.new("P", picture.size)
        indexed.putdata(pixels.ravel().tolist())
        fixed = np.random.default_rng(5).integers(1, 256, (256, 3))
        fixed[0] = 0
        indexed.putpalette(fixed.astype(np.uint8).ravel().tolist())
        indexed.save(path.with_suffix(suffix), **options)
        return
    colors, found = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
    order = rng.permutation(len(colors))
    indices = np.argsort(order)[found.ravel()].reshape(pixels.shape[:2])
    indexed = Image.new("P", pixels.shape[1::-1])
    indexed.putdata(indices.ravel().tolist())
    indexed.putpalette(colors[order].ravel().tolist())
    indexed.save(path.with_suffix(suffix), **options)


def write_palette_png(path: Path, pixels: Array, rng: np.random.Generator) -> None:
    write_palette(path, pixels, rng, ".png")


def write_palette_bmp(path: Path, pixels: Array, rng: np.random.Generator) -> None:
    write_palette(path, pixels, rng, ".bmp")


def write_gif(path: Path, pixels: Array, rng: np.random.Generator) -> None:
    write_palette(path, pixels, rng, ".gif")


def write_bmp(path: Path, pixels: Array, rng: np.random.Generator) -> None:
    Image.fromarray(pixels).save(path.with_suffix(".bmp"))


def write_webp(path: Path, pixels: Array, rng: np.random.Generator) -> None:
    picture = Image.fromarray(pixels).convert("RGB")
    picture.save(path.with_suffix(".webp"), lossless=True, exact=True)


def write_pnm(path: Path, pixels: Array, rng: np.random.Generator) -> None:
    Image.fromarray(pixels).save(path.with_suffix(".pgm" if pixels.ndim == 2 else ".ppm"))


def write_jp2(path: Path, pixels: Array, rng: np.random.Generator) -> None:
    import imagecodecs

    path.with_suffix(".jp2").write_bytes(imagecodecs.jpeg2k_encode(pixels, level=0))


def write_tiff(path: Path, pixels: Array, rng: np.random.Generator) -> None:
    """Write a TIFF with random strips or tiles, byte order, compression and planes."""
    options: dict[str, Any] = {"byteorder": rng.choice([">", "<"])}
    options["bigtiff"] = bool(rng.integers(2))
    options["compression"] = [None, "zlib", "lzw", "packbits"][rng.integers(4)]
    if rng.integers(2):
        options["tile"] = (16, 16)
    else:
        options["rowsperstrip"] = int(rng.integers(1, 9))
    color = pixels.ndim == 3
    if color and rng.integers(2):
        pixels, options["planarconfig"] = np.moveaxis(pixels, -1, 0), "separate"
    options["photometric"] = "rgb" if color else "minisblack"
    tifffile.imwrite(path.with_suffix(".tif"), pixels, **options)


def write_white_is_zero(path: Path, pixels: Array, rng: np.random.Generator) -> None:
    require_grey(pixels)
    options = {"tile": (16, 16)} if rng.integers(2) else {"rowsperstrip": 3}
    tifffile.imwrite(path.with_suffix(".tif"), 255 - pixels, photometric="miniswhite", **options)


def write_bits(path: Path, pixels: Array, rng: np.random.Generator) -> None:
    """Write a bilevel TIFF, black or white being 0."""
    require_two(pixels)
    white = bool(rng.integers(2))
    bits = (pixels > 0) ^ white
    photometric = "miniswhite" if white else "minisblack"
    # tifffile's own files of bools are read as stored: their True is what somebody marked.
    options = {"software": "another program", "metadata": None}
    tifffile.imwrite(path.with_suffix(".tif"), bits, photometric=photometric, **options)


def write_deep_tiff(path: Path, pixels: Array, rng: np.random.Generator) -> None:
    require_grey(pixels)
    dtype = rng.choice(["uint16", "int16", "uint32", "int32", "float32"])
    tifffile.imwrite(path.with_suffix(".tif"), pixels.astype(dtype), photometric="minisblack")


def write_packed_tiff(path: Path, pixels: Array, rng: np.random.Generator) -> None:
    """Write grey of 1, 2, 4, 12 or 16 bits, min-is-white or min-is-black, bits side by side."""
    require_grey(pixels)
    fitting = [bits for bits in (1, 2, 4, 12, 16) if pixels.max() < 1 << bits]
    bits, order = int(rng.choice(fitting)), str(rng.choice(["<", ">"]))
    white = bool(rng.integers(2))
    stored = (1 << bits) - 1 - pixels.astype(np.int64) if white else pixels.astype(np.int64)
    if bits == 16:
        data = stored.astype(f"{order}u2").tobytes()
    else:
        planes = stored[..., None] >> np.arange(bits - 1, -1, -1) & 1
        data = np.packbits(planes.reshape(len(pixels), -1).astype(np.uint8), axis=1).tobytes()
    height, width = pixels.shape
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, int(not white)), (273, 8),
            (277, 1), (278, height), (279, len(data))]  # fmt: skip
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags)
    start = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8 + len(data))
    directory = struct.pack(f"{order}H", len(tags)) + entries + bytes(4)
    path.with_suffix(".tif").write_bytes(start + data + directory)


def write_palette_tiff(path: Path, pixels: Array, rng: np.random.Generator) -> None:
    require_grey(pixels)
    colormap = np.random.default_rng(5).integers(1, 256, (3, 256)).astype(np.uint16) * 257
    colormap[:, 0] = 0
    tifffile.imwrite(path.with_suffix(".tif"), pixels, photometric="palette", colormap=colormap)


def write_ome_tiff(path: Path, pixels: Array, rng: np.random.Generator) -> None:
    axes = "YX" if pixels.ndim == 2 else "YXS"
    tifffile.imwrite(path.with_suffix(".ome.tif"), pixels, ome=True, metadata={"axes": axes})


def write_imagej(path: Path, pixels: Array, rng: np.random.Generator) -> None:
    require_grey(pixels)
    tifffile.imwrite(path.with_suffix(".tif"), pixels, imagej=True)


def write_preview_first(path: Path, pixels: Array, rng: np.random.Generator) -> None:
    """Write a small preview as the first series, and the picture as the second."""
    require_grey(pixels)
    with tifffile.TiffWriter(path.with_suffix(".tif")) as file:
        file.write(pixels[::4, ::4], photometric="minisblack")
        file.write(pixels, photometric="minisblack")


def write_trailing_axis(path: Path, pixels: Array, rng: np.random.Generator) -> None:
    require_grey(pixels)
    shaped = pixels[..., None] if rng.integers(2) else pixels[None]
    tifffile.imwrite(path.with_suffix(".tif"), shaped, photometric="minisblack", metadata=None)


def write_npy(path: Path, pixels: Array, rng: np.random.Generator) -> None:
    array = np.asfortranarray(pixels) if rng.integers(2) else pixels
    np.save(path.with_suffix(".npy"), array)


def write_npz(path: Path, pixels: Array, rng: np.random.Generator) -> None:
    np.savez_compressed(path.with_suffix(".npz"), data=pixels)


def write_hdf5(path: Path, pixels: Array, rng: np.random.Generator) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        file.create_dataset("exported_data", data=pixels, chunks=bool(rng.integers(2)) or None)


def write_plain_zarr(path: Path, pixels: Array, rng: np.random.Generator) -> None:
    version = int(rng.choice([2, 3]))
    array = zarr.create_array(
        path.with_suffix(".zarr"), shape=pixels.shape, dtype=pixels.dtype,
        chunks=tuple(min(16, n) for n in pixels.shape), zarr_format=version,
    )  # fmt: skip
    array[:] = pixels


def write_ome_zarr(path: Path, pixels: Array, rng: np.random.Generator) -> None:
    require_grey(pixels)
    content = ImageContent("YX", pixels.shape, pixels.dtype)
    assert content.stored_axes == "YX"
    write_zarr(path.with_suffix(".zarr"), pixels, axes="YX")


Writer = Callable[[Path, Array, np.random.Generator], None]
CONTAINERS: dict[str, Writer] = {
    name.removeprefix("write_"): function
    for name, function in dict(globals()).items()
    if name.startswith("write_") and name not in ("write_palette", "write_zarr")
}


class NotPossibleError(Exception):
    """A container cannot hold such pixels."""


def require_grey(pixels: Array) -> None:
    if pixels.ndim != 2:
        raise NotPossibleError


def require_two(pixels: Array) -> None:
    if pixels.ndim != 2 or len(np.unique(pixels)) > 2 or pixels.min() != 0:
        raise NotPossibleError


# Pictures and labels


def draw_labels(rng: np.random.Generator, classes: int, shape: tuple[int, int]) -> Array:
    """Class indices in rectangles, so that areas are connected as those of real masks."""
    labels = np.zeros(shape, np.uint8)
    for _ in range(int(rng.integers(2, 8))):
        top, left = (int(rng.integers(0, n - 1)) for n in shape)
        height, width = (int(rng.integers(2, n)) for n in shape)
        labels[top : top + height, left : left + width] = rng.integers(0, classes)
    return labels


def draw_instances(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Objects that do not touch, numbered with gaps."""
    ids = rng.choice(np.arange(1, 2000), 30, replace=False)
    labels = np.zeros(shape, np.uint16)
    for i, (y, x) in enumerate(
        (y, x) for y in range(1, shape[0] - 4, 6) for x in range(1, shape[1] - 4, 6)
    ):
        if i < len(ids) and rng.random() < 0.6:
            labels[y : y + 4, x : x + 4] = ids[i]
    return labels


def agree(true: list[Array], read: list[Array]) -> bool:
    """Whether every class, in all files, is one class of its own, and void is void."""
    pairs = {
        pair
        for one, other in zip(true, read, strict=True)
        for pair in set(zip(one.ravel().tolist(), other.ravel().tolist(), strict=True))
    }
    classes = [a for a, _ in pairs]
    found = [b for _, b in pairs]
    void = all((a == VOID) == (b == VOID) for a, b in pairs)
    return void and len(set(classes)) == len(classes) and len(set(found)) == len(found)


@pytest.mark.parametrize("container", CONTAINERS)
@settings(
    max_examples=EXAMPLES // 12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(KINDS),
    classes=st.integers(2, 5),
    files=st.integers(2, 4),
)
def test_masks_come_back_or_are_refused(
    container: str, seed: int, kind: str, classes: int, files: int
) -> None:
    rng = np.random.default_rng(seed)
    count = 2 if kind in ("0 and 1", "0 and 255") else max(classes, 3 if "void" in kind else 2)
    meaning = create_meaning(kind, count, rng)
    shape = int(rng.integers(20, 40)), int(rng.integers(20, 40))
    labels = [draw_labels(rng, len(meaning.values), shape) for _ in range(files)]
    labels[0].flat[: len(meaning.values)] = np.arange(len(meaning.values))
    if meaning.void is not None:
        for one in labels:
            one[-3:, -5:] = VOID
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        pictures = [rng.integers(0, 256, shape, np.uint8) for _ in labels]
        for i, (picture, one) in enumerate(zip(pictures, labels, strict=True)):
            (root / "images").mkdir(exist_ok=True)
            (root / "masks").mkdir(exist_ok=True)
            Image.fromarray(picture).save(root / "images" / f"{i}.png")
            try:
                CONTAINERS[container](root / "masks" / f"{i}", encode(one, meaning), rng)
            except NotPossibleError:
                return
        try:
            data = load_dataset(root)
            read = [sample.read_mask()[0] for sample in data.samples]
        except PixelwiseError:
            SEEN[f"refused: {container}, {kind}"] += 1
            return
    SEEN[f"read: {container}, {kind}"] += 1
    assert agree(labels, read), f"{meaning}: {data.mapping}"


@pytest.mark.parametrize("container", CONTAINERS)
@settings(max_examples=EXAMPLES // 20)
@given(
    seed=st.integers(0, 2**32 - 1),
    color=st.booleans(),
    dtype=st.sampled_from(["uint8", "uint8", "uint16", "int16", "float32"]),
)
def test_raster_come_back_or_are_refused(
    container: str, seed: int, color: bool, dtype: str
) -> None:
    rng = np.random.default_rng(seed)
    shape = int(rng.integers(20, 40)), int(rng.integers(20, 40))
    labels = draw_labels(rng, 2, shape)
    labels.flat[:2] = 0, 1
    palette = "palette" in container or container == "gif"
    values = rng.choice(256, 12, replace=False) if palette else np.arange(256)
    picture = rng.choice(values, (*shape, 3) if color else shape).astype(np.uint8)
    if palette:
        picture = (
            picture
            if not color
            else np.repeat(picture[..., :1], 3, -1) ^ np.array([3, 5, 9], np.uint8)
        )
    if container in ("tiff", "npy", "npz", "hdf5", "plain_zarr"):
        picture = (picture * 150.0).astype(dtype) if dtype != "uint8" else picture
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for i in range(2):
            (root / "images").mkdir(exist_ok=True)
            (root / "masks").mkdir(exist_ok=True)
            try:
                CONTAINERS[container](root / "images" / f"{i}", picture, rng)
            except NotPossibleError:
                return
            Image.fromarray(labels).save(root / "masks" / f"{i}.png")
        try:
            data = load_dataset(root)
            read = data.samples[0].read_image()
        except PixelwiseError:
            SEEN[f"refused picture: {container}"] += 1
            return
    SEEN[f"read picture: {container}"] += 1
    shown = expect_picture(container, picture)
    assert np.array_equal(read[0], np.moveaxis(np.atleast_3d(shown), -1, 0)), data.summary()


def expect_picture(container: str, picture: Array) -> Array:
    """Pixels that a person sees: fixed palettes are colours."""
    if container in ("palette_png", "palette_bmp", "gif", "palette_tiff") and picture.ndim == 2:
        if container == "palette_tiff":
            colormap = np.random.default_rng(5).integers(1, 256, (3, 256)).astype(np.uint8)
            colormap[:, 0] = 0
            return colormap.T[picture]
        fixed = np.random.default_rng(5).integers(1, 256, (256, 3)).astype(np.uint8)
        fixed[0] = 0
        return fixed[picture]
    if container == "webp" and picture.ndim == 2:
        return np.repeat(picture[..., None], 3, -1)
    return picture


@settings(max_examples=EXAMPLES // 6)
@given(
    seed=st.integers(0, 2**32 - 1),
    container=st.sampled_from(["tiff", "npy", "npz", "hdf5", "plain_zarr", "colours"]),
)
def test_instances_are_objects_or_are_refused(seed: int, container: str) -> None:
    rng = np.random.default_rng(seed)
    labels = [draw_instances(rng, (36, 36)) for _ in range(4)]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for i, one in enumerate(labels):
            (root / "images").mkdir(exist_ok=True)
            (root / "masks").mkdir(exist_ok=True)
            Image.fromarray((one > 0).astype(np.uint8) * 200).save(root / "images" / f"{i}.png")
            path = root / "masks" / f"{i}"
            if container == "colours":
                palette = np.random.default_rng(7).integers(1, 256, (2000, 3)).astype(np.uint8)
                palette[0] = 0
                Image.fromarray(palette[one]).save(path.with_suffix(".png"))
            else:
                CONTAINERS[container](path, one, rng)
        try:
            data = load_dataset(root)
            read = [sample.read_mask()[0] for sample in data.samples]
        except PixelwiseError:
            SEEN["refused: instances"] += 1
            return
    SEEN["read: instances"] += 1
    assert agree([(one > 0).astype(np.uint8) for one in labels], read), data.mapping


def test_most_examples_are_read() -> None:
    """This must come last: it looks back at what the others saw."""
    refused = sum(count for name, count in SEEN.items() if name.startswith("refused"))
    total = sum(SEEN.values())
    if total:
        print(f"{total} examples, {refused} refused", *sorted(SEEN.items()), sep="\n")
        assert refused <= MOST_REFUSED * total, SEEN
