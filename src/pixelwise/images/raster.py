"""PNG, JPEG, BMP, WebP and GIF, through Pillow; PNG with 16-bit colours through imagecodecs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    ImagePalette,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from pixelwise.axes import NamedAxes
from pixelwise.errors import DataError, PixelwiseError, ReadError
from pixelwise.images.colors import (
    Colormap,
    apply_colormap,
    describe_alpha,
    describe_depth,
    has_alpha,
    is_grey_colormap,
    pack_colormap,
    split_alpha,
)
from pixelwise.images.damage import DAMAGE
from pixelwise.images.orientation import TAG, UPRIGHT, parse_orientation
from pixelwise.images.png_rows import PngHeader, iter_chunks, require_all_rows
from pixelwise.images.reader import Header, Palette

Array = npt.NDArray[Any]

_DAMAGE: Final = (*DAMAGE, Image.DecompressionBombError)
_PNG: Final = b"\x89PNG"
_START_BYTES: Final = 30
"""Up to the bit depth and colour type of a PNG, and to the bits of a BMP."""
_BMP_RAW_MODES: Final = {1: "P;1", 4: "P;4", 8: "P"}
_TEXTS: Final = (b"tEXt", b"zTXt", b"iTXt")
_EXIF_TEXTS: Final = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")
_GREY_DTYPES: Final = {"1": "uint8", "L": "uint8", "I": "int32", "F": "float32"}
_ALPHA_MODES: Final = ("RGBA", "RGBa", "LA", "La", "PA")
_PLAIN_MODES: Final = (*_GREY_DTYPES, "RGB", "RGBA", "RGBa", "LA", "La", "P")


def read_header(path: Path, palette: Palette) -> Header:
    """Shape (Y, X) or (Y, X, C) as stored without alpha, dtype and axes of an image."""
    with _open_picture(path) as (picture, start):
        width, height = picture.size
        mode, colormap = start.deep_mode or picture.mode, _read_colormap(picture)
        grey = palette == "alpha" or _is_grey(mode, colormap, palette)
        is_deep = start.deep_mode or mode.startswith("I;16")
        dtype = "uint16" if is_deep else _GREY_DTYPES.get(mode, "uint8")
        white = _find_white(mode, start.bits, palette)
        return Header(
            (height, width) if grey else (height, width, 3),
            np.dtype(dtype),
            NamedAxes("YX", "grey picture") if grey else NamedAxes("YXC", "colour picture"),
            notes=_describe_frames(picture) + _describe_bits(mode, palette),
            orientation=_read_orientation(picture, start),
            colormap=colormap,
            white=white,
            alpha=mode in _ALPHA_MODES or has_alpha(colormap),
        )


def decode(path: Path, palette: Palette) -> tuple[Array, tuple[str, ...]]:
    """Decode an image as stored; alpha is dropped, with a note if it hid anything."""
    with _open_picture(path) as (picture, start):
        if start.deep_mode:
            return _take_channels(_decode_deep(path), palette)
        colormap = _read_colormap(picture)
        pixels = _decode_mode(picture)
        if start.is_png and (start.header.is_interlaced or not pixels[-1].any()):
            require_all_rows(start.file, start.header)
        if picture.mode == "P" and palette != "index":
            pixels = apply_colormap(pixels, colormap)
        if palette == "index" and start.is_grey_of_few_bits:
            pixels = pixels // (255 // start.white)
    pixels = pixels.astype("uint8") if pixels.dtype == bool else pixels
    return _take_channels(pixels.astype(pixels.dtype.newbyteorder("="), copy=False), palette)


def _decode_mode(picture: Image.Image) -> Array:
    """Pixels as grey, colours or indices, with alpha if there is any."""
    if picture.mode == "PA":
        return np.asarray(picture.convert("RGBA"))
    if picture.mode not in _PLAIN_MODES and not picture.mode.startswith("I;16"):
        return np.asarray(picture.convert("RGB"))
    return np.asarray(picture)


def _take_channels(pixels: Array, palette: Palette) -> tuple[Array, tuple[str, ...]]:
    """Take the colours, or the alpha, of (Y, X), (Y, X, 2), (Y, X, 3) or (Y, X, 4) pixels."""
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return pixels, ()
    colors, alpha = split_alpha(pixels, axis=2)
    return (alpha, ()) if palette == "alpha" else (colors, describe_alpha(alpha))


@dataclass(frozen=True)
class _Start:
    """First bytes of a file, and the file, which stays open as long as its image."""

    data: bytes
    file: IO[bytes]

    @property
    def is_png(self) -> bool:
        """Whether the file is a PNG with its header."""
        return self.data.startswith(_PNG) and len(self.data) >= _START_BYTES

    @property
    def header(self) -> PngHeader:
        """Header of a PNG."""
        return PngHeader(self.data)

    @property
    def deep_mode(self) -> str:
        """Mode of a PNG with 16-bit colours or alpha, which Pillow cuts to 8 bits; else empty."""
        if not self.is_png or self.data[24] != 16:
            return ""
        return {2: "RGB", 4: "LA", 6: "RGBA"}.get(self.data[25], "")

    @property
    def bits(self) -> int:
        """Bits per value: of a PNG as stored, otherwise 8."""
        return self.data[24] if self.is_png else 8

    @property
    def is_grey_of_few_bits(self) -> bool:
        """Whether Pillow stretches the values, of 2 or 4 bits, to 8 bits."""
        return self.is_png and self.data[25] == 0 and self.bits in (2, 4)

    @property
    def white(self) -> int:
        """Largest value of this many bits."""
        return (1 << self.bits) - 1


@contextmanager
def _open_picture(path: Path) -> Iterator[tuple[Image.Image, _Start]]:
    """Open with the format's own class: our budget replaces Pillow's limit of pixels."""
    try:
        with path.open("rb") as file:
            start = file.read(_START_BYTES)
            _require_size(path, start)
            file.seek(0)
            with _find_class(start)(file, str(path)) as picture:
                _mend_bmp(picture, start)
                yield picture, _Start(start, file)
    except PixelwiseError:
        raise
    except _DAMAGE as error:
        reason = str(error).replace(str(path), "").strip() or type(error).__name__
        raise ReadError(
            f"{path} is damaged or truncated: {reason}. Save it again or leave it out."
        ) from error


def _require_size(path: Path, start: bytes) -> None:
    """Raise if a PNG has no pixels, which Pillow would report as an unknown format."""
    if start.startswith(_PNG) and bytes(4) in (start[16:20], start[20:24]):
        raise DataError(f"{path} says it is 0 pixels wide or high: it holds no pixels.")


def _mend_bmp(picture: Image.Image, start: bytes) -> None:
    """Correct Pillow's decoding of a BMP whose palette is a grey ramp.

    Pillow assumes 1 or 8 bits; it gets 4 bits wrong, and 8 bits with a black-and-white palette.
    """
    is_bmp = isinstance(picture, BmpImagePlugin.BmpImageFile)
    bits = start[24] if start[14] == 12 else start[28]  # OS/2 has a shorter header
    if not is_bmp or (picture.mode, bits) not in (("1", 8), ("1", 4), ("L", 4)):
        return
    ramp = (0, 255) if picture.mode == "1" else range(16)
    tile = picture.tile[0]  # type: ignore[attr-defined]
    picture.tile = [tile._replace(args=(_BMP_RAW_MODES[bits], *tile.args[1:]))]  # type: ignore[attr-defined]
    picture._mode = "P"  # Pillow has no public way
    picture.palette = ImagePalette.raw("RGB", bytes(value for value in ramp for _ in range(3)))


def _find_class(start: bytes) -> type[ImageFile.ImageFile]:
    """Pillow's class for a file with these first bytes."""
    if start.startswith(b"BM"):
        return BmpImagePlugin.BmpImageFile
    classes: dict[bytes, type[ImageFile.ImageFile]] = {
        _PNG: PngImagePlugin.PngImageFile,
        b"RIFF": WebPImagePlugin.WebPImageFile,
        b"GIF8": GifImagePlugin.GifImageFile,
    }
    return classes.get(start[:4], JpegImagePlugin.JpegImageFile)


