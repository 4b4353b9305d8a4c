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
    is_best = config.monitor == "last" or _is_better(score, progress.best_score, config.monitor)
    if is_best:
        progress.epochs_without_improvement = 0
        progress.best_score, progress.best_epoch = score, progress.epoch + 1
    else:
        progress.epochs_without_improvement += 1
    _watch_plateau(loss, progress, config)
    return is_best


def is_patience_over(progress: Progress, config: TrainingConfig) -> bool:
    """Whether early stopping is on and its patience is used up."""
    return config.patience is not None and progress.epochs_without_improvement >= config.patience


def _is_better(score: float | None, best: float | None, monitor: str) -> bool:
    if score is None or best is None:
        return score is not None
    return score < best if monitor == "loss" else score > best


def _watch_plateau(loss: float | None, progress: Progress, config: TrainingConfig) -> None:
    """Cut the rate of the schedule "plateau" when the validation loss no longer falls."""
    if loss is not None and (progress.plateau_best is None or loss < progress.plateau_best):
        progress.plateau_best, progress.epochs_on_plateau = loss, 0
        return
    progress.epochs_on_plateau += 1
    if progress.epochs_on_plateau >= config.plateau_epochs:
        progress.plateau_factor *= PLATEAU_FACTOR
        progress.epochs_on_plateau = 0
