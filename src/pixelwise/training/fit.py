"""Start a training, or go on with one: generators of events that write a run folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from pixelwise.atomic import make_folder, remove_leftovers
from pixelwise.config import TrainConfig
from pixelwise.errors import PixelwiseError, RunError, WriteError
from pixelwise.events import Event, RunFailed
from pixelwise.runs import RunFolder, complete_run, create_run, lock_run, open_run, require_new_run
from pixelwise.summaries import summarize_run
from pixelwise.training.allocator import keeping_freed_memory
from pixelwise.training.checkpoints import Checkpoints, Progress
from pixelwise.training.loop import Training
from pixelwise.training.memory import release
from pixelwise.training.saving import Saver, Story
from pixelwise.training.setup import Setup, prepare
from pixelwise.training.stepper import Stepper
from pixelwise.training.tensorboard import iter_logged


def fit(config: TrainConfig) -> Iterator[Event]:
    """Train a network; iterate to make it go.

    Parameters
    ----------
    config : TrainConfig
        What to train, on what, and the run folder to write.

    Yields
    ------
    Event
        First `RunStarted`, last `RunEnded`; each is in the run's ``events.jsonl`` as well.

    Raises
    ------
    PixelwiseError
        The data, the settings or the run folder cannot be used, said before the first step; or a
        fault that the training could not get over, said as `RunFailed` too.
    """
    try:
        yield from _fit(config)
    finally:
        release()


def _fit(config: TrainConfig) -> Iterator[Event]:
    run = require_new_run(config.run)
    stepper = Stepper(prepare(config))
    make_folder(run.path)
    with lock_run(run), keeping_freed_memory():
        create_run(config)
        yield from _record(create_training(stepper, run), resumed=False)


def resume(path: str | Path) -> Iterator[Event]:
    """Go on with a training that was stopped or cut off, from its last checkpoint.

    One that was cut off before its first checkpoint begins anew.

    Parameters
    ----------
    path : path
        The run folder.

    Yields
    ------
    Event
        As `fit` does.

    Raises
    ------
    RunError
        The training is over, or another process is at it.
    ReadError, ModelFileError
        There is no run, or all its checkpoints are damaged.
    """
    try:
        yield from _resume(path)
    finally:
        release()


def _resume(path: str | Path) -> Iterator[Event]:
    run = open_run(path)
    with lock_run(run), keeping_freed_memory():
        _clean_up(run)
        checkpoints = Checkpoints(run.state)
        setup = prepare(run.read_config(), first_weights=not checkpoints.exist)
        training = _restore(setup, run, checkpoints)
        yield from _record(training, resumed=True)


def _clean_up(run: RunFolder) -> None:
    """Mend what a killed process left behind."""
    _forget_old_stop(run)
    complete_run(run)
    for folder in (run.path, run.checkpoints, run.previews):
        remove_leftovers(folder)
    run.mend_events()


def _forget_old_stop(run: RunFolder) -> None:
    """Remove a request that a killed process left; one made since this process began holds."""
    with suppress(FileNotFoundError):
        if run.stop_request.stat().st_mtime < psutil.Process().create_time():
            run.stop_request.unlink()


def create_training(stepper: Stepper, run: RunFolder) -> Training:
    """Make a training that is at its beginning."""
    progress = Progress(data=stepper.setup.fingerprint, batch_size=stepper.batch_size)
    return Training(stepper, run, progress, saver=Saver(run, Checkpoints(run.state)))


def _restore(setup: Setup, run: RunFolder, checkpoints: Checkpoints) -> Training:
    """Make a training that is where its newest sound checkpoint says."""
    if not checkpoints.exist:
        training = create_training(Stepper(setup), run)
        training.notes += ("The run was cut off before its first checkpoint, and begins anew.",)
        return training
    state = checkpoints.load(setup.network)
    _require_same_data(state.progress, setup, run)
    is_auto = setup.config.training.batch_size == "auto"
    stepper = Stepper(setup, batch_size=state.progress.batch_size if is_auto else None)
    progress = stepper.restore(state)
    training = Training(stepper, run, progress, saver=Saver(run, checkpoints))
    training.notes += state.notes
    _require_unfinished(training)
    return training


def _require_same_data(progress: Progress, setup: Setup, run: RunFolder) -> None:
    """Refuse to go on with other images or another split than the run began with."""
    if progress.data != setup.fingerprint:
        raise RunError(
            f"The images, masks or classes in {setup.config.data.path} are not those that "
            f"{run.path} began with, so the split would differ. Put them back, or start a new run "
            f"with --start-from {run.model}."
        )


def _require_unfinished(training: Training) -> None:
    """Refuse to go on with a run that is over and has said so."""
    run, epochs = training.run, training.progress.epoch
    if training.is_over and summarize_run(run).state in ("finished", "no_progress"):
        why = "all its" if epochs >= training.stepper.config.epochs else "no progress after"
        raise RunError(
            f"{run.path} has {why} {epochs} epochs. To train longer, start a new run "
            f"with --start-from {run.model}."
        )


def _record(training: Training, *, resumed: bool) -> Iterator[Event]:
    """Write each event into the run folder before giving it on; an error becomes the last one."""
    run = training.run
    story = Story(run)
    events = training.iter_events(resumed=resumed)
    if training.stepper.config.tensorboard:
        events = iter_logged(events, run.path / "tensorboard")
    try:
        for event in events:
            yield from story.add(event)
        story.close()
    except (PixelwiseError, RuntimeError, OSError, MemoryError) as error:
        with suppress(WriteError):
            list(story.add(RunFailed(message=str(error))))
        raise
