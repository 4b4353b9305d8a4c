"""Previews of fixed validation images after each epoch: input, ground truth, prediction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from pixelwise.errors import WriteError
from pixelwise.events import PreviewsWritten, Warned
from pixelwise.figures import overlay, paint_errors, to_rgb8
from pixelwise.images import write_picture, write_tiff
from pixelwise.runs import RunFolder
from pixelwise.training.reporting import WITHOUT_PREVIEW, not_written
from pixelwise.training.state import TrainingState
from pixelwise.training.validation import predict_patches


class PreviewSet:
    """A few validation patches, spread evenly over all of them.

    Writes ``image-0.tif`` and ``truth-0.tif`` once, ``prediction-0.tif`` after every epoch (a
    viewer can update it in place), and a picture of every epoch: input, truth, prediction and
    errors side by side, a row for each image.

    Parameters
    ----------
    state : TrainingState
    run : RunFolder or None
        None in a process that does not write.
    """

    def __init__(self, state: TrainingState, run: RunFolder | None) -> None:
        self._state = state
        self._numbers = _choose(len(state.setup.validation), state.config.previews)
        if run is None or not self._numbers:
            self._numbers = []
            return
        self._run = run
        batch = state.setup.validation.read(self._numbers)
        pairs = list(zip(batch.image.cpu().numpy(), batch.mask.cpu().numpy(), strict=True))
        self._images = [to_rgb8(image) for image, _ in pairs]
        self._masks = [mask for _, mask in pairs]
        self._truths = [
            overlay(image, truth, classes=state.setup.card.classes)
            for image, (_, truth) in zip(self._images, pairs, strict=True)
        ]
        self._unwritten = [
            (run.previews / f"{name}-{number}.tif", array, axes)
            for number, pair in enumerate(pairs)
            for name, array, axes in zip(("image", "truth"), pair, ("CYX", "YX"), strict=True)
        ]
        with suppress(WriteError):  # reported and tried again after the first epoch
            self._write_fixed()

    def write(self, epoch: int) -> Iterator[PreviewsWritten | Warned]:
        """Write what the network predicts now; nothing where no previews are asked for."""
        if not self._numbers:
            return
        try:
            self._write_fixed()
            yield PreviewsWritten(epoch=epoch, picture=str(self._write_epoch(epoch)))
        except WriteError as error:
            if not self._run.is_there:  # which the event log reports
                return
            yield not_written(error, WITHOUT_PREVIEW)

    def _write_fixed(self) -> None:
        """Write the images and masks that are not there yet."""
        while self._unwritten:
            path, array, axes = self._unwritten[0]
            write_tiff(path, array, axes=axes)
            self._unwritten.pop(0)

    def _write_epoch(self, epoch: int) -> Path:
        """Write the predictions and their picture."""
        labels = predict_patches(self._state, self._numbers)
        for number, prediction in enumerate(labels):
            write_tiff(self._run.previews / f"prediction-{number}.tif", prediction, axes="YX")
        picture = self._run.previews / f"epoch-{epoch:04d}.png"
        classes = self._state.setup.card.classes
        rows = [
            np.hstack(
                [
                    image,
                    truth,
                    overlay(image, prediction, classes=classes),
                    paint_errors(image, mask, prediction),
                ]
            )
            for image, truth, mask, prediction in zip(
                self._images, self._truths, self._masks, labels, strict=True
            )
        ]
        write_picture(picture, np.vstack(rows))
        return picture


def _choose(count: int, wanted: int) -> list[int]:
    """Numbers of up to `wanted` patches, evenly spread over `count`."""
    return [int(x) for x in np.linspace(0, count - 1, min(wanted, count)).round()]
