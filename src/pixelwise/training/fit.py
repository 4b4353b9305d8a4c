"""Start a training, or go on with one: generators of events that write a run folder."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from pixelwise.atomic import make_folder, remove_leftovers
from pixelwise.config import TrainConfig
from pixelwise.errors import PixelwiseError, RunError, WriteError
from pixelwise.events import Event, RunFailed
from pixelwise.models.allocator import keeping_freed_memory
from pixelwise.runs import RunFolder, complete_run, create_run, lock_run, open_run, require_new_run
from pixelwise.summaries import summarize_run
from pixelwise.training.checkpoints import Checkpoints, Progress
from pixelwise.training.compute import choose_training_compute, describe_arithmetic
from pixelwise.training.determinism import restoring_torch_settings
from pixelwise.training.distributed import Ranks, join_ranks
from pixelwise.training.loop import Training
from pixelwise.training.memory import release
from pixelwise.training.saving import EventLog, Saver
from pixelwise.training.setup import Setup, prepare
from pixelwise.training.stepper import Stepper
from pixelwise.training.tensorboard import iter_logged

_NAMES = 5  # that an error message gives
Notes = tuple[str, ...]


def fit(config: TrainConfig) -> Generator[Event, None, None]:
    """Train a network; iterate to make it go, close it or leave the loop to stop and save.

    Parameters
    ----------
    config : TrainConfig
        What to train, on what, and the run folder to write.

    Yields
    ------
    Event
        First `RunStarted`, last `RunEnded`; each is in the run's ``events.jsonl`` as well. Of
        several processes only the first gives events; in the others the iteration just ends.

    Raises
    ------
    PixelwiseError
        The data, the settings or the run folder cannot be used, said before the first step; or a
        fault that the training could not get over, said as `RunFailed` too. Once it has begun, so
        is any other error, whose traceback is added to the run's ``log.txt``.
    """
    with _releasing():
        yield from _fit(config)


def _fit(config: TrainConfig) -> Iterator[Event]:
    with _joining_ranks(config) as ranks:
        run = ranks.broadcast(lambda: require_new_run(config.run))
        stepper = Stepper(prepare(config), ranks)

        def begin(stack: ExitStack) -> Notes:
            make_folder(run.path)
            stack.enter_context(lock_run(run))
            create_run(config)
            return ()

        with _holding(ranks, begin), keeping_freed_memory():
            yield from _record(create_training(stepper, run, config), resumed=False)


def resume(path: str | Path, *, since: float | None = None) -> Generator[Event, None, None]:
    """Go on with a training that was stopped or cut off, from its last checkpoint.

    One that was cut off before its first checkpoint begins anew.

    Parameters
    ----------
    path : path
        The run folder.
    since : float, optional
        Requests to stop that were made earlier, in seconds since 1970, were for a process that was
        killed and are forgotten; the moment when the iteration begins, if not given.

    Yields
    ------
    Event
        As `fit` does.

    Raises
    ------
    RunError
        The training is over, another process is at it, or there is a model but no checkpoint.
    ReadError, ModelFileError
        There is no run, or all its checkpoints are damaged.
    """
    with _releasing():
        yield from _resume(path, time.time() if since is None else since)


def _resume(path: str | Path, since: float) -> Iterator[Event]:
    run = open_run(path)
    config = run.read_config().model_copy(update={"run": run.path})  # which may have been moved

    def begin(stack: ExitStack) -> Notes:
        stack.enter_context(lock_run(run))
        _forget_old_stop(run, since)
        return _clean_up(run)

    with _joining_ranks(config) as ranks, _holding(ranks, begin) as notes, keeping_freed_memory():
        training = _restore(config, run, ranks)
        training.notes += notes
        yield from _record(training, resumed=True)


@contextmanager
def _releasing() -> Iterator[None]:
    """Hold no memory at the end, not even by the traceback of an error that was foreseen."""
    try:
        yield
    except PixelwiseError as error:
        traceback.clear_frames(error.__traceback__)
        raise
    finally:
        release()


@contextmanager
def _joining_ranks(config: TrainConfig) -> Iterator[Ranks]:
    """Join the other processes of a training; torch's switches are given back at its end."""
    compute = choose_training_compute(config)
    with restoring_torch_settings(compute.device):
        yield join_ranks(compute, deterministic=config.training.deterministic)


@contextmanager
def _holding(ranks: Ranks, begin: Callable[[ExitStack], Notes]) -> Iterator[Notes]:
    """Hold the run folder, in the first process; nobody goes on before it does."""
    with ExitStack() as stack:
        yield ranks.broadcast(lambda: begin(stack))


def _clean_up(run: RunFolder) -> Notes:
    """Mend what a killed process left behind; gives what the user should know of it."""
    complete_run(run)
    for folder in (run.path, run.checkpoints, run.previews):
        remove_leftovers(folder)
    damaged = run.mend_events()
    note = (
        f"Lines of {run.events} that were damaged, as by a power cut ({damaged}), are blank now: "
        "curves may have gaps. The training itself goes on from its checkpoint."
    )
    return (note,) if damaged else ()


def _forget_old_stop(run: RunFolder, since: float) -> None:
    """Remove a request to stop that a killed process left."""
    with suppress(FileNotFoundError):
        if run.stop_request.stat().st_mtime < since:
            run.stop_request.unlink()


