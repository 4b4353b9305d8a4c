"""The training loop: a generator of events that writes its run folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from pixelwise.config import TrainConfig
from pixelwise.errors import PixelwiseError, RunError
from pixelwise.events import (
    EpochEnded,
    Event,
    ModelSaved,
    RunEnded,
    RunFailed,
    RunStarted,
    StepsDone,
    Warned,
)
from pixelwise.models.files import save_model
from pixelwise.runs import RunFolder, create_run, lock_run, open_run, require_new_run
from pixelwise.training.allocator import keeping_freed_memory
from pixelwise.training.checkpoints import Progress, load_state, save_state
from pixelwise.training.optimizers import PLATEAU_FACTOR
from pixelwise.training.previews import PreviewSet
from pixelwise.training.setup import prepare
from pixelwise.training.stepper import Stepper, Validation
from pixelwise.training.tensorboard import iter_logged

_REPORT_SECONDS = 0.5

EndReason = Literal["finished", "stopped", "no_progress"]


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
        The data, the settings or the run folder cannot be used; said before the first step.
    """
    run = require_new_run(config.run)
    stepper = Stepper(prepare(config))
    create_run(config)
    progress = Progress(data=stepper.setup.fingerprint)
    with lock_run(run), keeping_freed_memory():
        yield from _record(run, Training(stepper, run, progress), resumed=False)


def resume(path: str | Path) -> Iterator[Event]:
    """Go on with a training that was stopped or cut off, from its last checkpoint.

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
        The training has all its epochs.
    ReadError, ModelFileError
        There is no run or checkpoint, or it is damaged.
    """
    run = open_run(path)
    with lock_run(run), keeping_freed_memory():
        _forget_old_stop(run)
        stepper = Stepper(prepare(run.read_config(), first_weights=False))
        progress = load_state(run.state, stepper.setup.network, stepper.optimizer)
        if progress.epoch >= stepper.config.epochs:
            raise RunError(
                f"{path} has all its {progress.epoch} epochs. To train longer, start a new run "
                f"with --start-from {run.model}."
            )
        _require_same_data(progress, stepper, run)
        yield from _record(run, Training(stepper, run, progress), resumed=True)


def _forget_old_stop(run: RunFolder) -> None:
    """Remove a request that a killed process left; one made since this process began holds."""
    with suppress(FileNotFoundError):
        if run.stop_request.stat().st_mtime < psutil.Process().create_time():
            run.stop_request.unlink()


def _require_same_data(progress: Progress, stepper: Stepper, run: RunFolder) -> None:
    """Refuse to go on with other images or another split than the run began with."""
    if progress.data != stepper.setup.fingerprint:
        raise RunError(
            f"The images, masks or classes in {stepper.setup.config.data.path} are not those that "
            f"{run.path} began with, so the split would differ. Put them back, or start a new run "
            f"with --start-from {run.model}."
        )


def _record(run: RunFolder, training: Training, *, resumed: bool) -> Iterator[Event]:
    """Write each event into the run folder before giving it on; an error becomes the last one."""
    events = training.iter_events(resumed=resumed)
    if training.stepper.config.tensorboard:
        events = iter_logged(events, run.path / "tensorboard")
    try:
        for event in events:
            run.append(event)
            yield event
    except (PixelwiseError, RuntimeError, OSError) as error:
        run.append(RunFailed(message=str(error)))
        raise


