"""TIFF, OME-TIFF, ImageJ TIFF and BigTIFF, through tifffile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from pixelwise.images.orientation import TAG, UPRIGHT, parse_orientation
from pixelwise.images.pixel_size import read_calibration
from pixelwise.images.reader import Header, Palette, Region, RegionReader
from pixelwise.images.tiff_colors import Colors, read_colors
from pixelwise.images.tiff_damage import explaining_damage, require_whole
from pixelwise.images.tiff_series import Chosen, name_axes, opening_series

Array = npt.NDArray[Any]

_LIBTIFF: Final = (5, 8, 32773, 32946)
"""LZW, deflate, PackBits."""
_JPEG: Final = (6, 7, 33007, 34892)
_YCBCR: Final = 6
_SMALL_BYTES: Final = 16 << 20
_HIGHEST_STRIP: Final = 2048
_HIGHEST_PAGE: Final = 8192


def read_header(path: Path, palette: Palette) -> Header:
    """Shape without alpha, dtype, axes and calibration of the largest series of a TIFF."""
    with explaining_damage(path), opening_series(path) as chosen:
        page = chosen.series.keyframe
        colors = read_colors(page, chosen.letters, palette)
        shape, letters = colors.find_layout(chosen.shape)
        axes = name_axes(letters, shape, kind=chosen.kind)
        return Header(
            shape,
            colors.find_dtype(),
            axes,
            read_calibration(chosen.series, axes.names),
            regions=_has_regions(chosen.series) and not _needs_libtiff(page, colors),
            notes=chosen.notes + colors.notes,
            orientation=_read_orientation(page),
            colormap=colors.colormap,
            white=colors.white,
            alpha=colors.has_alpha,
            ambiguous=chosen.ambiguous,
        )


def decode(path: Path, palette: Palette) -> tuple[Array, tuple[str, ...]]:
    """Decode the largest series; alpha is dropped, with a note if it hid anything."""
    with explaining_damage(path), opening_series(path) as chosen:
        require_whole(path, chosen.series)
        colors = read_colors(chosen.series.keyframe, chosen.letters, palette)
        return colors.see(_decode_stored(path, chosen, colors))


@contextmanager
def reading_regions(path: Path, palette: Palette) -> Iterator[RegionReader]:
    """Yield a function that decodes only the strips or tiles a region touches.

    Regions refer to the image as `decode` returns it; of a pyramid, to its largest level.
    """
    import zarr

    with ExitStack() as stack:
        with explaining_damage(path):
            chosen = stack.enter_context(opening_series(path))
            series = chosen.series
            require_whole(path, series)
            colors = read_colors(series.keyframe, chosen.letters, palette)
            if series.dataoffset is not None:
                stored = series.asarray(out="memmap").reshape(chosen.shape)
            else:
                stored = zarr.open_array(series.aszarr(level=0), mode="r")

        def read(region: Region) -> Array:
            wanted, kept = colors.plan_region(region, len(chosen.shape))
            with explaining_damage(path):
                found, _ = colors.see(_read_stored(stored, wanted, chosen))
                seen: Array = found[kept]
                return seen

        yield read


def _read_stored(stored: Any, wanted: Region, chosen: Chosen) -> Array:
    """Read a region of the stored array, plane by plane if tifffile merged several axes."""
    if len(stored.shape) == len(chosen.shape):
        return np.asarray(stored[wanted])
    extra = len(chosen.shape) - len(stored.shape) + 1
    above = [range(n)[part] for n, part in zip(chosen.shape[:extra], wanted[:extra], strict=True)]
    numbers = np.ravel_multi_index(np.ix_(*above), chosen.shape[:extra])
    planes = [np.asarray(stored[(int(i), *wanted[extra:])]) for i in numbers.ravel()]
    return np.stack(planes).reshape(*numbers.shape, *planes[0].shape)


def _has_regions(series: Any) -> bool:
    """Whether reading regions is cheaper than decoding the whole.

    Small images are faster to decode whole. So are images in one compressed strip, or in strips so
    high that each block of rows would decode them again, unless there are many pages.
    """
    if series.nbytes <= _SMALL_BYTES:
        return False
    page = series.keyframe
    highest = _HIGHEST_STRIP if len(series.pages) == 1 else _HIGHEST_PAGE
    return series.dataoffset is not None or page.is_tiled or page.rowsperstrip <= highest


def _decode_stored(path: Path, chosen: Chosen, colors: Colors) -> Array:
    """Decode all stored values."""
    series = chosen.series
    if _needs_libtiff(series.keyframe, colors):
        return _decode_colors(path, chosen)
    pixels: Array = _decode_strips(path, series) if _is_plain(series) else series.asarray()
    return pixels.reshape(chosen.shape)


def _is_plain(series: Any) -> bool:
    """Whether libtiff can decode the series: one page of 8- or 16-bit grey or RGB, lossless."""
    page = series.keyframe
    return (
        len(series.pages) == 1
        and page.compression in _LIBTIFF
        and page.photometric in (1, 2)
        and page.planarconfig == 1
        and (page.bitspersample, series.dtype.name) in ((8, "uint8"), (16, "uint16"))
        and page.index == 0
    )


def _decode_strips(path: Path, series: Any) -> Array:
    """Decode with libtiff: four times as fast for short strips, and without the GIL."""
    import imagecodecs

    pixels: Array = imagecodecs.tiff_decode(path.read_bytes(), index=0)
    if pixels.shape != series.keyframe.shape or pixels.dtype.name != series.dtype.name:
        raise ValueError(f"libtiff found shape {pixels.shape} of {pixels.dtype}")
    return pixels.reshape(series.shape)


def _needs_libtiff(page: Any, colors: Colors) -> bool:
    """Whether only libtiff can convert the page to RGB: YCbCr outside JPEG."""
    return colors.photometric == _YCBCR and page.compression not in _JPEG


def _decode_colors(path: Path, chosen: Chosen) -> Array:
    """Decode a page of YCbCr to RGB with libtiff."""
    import imagecodecs

    page = chosen.series.keyframe
    if len(chosen.series.pages) != 1 or not isinstance(page.index, int):
        raise ValueError("YCbCr colours of several pages are not supported; save it as RGB")
    data = bytearray(path.read_bytes())
    if (tag := page.tags.get(TAG)) is not None:  # libtiff would apply it in part
        order: Literal["little", "big"] = "little" if page.parent.byteorder == "<" else "big"
        data[tag.valueoffset : tag.valueoffset + 2] = UPRIGHT.to_bytes(2, order)
    pixels: Array = imagecodecs.tiff_decode(bytes(data), index=page.index, asrgb=True)
    at = chosen.letters.index("S")
    return np.moveaxis(pixels[..., :3], -1, at).reshape(chosen.shape)


def _read_orientation(page: Any) -> int:
    """Orientation tag of a page."""
    tag = page.tags.get(TAG)
    return UPRIGHT if tag is None else parse_orientation(int(tag.value))
