"""Class probabilities of an image of any size, band by band.

Each row of the image goes to the device once, as it is stored; tiles are cut, cast and normalised
there. Rows of tiles are blended into a buffer of one tile's height; as soon as no later tile
changes a row, it is given on. Memory grows with the image's width, not its area.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pixelwise.config import PredictConfig
from pixelwise.errors import is_memory_error
from pixelwise.models.devices import Compute, free_cache
from pixelwise.models.files import Model
from pixelwise.models.folding import fold_batch_norms
from pixelwise.normalization import Plane
from pixelwise.prediction.geometry import Indices, TileAxis, Vector, plan_axis
from pixelwise.prediction.lanes import Lanes, leaving_cores

Array = npt.NDArray[Any]
Intensities = tuple[Vector, Vector]
"""Offset and scale (C,) of an image's normalisation."""

_GPU_BATCH_SIZE: Final = 32


@dataclass(frozen=True)
class Band:
    """Finished rows of an image.

    Attributes
    ----------
    y : int
        First row.
    probabilities : float32 Tensor, (classes, rows, X)
        On the network's device; they add up to 1 over the classes. No rows: a batch of tiles is
        done, and no row is final by it.
    done : float
        Share of the tiles that were asked for.
    """

    y: int
    probabilities: Tensor
    done: float


