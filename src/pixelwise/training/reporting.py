"""Every event and message of a training run, made in one place."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from pixelwise.errors import WriteError
from pixelwise.events import EpochEnded, Event, RunEnded, RunStarted, StepsDone, Warned
from pixelwise.runs import RunFolder
from pixelwise.training.early_stopping import find_worst
from pixelwise.training.state import TrainingState
from pixelwise.training.throughput import Throughput
from pixelwise.training.validation import Validation

WITHOUT_PREVIEW = "Training continues without this preview."
LATER = "Training continues and tries again after the next epoch."
AT_ONCE = "It is tried again at once."


class Report:
    """Reports what a training run does, from its state.

    Parameters
    ----------
    state : TrainingState
    folder : RunFolder

    Attributes
    ----------
    throughput : Throughput
    """

    def __init__(self, state: TrainingState, folder: RunFolder) -> None:
        self._state, self._folder = state, folder
        self._started = time.perf_counter()
        self.throughput = Throughput()
        self._told_memory = self._memory

    @property
    def _memory(self) -> tuple[int, int]:
        progress = self._state.progress
        return progress.micro_batches, progress.validation_micro_batches

    @property
    def has_memory_news(self) -> bool:
        """Whether training uses more micro-batches than was reported."""
        return self._memory[0] != self._told_memory[0]

    def start(self, *, resumed: bool, notes: tuple[str, ...]) -> Iterator[Event]:
        """Report what is trained, on what data and device, and what to know about them."""
        state, setup = self._state, self._state.setup
        yield RunStarted(
            run=str(self._folder.path),
            resumed=resumed,
            device=str(state.fabric.device),
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
            epochs=state.config.epochs,
            batch_size=state.batch_size,
            steps=state.steps,
            augmentation=setup.augmentation.describe(),
            processes=state.ranks.size,
        )
        yield from map(warn, setup.notes + notes)

    def start_scored(self, score: float) -> Warned:
        """Report the score of the model that training starts from, and when it stays."""
        config = self._state.config
        name, worst = config.shown_score, find_worst(score, config)
        limit = "at most" if name == "loss" else "at least"
        return warn(
            f"The model that training starts from has {name} {score:.3f} on the validation images. "
            f"It stays unless an epoch has {limit} {worst:.3f}."
        )

    def steps_done(self) -> StepsDone:
        """Report progress inside an epoch."""
        state, progress = self._state, self._state.progress
        epochs = state.config.epochs - progress.epoch
        steps = epochs * state.steps - progress.step
        return StepsDone(
            epoch=progress.epoch + 1,
            step=progress.step,
            steps=state.steps,
            train_loss=progress.mean_loss(state.batch_size),
            learning_rate=state.learning_rate(progress.step - 1),
            patches_per_second=(self.throughput.per_second(progress.step) or 0) * state.batch_size,
            seconds_left=self.throughput.seconds_left(progress.step, steps=steps, epochs=epochs),
        )

    def epoch_ended(self, validation: Validation, *, best: bool) -> EpochEnded:
        """Report the current epoch, which is not counted as done yet."""
        state, progress = self._state, self._state.progress
        rate = self.throughput.per_second(progress.step)
        return EpochEnded(
            epoch=progress.epoch + 1,
            epochs=state.config.epochs,
            train_loss=progress.mean_loss(state.batch_size),
            validation_loss=validation.loss,
            scores=validation.scores.summary(),
            class_dice={n: r.to_dict()["dice"] for n, r in validation.scores.per_class().items()},
            learning_rate=state.learning_rate(state.steps - 1),
            seconds=self.throughput.seconds,
            patches_per_second=None if rate is None else rate * state.batch_size,
            best=best,
        )

    def steps_skipped(self) -> list[Event]:
        """Warn if steps of the current epoch were skipped."""
        skipped, epoch = self._state.progress.skipped, self._state.progress.epoch + 1
        text = (
            f"{skipped} of {self._state.steps} steps of epoch {epoch} gave no finite loss or "
            "gradient and were skipped."
        )
        return [warn(text)] if skipped else []

    def memory(self) -> Iterator[Event]:
        """Warn if memory ran out since the last report, and batches are smaller now."""
        told, self._told_memory = self._told_memory, self._memory
        state, now = self._state, self._memory
        if now[0] > told[0]:
            yield warn(
                f"The memory of {state.fabric.device} is full: from now on each batch of "
                f"{state.batch_size} patches is computed in {now[0]} parts, one after another. "
                "Loss and gradient stay those of the whole batch; batch normalisation uses the "
                "statistics of each part. A smaller --batch-size is faster."
            )
        if now[1] > told[1]:
            yield warn(
                f"The memory of {state.fabric.device} is full: from now on batches are validated "
                f"in {now[1]} parts, with the same result."
            )

    def not_finite(self, *, validated: bool = False) -> str:
        """Say what of the current epoch was not finite."""
        progress = self._state.progress
        what, kind = f"{progress.skipped} steps", "loss or gradient"
        if validated:
            what, kind = "The validation", "loss"
        return f"{what} of epoch {progress.epoch + 1} gave no finite {kind}"

    def rolled_back(self, found: str) -> Warned:
        """Report where training continues after a rollback, and how."""
        progress = self._state.progress
        place = f"step {progress.step}" if progress.step else "the start"
        return warn(
            f"{found}: training continues from {place} of epoch {progress.epoch + 1}, with "
            f"{progress.lr_scale:g} of the learning rate."
        )

    def ended(self, *, stopped: bool) -> RunEnded:
        """Report the end of the run."""
        state, progress = self._state, self._state.progress
        return RunEnded(
            reason="finished" if state.has_finished else "stopped" if stopped else "no_progress",
            epochs_done=progress.epoch,
            best_epoch=progress.best_epoch,
            best_score=progress.best_score,
            monitor=state.config.shown_score,
            seconds=time.perf_counter() - self._started,
            model=str(self._folder.model),
        )


def warn(message: str) -> Warned:
    """Report something that does not end the run."""
    return Warned(message=message)


def not_written(error: WriteError, then: str) -> Warned:
    """Report a file that could not be written, and what happens next."""
    return warn(f"{error} {then}".rstrip())


def events_not_written(error: WriteError, folder: RunFolder) -> Warned:
    """Report that the event log cannot be written, and what happens next."""
    if folder.is_there:
        return warn(f"{error} What happens is kept in memory and written when it can be.")
    return warn(
        f"The run folder {folder.path} is not there any more: it was moved or deleted, or its "
        "disk went away. Training continues and keeps everything in memory: put the folder back "
        "and it is written there; otherwise it is lost at the end. Where the folder was moved to, "
        "'pixelwise resume' can continue from its last checkpoint."
    )


def tensorboard_not_written(error: OSError, folder: Path) -> Warned:
    """Report that TensorBoard's logs end."""
    return warn(
        f"Cannot write {folder}: {error.strerror or error}. Training continues without "
        "TensorBoard logs; the run's own events hold the same figures."
    )
