"""How good the networks are that the defaults train: folds that differ in origin, equal minutes.

    python benchmarks/quality.py ../shared/data --out /tmp/quality --sets monuseg --folds 1

The folds stand in ``folds.json``: MoNuSeg by the institute (the second field of a TCGA name),
DSB2018 by size and colour of the images. Every training is an ordinary ``pixelwise train`` on four
folds, with its own validation split; the fifth is seen by nothing but ``pixelwise evaluate``. The
Dice is that of the foreground (or the mean IoU of all classes), from one confusion matrix per fold.
Options after ``--`` are given on to every training. A benchmark that was interrupted goes on with
the same command; other options go into another folder.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import time
import zipfile
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

from dsb2018 import pixelwise

FOLDS = Path(__file__).with_name("folds.json")
NETWORKS = {
    "unet-mobilenet_v2": ("--model", "unet", "--encoder", "mobilenet_v2"),
    **{
        name: ("--model", name)
        for name in ("unet", "unetplusplus", "segnet", "deeplabv3", "r2unet", "ddunet")
    },
}


class DataSet(NamedTuple):
    """A data set: its layout, and the score that is reported."""

    layout: str
    score: str = "dice"


SETS = {
    "monuseg": DataSet("monuseg"),
    "dsb2018": DataSet("dsb2018"),
    "camvid": DataSet("camvid", "iou"),
}


def main() -> None:
    """Train and score each network on each fold, and write a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("data", type=Path, help="folder that holds monuseg2018, dsb2018, camvid")
    parser.add_argument("--out", type=Path, required=True, help="folder for data, runs and table")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["unet-mobilenet_v2"])
    parser.add_argument("--folds", nargs="+", type=int, default=[1, 2, 3, 4, 5])
    parser.add_argument("--minutes", type=float, default=10.0, help="of each training")
    parser.add_argument("options", nargs="*", help="for every training, after --")
    asked = parser.parse_args()
    for name in asked.sets:
        for fold in asked.folds if name in ("monuseg", "dsb2018") else [1]:
            parts = lay_out(name, fold, asked.data, asked.out / "data" / name / str(fold))
            for network in asked.networks:
                run = asked.out / "runs" / f"{name}-{fold}-{network}"
                options = (*NETWORKS[network], "--minutes", asked.minutes, *asked.options)
                measure(name, run, *parts, options=options)
    write_table(asked.out)


def lay_out(name: str, fold: int, data: Path, out: Path) -> tuple[Path, Path]:
    """Make two folders in the set's own layout: what is trained on, and the fold to score."""
    train, test = out / "train", out / "test"
    if test.is_dir():
        return train, test
    if name == "camvid":
        for part in (train, test):
            part.mkdir(parents=True)
        for source, part in (("train", train), ("val", test)):
            for kind in ("", "annot"):
                shutil.copytree(data / "camvid" / f"{source}{kind}", part / f"train{kind}")
        return train, test
    held = set(json.loads(FOLDS.read_text())[name][fold - 1])
    building = out / "test.partial"
    if name == "dsb2018":
        with zipfile.ZipFile(data / "dsb2018" / "stage1_train.zip") as file:
            for member in file.namelist():
                is_held = Path(member).parts[1] in held
                file.extract(member, building if is_held else train)
    else:
        for path in (data / "monuseg2018" / "MoNuSegTrainingData").glob("*/*"):
            part = building if path.name.split(".")[0].removesuffix("_mask") in held else train
            (part / path.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, part / path.parent.name)
    building.rename(test)
    return train, test


def measure(name: str, run: Path, train: Path, test: Path, *, options: tuple[object, ...]) -> None:
    """Train and score once, unless that was done; a training that was interrupted is resumed."""
    result = run.with_suffix(".json")
    if result.is_file():
        return
    started, layout = time.perf_counter(), SETS[name].layout
    if not (run / "config.yaml").is_file():
        pixelwise("train", train, "--out", run, "--layout", layout, *options)
    elif "finished" not in pixelwise("runs", run, "--json", read=True):
        pixelwise("resume", run)
    seconds = time.perf_counter() - started
    scores = json.loads(pixelwise("evaluate", run, test, "--layout", layout, "--json", read=True))
    result.write_text(json.dumps({"seconds": seconds, "total": scores["total"]}))
    print(f"{run.name}: {describe(name, scores['total']):.4f} after {seconds / 60:.1f} min")


def describe(name: str, total: dict[str, dict[str, float]]) -> float:
    """Score that is reported of a data set."""
    row = "macro" if SETS[name].score == "iou" else "micro_foreground"
    return total[row][SETS[name].score]


def write_table(out: Path) -> None:
    """Write the scores of all folds, mean and spread, as CSV and on the screen."""
    rows = []
    for name in SETS:
        for network in NETWORKS:
            found = sorted((out / "runs").glob(f"{name}-*-{network}.json"))
            found = [path for path in found if path.stem.split("-", 2)[2] == network]
            scores = [describe(name, json.loads(path.read_text())["total"]) for path in found]
            if scores:
                spread = stdev(scores) if len(scores) > 1 else float("nan")
                numbers = " ".join(path.stem.split("-")[1] for path in found)
                rows.append((name, network, numbers, f"{mean(scores):.4f}", f"{spread:.4f}"))
                print(*rows[-1], *(f"{score:.3f}" for score in scores))
    with (out / "quality.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("set", "network", "folds", "mean", "spread"), *rows])


if __name__ == "__main__":
    main()
