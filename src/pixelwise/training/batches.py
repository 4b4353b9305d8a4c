"""Batches of patches, cut on the host or on the device that holds the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pixelwise.patches.dataset import PatchDataset, Position
from pixelwise.training.transfer import send


@dataclass(frozen=True)
class Batch:
    """Patches on a device.

    Attributes
    ----------
    image : Tensor, (N, C, Y, X)
        Stored dtype.
    mask : uint8 Tensor, (N, Y, X)
        Class indices, 255 = void.
    offset, scale : float32 Tensor, (N, C, 1, 1)
        What normalises the image.
    """

    image: torch.Tensor
    mask: torch.Tensor
    offset: torch.Tensor
    scale: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """Put the batch on a device."""
        return Batch(*(send(tensor, device) for tensor in self._tensors()))

    def pin(self) -> Batch:
        """Pin the memory of the batch, so that a GPU can copy it asynchronously."""
        return Batch(*(tensor.pin_memory() for tensor in self._tensors()))

    def split(self, parts: int) -> list[Batch]:
        """Split the batch into parts of nearly equal size."""
        pieces = (tensor.tensor_split(parts) for tensor in self._tensors())
        return [Batch(*piece) for piece in zip(*pieces, strict=True)]

    def _tensors(self) -> tuple[torch.Tensor, ...]:
        return self.image, self.mask, self.offset, self.scale


class BatchReader:
    """Reads batches of a patch dataset.

    Parameters
    ----------
    dataset : PatchDataset
    corrected : int
        How many of its patches, the last ones, show corrections.
    """

    def __init__(self, dataset: PatchDataset, *, corrected: int = 0) -> None:
        self.dataset, self.corrected = dataset, corrected
        self._resident: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def is_resident(self) -> bool:
        """Whether patches are cut on the device."""
        return bool(self._resident)

    def put_on(self, device: torch.device) -> None:
        """Copy images and masks to a device; patches are cut there from now on."""
        images = self.dataset.images
        dtype = np.result_type(*{decoded.image.dtype for decoded in images})  # as on the host
        self._resident = [
            (
                torch.tensor(decoded.image.astype(dtype, copy=False), device=device),
                torch.tensor(decoded.mask, device=device),
            )
            for decoded in images
        ]

    def take_back(self) -> None:
        """Free what is on the device; patches are cut on the host from now on."""
        self._resident = []

    def read(
        self,
        numbers: Sequence[int],
        *,
        rng: np.random.Generator | None = None,
        part: slice = slice(None),
    ) -> Batch:
        """Cut the patches with these numbers.

        Parameters
        ----------
        numbers : sequence of int
        rng : Generator, optional
            Moves every patch to a random place, see `PatchDataset.place`.
        part : slice
            Which of the patches to cut; the others are only given their places.
        """
        positions = self.dataset.place(numbers, rng)[part]
        offset, scale = map(torch.from_numpy, self.dataset.find_normalization(positions))
        return Batch(*self._cut(positions), offset, scale)

    def read_once(self, numbers: Sequence[int]) -> Batch:
        """Cut patches for scoring: pixels that an earlier patch of the grid shows become void."""
        batch = self.read(numbers)
        self.dataset.hide_shown(batch.mask, numbers)
        return batch

    def _cut(self, positions: Sequence[Position]) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (N, C, Y, X) and masks (N, Y, X), on the host or where the images are."""
        if not self._resident:
            images, masks = map(torch.from_numpy, self.dataset.cut(positions))
            return images, masks
        found = [(*self._resident[number], window.slices) for number, window in positions]
        # CUDA is sure to stack unsigned 16-bit integers only where they are contiguous.
        cut = torch.stack([image[:, *area].contiguous() for image, _, area in found])
        return cut, torch.stack([mask[area] for _, mask, area in found])
