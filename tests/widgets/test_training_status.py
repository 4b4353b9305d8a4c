from __future__ import annotations

from typing import Any

import pytest

from pixelwise.events import RunFailed, StepsDone
from pixelwise.widgets.training_status import TrainingStatus


@pytest.mark.parametrize(("step", "said"), [(6, "epoch 3, %p %"), (24, "epoch 3, validation")])
def test_after_the_last_step_it_says_that_it_validates(qtbot: Any, step: int, said: str) -> None:
    status = TrainingStatus()
    qtbot.addWidget(status)
    event = StepsDone(
        epoch=3, step=step, steps=24, train_loss=0.4, learning_rate=1e-3,
        patches_per_second=21.3, seconds_left=192.0,
    )  # fmt: skip
    status.show_events([event])
    assert status.progress.format() == said
    assert status.text.text() == "21.3 patches/s, 3 min 12 s left"


@pytest.mark.parametrize(
    ("last", "said"),
    [(RunFailed(message="no axis"), "Failed: no axis"), (None, "is gone; Resume continues")],
)
def test_an_end_before_the_end_is_said(qtbot: Any, last: RunFailed | None, said: str) -> None:
    status = TrainingStatus()
    qtbot.addWidget(status)
    status.end(last)
    assert said in status.text.text()
