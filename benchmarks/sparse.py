"""Train on DSB2018 with a tenth of the pixels annotated, beside the same with all of them.

    python benchmarks/sparse.py ../shared/data/dsb2018/stage1_train.zip --out /tmp/sparse

The split is that of ``dsb2018.py``: 60 images that no training sees. Masks are written anew, 1 =
background, 2 = nucleus; in the second training nine tenths of the 5 x 5 px squares of each mask are
0, not annotated. Both trainings are ordinary ``pixelwise train --sparse`` with the same options.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from dsb2018 import pixelwise, split
from skimage.io import imread, imsave

SHARE = 0.1
SQUARE = 5
OPTIONS = (
    "--layout", "pairs", "--sparse", "--classes", "1=background,2=nucleus", "--model", "unet",
    "--encoder", "mobilenet_v2", "--size", "192", "--step", "384", "--edge", "drop",
    "--batch-size", "16", "--learning-rate", "3e-3", "--validation-fraction", "0.03",
    "--monitor", "last",
)  # fmt: skip


def main() -> None:
    """Write the masks, train twice, score twice."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, help="stage1_train.zip")
    parser.add_argument("--out", type=Path, required=True, help="new folder for data and runs")
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    train, test = split(arguments.archive, arguments.out)
    for share in (1.0, SHARE):
        data = write_pairs(train, arguments.out / f"annotated-{share:g}", share)
        run, started = arguments.out / f"run-{share:g}", time.perf_counter()
        pixelwise("train", data, "--out", run, *OPTIONS, "--epochs", arguments.epochs)
        minutes = (time.perf_counter() - started) / 60
        found = pixelwise("evaluate", run, test, "--layout", "dsb2018", "--json", read=True)
        dice = json.loads(found)["total"]["classes"]["nucleus"]["dice"]
        print(f"{share:.0%} annotated: Dice {dice:.4f} after {minutes:.1f} min", flush=True)


def write_pairs(source: Path, target: Path, share: float) -> Path:
    """Write images and masks of DSB2018 as pairs, with this share of each mask annotated."""
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (target / name).mkdir(parents=True)
    for folder in sorted(source.iterdir()):
        image = imread(folder / "images" / f"{folder.name}.png")[..., :3]
        nuclei = np.any([imread(path) for path in (folder / "masks").glob("*.png")], axis=0)
        height, width = nuclei.shape
        squares = rng.random((height // SQUARE + 1, width // SQUARE + 1)) < share
        shown = squares.repeat(SQUARE, 0).repeat(SQUARE, 1)[:height, :width]
        mask = np.where(shown, nuclei + 1, 0).astype(np.uint8)
        imsave(target / "images" / f"{folder.name}.png", image, check_contrast=False)
        imsave(target / "masks" / f"{folder.name}.png", mask, check_contrast=False)
    return target


if __name__ == "__main__":
    main()
