"""How many pixels must be drawn: a simulated annotator, with *Live* and with a network.

    python benchmarks/annotator.py ../shared/data --out /tmp/annotator [--sets dsb-fluorescence]

The annotator sees where the prediction differs from the truth, and in every round draws on each
training image one stroke, 5 px wide, through the middle of its largest mistake. Scored are images
that nobody draws on (StarDist: the other half of the image): Dice of the foreground, or the mean
Dice of all classes (sstem), from one confusion matrix.

live     the classifier of *Live*, on a view that shows all images side by side
random   the same with strokes at random places, for comparison
live, full  the same classifier, from masks of all pixels
network  a network of the effort *quick*, trained on all strokes of the last round
full     the same network, trained on masks of all pixels of one image, and of all images
"""

from __future__ import annotations

import argparse
import csv
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
from dsb2018 import pixelwise
from PIL import Image
from scipy import ndimage
from skimage.draw import line
from skimage.morphology import disk

from pixelwise.pixel_classifier import PixelClassifier
from pixelwise.scores import count_confusion, create_scores

Array = np.ndarray[Any, Any]
SIDE = 256
WIDTH, LENGTH = 2, 20  # of a stroke: half of each, in pixels
QUICK = (
    "--model", "unet", "--options", "base_channels=12,up=transposed", "--size", "128",
    "--epochs", "10", "--epoch-steps", "20", "--learning-rate", "3e-3", "--monitor", "last",
    "--normalization", "percentile", "--previews", "0",
)  # fmt: skip


class Pair(NamedTuple):
    """An image (C, Y, X) and the class of each of its pixels (Y, X)."""

    image: Array
    truth: Array


class Work(NamedTuple):
    """Images to draw on, images to score, and a folder for networks."""

    drawn: list[Pair]
    held: list[Pair]
    out: Path


