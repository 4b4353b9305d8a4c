"""What the defaults of a training are chosen by: each network, one change at a time, two data sets.

    python benchmarks/defaults.py ../shared/data --out /tmp/defaults

settings: the six networks from random weights on patches of 64 px, with the defaults (two seeds)
and with one setting changed at a time; the four networks of our own with half their channels, the
two that are slow to start for longer.
full: the six networks with the defaults, in full width, on DSB2018; the two that are slow to start
for 30 epochs, the others for 12.

Scored is the foreground's Dice on crops of images that no training saw. Every training sees the
same number of patches, in minutes on one core: this tells settings that fail from those that work,
and what is better for many networks from what is not, but not the best of one network.
A search that was interrupted goes on with the same command.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

import numpy as np
from dsb2018 import pixelwise, split

Options = tuple[str, ...]
HALF = ("--options", "base_channels=32")
SLOW = ("segnet", "deeplabv3")
SHORT, LONG = ("--epochs", "5"), ("--epochs", "8")
NETWORKS: dict[str, Options] = {
    "unet": (*SHORT, *HALF),
    "unetplusplus": SHORT,
    "segnet": (*LONG, *HALF),
    "deeplabv3": LONG,
    "r2unet": (*SHORT, *HALF),
    "ddunet": (*SHORT, *HALF),
}
CHANGES: list[Options] = [
    (),
    ("--learning-rate", "3e-3"),
    ("--learning-rate", "3e-4"),
    ("--seed", "1"),
    ("--normalization", "percentile"),
    ("--batch-size", "4"),
    ("--loss", "cross_entropy"),
    ("--schedule", "constant"),
    ("--augment", "microscopy"),
    ("--batch-size", "16"),
]
DATA = ("dsb2018", "monuseg")
COMMON = (
    *("--size", "64", "--edge", "drop", "--monitor", "last"),
    *("--validation-fraction", "0.03", "--previews", "0"),
)


class Trial(NamedTuple):
    """One training: the part it belongs to, its data set, its network, and what is changed."""

    part: str
    data: str
    network: str
    change: str

    @property
    def options(self) -> Options:
        """Options of ``pixelwise train``."""
        own = NETWORKS[self.network]
        if self.part == "full":
            own = ("--epochs", "30" if self.network in SLOW else "12")
        return ("--model", self.network, *COMMON, *own, *self.change.split())


def main() -> None:
    """Train and score everything that was asked for and has not been yet; print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with dsb2018/ and monuseg2018/")
    parser.add_argument("--out", type=Path, required=True, help="folder for data and results")
    parser.add_argument("--only", nargs="+", choices=("settings", "full"), default=["settings"])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(max((os.cpu_count() or 1) // arguments.jobs, 1))
    prepare(arguments.data, arguments.out)
    results = arguments.out / "results.csv"
    found = read(results)
    trials = list_trials(arguments.only, arguments.networks)
    waiting = [trial for trial in trials if trial not in found]
    with ThreadPoolExecutor(arguments.jobs) as pool, results.open("a", newline="") as file:
        for trial, dice in pool.map(partial(score, folder=arguments.out), waiting):
            csv.writer(file).writerow([*trial, f"{dice:.4f}"])
            file.flush()
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    for part in arguments.only:
        print("\n".join(tabulate(read(results), part)))


def list_trials(parts: Iterable[str], networks: Iterable[str]) -> Iterator[Trial]:
    """Give every training; those that tell most come first."""
    for part in parts:
        for change in CHANGES if part == "settings" else [()]:
            for network in networks:
                for data in DATA if part == "settings" else DATA[:1]:
                    yield Trial(part, data, network, " ".join(change))


def prepare(data: Path, out: Path) -> None:
    """Make OUT/<data set>/train and /test, unless they are there."""
    if (out / "monuseg" / "train").exists():  # the last thing made
        return
    for name in DATA:
        shutil.rmtree(out / name, ignore_errors=True)
    train, test = split(data / "dsb2018" / "stage1_train.zip", out / "dsb2018" / "source")
    for folder in sorted(train.iterdir())[90:] + sorted(test.iterdir())[40:]:  # by random ids
        shutil.rmtree(folder)
    separate_monuseg(data / "monuseg2018", out / "monuseg" / "source")
    for name, size in (("dsb2018", 192), ("monuseg", 384)):
        folder = out / name
        cut = ("--size", size, "--step", 2048, "--edge", "drop", "--layout", name)
        source = test if name == "dsb2018" else folder / "source" / "test"
        pixelwise("patches", source, "--out", folder / "test", *cut, read=True)
    (out / "dsb2018" / "train").symlink_to(train.resolve())
    (out / "monuseg" / "train").symlink_to((out / "monuseg" / "source" / "train").resolve())


def separate_monuseg(source: Path, out: Path) -> None:
    """Link 24 images of MoNuSeg into OUT/train and 6 into OUT/test."""
    paths = sorted(path for path in source.rglob("*") if path.suffix in (".tif", ".xml", ".png"))
    stems = np.random.default_rng(1).permutation(sorted({path.stem for path in paths}))
    held = set(stems[:6].tolist())
    for path in paths:
        part = out / ("test" if path.stem in held else "train") / path.relative_to(source)
        part.parent.mkdir(parents=True, exist_ok=True)
        part.symlink_to(path.resolve())


def score(trial: Trial, folder: Path) -> tuple[Trial, float]:
    """Train, score on the images held out, print one line, and remove the run."""
    run = folder / f"run {' '.join(trial)}"
    shutil.rmtree(run, ignore_errors=True)
    step = ("--step", "256" if trial.data == "dsb2018" else "384")
    layout = ("--layout", trial.data)
    data = folder / trial.data
    pixelwise("train", data / "train", "--out", run, *layout, *step, *trial.options, read=True)
    scores = json.loads(pixelwise("evaluate", run, data / "test", "--json", read=True))
    dice = scores["total"]["micro_foreground"]["dice"]
    print(f"{' '.join(trial):60} Dice {dice:.3f}", flush=True)
    shutil.rmtree(run)
    return trial, dice


def read(path: Path) -> dict[Trial, float]:
    """Read the results so far."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {Trial(*row[:4]): float(row[4]) for row in csv.reader(file) if len(row) == 5}


def tabulate(found: dict[Trial, float], part: str) -> Iterator[str]:
    """Give a row for each change: Dice of each network, mean gain over the defaults, its error.

    The gain is the mean over the networks of the difference from the mean of the seeds.
    """
    for data in DATA if part == "settings" else DATA[:1]:
        yield f"\n{data + ', ' + part:32}" + "".join(f"{name:>13}" for name in NETWORKS)
        rows = {
            " ".join(change): [found.get(Trial(part, data, n, " ".join(change))) for n in NETWORKS]
            for change in (CHANGES if part == "settings" else [()])
        }
        seeds = [row for name, row in rows.items() if not name or name.startswith("--seed")]
        for name, row in rows.items():
            cells = "".join(" " * 13 if dice is None else f"{dice:13.3f}" for dice in row)
            gains = [] if row in seeds else list(iter_gains(row, seeds))
            line = f"{name or 'defaults':32}{cells}"
            if len(gains) > 1:
                line += f"   {mean(gains):+.3f} ± {stdev(gains) / len(gains) ** 0.5:.3f}"
            yield line


def iter_gains(row: list[float | None], seeds: list[list[float | None]]) -> Iterator[float]:
    """Give what a change gains over the mean of the seeds, for each network that has both."""
    for dice, *usual in zip(row, *seeds, strict=True):
        known = [value for value in usual if value is not None]
        if dice is not None and known:
            yield dice - mean(known)


if __name__ == "__main__":
    main()
