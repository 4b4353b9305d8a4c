"""The run folder: all about one training, and the interface of who trains and who looks.

::

    run/config.yaml         what was asked
        events.jsonl        what happened, one JSON line each with a checksum, append-only
        checkpoints/        last.pt: all it takes to go on; previous.pt: the one before, from the
                            start of an epoch; epoch-0010.safetensors: kept models
        previews/           pictures of fixed validation images, after each epoch
        model.safetensors   the best model so far
        stop                exists while the run is asked to stop
        lock                held by the process that trains
        data/               layers that were saved to train on, when a widget started the run
        log.txt             what the child process printed, when a widget started the run; and the
                            traceback of an error that nobody expected

Whoever trains writes; everybody else reads, follows, or asks to stop. The folder may be reached by
a link, but nothing is written through a link in it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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

_LOCK_SECONDS = 2.0  # somebody who only looks holds the lock for an instant


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
        """All that is needed to go on with the training."""
        return self.checkpoints / "last.pt"

    @property
    def previews(self) -> Path:
        """Folder of the preview pictures."""
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
        """File that the process that trains holds locked."""
        return self.path / "lock"

    @property
    def data(self) -> Path:
        """Folder of images and masks that were saved for this run."""
        return self.path / "data"

    @property
    def log(self) -> Path:
        """What the process printed, where a widget started it, and tracebacks."""
        return self.path / "log.txt"

    @property
    def tensorboard(self) -> Path:
        """Folder of TensorBoard logs."""
        return self.path / "tensorboard"

    @property
    def is_there(self) -> bool:
        """Whether the run still is where it was begun: it may be moved or deleted meanwhile."""
        return self.config.exists()

    def require_own(self) -> None:
        """Raise if anything that a training writes here is a link or no plain file or folder.

        Raises
        ------
        WriteError
            As in `atomic.require_own`.
        """
        for file in (self.events, self.model, self.stop_request, self.lock, self.log):
            require_own(file)
        for folder in (self.checkpoints, self.previews, self.tensorboard):
            require_own(folder, folder=True)

    def read_config(self) -> TrainConfig:
        """Read what was asked."""
        return TrainConfig.read(self.config)

    def append(self, *events: Event) -> None:
        """Add events to the run's story, all of them or none.

        Raises
        ------
        WriteError
            The file cannot be written.
        """
        append_lines(self.events, "".join(map(write_line, events)))

    def flush_events(self) -> None:
        """Wait until the run's story is on the disk.

        Raises
        ------
        WriteError
            The disk does not take it.
        """
        try:
            flush_file(self.events)
            flush_folder(self.path)
        except OSError as error:
            raise WriteError(f"Cannot write {self.events}: {error.strerror}.") from error

    def mend_events(self) -> int:
        """Mend what a killed process or a power cut left; gives the number of damaged lines.

        What there is of a last line is cut off. Damaged lines become blank ones of the same length,
        so that whoever follows the run can read on from where they are.
        """
        place = damaged = 0
        for end, event in iter_lines(self):
            damaged += event is None and self._blank(place, end - 1)
            place = end
        if self.events.exists() and self.events.stat().st_size > place:
            with self.events.open("rb") as file:
                file.seek(place)
                damaged += has_check(file.read())
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
    """Give the run folder at `path` if a new run can be made there.

    Raises
    ------
    RunError
        The folder already holds a run or other files.
    WriteError
        It cannot be made where it should be, or would be inside an image.
    """
    run = RunFolder(path)
    require_outside_images(run.path)
    if run.config.exists():
        raise RunError(
            f"{run.path} already holds a run. Go on with it by 'pixelwise resume {run.path}', or "
            "give another --out."
        )
    if run.path.is_dir() and not all(_may_lie_there(run, path) for path in run.path.iterdir()):
        raise RunError(f"{run.path} is not empty: give a new folder as --out.")
    above = next(folder for folder in (run.path, *run.path.absolute().parents) if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise WriteError(
            f"Cannot make the run folder {run.path}: {above} is no folder that may be written to. "
            "Give another --out."
        )
    return run


def _may_lie_there(run: RunFolder, path: Path) -> bool:
    """Whether a new run can share its folder with this file, or with what a killed start left."""
    return not is_link(path) and (path in (run.data, run.log, run.lock) or is_temporary(path))


def create_run(config: TrainConfig) -> RunFolder:
    """Make the run folder of a config; its paths are kept as absolute ones.

    Raises
    ------
    RunError
        The folder already holds a run or other files.
    WriteError
        The folder cannot be made.
    """
    run = require_new_run(config.run)
    make_folder(run.path)
    write_text(run.config, config.make_absolute().to_yaml())
    complete_run(run)
    return run


def complete_run(run: RunFolder) -> None:
    """Make the folders inside a run folder, where a killed start has not.

    Raises
    ------
    WriteError
        They cannot be made.
    """
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
        raise ReadError(f"{path} is no run folder: it has no config.yaml.")
    return run


@contextmanager
def lock_run(run: RunFolder) -> Iterator[None]:
    """Hold a run folder for writing; the system lets go of it when the process ends, however.

    Raises
    ------
    RunError
        Another process trains there.
    WriteError
        The disk has no locks, or something in the folder is a link, see `RunFolder.require_own`.
    """
    run.require_own()
    lock = take_lock(run.lock, seconds=_LOCK_SECONDS)
    if lock is None:
        raise RunError(
            f"Another process is training in {run.path}: wait until it ends, or stop it by "
            f"'pixelwise stop {run.path}'."
        )
    try:
        yield
    finally:
        lock.release()


def is_training(run: RunFolder) -> bool:
    """Whether a process holds the run folder."""
    if not run.lock.exists():
        return False
    try:
        lock = take_lock(run.lock)
    except WriteError:  # a read-only folder, or one that is no run's: nobody trains there
        return False
    if lock is not None:
        lock.release()
    return lock is None


def request_stop(run: RunFolder) -> None:
    """Ask a training to end its step, save and stop; does nothing if it is not running.

    Raises
    ------
    WriteError
        The folder cannot be written, or there is a link of this name.
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
    """Read the lines of a run's story from byte `start` on; one not complete yet is left out.

    Without the steps, `StepsDone` is not read, which most lines are.

    Yields
    ------
    int, Event or None
        Where the line ends, and its event; None for one that is damaged, as by a power cut, or
        not read.
    """
    if not run.events.is_file():  # a pipe would be waited for
        return
    with run.events.open("rb") as file:
        file.seek(start)
        for line in file:
            if not line.endswith(b"\n"):
                return
            start += len(line)
            yield start, read_line(line) if with_steps or not tells_steps(line) else None