def main() -> None:
    """Draw, score, and write a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--images", type=int, default=4, help="images to draw on; as many scored")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--network", action="store_true", help="train networks as well")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    with (asked.out / "annotator.csv").open("a", newline="") as file:
        table = csv.writer(file)
        for name in asked.sets:
            pairs = list(SETS[name](asked.data, 2 * asked.images))
            work = Work(pairs[: len(pairs) // 2], pairs[len(pairs) // 2 :], asked.out / name)
            for row in iter_rows(work, asked.rounds, with_network=asked.network):
                print(name, *row, flush=True)
                table.writerow((name, *row))


def iter_rows(work: Work, rounds: int, *, with_network: bool) -> Iterator[tuple[object, ...]]:
    """Way, round (or images), share of the pixels, Dice."""
    drawn, held = work.drawn, work.held
    for way in ("live", "random"):
        strokes = [np.zeros(pair.truth.shape, np.uint8) for pair in drawn]
        found, rng = [pair.truth * 0 for pair in drawn], np.random.default_rng(0)
        for number in range(rounds):
            for pair, stroke, labels in zip(drawn, strokes, found, strict=True):
                draw(pair.truth, stroke, None if way == "random" else labels, rng)
            every = classify([*drawn, *held], strokes)
            found = every[: len(drawn)]
            yield way, number + 1, share(strokes), score(held, every[len(drawn) :])
        if with_network and way == "live":
            yield "network", rounds, share(strokes), train(work, strokes, "network")
    every = classify([*drawn, *held], [pair.truth + 1 for pair in drawn])
    yield "live, full", len(drawn), 1.0, score(held, every[len(drawn) :])
    for count in (1, len(drawn)) if with_network else ():
        masks = [pair.truth + 1 for pair in drawn[:count]]
        yield "full", count, count / len(drawn), train(work, masks, f"full-{count}")


def classify(pairs: list[Pair], strokes: list[Array]) -> list[Array]:
    """Labels of all images, by the classifier of *Live*, from strokes on the first of them."""
    blank = [np.zeros(pair.truth.shape, np.uint8) for pair in pairs[len(strokes) :]]
    view = np.concatenate([pair.image for pair in pairs], axis=2)
    labels = CLASSIFIER.classify(view, np.concatenate([*strokes, *blank], axis=1))
    return np.split(labels, np.cumsum([pair.truth.shape[1] for pair in pairs])[:-1], axis=1)


CLASSIFIER = PixelClassifier()


def draw(truth: Array, strokes: Array, labels: Array | None, rng: np.random.Generator) -> None:
    """Draw one stroke of the true class: in the largest mistake of labels, or anywhere.

    The first round draws one of each class, as a person does.
    """
    if not strokes.any():
        for value in np.unique(truth):
            _add_stroke(truth, strokes, truth == value, rng)
        return
    wrong = np.zeros(truth.shape, bool) if labels is None else labels != truth
    if not wrong.any():
        wrong[tuple(int(rng.integers(size)) for size in truth.shape)] = True
    parts, _ = ndimage.label(wrong)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    _add_stroke(truth, strokes, parts == sizes.argmax(), rng)


def _add_stroke(truth: Array, strokes: Array, region: Array, rng: np.random.Generator) -> None:
    """Add a straight stroke through the middle of a region, cut where another class begins."""
    depth = ndimage.distance_transform_edt(region)
    y, x = (int(i) for i in np.unravel_index(int(depth.argmax()), depth.shape))
    value, best = truth[y, x], np.zeros(truth.shape, bool)
    for angle in rng.permutation(8) * np.pi / 8:
        dy, dx = LENGTH * np.sin(angle), LENGTH * np.cos(angle)
        rows, columns = line(int(y - dy), int(x - dx), int(y + dy), int(x + dx))
        inside = (rows >= 0) & (columns >= 0) & (rows < len(truth)) & (columns < truth.shape[1])
        path = np.zeros(truth.shape, bool)
        path[rows[inside], columns[inside]] = True
        path = ndimage.binary_dilation(path, disk(WIDTH)) & (truth == value)
        parts, _ = ndimage.label(path)
        path = parts == parts[y, x]
        best = path if path.sum() > best.sum() else best
    strokes[best] = value + 1


def share(strokes: list[Array]) -> float:
    """Share of the pixels that were drawn."""
    return round(sum(int((s > 0).sum()) for s in strokes) / sum(s.size for s in strokes), 5)


def score(held: list[Pair], found: list[Array]) -> float:
    """Dice of the foreground, or the mean of all classes where there are several."""
    classes = int(max(pair.truth.max() for pair in held)) + 1
    truth = np.concatenate([pair.truth.ravel() for pair in held])
    labels = np.concatenate([labels.ravel() for labels in found]).clip(max=classes - 1)
    matrix = count_confusion(truth, labels, classes)
    scores = create_scores(matrix, [str(i) for i in range(classes)])
    return round((scores.micro(foreground=True) if classes == 2 else scores.macro()).dice, 4)


def train(work: Work, strokes: list[Array], name: str) -> float:
    """Train a quick network on strokes, and score it."""
    place = work.out / name
    for kind, pairs in (("train", work.drawn[: len(strokes)]), ("test", work.held)):
        (place / kind / "images").mkdir(parents=True, exist_ok=True)
        for number, pair in enumerate(pairs):
            save(place / kind / "images" / f"{number}.tif", pair.image)
    (place / "train" / "masks").mkdir(exist_ok=True)
    for number, stroke in enumerate(strokes):
        tifffile.imwrite(place / "train" / "masks" / f"{number}.tif", stroke.astype(np.uint8))
    classes = int(max(pair.truth.max() for pair in work.drawn)) + 1
    names = ",".join(f"{value + 1}=class {value}" for value in range(classes))
    run, labels = place / "run", place / "labels"
    pixelwise("train", place / "train", "--out", run, "--sparse", "--classes", names, *QUICK)
    pixelwise("predict", run, place / "test" / "images", "--out", labels, "--overwrite")
    numbers = range(len(work.held))
    return score(work.held, [tifffile.imread(labels / f"{n}_labels.tif") for n in numbers])


def save(path: Path, image: Array) -> None:
    """Write an image, colours last."""
    tifffile.imwrite(path, image[0] if len(image) == 1 else np.moveaxis(image, 0, -1))


def crop(image: Array, truth: Array) -> Pair:
    """Middle of an image, at most `SIDE` pixels wide and high."""
    top, left = (max(0, (size - SIDE) // 2) for size in truth.shape)
    area = (slice(top, top + SIDE), slice(left, left + SIDE))
    image = image[..., None] if image.ndim == 2 else image[..., :3]
    return Pair(np.moveaxis(image[area], -1, 0).copy(), truth[area].astype(np.uint8))


def read_dsb(data: Path, count: int, *, bright: bool) -> Iterator[Pair]:
    """Fluorescence or histology of DSB2018, of one height."""
    with zipfile.ZipFile(data / "dsb2018" / "stage1_train.zip") as file:
        names = sorted(n for n in file.namelist() if "/images/" in n and n.endswith(".png"))
        made = 0
        for name in names:
            image = np.asarray(Image.open(BytesIO(file.read(name))).convert("RGB"))
            is_bright = np.median(image) > 127
            if is_bright != bright or min(image.shape[:2]) < SIDE:
                continue
            folder = name.split("/images/")[0] + "/masks/"
            masks = [n for n in file.namelist() if n.startswith(folder) and n.endswith(".png")]
            truth = np.max(
                [np.asarray(Image.open(BytesIO(file.read(n)))) > 0 for n in masks], axis=0
            )
            yield crop(image, truth)
            made += 1
            if made == count:
                return


def read_monuseg(data: Path, count: int) -> Iterator[Pair]:
    """H&E of as many institutes as possible."""
    folder = data / "monuseg2018" / "MoNuSegTrainingData"
    names = sorted(path.stem for path in (folder / "Tissue_Images").iterdir())
    for name in names[:: max(1, len(names) // count)][:count]:
        image = tifffile.imread(folder / "Tissue_Images" / f"{name}.tif")
        yield crop(image, np.asarray(Image.open(folder / "Binary_masks" / f"{name}.png")) > 0)


def read_wbc(data: Path, count: int) -> Iterator[Pair]:
    """White blood cells: nucleus and cytoplasm are foreground."""
    for path in sorted((data / "wbc_dataset1" / "images").iterdir())[:count]:
        truth = np.asarray(Image.open(data / "wbc_dataset1" / "masks" / f"{path.stem}.png"))
        yield crop(np.asarray(Image.open(path).convert("RGB")), truth > 0)


def read_sstem(data: Path, count: int) -> Iterator[Pair]:
    """Electron microscopy, nine classes; crops of two slices to draw on, and of two others."""
    values = np.array([0, 32, 64, 96, 128, 159, 191, 223, 255])
    for number in range(count):
        slice_ = 2 * (number // (count // 2)) + number % 2
        image = tifffile.imread(data / "sstem_vnc" / "images" / f"{slice_:02}.tif")
        truth = np.asarray(Image.open(data / "sstem_vnc" / "labels" / f"{slice_:02}.png"))
        top = SIDE * (number % (count // 2) // 2)
        part = (slice(top, top + SIDE), slice(0, SIDE))
        yield crop(image[part], np.searchsorted(values, truth[part]))


def read_stardist(data: Path, _count: int) -> Iterator[Pair]:
    """Read one half of the image to draw on, the other half to score."""
    image = tifffile.imread(data / "stardist_samples" / "img2d.tif")
    truth = tifffile.imread(data / "stardist_samples" / "mask2d.tif") > 0
    for part in (slice(0, SIDE), slice(SIDE, 2 * SIDE)):
        yield Pair(image[None, :, part].copy(), truth[:, part].astype(np.uint8))


SETS: dict[str, Callable[[Path, int], Iterator[Pair]]] = {
    "dsb-fluorescence": lambda data, count: read_dsb(data, count, bright=False),
    "dsb-histology": lambda data, count: read_dsb(data, count, bright=True),
    "monuseg": read_monuseg,
    "wbc": read_wbc,
    "sstem": read_sstem,
    "stardist": read_stardist,
}

if __name__ == "__main__":
    main()
