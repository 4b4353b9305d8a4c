from __future__ import annotations

import numpy as np
import pytest

from pixelwise.config import TrainingConfig
from pixelwise.scores import create_scores
from pixelwise.training.early_stopping import is_patience_over, record_start, record_validation
from pixelwise.training.progress import Progress
from pixelwise.training.validation import Validation


def validate(loss: float, hits: int = 5) -> Validation:
    """Validation with so many of ten pixels of the foreground found."""
    return Validation(loss, create_scores(np.array([[10, 0], [10 - hits, hits]]), ["a", "b"]))


def run(config: TrainingConfig, *validations: Validation) -> tuple[list[bool], Progress]:
    progress, found = Progress(), list[bool]()
    for validation in validations:
        score = validation.score(config.shown_score)
        best = record_validation(progress, config, score=score, loss=validation.loss)
        found.append(best)
        progress.begin_next_epoch()
    return found, progress


def test_the_best_epoch_is_that_of_the_highest_score_and_the_first_of_equals() -> None:
    found, progress = run(
        TrainingConfig(monitor="dice"), *(validate(1.0, hits) for hits in (3, 7, 7, 5))
    )
    assert found == [True, True, False, False]
    assert (progress.best_epoch, progress.epochs_without_improvement) == (2, 2)
    assert progress.best_score == pytest.approx(14 / 17)


def test_or_of_the_lowest_loss() -> None:
    found, progress = run(TrainingConfig(monitor="loss"), *map(validate, (0.5, 0.7, 0.4)))
    assert found == [True, False, True]
    assert progress.best_score == 0.4


def test_or_the_last_one() -> None:
    found, progress = run(TrainingConfig(monitor="last"), validate(0.5, 9), validate(0.7, 1))
    assert found == [True, True]
    assert progress.best_epoch == 2


@pytest.mark.parametrize("epochs", [1, 2])
def test_patience_and_plateau_count_alike(epochs: int) -> None:
    config = TrainingConfig(
        monitor="loss", patience=epochs, schedule="plateau", plateau_epochs=epochs
    )
    losses = [0.5] + [0.6] * epochs
    _, before = run(config, *map(validate, losses[:-1]))
    assert (is_patience_over(before, config), before.plateau_factor) == (False, 1.0)
    _, after = run(config, *map(validate, losses))
    assert is_patience_over(after, config)
    assert after.plateau_factor < 1
    assert after.epochs_on_plateau == 0


@pytest.mark.parametrize(
    ("monitor", "taken"),
    [("dice", [False, True, False, True]), ("last", [False, True, True, True])],
)
def test_the_start_stays_unless_an_epoch_comes_close(monitor: str, taken: list[bool]) -> None:
    config = TrainingConfig(monitor=monitor, keep_start=0.1)
    progress = Progress()
    record_start(progress, 0.8)
    found = []
    for score in (0.69, 0.72, 0.71, 0.73):
        found.append(record_validation(progress, config, score=score, loss=1.0))
        progress.begin_next_epoch()
    assert found == taken
    assert (progress.best_epoch, progress.start_score) == (4, 0.8)


def test_a_start_without_a_score_is_no_rival() -> None:
    progress = Progress()
    record_start(progress, None)
    assert progress.best_epoch is None
    assert record_validation(progress, TrainingConfig(keep_start=0.1), score=0.1, loss=1.0)
