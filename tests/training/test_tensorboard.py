from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pixelwise.events import EpochEnded, Event, Warned
from pixelwise.training.tensorboard import iter_logged
from tests.test_events import EVENTS


@pytest.fixture
def epochs() -> list[EpochEnded]:
    ended = EVENTS["epoch_ended"]
    assert isinstance(ended, EpochEnded)
    return [ended.model_copy(update={"epoch": epoch}) for epoch in (1, 2, 3)]


def fill_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every later write of a log fail, in TensorBoard's thread."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    from tensorboard.summary.writer.record_writer import RecordWriter

    monkeypatch.setattr(RecordWriter, "write", fail)
    monkeypatch.setattr(RecordWriter, "flush", fail)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("after", [0, 1], ids=["from the start", "after an epoch"])
def test_a_full_disk_ends_the_logs_and_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: list[EpochEnded], after: int
) -> None:
    def iter_epochs() -> Iterator[Event]:
        for number, event in enumerate(epochs):
            if number == after:
                fill_disk(monkeypatch)
            yield event

    before = set(threading.enumerate())
    events = list(iter_logged(iter_epochs(), tmp_path / "tensorboard"))
    for thread in set(threading.enumerate()) - before:
        thread.join(30)  # its error belongs to this test
    assert [event for event in events if isinstance(event, EpochEnded)] == epochs
    warned = [event.message for event in events if isinstance(event, Warned)]
    assert len(warned) == 1
    assert "No space left" in warned[0]


def test_a_folder_that_cannot_be_made_is_said_after_the_first_epoch(
    tmp_path: Path, epochs: list[EpochEnded]
) -> None:
    (tmp_path / "tensorboard").touch()
    events = list(iter_logged((event for event in epochs), tmp_path / "tensorboard"))
    assert [type(event) for event in events] == [EpochEnded, Warned, EpochEnded, EpochEnded]


def test_errors_of_the_training_are_not_those_of_the_logs(
    tmp_path: Path, epochs: list[EpochEnded]
) -> None:
    def fail() -> Iterator[Event]:
        yield epochs[0]
        raise OSError(errno.EIO, "the data are gone")

    with pytest.raises(OSError, match="the data are gone"):
        list(iter_logged(fail(), tmp_path / "tensorboard"))
