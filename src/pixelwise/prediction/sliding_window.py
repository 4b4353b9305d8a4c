"""Sliding window: class probabilities of an image of any size, in strips of finished rows.

Each row of the image is copied to the device once, as stored; tiles are cut, cast and normalised
there. Overlapping tiles are blended into a buffer as high as one tile. A row is yielded as soon as
no later tile changes it. Memory grows with the image's width, not its area.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pixelwise.config import PredictConfig
from pixelwise.errors import is_memory_error
from pixelwise.models.devices import Compute, free_cache, using_cores
from pixelwise.models.files import Model
from pixelwise.models.folding import fold_batch_norms
from pixelwise.normalization import Plane
from pixelwise.prediction.geometry import Indices, TileAxis, Vector, plan_axis
from pixelwise.prediction.tile_threads import TileThreads

Array = npt.NDArray[Any]
Intensities = tuple[Vector, Vector]
"""Offset and scale (C,) of an image's normalisation."""
Values = TypeVar("Values")

_GPU_BATCH_SIZE: Final = 32


@dataclass(frozen=True)
class RowStrip(Generic[Values]):
    """Finished rows of a plane.

    Attributes
    ----------
    y : int
        First row.
    values : Tensor or ndarray, (classes, rows, X) or (rows, X)
        Of a `TilePredictor`: float32 probabilities, on its device, that add up to 1 over the
        classes. Of a `Predictor`: probabilities or labels. There are no rows if the last batch of
        tiles finished none.
    done : float
        Fraction of the requested tiles, 0 to 1.
    uncertainty : float32 ndarray, (rows, X), or None
        1 - the largest probability, where a `Predictor` was asked for it.
    """

    y: int
    values: Values
    done: float
    uncertainty: Array | None = None


