"""Decoded images with their masks: in memory, or memory-mapped if they do not fit."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from mmap import ACCESS_READ, mmap
from pathlib import Path
from threading import Lock
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from pixelwise.datasets import Sample
from pixelwise.errors import DataError, PixelwiseError, WriteError
from pixelwise.host_memory import measure_host_memory

Array = npt.NDArray[Any]
MEMORY_SHARE = 0.5
"""Fraction of the available memory that decoded images and masks may take."""

_READERS = 4  # images decoded at a time
_ALIGNMENT = 64
_ROWS = 256


@dataclass(frozen=True)
class DecodedImage:
    """One plane of one image with its mask.

    Attributes
    ----------
    name : str
        Image and, in stacks, number of the plane.
    image : ndarray, (C, Y, X)
        Stored dtype.
    mask : uint8 ndarray, (Y, X)
        Class indices, 255 = void.
    """

    name: str
    image: Array
    mask: Array

    def iter_rows(self) -> Iterator[tuple[Array, Array]]:
        """Yield image (C, rows, X) and mask (rows, X) in blocks small enough for float64."""
        for top in range(0, len(self.mask), _ROWS):
            yield self.image[:, top : top + _ROWS], self.mask[top : top + _ROWS]


def fit_memory(samples: Sequence[Sample], *, sharing: int = 1) -> bool:
    """Whether decoded images and masks fit into `MEMORY_SHARE` of the free memory.

    `sharing` processes on this machine each hold a copy.
    """
    return _count_bytes(samples) * sharing <= MEMORY_SHARE * measure_host_memory()


def read_decoded_images(
    samples: Sequence[Sample], *, folder: Path | None = None
) -> list[DecodedImage]:
    """Read images and masks of samples in order, several at a time.

    Parameters
    ----------
    samples : sequence of Sample
    folder : Path, optional
        Folder for an unnamed file of decoded planes, memory-mapped instead of kept in memory. It
        disappears with the planes, or with the process even if that is killed.

    Raises
    ------
    DataError
        An image has NaN or infinite pixels, or image and mask differ in shape.
    WriteError
        The planes cannot be written.
    """
    if folder is None:
        with ThreadPoolExecutor(_READERS) as pool:
            return [plane for planes in pool.map(_read_sample, samples) for plane in planes]
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return _map_planes(samples, file)
    except OSError as error:
        if isinstance(error, PixelwiseError):
            raise
        raise WriteError(
            f"Cannot write the decoded images into {folder}: {error.strerror}. They take "
            f"{_count_bytes(samples) / 1e9:.3g} GB, too much for the free memory: free space on "
            "this disk, give an --out on another one, or train on fewer images or with --resize."
        ) from error


def _count_bytes(samples: Sequence[Sample]) -> int:
    """Bytes of decoded images and masks, from the headers."""
    return sum(
        prod(sample.shape) * np.dtype(sample.header.dtype).itemsize
        + prod(sample.shape) // sample.shape[1]
        for sample in samples
    )


def _read_sample(sample: Sample) -> list[DecodedImage]:
    """Read one sample's planes and check them."""
    images, masks = sample.read_finite_image(), sample.read_mask()
    if images.shape[:1] + images.shape[2:] != masks.shape:
        raise DataError(
            f"{sample.name}: the image has planes of shape {images.shape} (N, C, Y, X), its mask "
            f"{masks.shape} (N, Y, X): expected the same N, Y and X."
        )
    names = [sample.name if len(images) == 1 else f"{sample.name}[{i}]" for i in range(len(images))]
    return [DecodedImage(*each) for each in zip(names, images, masks, strict=True)]


@dataclass(frozen=True)
class _Place:
    """Location of an array in a file."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def look(self, data: mmap) -> Array:
        """Array that reads the file when it is indexed."""
        return np.ndarray(self.shape, self.dtype, data, self.offset)


def _map_planes(samples: Sequence[Sample], file: IO[bytes]) -> list[DecodedImage]:
    """Write the planes of all samples to one file, and return them as views of it."""
    lock = Lock()

    def write(array: Array) -> _Place:
        offset = file.seek(-(-file.tell() // _ALIGNMENT) * _ALIGNMENT)
        file.write(np.ascontiguousarray(array).data)
        return _Place(offset, array.shape, array.dtype)

    def move(sample: Sample) -> list[tuple[str, _Place, _Place]]:
        planes = _read_sample(sample)
        with lock:
            return [(plane.name, write(plane.image), write(plane.mask)) for plane in planes]

    with ThreadPoolExecutor(_READERS) as pool:
        places = [place for moved in pool.map(move, samples) for place in moved]
    file.flush()
    # One map for all: each keeps a file open, and a process may have only 1,024.
    data = mmap(file.fileno(), 0, access=ACCESS_READ)
    return [DecodedImage(name, image.look(data), mask.look(data)) for name, image, mask in places]
