"""TensorBoard logs of a training run, on request, beside the run's own events."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from pathlib import Path

from pixelwise.errors import MissingPackageError
from pixelwise.events import EpochEnded, Event
from pixelwise.training.reporting import tensorboard_not_written


def iter_logged(events: Generator[Event, None, None], folder: Path) -> Generator[Event, None, None]:
    """Give events on, and write those of epochs as TensorBoard logs into `folder`.

    A disk that does not take the logs ends them, not the training.

    Raises
    ------
    MissingPackageError
        TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingPackageError(
            "TensorBoard is not installed: python -m pip install 'napari-pixelwise[tensorboard]'."
        ) from error
    writer: SummaryWriter | None = None
    is_broken = False
    try:
        with closing(events):
            for event in events:
                yield event
                if not isinstance(event, EpochEnded) or is_broken:
                    continue
                try:
                    writer = writer or SummaryWriter(str(folder))
                    for name, value in _name_figures(event):
                        writer.add_scalar(name, value, event.epoch)
                    writer.flush()
                except OSError as error:
                    is_broken = True
                    yield tensorboard_not_written(error, folder)
    finally:
        with suppress(OSError):  # what was flushed is there
            if writer is not None:
                writer.close()


def _name_figures(event: EpochEnded) -> Iterator[tuple[str, float]]:
    """Figures of an epoch that are defined, under their names in TensorBoard."""
    figures = {
        "loss/train": event.train_loss,
        "loss/validation": event.validation_loss,
        "learning_rate": event.learning_rate,
        **{f"scores/{name}": value for name, value in event.scores.items()},
        **{f"dice/{name}": value for name, value in event.class_dice.items()},
    }
    return ((name, value) for name, value in figures.items() if value is not None)
