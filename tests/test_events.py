from __future__ import annotations

import math

import pytest

from pixelwise.events import (
    EpochEnded,
    Event,
    ImageFailed,
    ImagePredicted,
    ModelSaved,
    PreviewsWritten,
    RunEnded,
    RunFailed,
    RunStarted,
    StepsDone,
    Warned,
    is_of_another_version,
    parse_event,
    tells_steps,
    write_line,
)

EVENTS: dict[str, Event] = {
    "run_started": RunStarted(
        run="r", resumed=False, device="cpu", device_reason="no GPU", precision="fp32",
        precision_reason="safe", architecture="unet", parameters=5, classes=("a", "b"),
        data="d", normalization="none", train_images=3, validation_images=1, train_patches=9,
        validation_patches=2, epochs=4,
    ),
    "steps_done": StepsDone(
        epoch=1, step=2, steps=3, train_loss=0.5, learning_rate=1e-3, patches_per_second=7.5,
        seconds_left=None,
    ),
    "epoch_ended": EpochEnded(
        epoch=1, epochs=4, train_loss=0.5, validation_loss=None, scores={"dice": None},
        class_dice={"a": 0.5}, learning_rate=1e-3, seconds=2.0, patches_per_second=1.0, best=True,
    ),
    "model_saved": ModelSaved(path="m", epoch=1, reason="best"),
    "previews_written": PreviewsWritten(epoch=1, picture="p.png"),
    "warned": Warned(message="a\nb"),
    "run_ended": RunEnded(
        reason="stopped", epochs_done=1, best_epoch=1, best_score=0.5, monitor="dice", seconds=3.0,
        model="m",
    ),
    "run_failed": RunFailed(message="no"),
    "image_predicted": ImagePredicted(
        source="a", output="b", axes="read as YX", shape=(3, 4), seconds=0.1
    ),
    "image_failed": ImageFailed(source="a", message="no"),
}  # fmt: skip


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_round_trips_through_one_line(event: Event) -> None:
    line = event.to_json()
    assert "\n" not in line
    assert parse_event(line) == event


def test_not_a_number_becomes_null() -> None:
    event = EVENTS["steps_done"].model_copy(update={"train_loss": math.nan})
    assert parse_event(event.to_json()).train_loss is None


@pytest.mark.parametrize("line", ["", "{", '{"kind": "unknown"}', '{"kind": "warned"}'])
def test_refuses_other_lines(line: str) -> None:
    with pytest.raises(ValueError):
        parse_event(line)


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_only_steps_are_taken_for_steps(event: Event) -> None:
    assert tells_steps(write_line(event).encode()) == isinstance(event, StepsDone)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"kind":"from_the_future","a":1}', True),
        (b'{"kind":"steps_done"}', False),
        (b'{"kind":["steps_done"]}', False),
        (b'{"kind":{}}', False),
        (b'["steps_done"]', False),
        (b'{"kind":"from_the', False),
    ],
)
def test_what_another_version_wrote_has_a_kind(line: bytes, expected: bool) -> None:
    assert is_of_another_version(line) is expected
