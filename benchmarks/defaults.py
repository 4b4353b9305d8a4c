"""What the defaults of a training are chosen by: one change at a time, on two data sets.

    python benchmarks/defaults.py ../shared/data --out /tmp/defaults [--only dsb2018 networks]

dsb2018 and monuseg: U-Net + mobilenet_v2 from random weights on patches of 128 px, with the
defaults and with one setting changed at a time; foreground Dice on images that no training saw.
networks: each of the six with nothing but its name, on the images that `pixelwise demo` uses.

Trainings are short, so that all of them take minutes on two cores: they tell settings that fail
from those that work, not the best from the second best.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import time
from pathlib import Path

import numpy as np
from dsb2018 import pixelwise, split

Options = tuple[str, ...]
CHANGES: list[Options] = [
    (),
    *(("--loss", name) for name in ("cross_entropy", "dice", "focal", "tversky")),
    *(("--learning-rate", rate) for rate in ("3e-4", "3e-3")),
    *(("--schedule", name) for name in ("constant", "cyclic")),
    *(("--augment", name) for name in ("none", "flips", "microscopy")),
    ("--normalization", "percentile"),
    *(("--batch-size", size) for size in ("4", "16")),
    ("--optimizer", "sgd", "--learning-rate", "1e-2"),
]
NETWORKS = ("unet", "unetplusplus", "segnet", "deeplabv3", "r2unet", "ddunet")
COMMON = ("--size", "128", "--monitor", "last", "--validation-fraction", "0.05", "--previews", "0")
MOBILE = ("--model", "unet", "--encoder", "mobilenet_v2", *COMMON)


def main() -> None:
    """Train and score everything that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with dsb2018/ and monuseg2018/")
    parser.add_argument("--out", type=Path, required=True, help="new folder for data and runs")
    parts = {"dsb2018": try_dsb2018, "monuseg": try_monuseg, "networks": try_networks}
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts))
    arguments = parser.parse_args()
    started = time.perf_counter()
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    for name in arguments.only:
        parts[name](arguments.data, arguments.out / name)
    print(f"in {(time.perf_counter() - started) / 60:.1f} min")


def try_dsb2018(data: Path, out: Path) -> None:
    """Train on 60 of the 240 images of `dsb2018.py`, score on its 60."""
    train, test = split(data / "dsb2018" / "stage1_train.zip", out)
    folders = np.random.default_rng(1).permutation(sorted(train.iterdir()))
    for folder in folders[60:]:
        shutil.rmtree(folder)
    options = ("--layout", "dsb2018", "--step", "256", "--edge", "drop", "--epochs", "8", *MOBILE)
    for change in CHANGES:
        report("dsb2018", (train, test), out / "run", options, change)


def try_monuseg(data: Path, out: Path) -> None:
    """Train on 24 images of MoNuSeg, score on 6."""
    source = data / "monuseg2018"
    paths = sorted(path for path in source.rglob("*") if path.suffix in (".tif", ".xml", ".png"))
    stems = np.random.default_rng(1).permutation(sorted({p.stem for p in paths}))
    held = set(stems[:6].tolist())
    for path in paths:
        part = out / ("test" if path.stem in held else "train") / path.relative_to(source)
        part.parent.mkdir(parents=True, exist_ok=True)
        part.symlink_to(path.resolve())
    options = ("--layout", "monuseg", "--step", "256", "--edge", "drop", "--epochs", "4", *MOBILE)
    for change in CHANGES:
        report("monuseg", (out / "train", out / "test"), out / "run", options, change)


def try_networks(_data: Path, out: Path) -> None:
    """Train the six networks with their defaults on 24 samples, score on 8."""
    from pixelwise import samples

    source = Path(samples.__file__).parent
    for network in NETWORKS:
        options = ("--model", network, "--step", "256", "--epochs", "12", *COMMON)
        report(network, (source / "train", source / "test"), out / "run", options)


def report(
    title: str, folders: tuple[Path, Path], run: Path, options: Options, change: Options = ()
) -> None:
    """Train on the first folder, score on the second, print one line, and remove the run."""
    train, test = folders
    started = time.perf_counter()
    pixelwise("train", train, "--out", run, *options, *change, read=True)
    seconds = time.perf_counter() - started
    layout = options[:2] if options[0] == "--layout" else ()
    scores = json.loads(pixelwise("evaluate", run, test, *layout, "--json", read=True))
    dice = scores["total"]["micro_foreground"]["dice"]
    changed = " ".join(change) or "defaults"
    print(f"{title:12} {changed:40} Dice {dice:.3f}  {seconds:5.0f} s", flush=True)
    shutil.rmtree(run)


if __name__ == "__main__":
    main()
