"""Images whose channels are in separate files, as in nnU-Net."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pixelwise.datasets.readers import FileImage, PlanesHeader
from pixelwise.errors import DataError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class ChannelFiles:
    """An image of several files, concatenated along C.

    Attributes
    ----------
    files : tuple of Path
        In channel order; all have the same planes, height, width and dtype.
    axes : str or None
        Axes of each file, overriding its own.
    """

    files: tuple[Path, ...]
    axes: str | None = None

    @property
    def path(self) -> Path:
        """First file."""
        return self.files[0]

    def read_header(self) -> PlanesHeader:
        """Shape of all channels together, their dtype, and the axes of the first file."""
        headers = [FileImage(file, self.axes).read_header() for file in self.files]
        first = headers[0]
        for file, header in zip(self.files, headers, strict=True):
            same = (header.shape[0], *header.shape[2:]) == (first.shape[0], *first.shape[2:])
            if not same or header.dtype != first.dtype:
                raise DataError(
                    f"{file} has shape {header.shape} and {header.dtype}, {self.path} has "
                    f"{first.shape} and {first.dtype} (planes, channels, height, width): expected "
                    "the same of all channels of an image."
                )
        channels = sum(header.shape[1] for header in headers)
        return replace(first, shape=(first.shape[0], channels, *first.shape[2:]))

    def read(self) -> tuple[Array, tuple[str, ...]]:
        """Planes (N, C, Y, X) and the notes of all files."""
        self.read_header()
        read = [FileImage(file, self.axes).read() for file in self.files]
        notes = dict.fromkeys(note for _, found in read for note in found)
        return np.concatenate([planes for planes, _ in read], axis=1), tuple(notes)