class TilePredictor:
    """Predicts planes tile by tile: a model on its device, with the settings of a prediction.

    Parameters
    ----------
    model : Model
        Its network is put into eval mode and moved to the device, unless a fused copy is used.
    config : PredictConfig
    compute : Compute

    Attributes
    ----------
    batch_size : int
        Tiles per step on a GPU; halved when the memory is full.
    threads : TileThreads or None
        Compute tiles in parallel on a CPU.
    folded : int
        Number of batch norms that were fused into convolutions.
    """

    def __init__(self, model: Model, config: PredictConfig, compute: Compute) -> None:
        self.card = model.card
        self.config = config
        self.compute = compute
        network, self.folded = model.network.eval(), 0
        if config.fold:
            folded, self.folded = fold_batch_norms(copy.deepcopy(network).cpu())
            network = folded if self.folded else network
        self._network = network.to(compute.device).to(memory_format=torch.channels_last)
        self._tta = _list_tta_transforms(config)
        wanted = None if config.batch_size == "auto" else config.batch_size
        on_cpu = compute.device.type == "cpu"
        self.threads = TileThreads(wanted) if on_cpu else None
        self.batch_size = 1 if on_cpu else wanted or _GPU_BATCH_SIZE

    def __str__(self) -> str:
        how = f"{self.batch_size} tiles at a time"
        if self.threads is not None:
            how = f"{self.threads.count} tiles in parallel"
        return f"{self.compute}, {how}, {self.folded} batch norms fused"

    def plan(self, length: int, side: int) -> TileAxis:
        """Tiles along an axis of an image: side 0 is Y, 1 is X."""
        tile = max((self.config.tile or self.card.patch_size)[side], self._network.smallest_px)
        return plan_axis(
            length,
            tile=tile,
            overlap=self.config.overlap,
            stride=self._network.stride,
            window=self.config.window,
            context=self.config.border == "mirror",
        )

    def iter_strips(
        self,
        image: Plane,
        rows: range | None = None,
        columns: range | None = None,
        *,
        intensities: Intensities | None = None,
    ) -> Iterator[RowStrip[Tensor]]:
        """Predict one plane, or a part of it, with the same bits as in the whole plane.

        Parameters
        ----------
        image : Plane, (C, Y, X)
            Stored intensities; C is the model's channel count. Rows are read when they are needed,
            so the plane of a file need not fit into memory.
        rows, columns : range, optional
            What to predict; all if not given. Every tile that touches it is computed.
        intensities : pair of float32 ndarray (C,), optional
            Offset and scale if they are known; else they are measured, which may read the whole
            plane.

        Yields
        ------
        RowStrip
            After every batch of tiles, from the first row to the last without gaps.
        """
        rows = range(image.shape[1]) if rows is None else rows
        columns = range(image.shape[2]) if columns is None else columns
        down, across = self.plan(image.shape[1], 0), self.plan(image.shape[2], 1)
        numbers, wanted = down.tiles_of(rows), across.tiles_of(columns)
        device = self.compute.device
        intensities = intensities or self.card.normalization.parameters(image)
        offset, scale = (torch.from_numpy(v)[:, None, None].to(device) for v in intensities)
        pixels = _InputRows(image, (down, across), wanted=wanted, intensities=(offset, scale))
        heights, widths = (
            [torch.from_numpy(values).to(device) for values in weights]
            for weights in (down.weights, across.weights[wanted.start : wanted.stop])
        )
        buffer = torch.zeros(len(self.card.classes), down.tile, pixels.width, device=device)
        left = across.margin - pixels.origins[0]
        y, inside = rows.start, slice(left + columns.start, left + columns.stop)
        for (number, first), tiles in self._iter_predicted(self._iter_cut(pixels, numbers)):
            is_last = first + len(tiles) == len(widths)
            done = number - numbers.start + (first + len(tiles)) / len(widths)
            with self.using_one_core():
                for column, values in enumerate(tiles, start=first):
                    x = pixels.origins[column] - pixels.origins[0]
                    # Not addcmul_, whose last bit depends on how many threads share it.
                    window = heights[number][:, None] * widths[column]
                    buffer[:, :, x : x + across.tile] += values * window
                top, stop = down.origins[number] - down.margin, y
                if is_last:
                    stop = min(max(down.finished(number), y), rows.stop)
                finished = buffer[:, y - top : stop - top, inside].clone()
                if is_last:
                    _shift(buffer, down.finished(number) - top)
            yield RowStrip(y, finished, done / len(numbers))
            y = stop

    def _iter_cut(
        self, pixels: _InputRows, numbers: range
    ) -> Iterator[tuple[tuple[int, int], Tensor]]:
        """Cut batches of tiles; give each with the numbers of its row and its first column."""
        for number in numbers:
            with self.using_one_core():
                pixels.move(number)
            first = 0
            while first < pixels.columns:
                with self.using_one_core():
                    tiles = pixels.cut(first, self.batch_size)
                yield (number, first), tiles
                first += len(tiles)

    def _iter_predicted(
        self, batches: Iterator[tuple[tuple[int, int], Tensor]]
    ) -> Iterator[tuple[tuple[int, int], Tensor]]:
        """Probabilities of batches of tiles, in the order of the batches."""
        if self.threads is not None:
            yield from self.threads.iter_predicted(self._predict, batches)
            return
        for place, tiles in batches:
            yield place, self._predict_batch(tiles)

    def using_one_core(self) -> AbstractContextManager[None]:
        """Context for tensor operations of this thread while tiles are computed by others."""
        return nullcontext() if self.threads is None else using_cores(1)

    def _predict_batch(self, tiles: Tensor) -> Tensor:
        """Probabilities of tiles; if the memory is full, batches are smaller from now on.

        The result does not depend on the size of a batch.
        """
        found: list[Tensor] = []
        done = 0
        while done < len(tiles):
            batch = tiles[done : done + self.batch_size]
            try:
                found.append(self._predict(batch))
                done += len(batch)
                continue
            except (RuntimeError, MemoryError) as error:
                if len(batch) == 1 or not is_memory_error(error):
                    raise
            # Outside of `except`: until then the error keeps the network's tensors alive.
            self.batch_size = len(batch) // 2
            free_cache(self.compute.device)
        return torch.cat(found)

    @torch.inference_mode()
    def _predict(self, tiles: Tensor) -> Tensor:
        """Probabilities (N, classes, Y, X) of normalised tiles, with test-time augmentation."""
        tiles = tiles.contiguous(memory_format=torch.channels_last)
        if len(self._tta) == 1:
            return self._classify(tiles)
        total = torch.zeros((), device=tiles.device)
        for quarter, mirrored in self._tta:
            turned = torch.rot90(tiles.flip(-1) if mirrored else tiles, quarter, (-2, -1))
            back = torch.rot90(self._classify(turned), -quarter, (-2, -1))
            total = total + (back.flip(-1) if mirrored else back)
        return total / len(self._tta)

    def _classify(self, tiles: Tensor) -> Tensor:
        """Probabilities of tiles as they are."""
        with self.compute.autocast():
            logits = self._network(tiles)
        probabilities: Tensor = logits.float().softmax(dim=1)
        return probabilities


