"""Kill a training at random moments, go on, and compare with one that nobody disturbed.

    python benchmarks/kill_drill.py --times 30

Each training is killed (signal 9) at a random moment: one in four is drawn evenly from the start
of its process, most of which goes into loading torch, the others from its first event to its end.
Then it is resumed, and perhaps killed again. It counts as identical if weights, optimiser, progress
and model file are the same, bit for bit, and its story is whole.
The state is saved after nearly every step, so that many moments lie within a save.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pixelwise.atomic import is_temporary
from pixelwise.config import TrainConfig
from pixelwise.images import write_picture, write_tiff
from pixelwise.runs import RunFolder, iter_lines
from pixelwise.summaries import read_epochs, summarize_run

_EPOCHS = 4
_MOST_KILLS = 3  # of one training


@dataclass(frozen=True)
class Undisturbed:
    """A training that nobody disturbed: its data, how long it took, and what the others must give.

    Attributes
    ----------
    starting, training : float
        Seconds until the first event, and from there.
    """

    data: Path
    starting: float
    training: float
    wanted: dict[str, Any]


def create_config(data: Path, run: Path) -> TrainConfig:
    """Config of a training of a few seconds that uses all that is random."""
    return TrainConfig.create(
        data={"path": data, "validation_fraction": 0.25},
        run=run,
        patches={"size": 64},
        model={"name": "unet", "options": {"base_channels": 8, "depth": 3, "dropout": 0.2}},
        augmentation={"preset": "microscopy"},
        training={
            "epochs": _EPOCHS, "epoch_steps": "all", "batch_size": 4, "device": "cpu",
            "learning_rate": 1e-2, "previews": 1, "save_minutes": 1e-3,
        },
    )  # fmt: skip


def write_data(folder: Path, *, images: int = 8, size: int = 128) -> Path:
    """Write noisy discs and their masks."""
    rng = np.random.default_rng(7)
    rows, columns = np.mgrid[:size, :size]
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(images):
        y, x = rng.uniform(size * 0.3, size * 0.7, 2)
        disc = np.hypot(rows - y, columns - x) < size * 0.25
        image = rng.normal(60, 15, (size, size, 3)) + 120 * disc[..., None]
        write_picture(folder / "images" / f"{number}.png", image.clip(0, 255).astype(np.uint8))
        write_tiff(folder / "masks" / f"{number}.tif", disc.astype(np.uint8), axes="YX")
    return folder


def start(config: TrainConfig) -> subprocess.Popen[bytes]:
    """Start the training, or resume it where there is one."""
    run = RunFolder(config.run)
    given = config.run.with_suffix(".yaml")
    given.write_text(config.to_yaml())
    arguments = ["resume", str(run.path)] if run.config.exists() else ["train", str(given)]
    return subprocess.Popen(
        [sys.executable, "-m", "pixelwise", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def run_to_end(config: TrainConfig) -> tuple[float, float]:
    """Train or resume until the end; gives the seconds until the first event, and from there."""
    started = time.perf_counter()
    child = start(config)
    wait_for_event(config, child)
    first = time.perf_counter()
    _, said = child.communicate()
    if child.returncode:
        raise SystemExit(f"The training of {config.run} failed: {said.decode()}")
    return first - started, time.perf_counter() - first


def wait_for_event(config: TrainConfig, child: subprocess.Popen[bytes]) -> None:
    """Wait until a process adds to the run's story, or ends."""
    events = RunFolder(config.run).events
    size = events.stat().st_size if events.exists() else 0
    while child.poll() is None and not (events.exists() and events.stat().st_size > size):
        time.sleep(0.005)


def kill_after(config: TrainConfig, seconds: float, *, from_event: bool) -> str | None:
    """Train or resume and kill; gives what was going on, or None if it had ended before."""
    child = start(config)
    if from_event:
        wait_for_event(config, child)
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
    child.communicate()
    return None if child.returncode == 0 else describe(RunFolder(config.run))


