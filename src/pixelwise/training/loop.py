"""The training loop: batch, forward, backward, step, report, validate, save.

Whatever is random in a step is seeded by (seed, epoch, step), so a run that was interrupted
continues exactly as it would have. Nothing in a step waits for the device: losses stay there until
they are read. That holds for faults too: the device itself decides that a step whose loss or
gradient is not finite changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from pixelwise.errors import is_memory_error, quote
from pixelwise.events import Event
from pixelwise.training import micro_batches, recovery
from pixelwise.training.batch_rng import BatchRng
from pixelwise.training.early_stopping import record_start, record_validation
from pixelwise.training.prefetch import draw_seeds
from pixelwise.training.previews import PreviewSet
from pixelwise.training.reporting import AT_ONCE
from pixelwise.training.state import TrainingState
from pixelwise.training.time_budget import plan_epochs, plan_next_epoch
from pixelwise.training.training_run import TrainingRun
from pixelwise.training.validation import Validation, validate


def train(run: TrainingRun, *, resumed: bool) -> Iterator[Event]:
    """Train the epochs that are left, until the last one, a stop, or early stopping."""
    state, report, ranks = run.state, run.report, run.state.ranks
    previews = PreviewSet(state, run.folder if run.saver.writes else None)
    if state.config.minutes is not None and state.progress.epoch == state.progress.step == 0:
        plan_epochs(run, train_step)
    yield from report.start(resumed=resumed, notes=run.notes)
    if run.saver.writes and not run.saver.checkpoints.exist:
        yield from run.save()
    if state.must_score_start:
        yield from _score_start(run)
    is_stopped = False
    while not is_stopped and not state.is_over:
        report.throughput.begin(state.progress.step)
        losses: list[Tensor] = []
        for numbers in state.batches_left():
            if ranks.decide(run.is_asked_to_stop()):
                break
            losses.append(train_step(state, numbers))
            state.progress.step += 1
            must_save, is_due = run.must_save(), report.throughput.is_due()
            if ranks.decide(must_save or is_due) or not state.has_steps_left:
                if recovery.have_diverged(losses, state.progress):
                    break
                if must_save:
                    yield from run.save()
                yield report.steps_done()
        if recovery.have_diverged(losses, state.progress):
            yield from recovery.roll_back(run, report.not_finite())
            continue
        report.throughput.end_steps()
        validation = None if state.has_steps_left else validate(state, run.is_asked_to_stop)
        if validation is None:
            is_stopped = True
            yield from run.save(then=AT_ONCE)
        elif validation.loss is None:
            yield from recovery.roll_back(run, report.not_finite(validated=True))
        else:
            yield from _end_epoch(run, validation)
            yield from previews.write(state.progress.epoch)
            yield from report.memory()
            report.throughput.end()
    yield from run.saver.finish(state)
    yield report.ended(stopped=is_stopped)


def _score_start(run: TrainingRun) -> Iterator[Event]:
    """Score the model that training starts from, which stays unless an epoch may replace it."""
    state = run.state
    validation = validate(state, run.is_asked_to_stop)
    if validation is None:
        return
    record_start(state.progress, validation.score(state.config.shown_score))
    if state.progress.start_score is not None:
        yield from run.saver.save_start(state, validation)
        yield run.report.start_scored(state.progress.start_score)
        yield from run.save()


def train_step(state: TrainingState, numbers: list[int]) -> Tensor:
    """Train on the patches with these numbers, the current step of the current epoch.

    If loss or gradient are not finite, weights, optimiser and statistics stay as they are. A step
    that runs out of memory is done again in more micro-batches.

    Returns
    -------
    Tensor
        Sum of the loss over patches, on the device; NaN if the step was skipped, but for gradients
        that fp16's loss scaling may have made infinite.

    Raises
    ------
    BudgetError
        Not even the smallest micro-batch fits the memory.
    """
    while True:
        try:
            return _take_step(state, numbers)
        except (RuntimeError, MemoryError) as error:
            if not is_memory_error(error):
                raise
            said = quote(error)
        # outside of the handler, whose traceback holds on to the step's tensors
        state.optimizer.zero_grad(set_to_none=True)
        state.running_stats.restore()
        micro_batches.use_more(state, len(numbers), said=said)


def _take_step(state: TrainingState, numbers: list[int]) -> Tensor:
    """Batch, forward, backward, step; see `train_step`."""
    setup, ranks, progress = state.setup, state.ranks, state.progress
    for group in state.optimizer.param_groups:
        group["lr"] = state.learning_rate(progress.step)
    epoch, step, count = progress.epoch, progress.step, len(numbers)
    augmentation_seed, dropout_seed, _ = draw_seeds(state.config.seed, epoch, step)
    # batch
    batch = state.batches.take(numbers, epoch=epoch, step=step)
    generator = torch.Generator().manual_seed(augmentation_seed)
    rng = BatchRng(generator, count, ranks.part(count))
    image, mask = setup.augmentation.change(batch.to(state.fabric.device), rng)
    # forward and backward
    if state.average.decay and not state.config.compile:  # which would compile for each momentum
        state.running_stats.begin(state.steps_done)
    state.optimizer.zero_grad(set_to_none=True)
    seed = dropout_seed + ranks.rank
    if progress.micro_batches > 1:
        loss = micro_batches.accumulate_gradient(state, image, mask, seed=seed)
    else:
        torch.manual_seed(seed)
        loss = setup.loss(state.network(image), mask, total=ranks.total)
        state.fabric.backward(loss)
        loss = loss.detach()
    # step
    finite = recovery.is_step_finite(state, loss)
    result = torch.where(finite | recovery.may_overflow(state), loss * count, torch.nan)
    state.running_stats.undo_unless(finite)
    if recovery.should_step(state, finite):
        state.optimizer.step()
    state.average.update(state.steps_done)
    state.running_stats.accept()  # nothing after the weights asks for memory
    return result


def _end_epoch(run: TrainingRun, validation: Validation) -> Iterator[Event]:
    """Record whether the epoch was the best, report it, and save."""
    state, report = run.state, run.report
    score = validation.score(state.config.shown_score)
    best = record_validation(state.progress, state.config, score=score, loss=validation.loss)
    saved = list(run.saver.save_models(state, validation, best=best))
    ended, skipped = report.epoch_ended(validation, best=best), report.steps_skipped()
    state.progress.begin_next_epoch(plan_next_epoch(run))
    state.follow_plan()
    # The events before the checkpoint: a repeated epoch is reported again, none is left out.
    yield ended
    yield from saved
    yield from skipped
    yield from run.save(meanwhile=True)
