"""PNG, JPEG, BMP, WebP and GIF, through Pillow; PNG with 16-bit colours through imagecodecs."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from pixelwise.axes import NamedAxes
from pixelwise.errors import DataError, PixelwiseError, ReadError
from pixelwise.images.source import Header, Palette

Array = npt.NDArray[Any]

_DAMAGE: Final = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error,
    RuntimeError, MemoryError, Image.DecompressionBombError,
)  # fmt: skip
_PNG: Final = b"\x89PNG"
_START_BYTES: Final = 26
"""Up to the bit depth and colour type of a PNG."""
_ORIENTATION: Final = 0x0112
_GREY_DTYPES: Final = {"1": "uint8", "L": "uint8", "I": "int32", "F": "float32"}


def read_header(path: Path, palette: Palette) -> Header:
    """Shape (Y, X) or (Y, X, C) without alpha, dtype and axes of a picture."""
    with _open_picture(path) as (picture, deep):
        width, height = picture.size
        mode = picture.mode
        dtype = np.dtype("uint16" if deep or mode.startswith("I;16") else _dtype(mode))
        if _is_grey(deep or mode, palette):
            return Header((height, width), dtype, NamedAxes("YX", "grey picture"))
        return Header((height, width, 3), dtype, NamedAxes("YXC", "colour picture"))


def decode(path: Path, palette: Palette) -> tuple[Array, tuple[str, ...]]:
    """Decode a picture; alpha is dropped, with a note where it hid anything."""
    with _open_picture(path) as (picture, deep):
        if deep:
            return _split_alpha(_decode_deep(path), ())
        notes = _describe_extras(picture)
        mode = picture.mode
        if mode in ("P", "PA"):
            picture = _resolve_palette(picture, palette)
        elif mode not in ("RGB", "RGBA", "LA", "La", "RGBa", "RGBX") and not _is_grey(mode):
            picture = picture.convert("RGB")
        pixels = np.asarray(picture)
        pixels = pixels.astype("uint8") if pixels.dtype == bool else pixels
        if pixels.dtype.byteorder not in "=|":
            pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    return _split_alpha(pixels, notes)


@contextmanager
def _open_picture(path: Path) -> Iterator[tuple[Image.Image, str]]:
    """Open by the format's own class: the budget replaces Pillow's limit on the pixel count.

    With the picture comes its mode if it is deeper than Pillow decodes, see `_find_deep_mode`.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_START_BYTES)
            _require_size(path, start)
            file.seek(0)
            with _find_class(start)(file, str(path)) as picture:
                yield picture, _find_deep_mode(start)
    except PixelwiseError:
        raise
    except _DAMAGE as error:
        reason = str(error).replace(str(path), "").strip() or type(error).__name__
        raise ReadError(
            f"{path} is damaged or cut off: {reason}. Save it again or leave it out."
        ) from error


def _require_size(path: Path, start: bytes) -> None:
    """Raise if a PNG says that it has no pixels, which Pillow would take for another format."""
    if start.startswith(_PNG) and bytes(4) in (start[16:20], start[20:24]):
        raise DataError(f"{path} says it is 0 pixels wide or high: it holds no pixels.")


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


def _find_deep_mode(start: bytes) -> str:
    """Mode of a PNG with 16-bit colours or alpha, which Pillow would cut to 8 bits; else empty."""
    if not start.startswith(_PNG) or len(start) < _START_BYTES or start[24] != 16:
        return ""
    return {2: "RGB", 4: "LA", 6: "RGBA"}.get(start[25], "")


def _decode_deep(path: Path) -> Array:
    """Decode a PNG with 16-bit colours."""
    import imagecodecs

    pixels: Array = imagecodecs.png_decode(path.read_bytes())
    return pixels


def _is_grey(mode: str, palette: Palette = "color") -> bool:
    """Whether a mode gives one value per pixel."""
    if mode in ("P", "PA"):
        return palette == "index"
    return mode in (*_GREY_DTYPES, "LA", "La") or mode.startswith("I;16")


def _dtype(mode: str) -> str:
    """Return the number format of one value of a mode."""
    return _GREY_DTYPES.get(mode, "uint8")


def _resolve_palette(picture: Image.Image, palette: Palette) -> Image.Image:
    """Turn palette entries into colours, or keep the indices."""
    if palette == "index":
        return picture if picture.mode == "P" else picture.getchannel(0)
    see_through = picture.mode == "PA" or "transparency" in picture.info
    return picture.convert("RGBA" if see_through else "RGB")


def _describe_extras(picture: Image.Image) -> tuple[str, ...]:
    """Note what the file holds besides the pixels that are read."""
    notes = []
    frames = getattr(picture, "n_frames", 1)
    if frames > 1:
        notes.append(f"holds {frames} frames, the first was read")
    if picture.getexif().get(_ORIENTATION, 1) != 1:
        notes.append("asks viewers to turn it (EXIF orientation); read as stored")
    return tuple(notes)


def _split_alpha(pixels: Array, notes: tuple[str, ...]) -> tuple[Array, tuple[str, ...]]:
    """Drop the alpha channel of (Y, X, 2) and (Y, X, 4) pixels; note it if it is not opaque."""
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return pixels, notes
    alpha = pixels[..., -1]
    if not (alpha == np.iinfo(pixels.dtype).max).all():
        notes = (*notes, "has transparent pixels; the alpha channel was dropped")
    kept = pixels[..., 0] if pixels.shape[2] == 2 else pixels[..., :3]
    return np.ascontiguousarray(kept), notes
