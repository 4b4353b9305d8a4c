"""What a validation decides: the best epoch, early stopping, and the cuts of "plateau"."""

from __future__ import annotations

from pixelwise.config import TrainingConfig
from pixelwise.training.checkpoints import Progress
from pixelwise.training.optimizers import PLATEAU_FACTOR
from pixelwise.training.stepper import Validation


def record_validation(validation: Validation, progress: Progress, config: TrainingConfig) -> bool:
    """Record the validation of an epoch; True if it is the best so far."""
    score = validation.score(config.shown_score)
    is_best = config.monitor == "last" or _is_better(score, progress.best_score, config.monitor)
    progress.waited = 0 if is_best else progress.waited + 1
    if is_best:
        progress.best_score, progress.best_epoch = score, progress.epoch
    _watch_plateau(validation.loss, progress, config)
    return is_best


def is_patience_over(progress: Progress, config: TrainingConfig) -> bool:
    """Whether early stopping is on and its patience is used up."""
    return config.patience is not None and progress.waited >= config.patience


def _is_better(score: float | None, best: float | None, monitor: str) -> bool:
    if score is None or best is None:
        return score is not None
    return score < best if monitor == "loss" else score > best


def _watch_plateau(loss: float | None, progress: Progress, config: TrainingConfig) -> None:
    """Cut the rate of the schedule "plateau" when the validation loss no longer falls."""
    if loss is not None and (progress.plateau_best is None or loss < progress.plateau_best):
        progress.plateau_best, progress.plateau_waited = loss, 0
        return
    progress.plateau_waited += 1
    if progress.plateau_waited >= config.plateau_epochs:
        progress.plateau_factor *= PLATEAU_FACTOR
        progress.plateau_waited = 0
