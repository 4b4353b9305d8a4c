"""People at work in a real window, by mouse events: the sessions of the benchmarks, shortened."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import LONG, REPOSITORY

PAGE = REPOSITORY / "docs" / "ten_minutes.md"
STEPS = ["strokes", "live", "train", "predict another", "correct", "improve", "evaluate", "save"]


def work(script: str, runs: Path) -> tuple[dict[str, int], str]:
    """Do a session with a few steps of training; gives the clicks of each step, and all output."""
    command = [sys.executable, REPOSITORY / "benchmarks" / script, "--runs", runs, "--fast"]
    result = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=1.8 * LONG
    )
    assert result.returncode == 0, result.stdout + result.stderr
    lines = re.findall(r"^\d ([a-z ]+?) +(\d+) clicks +\d+ strokes", result.stdout, re.M)
    return {name: int(count) for name, count in lines}, result.stdout


@pytest.mark.longest
@pytest.mark.display
def test_the_ten_minutes_go_as_their_page_says(tmp_path: Path) -> None:
    clicks, printed = work("ten_minutes.py", tmp_path)
    titles = re.findall(r"^\d\. \*\*(.+?)\.\*\*", PAGE.read_text(encoding="utf-8"), re.M)
    assert list(clicks) == [title.lower() for title in titles]
    assert clicks["correct and improve"] <= 6  # two of them choose a class, two a page
    assert "prediction.tif" in printed


@pytest.mark.slow
@pytest.mark.display
def test_from_strokes_to_saved_labels_by_the_mouse(tmp_path: Path) -> None:
    clicks, printed = work("window_session.py", tmp_path)
    assert list(clicks) == STEPS
    assert clicks["improve"] == 1
    assert clicks["correct"] + clicks["improve"] <= 6  # two of them choose a class
    assert "second prediction.tif" in printed
