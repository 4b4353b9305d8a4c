"""Pictures of fixed validation images after each epoch: input, truth, prediction."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pixelwise.events import PreviewsWritten
from pixelwise.figures import overlay, to_rgb8
from pixelwise.images import write_picture, write_tiff
from pixelwise.runs import RunFolder
from pixelwise.training.stepper import Stepper


class PreviewSet:
    """A few validation patches, spread evenly over all of them.

    Writes ``image-0.tif`` and ``truth-0.tif`` once, ``prediction-0.tif`` after every epoch (a
    viewer can update it in place), and a picture of every epoch: input, truth and prediction side
    by side, a row for each image.

    Parameters
    ----------
    stepper : Stepper
    run : RunFolder
    """

    def __init__(self, stepper: Stepper, run: RunFolder) -> None:
        self._stepper, self._run = stepper, run
        self._numbers = _choose(len(stepper.setup.validation), stepper.config.previews)
        if not self._numbers:
            return
        batch = stepper.setup.validation.read(self._numbers)
        pairs = list(zip(batch.image.cpu().numpy(), batch.mask.cpu().numpy(), strict=True))
        self._images = [to_rgb8(image) for image, _ in pairs]
        self._truths = [
            overlay(image, truth, classes=stepper.setup.card.classes)
            for image, (_, truth) in zip(self._images, pairs, strict=True)
        ]
        for number, (image, truth) in enumerate(pairs):
            write_tiff(run.previews / f"image-{number}.tif", image, axes="CYX")
            write_tiff(run.previews / f"truth-{number}.tif", truth, axes="YX")

    def write(self, epoch: int) -> Iterator[PreviewsWritten]:
        """Write what the network predicts now; nothing where no previews are asked for."""
        if not self._numbers:
            return
        labels = self._stepper.predict(self._stepper.setup.validation, self._numbers)
        for number, prediction in enumerate(labels):
            write_tiff(self._run.previews / f"prediction-{number}.tif", prediction, axes="YX")
        picture = self._run.previews / f"epoch-{epoch:04d}.png"
        classes = self._stepper.setup.card.classes
        rows = [
            np.hstack([image, truth, overlay(image, prediction, classes=classes)])
            for image, truth, prediction in zip(self._images, self._truths, labels, strict=True)
        ]
        write_picture(picture, np.vstack(rows))
        yield PreviewsWritten(epoch=epoch, picture=str(picture))


def _choose(count: int, wanted: int) -> list[int]:
    """Numbers of up to `wanted` patches, evenly spread over `count`."""
    return [int(x) for x in np.linspace(0, count - 1, min(wanted, count)).round()]
