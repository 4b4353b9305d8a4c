"""What a validation decides: the best epoch, early stopping, and the cuts of "plateau"."""

from __future__ import annotations

from pixelwise.config import TrainingConfig
from pixelwise.training.optimizers import PLATEAU_FACTOR
from pixelwise.training.progress import Progress


def record_validation(
    progress: Progress, config: TrainingConfig, *, score: float | None, loss: float | None
) -> bool:
    """Record the monitored score and the validation loss of the current epoch.

    Returns
    -------
    bool
        Whether it is the best epoch so far.
    """
    best = progress.best_score if progress.best_epoch else None  # the start is no rival
    is_best = config.monitor == "last" or _is_better(score, best, config.monitor)
    is_best = is_best and _is_good_enough(score, progress.start_score, config)
    if is_best:
        progress.epochs_without_improvement = 0
        progress.best_score, progress.best_epoch = score, progress.epoch + 1
    else:
        progress.epochs_without_improvement += 1
    _watch_plateau(loss, progress, config)
    return is_best


def record_start(progress: Progress, score: float | None) -> None:
    """Record the score of the model that training starts from, which is kept until one replaces it.

    An undefined score is no reason to keep it.
    """
    if score is not None:
        progress.start_score = progress.best_score = score
        progress.best_epoch = 0


def is_patience_over(progress: Progress, config: TrainingConfig) -> bool:
    """Whether early stopping is on and its patience is used up."""
    return config.patience is not None and progress.epochs_without_improvement >= config.patience


def _is_better(score: float | None, best: float | None, monitor: str) -> bool:
    if score is None or best is None:
        return score is not None
    return score < best if monitor == "loss" else score > best


def find_worst(start: float, config: TrainingConfig) -> float:
    """Worst score of an epoch that may replace the model that training started from."""
    margin = config.keep_start or 0.0
    return start + margin if config.monitor == "loss" else start - margin


def _is_good_enough(score: float | None, start: float | None, config: TrainingConfig) -> bool:
    """Whether an epoch may replace the model that training started from."""
    if start is None:
        return True
    if score is None:
        return False
    worst = find_worst(start, config)
    return score <= worst if config.monitor == "loss" else score >= worst


def _watch_plateau(loss: float | None, progress: Progress, config: TrainingConfig) -> None:
    """Cut the rate of the schedule "plateau" when the validation loss no longer falls."""
    if loss is not None and (progress.plateau_best is None or loss < progress.plateau_best):
        progress.plateau_best, progress.epochs_on_plateau = loss, 0
        return
    progress.epochs_on_plateau += 1
    if progress.epochs_on_plateau >= config.plateau_epochs:
        progress.plateau_factor *= PLATEAU_FACTOR
        progress.epochs_on_plateau = 0
