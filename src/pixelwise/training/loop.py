"""The training loop: epochs, what is judged and saved after each, and the way out of faults."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from pixelwise.errors import DivergedError
from pixelwise.events import EpochEnded, Event, RunEnded, RunStarted, StepsDone, Warned
from pixelwise.runs import RunFolder
from pixelwise.training.checkpoints import Progress
from pixelwise.training.early_stopping import is_patience_over, record_validation
from pixelwise.training.previews import PreviewSet
from pixelwise.training.saving import AT_ONCE, LATER, ModelFile, Reason, Saver
from pixelwise.training.stepper import Stepper, Validation
from pixelwise.training.throughput import Throughput

_SKIPPED_IN_A_ROW = 3
_SKIPPED_IN_AN_EPOCH = 5
_ROLL_BACKS = 3

EndReason = Literal["finished", "stopped", "no_progress"]


@dataclass
class Training:
    """One training between its first and last event.

    Attributes
    ----------
    stepper : Stepper
    run : RunFolder
    progress : Progress
    saver : Saver
    notes : tuple of str
        What to warn of at the start.
    must_stop : bool
        Whether it is to stop as if the run's `stop_request` were there.
    """

    stepper: Stepper
    run: RunFolder
    progress: Progress
    saver: Saver = field(kw_only=True)
    notes: tuple[str, ...] = field(default=(), init=False)
    must_stop: bool = field(default=False, init=False)
    _losses: list[Tensor] = field(default_factory=list, init=False)
    _saved: float = field(default_factory=time.perf_counter, init=False)
    _pace: Throughput = field(default_factory=Throughput, init=False)

    def __post_init__(self) -> None:
        self._told_parts = self.progress.parts, self.progress.validation_parts

    def iter_events(self, *, resumed: bool) -> Generator[Event, None, None]:
        """Train all epochs that are left."""
        started = time.perf_counter()
        previews = PreviewSet(self.stepper, self.run if self.saver.writes else None)
        try:
            yield self._describe(resumed=resumed)
            for note in self.stepper.setup.notes + self.notes:
                yield Warned(message=note)
            if self.saver.writes and not self.saver.checkpoints.exist:
                yield from self._save()
            yield from self._train(previews, started)
        except Exception:
            yield from self.saver.settle(then="")
            raise
        finally:
            self.saver.close()

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done, or patience is at its end."""
        config = self.stepper.config
        return self.progress.epoch >= config.epochs or is_patience_over(self.progress, config)

    def _train(self, previews: PreviewSet, started: float) -> Iterator[Event]:
        """Train epoch by epoch until the last one, a stop, or the end of patience."""
        is_stopped = False
        while not is_stopped and not self.is_over:
            self._pace.begin(self.progress.step)
            yield from self._train_epoch()
            if self._read_losses():
                yield from self._roll_back(f"{self.progress.skipped} steps", "loss or gradient")
                continue
            self._pace.end_steps()
            validation = self._validate()
            if validation is None:
                is_stopped = True
                yield from self._save(then=AT_ONCE)
            elif validation.loss is None:
                yield from self._roll_back("The validation", "loss")
            else:
                yield from self._end_epoch(validation)
                yield from previews.write(self.progress.epoch)
                yield from self._note_memory()
                self._pace.end()
        done = self.progress.epoch >= self.stepper.config.epochs
        reason: EndReason = "finished" if done else "stopped" if is_stopped else "no_progress"
        yield from self._end(reason, started)

    def _train_epoch(self) -> Iterator[Event]:
        """Do the steps that are left of an epoch, or fewer when asked to stop or gone astray."""
        progress, steps = self.progress, self.stepper.steps
        batches = self.stepper.draw_batches(progress.epoch)
        ranks = self.stepper.ranks
        while progress.step < steps and not ranks.decide(self._is_asked_to_stop()):
            loss = self.stepper.train(
                batches[progress.step],
                epoch=progress.epoch,
                step=progress.step,
                factor=progress.plateau_factor,
            )
            self._losses.append(loss)
            progress.step += 1
            must_save, is_due = self._must_save(), self._pace.is_due()
            if ranks.decide(must_save or is_due) or progress.step == steps:
                if self._read_losses():
                    return
                if must_save:
                    yield from self._save()
                yield self._report()

    def _must_save(self) -> bool:
        """Whether the last state is old, or from before the memory was full."""
        grown = self.stepper.parts != self._told_parts[0]
        age = time.perf_counter() - self._saved
        return grown or age > self.stepper.config.save_minutes * 60

    def _read_losses(self) -> bool:
        """Count the losses of the steps since the last look; True if too many are not finite.

        This waits for the device. They are added one by one and judged in their order, so that it
        does not matter when it is done.
        """
        progress = self.progress
        losses = torch.stack(self._losses).tolist() if self._losses else []
        self._losses.clear()
        for loss in losses:
            if math.isfinite(loss):
                progress.loss_sum += loss
                progress.skipped_in_a_row = 0
                continue
            progress.skipped += 1
            progress.skipped_in_a_row += 1
            if self._is_astray:
                return True
        return self._is_astray

    @property
    def _is_astray(self) -> bool:
        """Whether so many steps were not finite that going on is of no use."""
        progress = self.progress
        return (
            progress.skipped_in_a_row >= _SKIPPED_IN_A_ROW
            or progress.skipped >= _SKIPPED_IN_AN_EPOCH
        )

    def _roll_back(self, where: str, what: str) -> Iterator[Event]:
        """Go back to the start of the epoch, with half the learning rate.

        Parameters
        ----------
        where, what : str
            What was not finite, in words.

        Raises
        ------
        DivergedError
            That was done too often already.
        """
        fault, epoch = self.progress, self.progress.epoch + 1
        found = f"{where} of epoch {epoch} gave no finite {what}"
        if fault.roll_backs >= _ROLL_BACKS:
            raise DivergedError(
                f"{found}, after {_ROLL_BACKS} returns to an earlier state with half the learning "
                "rate each. Start a new run with a lower --learning-rate, another --loss, or "
                f"--precision fp32; the best model so far is {self.run.model}, if it is there."
            )
        yield from self.saver.settle(then="")
        checkpoints, stepper = self.saver.checkpoints, self.stepper
        state = stepper.ranks.broadcast(lambda: checkpoints.load_start(stepper.setup.network))
        parts = stepper.parts, stepper.validation_parts
        self.progress = progress = stepper.restore(state)
        progress.roll_backs = fault.roll_backs + 1
        progress.parts, progress.validation_parts = parts
        stepper.resume_at(progress)
        place = f"step {progress.step}" if progress.step else "the start"
        for note in state.notes:
            yield Warned(message=note)
        yield from self._save()
        yield Warned(
            message=f"{found}: the training goes on from {place} of epoch {progress.epoch + 1}, "
            f"with {progress.damping:g} of the learning rate."
        )

    def _validate(self) -> Validation | None:
        """Score an epoch; None if it has steps left, or somebody asks to stop meanwhile."""
        if self.progress.step < self.stepper.steps:
            return None
        return self.stepper.validate(self._is_asked_to_stop)

    def _is_asked_to_stop(self) -> bool:
        return self.must_stop or self.run.stop_request.exists()

    def _end_epoch(self, validation: Validation) -> Iterator[Event]:
        """Remember whether it was the best epoch, and save."""
        progress, config = self.progress, self.stepper.config
        train_loss, skipped = self._mean_loss(), progress.skipped
        rate, pace = self._rate(self.stepper.steps - 1), self._pace.per_second(progress.step)
        progress.epoch, progress.step, progress.loss_sum = progress.epoch + 1, 0, 0.0
        progress.skipped = 0
        best = record_validation(validation, progress, config)
        saved = list(self._save_models(validation, best=best))
        # The story before the state: what is done twice is told twice, but nothing goes untold.
        yield EpochEnded(
            epoch=progress.epoch,
            epochs=config.epochs,
            train_loss=train_loss,
            validation_loss=validation.loss,
            scores=validation.scores.summary(),
            class_dice={n: r.to_dict()["dice"] for n, r in validation.scores.per_class().items()},
            learning_rate=rate,
            seconds=self._pace.seconds,
            patches_per_second=None if pace is None else pace * self.stepper.batch_size,
            best=best,
        )
        yield from saved
        if skipped:
            yield Warned(
                message=f"{skipped} of {self.stepper.steps} steps of epoch {progress.epoch} gave "
                "no finite loss or gradient and were skipped."
            )
        yield from self._save(meanwhile=True)

    def _save_models(self, validation: Validation, *, best: bool) -> Iterator[Event]:
        """Write the model files of an epoch: the best so far, and those to be kept."""
        epoch, keep_every = self.progress.epoch, self.stepper.config.keep_every
        if best:
            file = self._create_file("best", validation, name=None)
            yield from self.saver.save_model(file)
        if keep_every and epoch % keep_every == 0:
            file = self._create_file("kept", validation, name=f"epoch-{epoch:04d}.safetensors")
            yield from self.saver.save_model(file)

    def _end(self, reason: EndReason, started: float) -> Iterator[Event]:
        """Make sure that all is on the disk, a model too, and say how it ended."""
        progress = self.progress
        if progress.best_epoch is None:
            final = self._create_file("final", None, name=None)
            yield from self.saver.save_model(final, then=AT_ONCE)
        yield from self.saver.finish(self.stepper, progress)
        if self.saver.writes:
            self.run.stop_request.unlink(missing_ok=True)
        yield RunEnded(
            reason=reason,
            epochs_done=progress.epoch,
            best_epoch=progress.best_epoch,
            best_score=progress.best_score,
            monitor=self.stepper.config.shown_score,
            seconds=time.perf_counter() - started,
            model=str(self.run.model),
        )

    def _save(self, *, meanwhile: bool = False, then: str = LATER) -> Iterator[Event]:
        """Save the state, see `Saver`; a disk that is full does not end the training."""
        yield from self._note_memory()
        self._saved = time.perf_counter()
        yield from self.saver.save_state(
            self.stepper, self.progress, meanwhile=meanwhile, then=then
        )

    def _create_file(
        self, reason: Reason, validation: Validation | None, *, name: str | None
    ) -> ModelFile:
        """Model file of the network as it is now; without a name the run's own."""
        setup, epoch = self.stepper.setup, self.progress.epoch
        scores = {} if validation is None else validation.scores.summary()
        summary = setup.card.training
        assert summary is not None  # noqa: S101  the card of a training has one
        summary = summary.model_copy(update={"epochs": epoch, "scores": scores})
        card = setup.card.model_copy(update={"training": summary})
        path = self.run.checkpoints / name if name else self.run.model
        return ModelFile(path, setup.network.state_dict(), card, epoch=epoch, reason=reason)

    def _note_memory(self) -> Iterator[Event]:
        """Say if the memory was full, and batches are computed in more parts since."""
        stepper, (parts, validation_parts) = self.stepper, self._told_parts
        self._told_parts = stepper.parts, stepper.validation_parts
        if stepper.parts > parts:
            yield Warned(
                message=f"The memory of {stepper.fabric.device} is full: from now on each batch of "
                f"{stepper.batch_size} patches is computed in {stepper.parts} parts, one after "
                "another. Loss and gradient stay those of the whole batch; batch normalisation "
                "uses the statistics of each part. A smaller --batch-size is faster."
            )
        if stepper.validation_parts > validation_parts:
            yield Warned(
                message=f"The memory of {stepper.fabric.device} is full: from now on batches are "
                f"validated in {stepper.validation_parts} parts, with the same result."
            )

    def _mean_loss(self) -> float | None:
        """Mean loss over the patches of the epoch so far; None without a finite one."""
        patches = (self.progress.step - self.progress.skipped) * self.stepper.batch_size
        return self.progress.loss_sum / patches if patches else None

    def _rate(self, step: int) -> float:
        progress = self.progress
        return self.stepper.rate(progress.epoch, step, factor=progress.plateau_factor)

    def _report(self) -> StepsDone:
        """Progress inside an epoch."""
        progress, stepper = self.progress, self.stepper
        epochs = stepper.config.epochs - progress.epoch
        steps = epochs * stepper.steps - progress.step
        return StepsDone(
            epoch=progress.epoch + 1,
            step=progress.step,
            steps=stepper.steps,
            train_loss=self._mean_loss(),
            learning_rate=self._rate(progress.step - 1),
            patches_per_second=(self._pace.per_second(progress.step) or 0) * stepper.batch_size,
            seconds_left=self._pace.seconds_left(progress.step, steps=steps, epochs=epochs),
        )

    def _describe(self, *, resumed: bool) -> RunStarted:
        """Say what is trained, on what, and why there."""
        setup = self.stepper.setup
        return RunStarted(
            run=str(self.run.path),
            resumed=resumed,
            device=str(self.stepper.fabric.device),
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
            batch_size=self.stepper.batch_size,
            processes=self.stepper.ranks.size,
        )