def _decode_deep(path: Path) -> Array:
    """Decode a PNG with 16-bit colours."""
    import imagecodecs

    pixels: Array = imagecodecs.png_decode(path.read_bytes())
    return pixels


def _is_grey(mode: str, colormap: Colormap, palette: Palette) -> bool:
    """Whether a mode gives one value per pixel."""
    if mode == "P":
        return palette == "index" or is_grey_colormap(colormap)
    return mode in (*_GREY_DTYPES, "LA", "La") or mode.startswith("I;16")


def _find_white(mode: str, bits: int, palette: Palette) -> int | None:
    """Value of white in grey of few bits; None if it is the dtype's largest."""
    if mode == "1":
        return 1
    return (1 << bits) - 1 if mode == "L" and bits in (2, 4) and palette == "index" else None


def _read_colormap(picture: Image.Image) -> Colormap:
    """Palette of an image, without decoding it."""
    if picture.mode != "P" or picture.palette is None:
        return ()
    order, data = picture.palette.getdata()
    step = len(order) if order in ("RGBA", "BGRX", "RGBX") else 3
    entries = np.frombuffer(bytes(data)[: len(data) // step * step], np.uint8).reshape(-1, step)
    entries = entries[:, [order.index(letter) for letter in "RGB"]]
    clear = picture.info.get("transparency", b"")
    alpha = clear if isinstance(clear, bytes) else bytes([255] * clear + [0])
    return pack_colormap(entries, tuple(alpha))


def _describe_frames(picture: Image.Image) -> tuple[str, ...]:
    """Note further frames."""
    frames = getattr(picture, "n_frames", 1)
    return (f"holds {frames} frames, the first was read",) if frames > 1 else ()


def _describe_bits(mode: str, palette: Palette) -> tuple[str, ...]:
    """Note that an image has only black and white."""
    return describe_depth(1) if mode == "1" and palette == "color" else ()


def _read_orientation(picture: Image.Image, start: _Start) -> int:
    """EXIF orientation; for a PNG without decoding, although the tag may follow the pixels."""
    if start.is_png and not _has_exif_chunk(start.file):
        return UPRIGHT
    try:
        return parse_orientation(picture.getexif().get(TAG, UPRIGHT))
    except _DAMAGE:
        return UPRIGHT


def _has_exif_chunk(file: IO[bytes]) -> bool:
    """Whether a PNG has a chunk that can hold an orientation: EXIF, or XMP and profiles as text."""
    here = file.tell()
    try:
        return any(
            kind == b"eXIf" or (kind in _TEXTS and file.read(24).startswith(_EXIF_TEXTS))
            for kind, _ in iter_chunks(file)
        )
    finally:
        file.seek(here)
