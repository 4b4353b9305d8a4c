"""Class probabilities of an image of any size, band by band.

Rows of tiles are blended into a buffer of one tile's height; as soon as no later tile changes a
row, it is given on. Memory grows with the image's width, not its area.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from pixelwise.config import PredictConfig
from pixelwise.models.devices import Compute
from pixelwise.models.files import Model
from pixelwise.prediction.geometry import TileAxis, plan_axis

Array = npt.NDArray[np.generic]


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
    """

    def __init__(self, model: Model, config: PredictConfig, compute: Compute) -> None:
        self.card = model.card
        self.config = config
        self.compute = compute
        self._network = (
            model.network.to(compute.device).to(memory_format=torch.channels_last).eval()
        )
        self._turns = _list_turns(config)

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

    def iter_bands(self, image: Array) -> Iterator[Band]:
        """Predict one plane.

        Parameters
        ----------
        image : ndarray, (C, Y, X)
            Stored intensities; C is the model's channel count.

        Yields
        ------
        Band
            From the first row to the last, without gaps.
        """
        rows, columns = self.plan(image.shape[1], 0), self.plan(image.shape[2], 1)
        padded = self._pad(image, rows, columns)
        buffer = torch.zeros(
            len(self.card.classes), rows.tile, columns.padded, device=self.compute.device
        )
        for number, top in enumerate(rows.origins):
            strip = padded[:, top : top + rows.tile]
            self._blend(strip, buffer, columns, weights=torch.from_numpy(rows.weights[number]))
            count = rows.finished(number) - top
            yield Band(top, buffer[:, :count, : columns.length].clone())
            buffer = buffer.roll(-count, dims=1)
            buffer[:, rows.tile - count :] = 0

    def _blend(self, strip: Tensor, buffer: Tensor, columns: TileAxis, *, weights: Tensor) -> None:
        """Add one row of tiles to the buffer, a batch at a time."""
        size = self.config.batch_size
        for first in range(0, len(columns.origins), size):
            origins = columns.origins[first : first + size]
            tiles = torch.stack([strip[:, :, x : x + columns.tile] for x in origins])
            probabilities = self._predict(tiles)
            for x, values, across in zip(
                origins, probabilities, columns.weights[first : first + size], strict=True
            ):
                window = weights[:, None] * torch.from_numpy(across)
                buffer[:, :, x : x + columns.tile] += values * window.to(buffer.device)

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

    def _pad(self, image: Array, rows: TileAxis, columns: TileAxis) -> Tensor:
        """Normalise a plane and fill it up to the grid by mirroring, as networks do."""
        offset, scale = (
            torch.from_numpy(values)[:, None, None].to(self.compute.device)
            for values in self.card.normalization.parameters(image)
        )
        plane = torch.from_numpy(np.ascontiguousarray(image)).to(self.compute.device).float()
        plane = (plane - offset) / scale
        return _mirror(plane, rows.padded, columns.padded)


def _mirror(plane: Tensor, height: int, width: int) -> Tensor:
    """Extend (C, Y, X) at the bottom and right by reflection, as often as it takes."""
    while plane.shape[1] < height or plane.shape[2] < width:
        down = min(height - plane.shape[1], max(plane.shape[1] - 1, 0))
        right = min(width - plane.shape[2], max(plane.shape[2] - 1, 0))
        if down == right == 0:  # one pixel has nothing to mirror
            missing = (0, width - plane.shape[2], 0, height - plane.shape[1])
            return F.pad(plane[None], missing, mode="replicate")[0]
        plane = F.pad(plane[None], (0, right, 0, down), mode="reflect")[0]
    return plane


def _list_turns(config: PredictConfig) -> list[tuple[int, bool]]:
    """Quarter turns and mirrorings to average over; (0, False) is the image as it is."""
    quarters = (0, 1, 2, 3) if config.rotations else ((0, 2) if config.flips else (0,))
    mirrors = (False, True) if config.flips else (False,)
    return [(quarter, mirrored) for mirrored in mirrors for quarter in quarters]
