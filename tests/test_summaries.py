from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pixelwise import runs
from pixelwise.errors import ReadError
from pixelwise.events import EpochEnded, Event, RunEnded, read_line
from pixelwise.runs import RunFolder, create_run, lock_run
from pixelwise.summaries import RunStory, list_runs, read_epochs, summarize_run
from tests.test_events import EVENTS
from tests.test_runs import run

__all__ = ["run"]


def test_summary_follows_the_events(run: RunFolder) -> None:
    assert summarize_run(run).state == "waiting"
    run.append(EVENTS["run_started"])
    assert summarize_run(run).state == "interrupted"
    with lock_run(run):
        assert summarize_run(run).state == "training"
    ended = EVENTS["epoch_ended"]
    assert isinstance(ended, EpochEnded)
    run.append(ended.model_copy(update={"scores": {"dice": 0.7}}))
    run.append(ended.model_copy(update={"scores": {"dice": 0.6}, "epoch": 2, "best": False}))
    summary = summarize_run(run)
    assert (summary.epoch, summary.best_score) == (2, 0.7)
    stopped = EVENTS["run_ended"]
    assert isinstance(stopped, RunEnded)
    run.append(stopped)
    assert [found.state for found in list_runs(run.path.parent)] == ["stopped"]
    run.append(EVENTS["run_failed"])
    assert list_runs(run.path)[0].state == "failed"


def test_listing_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="not a folder"):
        list_runs(tmp_path / "none")


def test_an_epoch_that_was_done_again_counts_once(run: RunFolder) -> None:
    ended = EVENTS["epoch_ended"]
    assert isinstance(ended, EpochEnded)
    for epoch, dice in ((1, 0.1), (2, 0.9), (3, 0.3), (2, 0.2)):
        run.append(ended.model_copy(update={"epoch": epoch, "scores": {"dice": dice}}))
    assert [(e.epoch, e.scores["dice"]) for e in read_epochs(run)] == [(1, 0.1), (2, 0.2)]
    assert (summarize_run(run).epoch, summarize_run(run).best_score) == (2, 0.2)


def test_a_second_look_reads_on_from_the_first(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bytes] = []

    def count(line: bytes) -> Event | None:
        read.append(line)
        return read_line(line)

    monkeypatch.setattr(runs, "read_line", count)
    story = RunStory(run)
    run.append(EVENTS["run_started"])
    assert story.look().state == "interrupted"
    with run.events.open("ab") as file:
        file.write(EVENTS["run_failed"].to_json().encode())  # its end is still to come
    assert story.look().state == "interrupted"
    with run.events.open("ab") as file:
        file.write(b"\n")
    assert story.look().state == "failed"
    assert len(read) == 2


def test_a_new_run_in_the_place_of_a_deleted_one_is_read_anew(
    run: RunFolder,
) -> None:
    run.append(EVENTS["run_started"], EVENTS["epoch_ended"], EVENTS["run_ended"])
    stories: dict[Path, RunStory] = {}
    assert list_runs(run.path.parent, stories=stories)[0].state == "stopped"
    config = run.read_config()
    shutil.rmtree(run.path)
    create_run(config).append(EVENTS["run_started"])
    found = list_runs(run.path.parent, stories=stories)[0]
    assert (found.state, found.epoch) == ("interrupted", 0)


def test_a_damaged_line_does_not_hide_the_run(run: RunFolder) -> None:
    run.append(EVENTS["run_started"], EVENTS["epoch_ended"])
    with run.events.open("ab") as file:
        file.write(b"\0" * 512 + b"\n")
    run.append(EVENTS["run_failed"])
    story = RunStory(run)
    assert (story.look().state, story.look().epoch) == ("failed", 1)
    assert [found.state for found in list_runs(run.path)] == ["failed"]


def test_one_that_cannot_be_read_does_not_hide_the_others(run: RunFolder) -> None:
    stories: dict[Path, RunStory] = {}
    broken = RunFolder(run.path.parent / "broken")
    broken.path.mkdir()
    broken.config.write_text("nothing: 1")
    found = {s.path.name: s.state for s in list_runs(run.path.parent, stories=stories)}
    assert found == {"broken": "unreadable", run.path.name: "waiting"}