@dataclass
class Training:
    """One training between its first and last event.

    Attributes
    ----------
    stepper : Stepper
    run : RunFolder
    progress : Progress
    """

    stepper: Stepper
    run: RunFolder
    progress: Progress

    def iter_events(self, *, resumed: bool) -> Iterator[Event]:
        """Train all epochs that are left."""
        started = time.perf_counter()
        previews = PreviewSet(self.stepper, self.run)
        try:
            yield self._describe(resumed=resumed)
            yield from (Warned(message=note) for note in self.stepper.setup.notes)
            yield from self._train(previews, started)
        except GeneratorExit:
            self._save_state()
            raise

    def _train(self, previews: PreviewSet, started: float) -> Iterator[Event]:
        """Train epoch by epoch until the last one, a stop, or the end of patience."""
        reason: EndReason = "finished"
        while reason == "finished" and self.progress.epoch < self.stepper.config.epochs:
            epoch_started = time.perf_counter()
            yield from self._train_epoch()
            if self.progress.step < self.stepper.steps:
                reason = "stopped"
                self._save_state()
            else:
                yield from self._end_epoch(epoch_started)
                yield from previews.write(self.progress.epoch)
                reason = "no_progress" if self._waited_enough() else "finished"
        yield from self._end(reason, started)

    def _train_epoch(self) -> Iterator[Event]:
        """Do the steps that are left of an epoch, or fewer when asked to stop."""
        progress, steps = self.progress, self.stepper.steps
        batches = self.stepper.draw_batches(progress.epoch)
        loss_sum = None
        pace = _Pace(progress.step)
        while progress.step < steps and not self.run.stop_request.exists():
            loss = self.stepper.train(
                batches[progress.step],
                epoch=progress.epoch,
                step=progress.step,
                factor=progress.plateau_factor,
            )
            loss_sum = loss if loss_sum is None else loss_sum + loss
            progress.step += 1
            if pace.is_due():
                progress.loss_sum += float(loss_sum)
                loss_sum = None
                yield self._report(pace)
        if loss_sum is not None:
            progress.loss_sum += float(loss_sum)

    def _end_epoch(self, started: float) -> Iterator[Event]:
        """Validate, remember whether it was the best epoch, and save."""
        trained = time.perf_counter() - started
        validation = self.stepper.validate()
        progress, config = self.progress, self.stepper.config
        patches = self.stepper.steps * self.stepper.batch_size
        train_loss = progress.loss_sum / patches
        rate = self._rate(self.stepper.steps - 1)
        progress.epoch, progress.step, progress.loss_sum = progress.epoch + 1, 0, 0.0
        best = self._judge(validation)
        saved = list(self._save_models(validation, best=best))
        self._save_state()
        yield EpochEnded(
            epoch=progress.epoch,
            epochs=config.epochs,
            train_loss=train_loss,
            validation_loss=validation.loss,
            scores=validation.scores.summary(),
            class_dice={n: r.to_dict()["dice"] for n, r in validation.scores.per_class().items()},
            learning_rate=rate,
            seconds=time.perf_counter() - started,
            patches_per_second=patches / trained,
            best=best,
        )
        yield from saved

    def _save_models(self, validation: Validation, *, best: bool) -> Iterator[ModelSaved]:
        """Write the model files of an epoch: the best so far, and those to be kept."""
        epoch, keep_every = self.progress.epoch, self.stepper.config.keep_every
        if best:
            yield self._save_model(self.run.model, "best", validation)
        if keep_every and epoch % keep_every == 0:
            kept = self.run.checkpoints / f"epoch-{epoch:04d}.safetensors"
            yield self._save_model(kept, "kept", validation)

    def _judge(self, validation: Validation) -> bool:
        """Take note of an epoch's validation; True if it is the best so far."""
        progress, monitor = self.progress, self.stepper.config.monitor
        score = validation.score(self.stepper.config.shown_score)
        best = monitor == "last" or (
            score is not None
            and (
                progress.best_score is None
                or (
                    score < progress.best_score
                    if monitor == "loss"
                    else score > progress.best_score
                )
            )
        )
        progress.waited = 0 if best else progress.waited + 1
        if best:
            progress.best_score, progress.best_epoch = score, progress.epoch
        self._watch_plateau(validation.loss)
        return best

    def _watch_plateau(self, loss: float | None) -> None:
        """Cut the rate of the schedule "plateau" when the validation loss no longer falls."""
        progress = self.progress
        if loss is not None and (progress.plateau_best is None or loss < progress.plateau_best):
            progress.plateau_best, progress.plateau_waited = loss, 0
            return
        progress.plateau_waited += 1
        if progress.plateau_waited > self.stepper.config.plateau_epochs:
            progress.plateau_factor *= PLATEAU_FACTOR
            progress.plateau_waited = 0

    def _waited_enough(self) -> bool:
        """Whether early stopping is on and its patience over."""
        patience = self.stepper.config.patience
        return patience is not None and self.progress.waited >= patience

    def _end(self, reason: EndReason, started: float) -> Iterator[Event]:
        """Make sure that there is a model, and say how it ended."""
        self.run.stop_request.unlink(missing_ok=True)
        progress = self.progress
        if progress.best_epoch is None:
            yield self._save_model(self.run.model, "final", None)
        yield RunEnded(
            reason=reason,
            epochs_done=progress.epoch,
            best_epoch=progress.best_epoch,
            best_score=progress.best_score,
            monitor=self.stepper.config.shown_score,
            seconds=time.perf_counter() - started,
            model=str(self.run.model),
        )

    def _save_state(self) -> None:
        stepper = self.stepper
        save_state(self.run.state, stepper.setup.network, stepper.optimizer, progress=self.progress)

    def _save_model(
        self,
        path: Path,
        reason: Literal["best", "kept", "final"],
        validation: Validation | None,
    ) -> ModelSaved:
        """Write the network as it is now as a model file."""
        setup, epoch = self.stepper.setup, self.progress.epoch
        scores = {} if validation is None else validation.scores.summary()
        summary = setup.card.training
        assert summary is not None  # noqa: S101  the card of a training has one
        summary = summary.model_copy(update={"epochs": epoch, "scores": scores})
        card = setup.card.model_copy(update={"training": summary})
        save_model(path, setup.network.state_dict(), card)
        return ModelSaved(path=str(path), epoch=epoch, reason=reason)

    def _rate(self, step: int) -> float:
        progress = self.progress
        return self.stepper.rate(progress.epoch, step, factor=progress.plateau_factor)

    def _report(self, pace: _Pace) -> StepsDone:
        """Progress inside an epoch."""
        progress, stepper = self.progress, self.stepper
        done = progress.epoch * stepper.steps + progress.step
        left = stepper.config.epochs * stepper.steps - done
        per_step = stepper.batch_size
        return StepsDone(
            epoch=progress.epoch + 1,
            step=progress.step,
            steps=stepper.steps,
            train_loss=progress.loss_sum / (progress.step * per_step),
            learning_rate=self._rate(progress.step - 1),
            patches_per_second=pace.per_second(progress.step) * per_step,
            seconds_left=left / pace.per_second(progress.step),
        )

    def _describe(self, *, resumed: bool) -> RunStarted:
        """Say what is trained, on what, and why there."""
        setup = self.stepper.setup
        return RunStarted(
            run=str(self.run.path),
            resumed=resumed,
            device=str(setup.compute.device),
            device_reason=setup.compute.device_reason,
            precision=setup.compute.precision,
            precision_reason=setup.compute.precision_reason,
            architecture=setup.card.architecture,
            parameters=sum(p.numel() for p in setup.network.parameters()),
            classes=setup.card.class_names,
            data=f"{setup.config.data.path}: {setup.understood}",
            normalization=setup.card.normalization.source,
            train_images=setup.train_images,
            validation_images=setup.validation_images,
            train_patches=len(setup.train),
            validation_patches=len(setup.validation),
            epochs=setup.config.training.epochs,
        )


class _Pace:
    """Steps per second since the epoch's start, and when the next report is due."""

    def __init__(self, step: int) -> None:
        self._first_step = step
        self._started = self._reported = time.perf_counter()

    def is_due(self) -> bool:
        """Whether the last report is long enough ago."""
        now = time.perf_counter()
        due = now - self._reported > _REPORT_SECONDS
        self._reported = now if due else self._reported
        return due

    def per_second(self, step: int) -> float:
        return (step - self._first_step) / (time.perf_counter() - self._started)
