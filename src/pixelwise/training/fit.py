"""Start a training run, or resume one: generators of events that write a run folder."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import ParamSpec

from pixelwise.atomic import make_folder, remove_leftovers
from pixelwise.config import TrainConfig
from pixelwise.errors import PixelwiseError, RunError, WriteError
from pixelwise.events import Event, RunFailed
from pixelwise.models.allocator import keeping_freed_memory
from pixelwise.runs import RunFolder, complete_run, create_run, lock_run, open_run, require_new_run
from pixelwise.summaries import summarize_run
from pixelwise.training.compute import choose_training_compute
from pixelwise.training.determinism import restoring_torch_settings
from pixelwise.training.distributed import Ranks, join_ranks
from pixelwise.training.loop import train
from pixelwise.training.memory import release
from pixelwise.training.progress import Progress
from pixelwise.training.saving import EventLog, Saver
from pixelwise.training.setup import Setup, prepare
from pixelwise.training.state import TrainingState
from pixelwise.training.tensorboard import iter_logged
from pixelwise.training.training_run import TrainingRun

_NAMES = 5  # that an error message gives
Notes = tuple[str, ...]
P = ParamSpec("P")


def _releasing(
    generate: Callable[P, Iterator[Event]],
) -> Callable[P, Generator[Event, None, None]]:
    """Hold no memory at the end, not even by the traceback of an expected error."""

    @wraps(generate)
    def generate_and_release(*args: P.args, **kwargs: P.kwargs) -> Generator[Event, None, None]:
        try:
            yield from generate(*args, **kwargs)
        except PixelwiseError as error:
            traceback.clear_frames(error.__traceback__)
            raise
        finally:
            release()

    return generate_and_release


@_releasing
def fit(config: TrainConfig) -> Iterator[Event]:
    """Train a network: iterate to run it; close it, or leave the loop, to stop and save.

    Parameters
    ----------
    config : TrainConfig
        What to train, on what, and the run folder to write.

    Yields
    ------
    Event
        First `RunStarted`, last `RunEnded`; each is in the run's ``events.jsonl`` too. Of several
        processes only rank 0 gives events; in the others the iteration just ends.

    Raises
    ------
    PixelwiseError
        The data, the settings or the run folder cannot be used, which is found before the first
        step; or training met a fault it could not recover from, which is a `RunFailed` event too.
        Any other error during training is such an event as well, and its traceback is added to
        the run's ``log.txt``.
    """
    with _joining_ranks(config) as ranks, ExitStack() as held:
        folder = ranks.broadcast(lambda: require_new_run(config.run))
        state = TrainingState(prepare(config), ranks)
        ranks.broadcast(lambda: _begin(folder, config, held))
        held.enter_context(keeping_freed_memory())
        run = TrainingRun(state, Saver(folder, writes=ranks.is_first))
        yield from _record(train(run, resumed=False), run)


@_releasing
def resume(path: str | Path, *, since: float | None = None) -> Iterator[Event]:
    """Continue a training run that was stopped or killed, from its last checkpoint.

    One that was killed before its first checkpoint begins again.

    Parameters
    ----------
    path : path
        The run folder.
    since : float, optional
        Requests to stop made before this time, in seconds since 1970, were for a process that was
        killed and are ignored. Default is when the iteration begins.

    Yields
    ------
    Event
        As `fit` does.

    Raises
    ------
    RunError
        The run is over, another process is training it, or it has a model but no checkpoint.
    ReadError, ModelFileError
        There is no run, or all its checkpoints are damaged.
    """
    folder = open_run(path)
    config = folder.read_config().model_copy(update={"run": folder.path})  # it may have been moved
    before = time.time() if since is None else since
    with _joining_ranks(config) as ranks, ExitStack() as held:
        notes = ranks.broadcast(lambda: _mend(folder, before, held))
        held.enter_context(keeping_freed_memory())
        run = _restore(config, folder, ranks)
        run.notes += notes
        yield from _record(train(run, resumed=True), run)


@contextmanager
def _joining_ranks(config: TrainConfig) -> Iterator[Ranks]:
    """Join the other processes of a run; torch's settings are restored at its end."""
    compute = choose_training_compute(config)
    with restoring_torch_settings(compute.device):
        yield join_ranks(compute, deterministic=config.training.deterministic)


def _begin(folder: RunFolder, config: TrainConfig, held: ExitStack) -> None:
    """Create the run folder and lock it."""
    make_folder(folder.path)
    held.enter_context(lock_run(folder))
    create_run(config)


def _mend(folder: RunFolder, since: float, held: ExitStack) -> Notes:
    """Lock the run folder and mend what a killed process left; gives what the user should know."""
    held.enter_context(lock_run(folder))
    with suppress(FileNotFoundError):
        if folder.stop_request.stat().st_mtime < since:
            folder.stop_request.unlink()
    complete_run(folder)
    for place in (folder.path, folder.checkpoints, folder.previews):
        remove_leftovers(place)
    damaged = folder.mend_events()
    note = (
        f"Lines of {folder.events} that were damaged, as by a power cut ({damaged}), are blank "
        "now: curves may have gaps. Training itself continues from its checkpoint."
    )
    return (note,) if damaged else ()


