"""How a training is shown where its output cannot be written."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pixelwise.cli import console, progress
from pixelwise.cli.progress import describe, show_events
from pixelwise.events import RunEnded
from pixelwise.runs import RunFolder, iter_events
from tests.cli.test_train import SMALL
from tests.conftest import LONG
from tests.test_events import EVENTS

FULL = Path("/dev/full")


def command(discs: Path, run: RunFolder, *more: str) -> list[str]:
    words = ["-m", "pixelwise", "train", discs, "--out", run.path, "--epochs", 2, *SMALL, *more]
    return [sys.executable, *map(str, words)]


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a file that is always full")
@pytest.mark.parametrize(
    ("options", "all_full"), [([], True), (["--json"], False)], ids=["lines", "json"]
)
def test_a_full_disk_under_the_output_does_not_end_a_training(
    discs: Path, tmp_path: Path, options: list[str], all_full: bool
) -> None:
    run = RunFolder(tmp_path / "run")
    with FULL.open("w") as full:
        child = subprocess.run(
            command(discs, run, *options),
            stdout=full,
            stderr=full if all_full else subprocess.PIPE,
            text=True,
            check=False,
        )
    assert child.returncode == 0, child.stderr
    last = list(iter_events(run))[-1]
    assert isinstance(last, RunEnded)
    assert last.reason == "finished"
    if not all_full:
        assert child.stderr.count("No space left") == 1
        assert "events.jsonl" in child.stderr
        assert "Exception" not in child.stderr


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["lines", "json"])
def test_a_reader_that_is_gone_ends_the_training(
    discs: Path, tmp_path: Path, options: list[str]
) -> None:
    run = RunFolder(tmp_path / "run")
    with subprocess.Popen(command(discs, run, *options), stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.close()
        assert child.wait(LONG) == 1
    assert run.state.exists()
    last = list(iter_events(run))[-1]
    assert isinstance(last, RunEnded)
    assert last.reason == "stopped"


def test_a_bar_shows_how_long_it_takes_after_the_first_epoch_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=120)
    monkeypatch.setattr(progress, "err", terminal)
    steps = EVENTS["steps_done"]
    places = [(1, 3, None), (2, 1, 125.0), (2, 2, 7261.0)]
    show_events(
        steps.model_copy(update={"epoch": epoch, "step": step, "seconds_left": left})
        for epoch, step, left in places
    )
    shown = terminal.file.getvalue()
    assert "epoch 2" in shown
    assert "7.5 patches/s, 2 h 01 min left" in shown
    assert "0:00:00" not in shown


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a file that is always full")
def test_a_note_that_cannot_be_written_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with FULL.open("w", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", full)
        console.note("Stopping after this step; the run will be saved.")
        console.drop_unwritten()


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("finished", "Finished after 12 s. Model: m"),
        ("stopped", "Stopped after 12 s; 'pixelwise resume' continues. Model: m"),
        ("no_progress", "Stopped early, after 12 s: no more progress. Model: m"),
    ],
)
def test_the_end_is_told_in_words(reason: Any, said: str) -> None:
    event = RunEnded(
        reason=reason, epochs_done=1, best_epoch=None, best_score=None, monitor="dice",
        seconds=12.3, model="m",
    )  # fmt: skip
    assert describe(event) == said
