"""What a training writes, on disks that may be full: later what cannot be written now.

A training outlives a full disk. Model files wait in memory, the state is saved after the next
epoch, and events are written in their order as soon as they can be; each failure is an event.

It does not wait for the disk either: between epochs the state is copied, and written by a thread
while the training goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

from torch import Tensor

from pixelwise.cards import Card
from pixelwise.errors import WriteError, is_memory_error
from pixelwise.events import Event, ModelSaved, Warned
from pixelwise.models.files import save_model
from pixelwise.runs import RunFolder
from pixelwise.training.checkpoints import Checkpoints, Content, Progress, collect, copy_to_host
from pixelwise.training.stepper import Stepper

Reason = Literal["best", "kept", "final"]
LATER = "The training goes on and tries again after the next epoch."
AT_ONCE = "It is tried again at once."


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
        """Copy it, so that the training cannot change its weights."""
        weights = {name: tensor.detach().cpu().clone() for name, tensor in self.weights.items()}
        return replace(self, weights=weights)


@dataclass
class Saver:
    """Writes models and states of one run.

    A state is never saved before the models that it knows of: who goes on from it would not make
    them again.

    Attributes
    ----------
    run : RunFolder
    checkpoints : Checkpoints
    waiting : dict of Path to ModelFile
        What could not be written yet.
    is_behind : bool
        Whether the last attempt to save the state failed.
    writes : bool
        Whether this process is the one that does it; the others do nothing here.
    """

    run: RunFolder
    checkpoints: Checkpoints
    writes: bool = True
    waiting: dict[Path, ModelFile] = field(default_factory=dict, init=False)
    is_behind: bool = field(default=False, init=False)
    _thread: ThreadPoolExecutor = field(default_factory=partial(ThreadPoolExecutor, 1), init=False)
    _writing: Future[None] | None = field(default=None, init=False)

    def save_model(self, file: ModelFile, *, then: str = LATER) -> Iterator[Event]:
        """Write a model file, or keep it for later and say so, and what is next."""
        if not self.writes:
            return
        try:
            saved = file.write()
        except WriteError as error:
            self.waiting[file.path] = file.detach()
            yield from self._warn(f"{error} {then}")
            return
        self.waiting.pop(file.path, None)
        yield saved

    def save_state(
        self, stepper: Stepper, progress: Progress, *, meanwhile: bool = False, then: str = LATER
    ) -> Iterator[Event]:
        """Write what waits and the state, or say why not.

        Parameters
        ----------
        meanwhile : bool
            Whether the training goes on while the state is written; what comes of it is said by
            the next call, or by `settle`.
        then : str
            What is next if it cannot be written.
        """
        if not self.writes:
            return
        yield from self.settle(then)
        try:
            yield from self._write_waiting()
            self._write_state(stepper, progress, meanwhile=meanwhile)
        except WriteError as error:
            self.is_behind = True
            yield from self._warn(f"{error} {then}")

    def settle(self, then: str = LATER) -> Iterator[Event]:
        """Wait for the state that is being written; say if it could not be, and what is next."""
        if self._writing is None:
            return
        writing, self._writing = self._writing, None
        try:
            writing.result()
        except WriteError as error:
            self.is_behind = True
            yield from self._warn(f"{error} {then}".rstrip())

    def _warn(self, message: str) -> Iterator[Event]:
        """Say what could not be written; not for each file where the whole run is gone."""
        if self.run.is_there:
            yield Warned(message=message)

    def close(self) -> None:
        """Wait until nothing is being written any more."""
        self._thread.shutdown()

    def finish(self, stepper: Stepper, progress: Progress) -> Iterator[Event]:
        """Write what waits, and the state if it was not saved.

        Raises
        ------
        WriteError
            It still cannot be written.
        """
        yield from self.settle(AT_ONCE)
        yield from self._write_waiting()
        if self.is_behind and self.writes:
            self._write_state(stepper, progress)

    def _write_waiting(self) -> Iterator[Event]:
        while self.waiting:
            path, file = next(iter(self.waiting.items()))
            saved = file.write()
            del self.waiting[path]
            yield saved

    def _write_state(
        self, stepper: Stepper, progress: Progress, *, meanwhile: bool = False
    ) -> None:
        with suppress(WriteError):  # a story with gaps is better than a training without states
            self.run.flush_events()
        progress.parts, progress.validation_parts = stepper.parts, stepper.validation_parts
        content = collect(stepper.setup.network, stepper.others, progress=progress)
        copied = _copy_if_it_fits(content) if meanwhile else None
        if copied is None:
            self.checkpoints.save(content)
        else:
            self._writing = self._thread.submit(self.checkpoints.save, copied)
        self.is_behind = False


def _copy_if_it_fits(content: Content) -> Content | None:
    """Copy a state; None where the host's memory is full."""
    try:
        return dict(copy_to_host(content))
    except (RuntimeError, MemoryError) as error:
        if not is_memory_error(error):
            raise
    return None


class EventLog:
    """The run's events, written in their order; those that the disk does not take wait.

    Parameters
    ----------
    run : RunFolder
    """

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._waiting: list[Event] = []

    def add(self, event: Event) -> Iterator[Event]:
        """Write an event and give it on; the first one that cannot be written brings another."""
        is_first = not self._waiting
        self._waiting.append(event)
        try:
            self.close()
        except WriteError as error:
            yield event
            if is_first:
                warning = Warned(message=self._explain(error))
                self._waiting.append(warning)
                yield warning
            return
        yield event

    def _explain(self, error: WriteError) -> str:
        """Say why nothing can be written, and what becomes of it."""
        if self._run.is_there:
            return f"{error} What happens is kept in memory and written when it can be."
        return (
            f"The run folder {self._run.path} is not there any more: it was moved or deleted, or "
            "its disk went away. The training goes on and keeps all in memory: put the folder back "
            "and it is written there; else it is lost at the end. Where the folder was moved to, "
            "'pixelwise resume' can go on from its last checkpoint."
        )

    def close(self) -> None:
        """Write what waits.

        Raises
        ------
        WriteError
            It still cannot be written.
        """
        if self._waiting:
            if not self._run.is_there:  # a new file in another run's place is of no use
                raise WriteError(f"Cannot write {self._run.events}: the run folder is gone.")
            self._run.append(*self._waiting)
            self._waiting.clear()
