from __future__ import annotations

import pytest

from pixelwise.training.progress import Progress, parse_progress


def test_checkpoints_keep_the_names_that_older_versions_read_and_write() -> None:
    progress = Progress(
        epochs_without_improvement=1,
        epochs_on_plateau=2,
        micro_batches=3,
        validation_micro_batches=4,
        rollbacks=5,
    )
    written = progress.to_dict()
    names = ("waited", "plateau_waited", "parts", "validation_parts", "roll_backs")
    assert [written[name] for name in names] == [1, 2, 3, 4, 5]
    assert parse_progress(written) == progress
    assert parse_progress({"epoch": 3, "waited": 1}).epochs_without_improvement == 1


def test_skipped_steps_are_counted_and_leave_the_mean_alone() -> None:
    progress = Progress()
    for loss in (6.0, float("nan"), float("inf"), 2.0, float("nan")):
        progress.add_loss(loss)
        progress.step += 1
    assert (progress.skipped, progress.skipped_in_a_row) == (3, 1)
    assert progress.mean_loss(batch_size=2) == pytest.approx(2.0)
    progress.begin_next_epoch()
    assert (progress.epoch, progress.step, progress.skipped) == (1, 0, 0)
    assert progress.skipped_in_a_row == 1, "an epoch's end is no success"
    assert progress.mean_loss(batch_size=2) is None


def test_a_rollback_halves_the_rate_and_keeps_what_was_learned_of_the_memory() -> None:
    progress = Progress(epoch=2)
    fault = Progress(rollbacks=1, micro_batches=4, validation_micro_batches=2)
    progress.keep_lessons(fault)
    assert progress.lr_scale == 0.25
    assert (progress.epoch, progress.micro_batches, progress.validation_micro_batches) == (2, 4, 2)
