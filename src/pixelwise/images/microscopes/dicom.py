"""DICOM images, frame by frame, through pydicom.

Values have their intended meaning: rescaling (Hounsfield units) is applied, MONOCHROME1, in which
the lowest value is white, is inverted, and colours are RGB.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels import apply_color_lut, get_decoder, pixel_array

from pixelwise.axes import Calibration, NamedAxes
from pixelwise.errors import DataError, ReadError, quote
from pixelwise.images.damage import explaining_damage
from pixelwise.images.frames import Frames
from pixelwise.images.pixel_size import calibrate
from pixelwise.images.reader import Header, Palette, RegionReader

Array = npt.NDArray[Any]

_PIXELS: Final = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_FOREIGN: Final = (BytesLengthException, InvalidDicomError, Warning)
_FILM: Final = ("FrameTime", "FrameTimeVector", "CineRate")
_GREY: Final = ("MONOCHROME1", "MONOCHROME2")
_MM_TO_UM: Final = 1000.0
_LONGEST_VALUE: Final = 1024
"""Bytes; longer values, such as the pixels, are not read with the header."""


@dataclass(frozen=True)
class _Image:
    """The header of a file, and what it says about the pixels."""

    path: Path
    header: pydicom.Dataset
    palette: Palette

    @property
    def frames(self) -> int:
        """Number of frames."""
        return int(self.header.get("NumberOfFrames") or 1)

    @property
    def loop(self) -> str:
        """What frames count: time in a film, else depth."""
        return "T" if any(name in self.header for name in _FILM) else "Z"

    @property
    def color(self) -> str:
        """Photometric interpretation."""
        return str(self.header.get("PhotometricInterpretation", "MONOCHROME2")).strip().upper()

    @property
    def has_colors(self) -> bool:
        """Whether a pixel has three values after reading."""
        indexed = self.color == "PALETTE COLOR" and self.palette == "color"
        return indexed or int(self.header.get("SamplesPerPixel", 1)) > 1

    @property
    def shape(self) -> tuple[int, ...]:
        """(frames, Y, X, C), without missing axes."""
        rows = (int(self.header.Rows), int(self.header.Columns))
        return (self.frames,) * (self.frames > 1) + rows + (3,) * self.has_colors

    @property
    def rescale(self) -> tuple[float, float]:
        """Slope and intercept of the values."""
        pairs = _list_rescales(self.header)
        if self.has_colors or self.color not in _GREY or not pairs:
            return 1.0, 0.0
        return next(iter(pairs))

    @property
    def stored(self) -> np.dtype[Any]:
        """Number format of the values in the file."""
        for name, letter in (("DoubleFloatPixelData", "f8"), ("FloatPixelData", "f4")):
            if name in self.header:
                return np.dtype(letter)
        size = max(1, int(self.header.BitsAllocated) // 8)
        return np.dtype(f"{'i' if int(self.header.PixelRepresentation) else 'u'}{size}")

    @property
    def dtype(self) -> np.dtype[Any]:
        """Number format of the values as they are read."""
        slope, intercept = self.rescale
        if self.color == "PALETTE COLOR" and self.palette == "color":
            bits = int(self.header.RedPaletteColorLookupTableDescriptor[2])
            return np.dtype("uint16" if bits > 8 else "uint8")
        if (slope, intercept) == (1, 0):
            return self.stored
        if not (slope.is_integer() and intercept.is_integer()) or self.stored.kind == "f":
            return np.dtype("float32")
        low, high = self.limits
        ends = sorted((low * slope + intercept, high * slope + intercept))
        fits = next(d for d in ("int16", "int32", "float64") if _fits(ends, np.dtype(d)))
        return np.dtype(fits)

    @property
    def limits(self) -> tuple[int, int]:
        """Lowest and highest value of the stored bits."""
        bits = int(self.header.BitsStored)
        signed = int(self.header.PixelRepresentation)
        return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)

    def read_frame(self, index: tuple[int, ...]) -> Array:
        """Decode one frame and convert its values."""
        number = index[0] if index else 0
        pixels = self._decode(number)
        if self.color == "PALETTE COLOR":
            return apply_color_lut(pixels, self.header) if self.palette == "color" else pixels
        if self.has_colors or self.stored.kind == "f":
            return pixels
        if self.color == "MONOCHROME1":
            low, high = self.limits
            pixels = (low + high - pixels.astype("int64")).astype(pixels.dtype)
        slope, intercept = self.rescale
        if (slope, intercept) != (1, 0):
            pixels = (pixels * slope + intercept).astype(self.dtype)
        return pixels

    def _decode(self, number: int) -> Array:
        """Values of a frame as they are stored, without the bits of an overlay; colours as RGB."""
        syntax = self.header.file_meta.TransferSyntaxUID
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # as in `_open_image`
                pixels: Array = pixel_array(self.path, index=number)
        except RuntimeError as error:
            if not syntax.is_compressed:
                raise
            raise ReadError(
                f"Cannot decode {self.path}, compressed as {syntax.name} {quote(error)}. "
                f"{_advise_codec()}"
            ) from error
        return pixels


def read_header(path: Path, palette: Palette) -> Header:
    """Shape, dtype, axes and calibration of an image."""
    image = _open_image(path, palette)
    with explaining_damage(path, *_FOREIGN):
        letters = image.loop * (image.frames > 1) + "YX" + "C" * image.has_colors
        dtype = image.dtype.newbyteorder("=")
        calibration = _calibrate(image.header, letters)
        axes = NamedAxes(letters, "DICOM metadata")
        white = 1 if image.header.get("BitsStored") == 1 else None
        return Header(image.shape, dtype, axes, calibration, notes=_describe(image), white=white)


def decode(path: Path, palette: Palette) -> tuple[Array, tuple[str, ...]]:
    """Decode all frames."""
    with reading_regions(path, palette) as read:
        return read(tuple(slice(0, n) for n in _open_image(path, palette).shape)), ()


@contextmanager
def reading_regions(path: Path, palette: Palette) -> Iterator[RegionReader]:
    """Yield a function that decodes only the frames a region touches."""
    image = _open_image(path, palette)
    dtype, outer = image.dtype.newbyteorder("="), int(image.frames > 1)
    yield Frames(path, image.shape, dtype, outer=outer, read=image.read_frame).read_region


def _open_image(path: Path, palette: Palette) -> _Image:
    """Read the header.

    Raises
    ------
    DataError
        The file has no image, a tiled one, or a compression that cannot be decoded.
    """
    with explaining_damage(path, *_FOREIGN), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about metadata that violate the standard, not pixels
        header = pydicom.dcmread(path, defer_size=_LONGEST_VALUE)
        if not any(name in header for name in _PIXELS):
            kind = header.file_meta.get("MediaStorageSOPClassUID", pydicom.uid.UID("")).name
            raise DataError(f"{path} is a DICOM file without pixels ({kind}). Leave it out.")
        image = _Image(path, header, palette)
        _require_readable(image)
        return image


def _require_readable(image: _Image) -> None:
    """Raise for frames that are not planes, and for missing codecs."""
    header, path = image.header, image.path
    if "TotalPixelMatrixColumns" in header:
        raise DataError(
            f"{path} is a tiled whole-slide image, which is not supported. Convert it: "
            f"bfconvert {path.name} image.ome.tiff"
        )
    if len(header.get("SegmentSequence", ())) > 1:
        raise DataError(
            f"{path} holds {len(header.SegmentSequence)} segments, whose frames may overlap. "
            "Save each as a separate file."
        )
    if header.get("BitsAllocated") == 1 and image.color not in _GREY:
        raise DataError(f"{path} has colours of one bit. Save it as PNG.")
    if image.color not in (*_GREY, "RGB", "PALETTE COLOR") and not image.color.startswith("YBR"):
        raise DataError(f"{path} has the colours {image.color}. Save it as RGB, PNG or TIFF.")
    if "HighBit" in header and int(header.HighBit) != int(header.BitsStored) - 1:
        raise DataError(f"{path} stores its values in upper bits. Save it again, or as TIFF.")
    if len(_list_rescales(header)) > 1:
        raise DataError(
            f"{path} scales the values of its frames differently. Save its frames as separate "
            "files."
        )
    syntax = header.file_meta.TransferSyntaxUID
    if syntax.is_compressed and not get_decoder(syntax).is_available:
        raise DataError(
            f"{path} is compressed as {syntax.name}, which no installed package can decode. "
            f"{_advise_codec()}"
        )


def _advise_codec() -> str:
    """Describe how to read compressed frames."""
    return (
        "Type: pip install python-gdcm; if that does not help, save the file without compression "
        "in the program that made it."
    )


def _list_rescales(header: pydicom.Dataset) -> set[tuple[float, float]]:
    """Slopes and intercepts of the values, including those of single frames."""
    places = [header]
    for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in header.get(name, ()):
            places += group.get("PixelValueTransformationSequence", ())
    pairs = set()
    for place in places:
        slope, intercept = place.get("RescaleSlope"), place.get("RescaleIntercept")
        if slope is not None or intercept is not None:
            pairs.add((1.0 if slope is None else float(slope), float(intercept or 0)))
    return pairs


def _find_measures(header: pydicom.Dataset) -> pydicom.Dataset:
    """Find the part of the header with the pixel spacing."""
    for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in header.get(name, ()):
            for measures in group.get("PixelMeasuresSequence", ()):
                return measures
    return header


def _describe(image: _Image) -> tuple[str, ...]:
    """Note how the stored values were converted."""
    notes = []
    if image.color == "MONOCHROME1":
        notes.append("min-is-white (MONOCHROME1): inverted")
    slope, intercept = image.rescale
    if (slope, intercept) != (1, 0):
        notes.append(f"values were rescaled as recorded: {slope:g} x stored {intercept:+g}")
    return tuple(notes)


def _calibrate(header: pydicom.Dataset, letters: str) -> Calibration | None:
    """Spacing of rows, columns and slices, from millimetres."""
    header = _find_measures(header)
    spacing = header.get("PixelSpacing") or header.get("ImagerPixelSpacing") or ()
    sizes = {x: (float(mm) * _MM_TO_UM, "µm") for x, mm in zip("YX", spacing, strict=False)}
    if header.get("FrameTime"):
        sizes["T"] = float(header.FrameTime) / 1000, "s"
    depth = header.get("SpacingBetweenSlices") or header.get("SliceThickness")
    if depth:
        sizes["Z"] = abs(float(depth)) * _MM_TO_UM, "µm"
    return calibrate(sizes, letters)


def _fits(ends: list[float], dtype: np.dtype[Any]) -> bool:
    """Whether a dtype can hold all values between two ends."""
    if dtype.kind == "f":
        return True
    limits = np.iinfo(dtype)
    return limits.min <= ends[0] and ends[1] <= limits.max
