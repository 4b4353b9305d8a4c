"""TensorBoard logs of a training, on request, beside the run's own events."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pixelwise.errors import MissingPackageError
from pixelwise.events import EpochEnded, Event, Warned

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def iter_logged(events: Generator[Event, None, None], folder: Path) -> Generator[Event, None, None]:
    """Give events on, and write those of epochs as TensorBoard logs into `folder`.

    A disk that does not take the logs ends them, not the training.

    Raises
    ------
    MissingPackageError
        TensorBoard is not installed.
    """
    logs = _Logs(folder)
    try:
        with closing(events):
            for event in events:
                yield event
                if isinstance(event, EpochEnded):
                    yield from logs.add(event)
    finally:
        logs.close()


class _Logs:
    """Figures of epochs as TensorBoard logs, until they cannot be written.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingPackageError(
                "TensorBoard is not installed: "
                "python -m pip install 'napari-pixelwise[tensorboard]'."
            ) from error
        self._create = SummaryWriter
        self._folder = folder
        self._writer: SummaryWriter | None = None
        self._is_broken = False

    def add(self, event: EpochEnded) -> Iterator[Warned]:
        """Write the figures of an epoch; warns once if that fails."""
        if self._is_broken:
            return
        try:
            if self._writer is None:
                self._writer = self._create(str(self._folder))
            for name, value in _name_figures(event):
                self._writer.add_scalar(name, value, event.epoch)
            self._writer.flush()
        except OSError as error:
            self._is_broken = True
            yield Warned(
                message=f"Cannot write {self._folder}: {error.strerror or error}. The training "
                "goes on without TensorBoard logs; the run's own events hold the same figures."
            )

    def close(self) -> None:
        """Let go of the file."""
        with suppress(OSError):  # what `add` has flushed is there
            if self._writer is not None:
                self._writer.close()


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
