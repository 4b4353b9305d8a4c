"""The run folder: all files of one training run, and how other processes follow it.

::

    run/config.yaml         what was asked
        events.jsonl        what happened, one JSON line each with a checksum, append-only
        checkpoints/        last.pt: the full training state; previous.pt: the one before, from the
                            start of an epoch; epoch-0010.safetensors: kept models
        previews/           figures of fixed validation images, after each epoch
        model.safetensors   the best model so far
        stop                exists while the run is asked to stop
        lock                held by the training process
        data/               napari layers saved for training, if a widget started the run
        log.txt             output of the child process, if a widget started the run, and
                            tracebacks of unexpected errors

The training process writes; all others read, follow, or ask it to stop. The folder may be reached
through a link, but nothing is written through a link inside it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pixelwise.atomic import (
    append_lines,
    flush_file,
    flush_folder,
    is_link,
    is_temporary,
    make_folder,
    require_own,
    write_text,
)
from pixelwise.config import TrainConfig
from pixelwise.errors import ReadError, RunError, WriteError
from pixelwise.events import (
    Event,
    has_check,
    is_of_another_version,
    read_line,
    tells_steps,
    write_line,
)
from pixelwise.locks import take_lock
from pixelwise.outputs import require_outside_images

_LOCK_SECONDS = 2.0  # `is_training` holds the lock for an instant
_LONGEST_LINE = 2**19  # bytes; longer ones are no events
_MOST_SKIPPED = 2**25  # bytes of lines that are no events; a file with more of them is no log


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run folder.

    Attributes
    ----------
    path : Path
        The folder itself.
    """

    path: Path

    @property
    def config(self) -> Path:
        """What was asked, YAML."""
        return self.path / "config.yaml"

    @property
    def events(self) -> Path:
        """What happened, one JSON line each."""
        return self.path / "events.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Folder of the training state and of kept models."""
        return self.path / "checkpoints"

    @property
    def state(self) -> Path:
        """The full training state, to resume from."""
        return self.checkpoints / "last.pt"

    @property
    def previews(self) -> Path:
        """Folder of the preview figures."""
        return self.path / "previews"

    @property
    def model(self) -> Path:
        """The best model so far."""
        return self.path / "model.safetensors"

    @property
    def stop_request(self) -> Path:
        """File that asks the training to stop."""
        return self.path / "stop"

    @property
    def lock(self) -> Path:
        """File that the training process holds locked."""
        return self.path / "lock"

    @property
    def data(self) -> Path:
        """Folder of images and masks that were saved for this run."""
        return self.path / "data"

    @property
    def log(self) -> Path:
        """Output of the child process, if a widget started it, and tracebacks."""
        return self.path / "log.txt"

    @property
    def tensorboard(self) -> Path:
        """Folder of TensorBoard logs."""
        return self.path / "tensorboard"

    @property
    def is_there(self) -> bool:
        """Whether the run folder still exists: it may have been moved or deleted."""
        return self.config.exists()

    def require_own(self) -> None:
        """Raise `WriteError` if anything to be written here is a link, see `atomic.require_own`."""
        for file in (self.events, self.model, self.stop_request, self.lock, self.log):
            require_own(file)
        for folder in (self.checkpoints, self.previews, self.tensorboard):
            require_own(folder, folder=True)

    def read_config(self) -> TrainConfig:
        """Read the config of the run."""
        return TrainConfig.read(self.config)

    def append(self, *events: Event) -> None:
        """Append events to the run's log, all of them or none.

        Raises
        ------
        WriteError
            The file cannot be written.
        """
        append_lines(self.events, "".join(map(write_line, events)))

    def flush_events(self) -> None:
        """Wait until the run's log is on the disk.

        Raises
        ------
        WriteError
            The file cannot be written.
        """
        try:
            flush_file(self.events)
            flush_folder(self.path)
        except OSError as error:
            raise WriteError(f"Cannot write {self.events}: {error.strerror}.") from error

    def mend_events(self) -> int:
        """Repair the log after a killed process or a power cut; return the number of bad lines.

        An incomplete last line is cut off. Damaged lines are overwritten by blanks of the same
        length, so that followers keep their position.

        Raises
        ------
        RunError
            So much of the file is no log that it is not read to its end.
        """
        place = damaged = 0
        for end, event in iter_lines(self):
            damaged += event is None and self._blank(place, end - 1)
            place = end
        left = self.events.stat().st_size - place if self.events.exists() else 0
        if left >= _LONGEST_LINE:
            raise RunError(
                f"{self.events} is no log of a training run: it holds {left:,} bytes that are no "
                "events. Give the file another name, and resume the run: its curves begin anew, "
                "its training continues."
            )
        if left > 0:
            with self.events.open("rb") as file:
                file.seek(place)
                damaged += has_check(file.read(_LONGEST_LINE))
            os.truncate(self.events, place)
        return damaged

    def _blank(self, start: int, stop: int) -> bool:
        """Overwrite a line with blanks; False if it is blank, or another version's event."""
        with self.events.open("rb+") as file:
            file.seek(start)
            line = file.read(stop - start)
            if not line.strip() or is_of_another_version(line):
                return False
            file.seek(start)
            file.write(b" " * len(line))
        return True


