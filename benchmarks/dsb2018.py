"""Train on 240 of 300 DSB2018 images on two CPU cores in 15 minutes; score on the other 60.

    python benchmarks/dsb2018.py ../shared/data/dsb2018/stage1_train.zip --out /tmp/dsb2018

The 60 images are drawn with a seed, put into a folder of their own, and seen by nothing but the
last command. The training is an ordinary ``pixelwise train``; other options are given on to it.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np

TEST_IMAGES = 60
SEED = 0
TRAIN_OPTIONS = (
    "--model", "unet", "--encoder", "mobilenet_v2", "--size", "192", "--step", "384",
    "--edge", "drop", "--epochs", "30", "--batch-size", "16", "--learning-rate", "3e-3",
    "--validation-fraction", "0.03", "--monitor", "last",
)  # fmt: skip


def main() -> None:
    """Split, train, score, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("archive", type=Path, help="stage1_train.zip")
    parser.add_argument("--out", type=Path, required=True, help="new folder for data and run")
    arguments, more = parser.parse_known_args()
    train, test = split(arguments.archive, arguments.out)
    run = arguments.out / "run"
    started = time.perf_counter()
    options = [*TRAIN_OPTIONS, *more]
    pixelwise("train", train, "--out", run, "--layout", "dsb2018", *options)
    minutes = (time.perf_counter() - started) / 60
    scores = json.loads(
        pixelwise("evaluate", run, test, "--layout", "dsb2018", "--json", read=True)
    )
    foreground = scores["total"]["micro_foreground"]
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    print(f"trained for {minutes:.1f} min: pixelwise train {' '.join(options)}")
    print(f"{TEST_IMAGES} images: Dice {foreground['dice']:.4f}, IoU {foreground['iou']:.4f}")
    (arguments.out / "scores.json").write_text(json.dumps(scores, indent=2))


def split(archive: Path, out: Path) -> tuple[Path, Path]:
    """Unpack the archive into a folder to train on and one to test on."""
    with zipfile.ZipFile(archive) as file:
        ids = sorted({Path(name).parts[1] for name in file.namelist()})
        held = set(np.random.default_rng(SEED).permutation(ids)[:TEST_IMAGES].tolist())
        for name in file.namelist():
            part = "test" if Path(name).parts[1] in held else "train"
            file.extract(name, out / part)
    return out / "train" / "stage1_train", out / "test" / "stage1_train"


def pixelwise(*arguments: object, read: bool = False) -> str:
    """Run the command as a user would."""
    command = [sys.executable, "-m", "pixelwise", *map(str, arguments)]
    result = subprocess.run(
        command, check=True, text=True, stdout=subprocess.PIPE if read else None
    )
    return result.stdout or ""


if __name__ == "__main__":
    main()
