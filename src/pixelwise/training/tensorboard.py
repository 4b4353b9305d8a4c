"""TensorBoard logs of a training, on request, beside the run's own events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pixelwise.errors import MissingPackageError
from pixelwise.events import EpochEnded, Event


def iter_logged(events: Iterator[Event], folder: Path) -> Iterator[Event]:
    """Give events on, and write those of epochs as TensorBoard logs into `folder`.

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
    with SummaryWriter(str(folder)) as writer:
        for event in events:
            if isinstance(event, EpochEnded):
                for name, value in _name_figures(event):
                    writer.add_scalar(name, value, event.epoch)
            yield event


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