def _restore(config: TrainConfig, folder: RunFolder, ranks: Ranks) -> TrainingRun:
    """Make a training run from its newest sound checkpoint."""
    saver = Saver(folder, writes=ranks.is_first)
    checkpoints = saver.checkpoints
    if not ranks.broadcast(lambda: checkpoints.exist):
        ranks.broadcast(lambda: _require_no_model(folder))
        note = "The run was killed before its first checkpoint, and begins again."
        return TrainingRun(TrainingState(prepare(config), ranks), saver, (note,))
    checkpoint = ranks.broadcast(checkpoints.load)
    patch_size = checkpoint.progress.patch_size
    setup = prepare(config, kept=checkpoint.read_normalization(), patch_size=patch_size)
    _require_same_data(checkpoint.progress, setup, folder)
    is_auto = setup.config.training.batch_size == "auto"
    batch_size = checkpoint.progress.batch_size if is_auto else None
    state = TrainingState(setup, ranks, batch_size=batch_size)
    now = state.restore(checkpoint)
    notes = checkpoint.notes + _compare_settings(state.progress, now)
    notes += _compare_arithmetic(state.progress, now)
    state.progress.settings, state.progress.arithmetic = now.settings, now.arithmetic
    run = TrainingRun(state, saver, notes)
    ranks.broadcast(lambda: _require_unfinished(run))
    return run


def _require_no_model(run: RunFolder) -> None:
    """Refuse to begin again where that would replace a model."""
    if run.model.exists():
        raise RunError(
            f"{run.path} has a model, but no checkpoint to continue from any more. Start a new run "
            f"with --start-from {run.model}."
        )


def _require_same_data(progress: Progress, setup: Setup, run: RunFolder) -> None:
    """Refuse to continue with other pixels, classes or another split than the run began with."""
    before, now = progress.data, setup.fingerprint
    changed = [name for name in before | now if before.get(name) != now.get(name)]
    if changed:
        shown = ", ".join(changed[:_NAMES]) + ", …" * (len(changed) > _NAMES)
        raise RunError(
            f"The images and masks in {setup.config.data.path} are not those that {run.path} began "
            f"with: pixels, size, class names or part of the split differ in {shown}. Put them "
            f"back, or start a new run with --start-from {run.model}."
        )


def _compare_settings(before: Progress, now: Progress) -> Notes:
    """Say what was changed in the config since the last checkpoint."""
    was = dict(before.settings)  # empty in checkpoints of older versions
    if was.get("training.epoch_steps", "") is None:
        was["training.epoch_steps"] = "all"  # which was the default of older versions
    changed = [
        f"{name} was {_show(value)}, is {_show(now.settings[name])}"
        for name, value in was.items()
        if name in now.settings and value != now.settings[name]
    ]
    note = (
        f"The config of the run was changed since it was stopped: {'; '.join(changed)}. Training "
        "continues with the config as it is now."
    )
    return (note,) if changed else ()


def _show(value: object) -> str:
    """Write a setting as YAML does."""
    return json.dumps(value, ensure_ascii=False)


def _compare_arithmetic(before: Progress, now: Progress) -> Notes:
    """Say what the last bits depend on that is not as it was."""
    old, new = before.arithmetic, now.arithmetic
    changed = [
        f"{name} {old.get(name, '-')} before, {new.get(name, '-')} now"
        for name in old | new
        if old.get(name) != new.get(name)
    ]
    note = (
        "The last digits may differ from those of a run that was never interrupted: "
        f"{'; '.join(changed)}."
    )
    return (note,) if changed else ()


def _require_unfinished(run: TrainingRun) -> None:
    """Refuse to continue a run that is over and has reported so."""
    folder, state = run.folder, run.state
    if state.is_over and summarize_run(folder).state in ("finished", "no_progress"):
        epochs = state.progress.epoch
        why = (
            "has finished its training"
            if state.has_finished
            else f"was stopped early: no progress after {epochs} epochs"
        )
        raise RunError(
            f"{folder.path} {why}. To train longer, start a new run with --start-from "
            f"{folder.model}."
        )


def _record(events: Iterator[Event], run: TrainingRun) -> Iterator[Event]:
    """Write each event into the run folder before giving it on; an error becomes the last one."""
    folder, log = run.folder, EventLog(run.folder)
    written = run.saver.settle_after(events)
    try:
        if not run.saver.writes:
            for _ in written:
                pass
            return
        if run.state.config.tensorboard:
            written = iter_logged(written, folder.tensorboard)
        with closing(written):  # nothing is being written any more when the folder is let go
            for event in written:
                try:
                    yield from log.add(event)
                except GeneratorExit:  # a stop like any other, for other processes as well
                    run.must_stop = True
                    for last in written:
                        list(log.add(last))
                    log.close()
                    raise
        log.close()
    except Exception as error:
        _keep_traceback(error, folder)
        if run.saver.writes:
            with suppress(WriteError):
                list(log.add(RunFailed(message=_describe(error))))
        raise


def _keep_traceback(error: Exception, run: RunFolder) -> None:
    """Add the traceback of an unexpected error to the run's log, and say where it is."""
    if isinstance(error, PixelwiseError):
        return
    with suppress(OSError):
        with run.log.open("a", encoding="utf-8") as log:
            log.write("".join(traceback.format_exception(error)))
        error.add_note(f"The traceback is in {run.log}.")


def _describe(error: Exception) -> str:
    """Say what went wrong; errors of other libraries need their type to make sense."""
    if isinstance(error, PixelwiseError):
        return str(error)
    return f"{type(error).__name__}: {error}".rstrip(": ")
