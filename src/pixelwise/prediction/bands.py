"""Class probabilities of an image of any size, band by band.

Rows of tiles are blended into a buffer of one tile's height; as soon as no later tile changes a
row, it is given on. Memory grows with the image's width, not its area.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pixelwise.config import PredictConfig
from pixelwise.errors import is_memory_error
from pixelwise.models.devices import Compute, free_cache
from pixelwise.models.files import Model
from pixelwise.normalization import Plane
from pixelwise.prediction.geometry import TileAxis, plan_axis

Array = npt.NDArray[Any]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Band:
    """Finished rows of an image.

    Attributes
    ----------
    y : int
        First row.
    probabilities : float32 Tensor, (classes, rows, X)
        On the network's device; they add up to 1 over the classes.
    """

    y: int
    probabilities: Tensor


class TilePredictor:
    """A model on its device, with the settings of a prediction.

    Parameters
    ----------
    model : Model
        Its network is put on the device and into eval mode.
    config : PredictConfig
    compute : Compute

    Attributes
    ----------
    batch_size : int
        Tiles per step; halved when the memory is full.
    """

    def __init__(self, model: Model, config: PredictConfig, compute: Compute) -> None:
        self.card = model.card
        self.config = config
        self.compute = compute
        self._network = (
            model.network.to(compute.device).to(memory_format=torch.channels_last).eval()
        )
        self._turns = _list_turns(config)
        self.batch_size = config.batch_size

    def plan(self, length: int, side: int) -> TileAxis:
        """Tiles along an axis of an image: side 0 is Y, 1 is X."""
        tile = max((self.config.tile or self.card.patch_size)[side], self._network.smallest_px)
        return plan_axis(
            length,
            tile=tile,
            overlap=self.config.overlap,
            stride=self._network.stride,
            window=self.config.window,
        )

    def iter_bands(self, image: Plane) -> Iterator[Band]:
        """Predict one plane.

        Parameters
        ----------
        image : Plane, (C, Y, X)
            Stored intensities; C is the model's channel count. Rows are asked for as they are
            needed, so a plane of a file need not fit into memory.

        Yields
        ------
        Band
            From the first row to the last, without gaps.
        """
        rows, columns = self.plan(image.shape[1], 0), self.plan(image.shape[2], 1)
        normalise = self._create_normaliser(image)
        across, down = _mirror(columns), _mirror(rows)
        buffer = torch.zeros(
            len(self.card.classes), rows.tile, columns.padded, device=self.compute.device
        )
        for number, top in enumerate(rows.origins):
            strip = normalise(_read_rows(image, down[top : top + rows.tile])[:, :, across])
            self._blend(strip, buffer, columns, weights=torch.from_numpy(rows.weights[number]))
            count = rows.finished(number) - top
            yield Band(top, buffer[:, :count, : columns.length].clone())
            buffer = buffer.roll(-count, dims=1)
            buffer[:, rows.tile - count :] = 0

    def _blend(self, strip: Tensor, buffer: Tensor, columns: TileAxis, *, weights: Tensor) -> None:
        """Add one row of tiles to the buffer, a batch at a time."""
        first = 0
        while first < len(columns.origins):
            origins = columns.origins[first : first + self.batch_size]
            found = self._try(strip, origins, columns.tile)
            if found is None:
                continue
            for x, values, across in zip(origins, found, columns.weights[first:], strict=False):
                window = weights[:, None] * torch.from_numpy(across)
                buffer[:, :, x : x + columns.tile] += values * window.to(buffer.device)
            first += len(origins)

    def _try(self, strip: Tensor, origins: Sequence[int], tile: int) -> Tensor | None:
        """Probabilities of a few tiles; None if the memory is full, for smaller batches from then.

        The result does not depend on who shares a batch, so nothing is lost but time.
        """
        try:
            return self._predict(torch.stack([strip[:, :, x : x + tile] for x in origins]))
        except (RuntimeError, MemoryError) as error:
            if len(origins) == 1 or not is_memory_error(error):
                raise
        self.batch_size = len(origins) // 2
        free_cache(self.compute.device)
        return None

    @torch.inference_mode()
    def _predict(self, tiles: Tensor) -> Tensor:
        """Probabilities (N, classes, Y, X) of normalised tiles, averaged over mirrored copies."""
        tiles = tiles.contiguous(memory_format=torch.channels_last)
        total = torch.zeros((), device=tiles.device)
        for quarter, mirrored in self._turns:
            turned = torch.rot90(tiles.flip(-1) if mirrored else tiles, quarter, (-2, -1))
            with self.compute.autocast():
                logits = self._network(turned)
            probabilities = torch.rot90(logits.float().softmax(dim=1), -quarter, (-2, -1))
            total = total + (probabilities.flip(-1) if mirrored else probabilities)
        return total / len(self._turns)

    def _create_normaliser(self, image: Plane) -> Callable[[Array], Tensor]:
        """Give what turns rows of a plane into input of the network, on its device."""
        offset, scale = (
            torch.from_numpy(values)[:, None, None].to(self.compute.device)
            for values in self.card.normalization.parameters(image)
        )

        def normalise(rows: Array) -> Tensor:
            strip = torch.from_numpy(np.ascontiguousarray(rows)).to(self.compute.device).float()
            return (strip - offset) / scale

        return normalise


def _mirror(axis: TileAxis) -> Indices:
    """Pixel of the image for each pixel of the grid: mirrored at the end, as networks do."""
    fill = axis.padded - axis.length
    return np.pad(np.arange(axis.length), (0, fill), mode="reflect")


def _read_rows(image: Plane, wanted: Indices) -> Array:
    """Rows of a plane (C, Y, X) in the wanted order, by one slice."""
    first = int(wanted.min())
    rows: Array = image[:, first : int(wanted.max()) + 1]
    return rows[:, wanted - first]


def _list_turns(config: PredictConfig) -> list[tuple[int, bool]]:
    """Quarter turns and mirrorings to average over; (0, False) is the image as it is."""
    quarters = (0, 1, 2, 3) if config.rotations else ((0, 2) if config.flips else (0,))
    mirrors = (False, True) if config.flips else (False,)
    return [(quarter, mirrored) for mirrored in mirrors for quarter in quarters]
