from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


NOT_STARVED = """
from pixelwise.widgets import child_process
child_process._lower_priority = lambda _: None  # lowered, they take minutes on a busy machine
"""


SHORTER = {
    '"epochs": 2,': '"epochs": 2, "epoch_steps": 4,',
    '"epochs": 1,': '"epochs": 1, "epoch_steps": 4,',
    'train.training["epochs"].value = 2': 'train.training.fill({"epochs": 2, "epoch_steps": 4})',
}


def run(name: str, tmp_path: Path, *, before: str = "", after: str = "") -> str:
    """Run an example with few steps, and code before and after it in the same process."""
    path, target = tmp_path / name, tmp_path / "run"
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    (long,) = (line for line in SHORTER if line in text)
    path.write_text(text.replace(long, SHORTER[long]), encoding="utf-8")
    code = f"""
import runpy, sys
sys.argv = [{str(path)!r}, {str(target)!r}]
{before}
runpy.run_path({str(path)!r}, run_name="__main__")
{after}
"""
    settings = os.environ | {"NAPARI_CONFIG": str(tmp_path / "settings.yaml")}  # it changes them
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, env=settings)
    assert result.returncode == 0, result.stderr
    assert "Dice 0." in result.stdout
    assert (target / "labels.tif").exists()
    return result.stdout


def test_engine(tmp_path: Path) -> None:
    run("train_and_predict.py", tmp_path)


@pytest.mark.display
def test_engine_beside_a_viewer(tmp_path: Path) -> None:
    assert "nuclei: (256, 256)" in run("engine_in_napari.py", tmp_path)


@pytest.mark.longest
@pytest.mark.display
def test_scripted_session_never_loads_torch(tmp_path: Path) -> None:
    last = "assert 'torch' not in sys.modules"
    out = run("napari_session.py", tmp_path, before=NOT_STARVED, after=last)
    assert "Finished" in out


def test_every_example_is_run() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{path.name}"' in text for path in EXAMPLES.glob("*.py"))