def describe(run: RunFolder) -> str:
    """Tell what a killed process was doing, from what it left."""
    if not run.config.exists():
        return "starting"
    written = [path.name for path in run.path.rglob(".*") if is_temporary(path)]
    if written:
        return f"writing {written[0].split('-')[0][1:]}{Path(written[0]).suffix}"
    epochs = read_epochs(run)
    if not run.state.exists():
        return "starting" if not run.events.exists() else "between two renames, or before a state"
    return f"epoch {len(epochs) + 1}" if len(epochs) < _EPOCHS else "ending"


def read_result(run: RunFolder) -> dict[str, Any]:
    """All that must be the same: state, model file, and what the epochs gave."""
    state = torch.load(run.state, weights_only=True)
    figures = [(e.epoch, e.train_loss, e.validation_loss, e.scores) for e in read_epochs(run)]
    return {
        "state": flatten(state),
        "model": run.model.read_bytes(),
        "figures": figures,
        "story": all(event is not None for _, event in iter_lines(run)),
        "end": summarize_run(run).state,
        "leftovers": [path.name for path in run.path.rglob(".*")],
    }


def flatten(value: Any) -> Any:
    """Nested state with bytes in place of tensors, so that it can be compared."""
    if isinstance(value, torch.Tensor):
        return value.dtype, tuple(value.shape), value.contiguous().numpy().tobytes()
    if isinstance(value, dict):
        return {key: flatten(item) for key, item in value.items()}
    return [flatten(item) for item in value] if isinstance(value, list | tuple) else value


def find_differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Names of what is not the same."""
    return [name for name in wanted if found[name] != wanted[name]]


def train_undisturbed(folder: Path) -> Undisturbed:
    """Train on discs that are written into `folder`, and keep what came out."""
    data = write_data(folder / "data")
    straight = create_config(data, folder / "straight")
    starting, training = run_to_end(straight)
    print(f"undisturbed: {starting:.1f} s to start, {training:.1f} s to train", flush=True)
    return Undisturbed(data, starting, training, read_result(RunFolder(straight.run)))


def drill(folder: Path, straight: Undisturbed, *, times: int, seed: int) -> int:
    """Disturb `times` trainings; gives how many end as the undisturbed one."""
    draw = random.Random(seed)
    starting, training = straight.starting, straight.training
    identical = 0
    for number in range(1, times + 1):
        config = create_config(straight.data, folder / f"run-{number}")
        run = RunFolder(config.run)
        kills: list[str] = []
        for _ in range(draw.randint(1, _MOST_KILLS)):
            from_event = draw.random() < 0.75
            moment = draw.uniform(0, training if from_event else starting + training)
            what = kill_after(config, moment, from_event=from_event)
            while what is None and not kills:  # it was over before: a sooner moment, from anew
                shutil.rmtree(run.path)
                moment /= 2
                what = kill_after(config, moment, from_event=from_event)
            if what is None:
                break
            kills.append(f"{'first event + ' * from_event}{moment:.2f} s ({what})")
        if not run.config.exists() or summarize_run(run).state != "finished":
            run_to_end(config)
        wrong = find_differences(read_result(run), straight.wanted)
        identical += not wrong
        result = f"DIFFERENT: {', '.join(wrong)}" if wrong else "identical"
        print(f"{number:3}  killed at {', '.join(kills)}: {result}", flush=True)
        if not wrong:
            shutil.rmtree(run.path)
    print(f"{identical} of {times} identical")
    return identical


def main() -> int:
    """Run the drill; the exit status is 1 if a training came out different."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=30, help="trainings to disturb [30]")
    parser.add_argument("--seed", type=int, default=0, help="of the moments [0]")
    parser.add_argument("--folder", type=Path, help="where to work [a temporary folder]")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        straight = train_undisturbed(folder)
        return int(drill(folder, straight, times=given.times, seed=given.seed) < given.times)


if __name__ == "__main__":
    raise SystemExit(main())