def create_training(stepper: Stepper, run: RunFolder, config: TrainConfig) -> Training:
    """Make a training that is at its beginning; `config` is what was asked."""
    setup = stepper.setup
    progress = Progress(
        data=setup.fingerprint,
        normalization=setup.card.normalization.model_dump(),
        arithmetic=describe_arithmetic(setup.compute, processes=stepper.ranks.size),
        settings=_list_settings(config),
        batch_size=stepper.batch_size,
    )
    saver = Saver(run, Checkpoints(run.state), writes=stepper.ranks.is_first)
    return Training(stepper, run, progress, saver=saver)


def _restore(config: TrainConfig, run: RunFolder, ranks: Ranks) -> Training:
    """Make a training that is where its newest sound checkpoint says."""
    checkpoints = Checkpoints(run.state)
    if not ranks.broadcast(lambda: checkpoints.exist):
        ranks.broadcast(lambda: _require_no_model(run))
        training = create_training(Stepper(prepare(config), ranks), run, config)
        training.notes += ("The run was cut off before its first checkpoint, and begins anew.",)
        return training
    state = ranks.broadcast(checkpoints.load)
    setup = prepare(config, kept=state.read_normalization())
    _require_same_data(state.progress, setup, run)
    is_auto = setup.config.training.batch_size == "auto"
    stepper = Stepper(setup, ranks, batch_size=state.progress.batch_size if is_auto else None)
    progress = stepper.restore(state)
    saver = Saver(run, checkpoints, writes=ranks.is_first)
    training = Training(stepper, run, progress, saver=saver)
    training.notes += state.notes + _compare_settings(progress, config)
    training.notes += _compare_arithmetic(progress, stepper)
    ranks.broadcast(lambda: _require_unfinished(training))
    return training


def _require_no_model(run: RunFolder) -> None:
    """Refuse to begin anew where that would replace a model."""
    if run.model.exists():
        raise RunError(
            f"{run.path} has a model, but no checkpoint to go on from any more. Start a new run "
            f"with --start-from {run.model}."
        )


def _require_same_data(progress: Progress, setup: Setup, run: RunFolder) -> None:
    """Refuse to go on with other pixels, classes or another split than the run began with."""
    before, now = progress.data, setup.fingerprint
    changed = [name for name in before | now if before.get(name) != now.get(name)]
    if changed:
        shown = ", ".join(changed[:_NAMES]) + ", …" * (len(changed) > _NAMES)
        raise RunError(
            f"The images and masks in {setup.config.data.path} are not those that {run.path} began "
            f"with: pixels, size, class names or part of the split differ in {shown}. Put them "
            f"back, or start a new run with --start-from {run.model}."
        )


def _list_settings(config: TrainConfig) -> dict[str, Any]:
    """Fields of a config, but for the place of the run, with their sections: a plain mapping."""
    fields: dict[str, Any] = {}
    for name, value in config.make_absolute().model_dump(mode="json", exclude={"run"}).items():
        inner = value if isinstance(value, dict) else {"": value}
        fields |= {f"{name}.{field}".rstrip("."): item for field, item in inner.items()}
    return fields


def _compare_settings(progress: Progress, config: TrainConfig) -> Notes:
    """Take note of the config; gives what somebody has changed in it since the last checkpoint."""
    now = _list_settings(config)
    before, progress.settings = progress.settings, now
    if not before:  # the checkpoint of an older version
        return ()
    changed = [
        f"{name} was {_show(before[name])}, is {_show(now[name])}"
        for name in before
        if name in now and before[name] != now[name]
    ]
    note = (
        f"The config of the run was changed since it was stopped: {'; '.join(changed)}. The "
        "training goes on with what stands there now."
    )
    return (note,) if changed else ()


def _show(value: object) -> str:
    """Write a setting as YAML does."""
    return json.dumps(value, ensure_ascii=False)


def _compare_arithmetic(progress: Progress, stepper: Stepper) -> Notes:
    """Take note of what the bits depend on here; gives what is not as it was."""
    now = describe_arithmetic(stepper.setup.compute, processes=stepper.ranks.size)
    before, progress.arithmetic = progress.arithmetic, now
    changed = [
        f"{name} {before.get(name, '-')} before, {now.get(name, '-')} now"
        for name in before | now
        if before.get(name) != now.get(name)
    ]
    note = (
        f"The last digits may differ from those of a training that was never interrupted: "
        f"{'; '.join(changed)}."
    )
    return (note,) if changed else ()


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
    events = training.iter_events(resumed=resumed)
    story = EventLog(run)
    try:
        if not training.saver.writes:
            for _ in events:
                pass
            return
        if training.stepper.config.tensorboard:
            events = iter_logged(events, run.tensorboard)
        with closing(events):  # nothing is being written any more when the run folder is let go
            for event in events:
                try:
                    yield from story.add(event)
                except GeneratorExit:  # a stop like any other, for other processes as well
                    training.must_stop = True
                    for last in events:
                        list(story.add(last))
                    story.close()
                    raise
        story.close()
    except Exception as error:
        _keep_traceback(error, run)
        if training.saver.writes:
            with suppress(WriteError):
                list(story.add(RunFailed(message=_describe(error))))
        raise


def _keep_traceback(error: Exception, run: RunFolder) -> None:
    """Add the traceback of an error that nobody expected to the run's log, and say where it is."""
    if isinstance(error, PixelwiseError):
        return
    with suppress(OSError):
        with run.log.open("a", encoding="utf-8") as log:
            log.write("".join(traceback.format_exception(error)))
        error.add_note(f"The traceback is in {run.log}.")


def _describe(error: Exception) -> str:
    """Say what went wrong; errors of others begin with their type, without which few make sense."""
    if isinstance(error, PixelwiseError):
        return str(error)
    return f"{type(error).__name__}: {error}".rstrip(": ")
