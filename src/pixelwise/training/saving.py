"""Saving of models, checkpoints and the event log, on disks that may be full.

A training run survives a full disk: model files wait in memory, the checkpoint is written after the
next epoch, and events are written in their order as soon as possible. Each failure is an event.

Nor does it wait for the disk: between epochs the state is copied, and a thread writes the copy
while training continues.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

from torch import Tensor

from pixelwise.cards import Card, read_card
from pixelwise.errors import WriteError, is_memory_error
from pixelwise.events import Event, ModelSaved
from pixelwise.models.files import save_model
from pixelwise.runs import RunFolder
from pixelwise.training.checkpoints import Checkpoints, Content, copy_to_host
from pixelwise.training.reporting import AT_ONCE, LATER, events_not_written, not_written
from pixelwise.training.state import TrainingState
from pixelwise.training.validation import Validation

Reason = Literal["start", "best", "kept", "final"]


@dataclass(frozen=True)
class ModelFile:
    """A model file to be written.

    Attributes
    ----------
    path : Path
    weights : mapping of str to Tensor
        The network's state dict.
    card : Card
    epoch : int
    reason : str
    """

    path: Path
    weights: Mapping[str, Tensor]
    card: Card
    epoch: int
    reason: Reason

    def write(self) -> ModelSaved:
        """Write the file, or raise `WriteError`."""
        save_model(self.path, self.weights, self.card)
        return ModelSaved(path=str(self.path), epoch=self.epoch, reason=self.reason)

    def detach(self) -> ModelFile:
        """Copy it, so that training cannot change its weights."""
        weights = {name: tensor.detach().cpu().clone() for name, tensor in self.weights.items()}
        return replace(self, weights=weights)


@dataclass
class Saver:
    """Writes models and checkpoints of one run.

    A checkpoint is never written before the models that it counts as saved: a run that continues
    from it would not write them again.

    Attributes
    ----------
    folder : RunFolder
    checkpoints : Checkpoints
    waiting : dict of Path to ModelFile
        What could not be written yet.
    is_behind : bool
        Whether the last attempt to write a checkpoint failed.
    writes : bool
        Whether this process writes; the others do nothing here.
    """

    folder: RunFolder
    writes: bool = True
    checkpoints: Checkpoints = field(init=False)
    waiting: dict[Path, ModelFile] = field(default_factory=dict, init=False)
    is_behind: bool = field(default=False, init=False)
    _saved_at: float = field(default_factory=time.perf_counter, init=False)
    _thread: ThreadPoolExecutor = field(default_factory=partial(ThreadPoolExecutor, 1), init=False)
    _writing: Future[None] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.checkpoints = Checkpoints(self.folder.state)

    def is_due(self, minutes: float) -> bool:
        """Whether the last checkpoint is more than so many minutes old."""
        return time.perf_counter() - self._saved_at > minutes * 60

    def save_models(
        self, state: TrainingState, validation: Validation, *, best: bool
    ) -> Iterator[Event]:
        """Write the model files of the current epoch: the best so far, and those to be kept."""
        epoch, keep_every = state.progress.epoch + 1, state.config.keep_every
        create = partial(_create_file, state, epoch=epoch, scores=validation.scores.summary())
        if best:
            yield from self._save_model(create(self.folder.model, reason="best"))
        if keep_every and epoch % keep_every == 0:
            path = self.folder.checkpoints / f"epoch-{epoch:04d}.safetensors"
            yield from self._save_model(create(path, reason="kept"))

    def save_start(self, state: TrainingState, validation: Validation) -> Iterator[Event]:
        """Write the model that training starts from, with its scores on these images."""
        start = state.setup.config.model.start_from
        assert start is not None  # noqa: S101  the config of `keep_start` has one
        training = read_card(start).training
        file = _create_file(
            state,
            self.folder.model,
            epoch=0 if training is None else training.epochs,
            reason="start",
            scores=validation.scores.summary(),
        )
        yield from self._save_model(file)

    def _save_model(self, file: ModelFile, *, then: str = LATER) -> Iterator[Event]:
        """Write a model file, or keep it for later and report that, and what happens next."""
        if not self.writes:
            return
        try:
            saved = file.write()
        except WriteError as error:
            self.waiting[file.path] = file.detach()
            yield from self._warn(error, then)
            return
        self.waiting.pop(file.path, None)
        yield saved

    def save_state(
        self, state: TrainingState, *, meanwhile: bool = False, then: str = LATER
    ) -> Iterator[Event]:
        """Write waiting models and a checkpoint, or report why not.

        Parameters
        ----------
        meanwhile : bool
            Whether training continues while the checkpoint is written; the next call, or
            `settle`, reports whether that failed.
        then : str
            What happens next if it cannot be written.
        """
        self._saved_at = time.perf_counter()
        if not self.writes:
            return
        yield from self.settle(then)
        try:
            yield from self._write_waiting()
            self._write_state(state, meanwhile=meanwhile)
        except WriteError as error:
            self.is_behind = True
            yield from self._warn(error, then)

    def settle(self, then: str = LATER) -> Iterator[Event]:
        """Wait for the checkpoint that is being written; report if that failed."""
        if self._writing is None:
            return
        writing, self._writing = self._writing, None
        try:
            writing.result()
        except WriteError as error:
            self.is_behind = True
            yield from self._warn(error, then)

    def _warn(self, error: WriteError, then: str) -> Iterator[Event]:
        """Report what could not be written; not for each file where the whole run is gone."""
        if self.folder.is_there:
            yield not_written(error, then)

    def settle_after(self, events: Iterator[Event]) -> Generator[Event, None, None]:
        """Give events on; however they end, nothing is being written afterwards."""
        try:
            yield from events
        except Exception:
            yield from self.settle(then="")
            raise
        finally:
            self.close()

    def close(self) -> None:
        """Wait until nothing is being written any more."""
        self._thread.shutdown()

    def finish(self, state: TrainingState) -> Iterator[Event]:
        """Make sure that everything is on the disk, and a model too.

        Raises
        ------
        WriteError
            It still cannot be written.
        """
        if state.progress.best_epoch is None:
            epoch = state.progress.epoch
            final = _create_file(state, self.folder.model, epoch=epoch, reason="final", scores={})
            yield from self._save_model(final, then=AT_ONCE)
        yield from self.settle(AT_ONCE)
        yield from self._write_waiting()
        if not self.writes:
            return
        if self.is_behind:
            self._write_state(state)
        self.folder.stop_request.unlink(missing_ok=True)

    def _write_waiting(self) -> Iterator[Event]:
        while self.waiting:
            path, file = next(iter(self.waiting.items()))
            saved = file.write()
            del self.waiting[path]
            yield saved

    def _write_state(self, state: TrainingState, *, meanwhile: bool = False) -> None:
        with suppress(WriteError):  # an event log with gaps is better than no checkpoints
            self.folder.flush_events()
        content = state.collect()
        copied = _copy_if_it_fits(content) if meanwhile else None
        if copied is None:
            self.checkpoints.save(content)
        else:
            self._writing = self._thread.submit(self.checkpoints.save, copied)
        self.is_behind = False


def _create_file(
    state: TrainingState,
    path: Path,
    *,
    epoch: int,
    reason: Reason,
    scores: Mapping[str, float | None],
) -> ModelFile:
    """Model file of the network as it is now, with a card that gives epoch and scores."""
    setup = state.setup
    summary = setup.card.training
    assert summary is not None  # noqa: S101  the card of a training has one
    summary = summary.model_copy(update={"epochs": epoch, "scores": scores})
    card = setup.card.model_copy(update={"training": summary})
    weights = state.average.join(setup.network.state_dict())
    return ModelFile(path, weights, card, epoch=epoch, reason=reason)


def _copy_if_it_fits(content: Content) -> Content | None:
    """Copy a state; None where the host's memory is full."""
    try:
        return dict(copy_to_host(content))
    except (RuntimeError, MemoryError) as error:
        if not is_memory_error(error):
            raise
    return None


class EventLog:
    """Writes events in their order; those that the disk does not take wait in memory.

    Parameters
    ----------
    folder : RunFolder
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._waiting: list[Event] = []

    def add(self, event: Event) -> Iterator[Event]:
        """Write an event and give it on; a warning follows the first that cannot be written."""
        is_first = not self._waiting
        self._waiting.append(event)
        try:
            self.close()
        except WriteError as error:
            yield event
            if is_first:
                warning = events_not_written(error, self._folder)
                self._waiting.append(warning)
                yield warning
            return
        yield event

    def close(self) -> None:
        """Write what waits.

        Raises
        ------
        WriteError
            It still cannot be written.
        """
        if self._waiting:
            if not self._folder.is_there:  # a new file in another run's place is of no use
                raise WriteError(f"Cannot write {self._folder.events}: the run folder is gone.")
            self._folder.append(*self._waiting)
            self._waiting.clear()