class TilePredictor:
    """A model on its device, with the settings of a prediction.

    Parameters
    ----------
    model : Model
        Its network is put into eval mode, and on the device unless a folded copy is used.
    config : PredictConfig
    compute : Compute

    Attributes
    ----------
    batch_size : int
        Tiles per step, on a GPU; halved when the memory is full.
    lanes : Lanes or None
        What computes tiles side by side, on a CPU.
    folded : int
        Batch norms that convolutions have taken over.
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
        self._turns = _list_turns(config)
        wanted = None if config.batch_size == "auto" else config.batch_size
        on_cpu = compute.device.type == "cpu"
        self.lanes = Lanes(wanted) if on_cpu else None
        self.batch_size = 1 if on_cpu else wanted or _GPU_BATCH_SIZE

    def __str__(self) -> str:
        how = f"{self.batch_size} tiles at a time"
        if self.lanes is not None:
            how = f"{self.lanes.count} tiles side by side"
        return f"{self.compute}, {how}, {self.folded} batch norms folded"

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

    def iter_bands(
        self, image: Plane, rows: range | None = None, *, intensities: Intensities | None = None
    ) -> Iterator[Band]:
        """Predict one plane, or some of its rows, which come out as they do with all others.

        Parameters
        ----------
        image : Plane, (C, Y, X)
            Stored intensities; C is the model's channel count. Rows are asked for as they are
            needed, so a plane of a file need not fit into memory.
        rows : range, optional
            Rows to predict; all if not given. The tiles that touch them are computed.
        intensities : pair of float32 ndarray (C,), optional
            Offset and scale, if they are known; they can take a reading of the whole plane.

        Yields
        ------
        Band
            From the first row to the last, without gaps; after every batch of tiles.
        """
        rows = range(image.shape[1]) if rows is None else rows
        down, across = self.plan(image.shape[1], 0), self.plan(image.shape[2], 1)
        numbers = down.tiles_of(rows)
        strip = _Strip(image, (down, across), self.compute.device)
        strip.normalise_by(intensities or self.card.normalization.parameters(image))
        heights, widths = (
            [torch.from_numpy(values).to(strip.device) for values in axis.weights]
            for axis in (down, across)
        )
        buffer = torch.zeros(len(self.card.classes), down.tile, across.padded, device=strip.device)
        y, inside = rows.start, slice(across.margin, across.margin + across.length)
        for (number, first), tiles in self._iter_predicted(self._iter_cut(strip, numbers)):
            share = (first + len(tiles)) / len(widths)
            done = (number - numbers.start + share) / len(numbers)
            with self.leaving_cores():
                for column, values in enumerate(tiles, start=first):
                    x = across.origins[column]
                    # Not addcmul_, whose last bit depends on how many threads share it.
                    window = heights[number][:, None] * widths[column]
                    buffer[:, :, x : x + across.tile] += values * window
                top, stop = down.origins[number] - down.margin, y
                if share == 1:
                    stop = min(max(down.finished(number), y), rows.stop)
                band = Band(y, buffer[:, y - top : stop - top, inside].clone(), done)
                if share == 1:
                    _shift(buffer, down.finished(number) - top)
            yield band
            y = stop

    def _iter_cut(self, strip: _Strip, numbers: range) -> Iterator[tuple[tuple[int, int], Tensor]]:
        """Cut batches of tiles, with the number of their row and that of their first column."""
        for number in numbers:
            with self.leaving_cores():
                strip.move(number)
            first = 0
            while first < strip.columns:
                with self.leaving_cores():
                    tiles = strip.cut(first, self.batch_size)
                yield (number, first), tiles
                first += len(tiles)

    def _iter_predicted(
        self, batches: Iterator[tuple[tuple[int, int], Tensor]]
    ) -> Iterator[tuple[tuple[int, int], Tensor]]:
        """Probabilities of batches of tiles, in their order."""
        if self.lanes is not None:
            yield from self.lanes.iter_predicted(self._predict, batches)
            return
        for place, tiles in batches:
            yield place, self._predict_by_parts(tiles)

    def leaving_cores(self) -> AbstractContextManager[None]:
        """Context for what is done with tensors while tiles are computed."""
        return nullcontext() if self.lanes is None else leaving_cores()

    def _predict_by_parts(self, tiles: Tensor) -> Tensor:
        """Probabilities of tiles, in smaller batches from now on if the memory is full.

        The result does not depend on who shares a batch, so nothing is lost but time.
        """
        found: list[Tensor] = []
        done = 0
        while done < len(tiles):
            part = tiles[done : done + self.batch_size]
            try:
                found.append(self._predict(part))
                done += len(part)
                continue
            except (RuntimeError, MemoryError) as error:
                if len(part) == 1 or not is_memory_error(error):
                    raise
            # Not before: the error keeps what the network has computed.
            self.batch_size = len(part) // 2
            free_cache(self.compute.device)
        return torch.cat(found)

    @torch.inference_mode()
    def _predict(self, tiles: Tensor) -> Tensor:
        """Probabilities (N, classes, Y, X) of normalised tiles, averaged over mirrored copies."""
        tiles = tiles.contiguous(memory_format=torch.channels_last)
        if len(self._turns) == 1:
            return self._classify(tiles)
        total = torch.zeros((), device=tiles.device)
        for quarter, mirrored in self._turns:
            turned = torch.rot90(tiles.flip(-1) if mirrored else tiles, quarter, (-2, -1))
            back = torch.rot90(self._classify(turned), -quarter, (-2, -1))
            total = total + (back.flip(-1) if mirrored else back)
        return total / len(self._turns)

    def _classify(self, tiles: Tensor) -> Tensor:
        """Probabilities of tiles as they are."""
        with self.compute.autocast():
            logits = self._network(tiles)
        probabilities: Tensor = logits.float().softmax(dim=1)
        return probabilities


class _Strip:
    """Pixels of the grid under one row of tiles, on the device, as they are stored."""

    def __init__(self, image: Plane, grid: tuple[TileAxis, TileAxis], device: torch.device) -> None:
        self.device = device
        self._image = image
        self._down, self._across = grid
        self._rows, self._columns = self._down.sources, self._across.sources
        self._pixels = torch.empty(0)
        self._stop = 0

    def normalise_by(self, intensities: Intensities) -> None:
        """Set offset and scale of the tiles that are cut."""
        self._offset, self._scale = (
            torch.from_numpy(values)[:, None, None].to(self.device) for values in intensities
        )

    def move(self, number: int) -> None:
        """Go down to the row of tiles with this number; rows that are there are not read again."""
        top = self._down.origins[number]
        stop = top + self._down.tile
        start = max(self._stop, top)
        new = _upload(self._read(self._rows[start:stop]), self.device)
        if not self._stop:
            self._pixels = new
        else:
            _shift(self._pixels, stop - self._stop, clear=False)
            self._pixels[:, start - top :] = new
        self._stop = stop

    @property
    def columns(self) -> int:
        """Number of tiles in a row."""
        return len(self._across.origins)

    def cut(self, first: int, count: int) -> Tensor:
        """Normalised tiles (N, C, Y, X): up to `count`, from column `first` on."""
        origins, width = self._across.origins[first : first + count], self._across.tile
        tiles = torch.stack([self._pixels[:, :, x : x + width].float() for x in origins])
        return tiles.sub_(self._offset).div_(self._scale)

    def _read(self, wanted: Indices) -> Array:
        """Rows of the grid (C, rows, padded), by one slice of the image."""
        first = int(wanted.min())
        rows: Array = self._image[:, first : int(wanted.max()) + 1]
        return rows[:, wanted - first][:, :, self._columns]


def _shift(rows: Tensor, count: int, *, clear: bool = True) -> None:
    """Move rows (C, Y, X) up by `count`, and clear those that come in at the bottom."""
    kept = rows.shape[1] - count
    if kept > 0:
        rows[:, :kept] = rows[:, count:].clone()
    if clear:
        rows[:, max(kept, 0) :] = 0


def _upload(rows: Array, device: torch.device) -> Tensor:
    """Put rows on the device as they are stored, where it has their number format."""
    if rows.dtype.itemsize >= 8 or device.type == "mps":
        rows = rows.astype(np.float32)
    tensor = torch.from_numpy(rows)
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def _list_turns(config: PredictConfig) -> list[tuple[int, bool]]:
    """Quarter turns and mirrorings to average over; (0, False) is the image as it is."""
    quarters = (0, 1, 2, 3) if config.rotations else ((0, 2) if config.flips else (0,))
    mirrors = (False, True) if config.flips else (False,)
    return [(quarter, mirrored) for mirrored in mirrors for quarter in quarters]