class _InputRows:
    """Pixels under one row of tiles, on the device, in their stored dtype.

    Attributes
    ----------
    origins : tuple of int
        First pixel of each of the `wanted` tiles on the grid, from left to right.
    width : int
        Pixels from the left of the first of these tiles to the right of the last.
    """

    def __init__(
        self,
        image: Plane,
        grid: tuple[TileAxis, TileAxis],
        *,
        wanted: range,
        intensities: tuple[Tensor, Tensor],
    ) -> None:
        self._image = image
        self._down, self._across = grid
        self.origins = self._across.origins[wanted.start : wanted.stop]
        self.width = self.origins[-1] + self._across.tile - self.origins[0]
        self._rows = self._down.sources
        self._columns = self._across.sources[self.origins[0] :][: self.width]
        self._pixels = torch.empty(0)
        self._stop = 0
        self._offset, self._scale = intensities

    def move(self, number: int) -> None:
        """Move down to the row of tiles with this number; only new rows of pixels are read."""
        top = self._down.origins[number]
        stop = top + self._down.tile
        start = max(self._stop, top)
        new = _upload(self._read(self._rows[start:stop]), self._offset.device)
        if not self._stop:
            self._pixels = new
        else:
            _shift(self._pixels, stop - self._stop, clear=False)
            self._pixels[:, start - top :] = new
        self._stop = stop

    @property
    def columns(self) -> int:
        """Number of tiles in a row."""
        return len(self.origins)

    def cut(self, first: int, count: int) -> Tensor:
        """Normalised tiles (N, C, Y, X): up to `count`, from column `first` on."""
        tile = self._across.tile
        places = [x - self.origins[0] for x in self.origins[first : first + count]]
        tiles = torch.stack([self._pixels[:, :, x : x + tile].float() for x in places])
        return tiles.sub_(self._offset).div_(self._scale)

    def _read(self, wanted: Indices) -> Array:
        """Rows of the grid (C, rows, width), read by one slice of the image."""
        first = int(wanted.min())
        rows: Array = self._image[:, first : int(wanted.max()) + 1]
        return rows[:, wanted - first][:, :, self._columns]


def _shift(rows: Tensor, count: int, *, clear: bool = True) -> None:
    """Move rows (C, Y, X) up by `count`, and set the rows that enter at the bottom to 0."""
    kept = rows.shape[1] - count
    if kept > 0:
        rows[:, :kept] = rows[:, count:].clone()
    if clear:
        rows[:, max(kept, 0) :] = 0


def _upload(rows: Array, device: torch.device) -> Tensor:
    """Copy rows to the device in their stored dtype, if the device supports it."""
    if rows.dtype.itemsize >= 8 or device.type == "mps":
        rows = rows.astype(np.float32)
    tensor = torch.from_numpy(rows)
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def _list_tta_transforms(config: PredictConfig) -> list[tuple[int, bool]]:
    """Test-time augmentation: quarter turns and flips to average over; (0, False) is identity."""
    quarters = (0, 1, 2, 3) if config.rotations else ((0, 2) if config.flips else (0,))
    mirrors = (False, True) if config.flips else (False,)
    return [(quarter, mirrored) for mirrored in mirrors for quarter in quarters]
