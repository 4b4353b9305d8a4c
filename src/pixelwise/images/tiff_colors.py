"""From the stored values of a TIFF page to visible colours, whole or by regions.

Photometric interpretation, palette, alpha and bit depth are applied only here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pixelwise.errors import DataError
from pixelwise.images.colors import (
    Colormap,
    apply_colormap,
    describe_alpha,
    describe_depth,
    has_alpha,
    is_grey_colormap,
    pack_colormap,
)
from pixelwise.images.reader import Palette, Region

Array = npt.NDArray[Any]

INVERTED: Final = "min-is-white: inverted, so that white has the largest value"
IMAGEJ_LUT: Final = "min-is-white by ImageJ's inverting lookup table: values read as stored"
TIFFFILE_BOOL: Final = "min-is-white, as tifffile writes True and False: values read as stored"

_MIN_IS_WHITE, _PALETTE, _CMYK, _YCBCR = 0, 3, 5, 6
_READ: Final = (0, 1, 2, 3, 4, 5, 6, 34892)
_NAMES: Final = {
    8: "CIE L*a*b*",
    9: "ICC L*a*b*",
    10: "ITU L*a*b*",
    32803: "the raw mosaic of a camera",
    32844: "LogL",
    32845: "LogLuv",
}
_CCITT: Final = (2, 3, 4, 32771)
_JPEG: Final = (6, 7, 33007, 34892)
_ALPHA: Final = (1, 2)
_PHOTOMETRIC_TAG: Final = 262


@dataclass(frozen=True)
class Colors:
    """How the samples of a TIFF series become an image.

    Attributes
    ----------
    letters : str
        tifffile's axes letters of the stored array; S are samples.
    photometric : int
        From the page, or libtiff's default if it is missing.
    bits : int
        Per sample.
    dtype : dtype
        Of the stored array.
    colormap : tuple of int
        Palette, empty if there is none.
    extra : int
        Samples to drop from the end: the extra ones, if one of them is alpha.
    alpha_at : int
        Index of alpha among them.
    inverts : bool
        Whether the lowest value is white.
    palette : {"color", "index", "alpha"}
        What to read.
    notes : tuple of str
        What was done.
    """

    letters: str
    photometric: int
    bits: int
    dtype: np.dtype[Any]
    colormap: Colormap
    extra: int
    alpha_at: int
    inverts: bool
    palette: Palette
    notes: tuple[str, ...]

    @property
    def maps_colors(self) -> bool:
        """Whether palette indices must become colours, on a new last axis."""
        return bool(self.colormap) and self.palette != "index"

    @property
    def has_alpha(self) -> bool:
        """Whether there is an alpha channel."""
        return self.extra > 0 or has_alpha(self.colormap)

    @property
    def white(self) -> int | None:
        """Value of white in grey of fewer than 8 bits."""
        is_grey = self.photometric in (0, 1, 4) and "S" not in self.letters
        return (1 << self.bits) - 1 if is_grey and self.bits < 8 else None

    @property
    def reads_samples_together(self) -> bool:
        """Whether a region needs all samples of its pixels."""
        return self.photometric == _CMYK or (self.extra > 0)

    def find_layout(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], str]:
        """Shape and letters of the image, of a stored array of `shape`."""
        sizes, letters = list(shape), self.letters
        if self.maps_colors and not is_grey_colormap(self.colormap):
            return (*shape, 3), letters + "S"
        if "S" not in letters:
            return shape, letters
        at = letters.index("S")
        if self.palette == "alpha":
            sizes[at] = 1
        elif self.photometric == _CMYK:
            sizes[at] = 3
        else:
            sizes[at] -= self.extra
        if sizes[at] == 1 and self.extra:
            del sizes[at]
            letters = letters.replace("S", "")
        return tuple(sizes), letters

    def find_dtype(self) -> np.dtype[Any]:
        """Find the number format of the image."""
        small = self.dtype == bool or self.maps_colors
        return np.dtype("uint8" if small else self.dtype).newbyteorder("=")

    def plan_region(self, region: Region, ndim: int) -> tuple[Region, tuple[Any, ...]]:
        """Region to read of the stored array (of `ndim` axes), and the part of it to keep."""
        if self.maps_colors:
            return (region, (...,)) if len(region) == ndim else (region[:-1], (..., region[-1]))
        if not self.reads_samples_together:
            return region, (...,)
        at = self.letters.index("S")
        if len(region) < ndim:
            return (*region[:at], slice(None), *region[at:]), (...,)
        kept = (*[slice(None)] * at, region[at], ...)
        return (*region[:at], slice(None), *region[at + 1 :]), kept

    def see(self, pixels: Array) -> tuple[Array, tuple[str, ...]]:
        """Convert stored values to those of the image, in native byte order and without bool."""
        notes: tuple[str, ...] = ()
        if self.maps_colors:
            return apply_colormap(pixels, self.colormap), ()
        if self.extra:
            pixels, notes = self._split(pixels)
        elif self.photometric == _CMYK:
            pixels = _convert_cmyk(pixels, self.letters.index("S"))
        if self.inverts and self.palette != "alpha":
            pixels = ~pixels if self.dtype == bool else (1 << self.bits) - 1 - pixels
        pixels = pixels.astype("uint8") if pixels.dtype == bool else pixels
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False), notes

    def _split(self, pixels: Array) -> tuple[Array, tuple[str, ...]]:
        """Return the alpha, or the colours with a note if the alpha hid anything."""
        at = self.letters.index("S")
        colors, extra = np.split(pixels, [pixels.shape[at] - self.extra], at)
        alpha = np.ascontiguousarray(extra.take(self.alpha_at, at))
        if self.palette == "alpha":
            return alpha, ()
        notes = describe_alpha(alpha)
        if self.photometric == _CMYK:
            return _convert_cmyk(colors, at), notes
        kept = colors.squeeze(at) if colors.shape[at] == 1 else colors
        return np.ascontiguousarray(kept), notes


def read_colors(page: Any, letters: str, palette: Palette) -> Colors:
    """Read how the samples of a page become an image.

    Parameters
    ----------
    page : TiffPage
    letters : str
        tifffile's axes letters of the stored array.
    palette : {"color", "index", "alpha"}
        What to read.

    Raises
    ------
    DataError
        The photometric interpretation is not supported, or undefined for the values.
    """
    photometric = _read_photometric(page)
    dtype = np.dtype(page.dtype)
    inverts, notes = _read_inversion(page, photometric, dtype)
    _require_known(page, photometric, dtype)
    extra = tuple(page.extrasamples or ())
    is_alpha = "S" in letters and any(sample in _ALPHA for sample in extra)
    return Colors(
        letters=letters,
        photometric=photometric,
        bits=int(page.bitspersample),
        dtype=dtype,
        colormap=_read_colormap(page, photometric, palette),
        extra=len(extra) if is_alpha else 0,
        alpha_at=next(i for i, s in enumerate(extra) if s in _ALPHA) if is_alpha else 0,
        inverts=inverts,
        palette=palette,
        notes=notes + _describe_bits(page, dtype, palette),
    )


def _read_photometric(page: Any) -> int:
    """Photometric interpretation, or libtiff's default if it is missing."""
    if page.tags.get(_PHOTOMETRIC_TAG) is not None or page.compression in _JPEG:
        return int(page.photometric)
    if page.samplesperpixel >= 3:
        return 2
    return 0 if page.compression in _CCITT else 1