def require_new_run(path: Path) -> RunFolder:
    """Return the run folder at `path` if a new run can be created there.

    Raises
    ------
    RunError
        The folder already holds a run or other files.
    WriteError
        The folder cannot be created, or would be inside an image.
    """
    run = RunFolder(path)
    require_outside_images(run.path)
    if run.config.exists():
        raise RunError(
            f"{run.path} already holds a run. Continue it with 'pixelwise resume {run.path}', or "
            "give another --out."
        )
    if run.path.is_dir() and not all(_may_stay(run, path) for path in run.path.iterdir()):
        raise RunError(f"{run.path} is not empty: give a new folder as --out.")
    above = next(folder for folder in (run.path, *run.path.absolute().parents) if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise WriteError(
            f"Cannot create the run folder {run.path}: {above} is not a writable folder. Give "
            "another --out."
        )
    return run


def _may_stay(run: RunFolder, path: Path) -> bool:
    """Whether a new run may share its folder with this entry, e.g. left by a killed start."""
    return not is_link(path) and (path in (run.data, run.log, run.lock) or is_temporary(path))


def create_run(config: TrainConfig) -> RunFolder:
    """Create the run folder of a config, whose paths are stored as absolute ones.

    Raises
    ------
    RunError
        The folder already holds a run or other files.
    WriteError
        The folder cannot be created.
    """
    run = require_new_run(config.run)
    make_folder(run.path)
    write_text(run.config, config.make_absolute().to_yaml())
    complete_run(run)
    return run


def complete_run(run: RunFolder) -> None:
    """Create the folders inside a run folder that are missing, e.g. after a killed start."""
    for folder in (run.checkpoints, run.previews):
        make_folder(folder)


def open_run(path: str | Path) -> RunFolder:
    """Open an existing run folder.

    Raises
    ------
    ReadError
        There is no run at `path`.
    """
    run = RunFolder(Path(path))
    if not run.config.is_file():
        inside = run.path / "runs"
        hint = f" Give one of the runs in {inside}." if inside.is_dir() else ""
        raise ReadError(f"{path} is not a run folder: it has no config.yaml.{hint}")
    return run


@contextmanager
def lock_run(run: RunFolder) -> Iterator[None]:
    """Lock a run folder for writing; the system releases it if the process dies.

    Raises
    ------
    RunError
        Another process trains there.
    WriteError
        The disk does not support locks, or as in `RunFolder.require_own`.
    """
    run.require_own()
    lock = take_lock(run.lock, seconds=_LOCK_SECONDS)
    if lock is None:
        raise RunError(
            f"Another process is training in {run.path}: wait until it ends, or stop it with "
            f"'pixelwise stop {run.path}'."
        )
    try:
        yield
    finally:
        lock.release()


def is_training(run: RunFolder) -> bool:
    """Whether a process holds the run's lock."""
    if not run.lock.exists():
        return False
    try:
        lock = take_lock(run.lock)
    except WriteError:  # a read-only folder, or not a run: nobody trains there
        return False
    if lock is not None:
        lock.release()
    return lock is None


def request_stop(run: RunFolder) -> None:
    """Ask a training run to end its step, save and stop; no effect if it is not running.

    Raises
    ------
    WriteError
        The folder cannot be written, or the stop file is a link.
    """
    require_own(run.stop_request)
    try:
        run.stop_request.touch()
    except OSError as error:
        raise WriteError(f"Cannot write {run.stop_request}: {error.strerror}.") from error


def iter_events(run: RunFolder) -> Iterator[Event]:
    """Read the events written so far, without damaged lines."""
    return (event for _, event in iter_lines(run) if event is not None)


def iter_lines(
    run: RunFolder, start: int = 0, *, with_steps: bool = True
) -> Iterator[tuple[int, Event | None]]:
    """Read the complete lines of a run's log from byte `start` on.

    Without `with_steps`, `StepsDone` events, which most lines are, are not parsed.

    Yields
    ------
    int, Event or None
        Where the line ends, and its event; None if it is damaged or was not parsed.
    """
    if not run.events.is_file():  # opening a pipe would block
        return
    budget = _MOST_SKIPPED
    with run.events.open("rb") as file:
        file.seek(start)
        while line := file.readline(_LONGEST_LINE):
            start += len(line)
            if not line.endswith(b"\n"):
                skipped = _skip_line(file, budget) if len(line) == _LONGEST_LINE else 0
                if not skipped:  # not complete yet, or no log
                    return
                start, budget = start + skipped, budget - skipped
                line = b""
            if not with_steps and tells_steps(line):
                yield start, None
                continue
            event = read_line(line) if line else None
            budget -= len(line) if event is None and line.strip() else 0
            if budget < 0:
                return
            yield start, event


def _skip_line(file: BinaryIO, budget: int) -> int:
    """Go to the end of a line; give the bytes until there, or 0 if they exceed the budget."""
    size = 0
    while size < budget and (rest := file.readline(_LONGEST_LINE)):
        size += len(rest)
        if rest.endswith(b"\n"):
            return size
    return 0