def _read_inversion(
    page: Any, photometric: int, dtype: np.dtype[Any]
) -> tuple[bool, tuple[str, ...]]:
    """Whether values must be inverted, and a note.

    ImageJ writes min-is-white for an inverting lookup table, which changes the display but not the
    values: an object of 255 is drawn black, but stays 255. tifffile writes it for every array of
    bool, where True is meant to be the object.
    """
    if photometric != _MIN_IS_WHITE:
        return False, ()
    if _is_imagej(page):
        return False, (IMAGEJ_LUT,)
    if _is_tifffile_bool(page):
        return False, (TIFFFILE_BOOL,)
    if dtype.kind not in "bu":
        path = page.parent.filehandle.path
        code = (
            f"import tifffile; p = {path!r}; "
            "tifffile.imwrite(p, tifffile.imread(p), photometric='minisblack')"
        )
        raise DataError(
            f"{path} is min-is-white with values of {dtype}: black is undefined there. If the "
            f'values are right as stored, save it as min-is-black: python -c "{code}"'
        )
    return True, (INVERTED,)


def _is_imagej(page: Any) -> bool:
    """Whether ImageJ itself wrote a page; converters copy its description."""
    first = page.parent.pages.first
    return (
        str(first.description).startswith("ImageJ=")
        and page.compression not in _CCITT
        and page.bitspersample >= 8
    )


def _is_tifffile_bool(page: Any) -> bool:
    """Whether tifffile wrote a page from an array of bool."""
    software = str(page.parent.pages.first.software)
    return (
        page.bitspersample == 1
        and software.startswith("tifffile")
        and page.compression not in _CCITT
    )


def _require_known(page: Any, photometric: int, dtype: np.dtype[Any]) -> None:
    """Raise if the colours of a page cannot be converted to RGB."""
    reason = ""
    if photometric not in _READ:
        reason = f"stores {_NAMES.get(photometric, f'colours of the kind {photometric}')}"
    elif photometric == _CMYK and (dtype != np.uint8 or page.samplesperpixel < 4):
        reason = f"stores CMYK or other inks as {page.samplesperpixel} samples of {dtype}"
    elif photometric == _PALETTE and page.samplesperpixel != 1:
        reason = f"stores a palette with {page.samplesperpixel} samples per pixel"
    elif photometric == _YCBCR and dtype != np.uint8:
        reason = f"stores YCbCr colours as {dtype}"
    if reason:
        path = page.parent.filehandle.path
        raise DataError(
            f"{path} {reason}, which is not supported; expected grey, RGB, a palette, CMYK or "
            "8-bit YCbCr. Save it as RGB."
        )


def _read_colormap(page: Any, photometric: int, palette: Palette) -> Colormap:
    """Palette of a page; ignored for ImageJ masks, whose palette is only for display."""
    if photometric != _PALETTE or page.colormap is None:
        return ()
    if palette == "index" and _is_imagej(page):
        return ()
    entries = np.asarray(page.colormap).T
    is_deep = int(entries.max(initial=0)) > 255  # some programs write 8 bits; libtiff checks too
    return pack_colormap(entries >> 8 if is_deep else entries)


def _describe_bits(page: Any, dtype: np.dtype[Any], palette: Palette) -> tuple[str, ...]:
    """Note an unusual bit depth of an image."""
    is_plain = palette == "color" and page.photometric != _PALETTE and dtype.kind in "bu"
    return describe_depth(int(page.bitspersample)) if is_plain else ()


def _convert_cmyk(pixels: Array, axis: int) -> Array:
    """RGB of CMYK values, 255 being full ink, as Pillow converts them."""
    inks = np.moveaxis(pixels, axis, -1)[..., :4].astype(np.uint32)
    light = 255 - inks
    product = light[..., :3] * light[..., 3:] + 128
    colors = (product + (product >> 8)) >> 8
    return np.ascontiguousarray(np.moveaxis(colors.astype(np.uint8), -1, axis))
