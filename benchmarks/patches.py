"""How fast patches are cut: this project against what people do by hand.

    python benchmarks/patches.py ../shared/data/monuseg2018 [--out benchmarks/results/patches.txt]

All cut the same 256-pixel patches every 128 pixels (1080 from MoNuSeg's 30 images) from the same
files, with their masks, onto the same disk. By hand: read image and mask, cut with scikit-image's
`view_as_windows` or with `patchify`, and write each patch as a file of its own (TIFF or PNG).
Pixels are compared. Each round runs all methods in turn; PNG, which takes longest, only once.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import skimage
from patchify import patchify
from skimage.io import imread, imsave
from skimage.util import view_as_windows

from pixelwise.datasets import Dataset, load_dataset
from pixelwise.patches import make_patches

SIZE, STEP = 256, 128
Array = np.ndarray[Any, Any]
Cut = Callable[[Array], Array]
Job = Callable[[Dataset, Path], None]


class Taken(NamedTuple):
    """Seconds of one round, by the clock and of all cores together."""

    clock: float
    processor: float


def cut_with_scikit_image(image: Array) -> Array:
    """Patches (K, Y, X[, C]) as System A cuts them."""
    window = (SIZE, SIZE, *image.shape[2:])
    return view_as_windows(image, window, STEP).reshape(-1, *window)


def cut_with_patchify(image: Array) -> Array:
    """Patches (K, Y, X[, C]) by the patchify package."""
    window = (SIZE, SIZE, *image.shape[2:])
    return patchify(image, window, STEP).reshape(-1, *window)


def by_scikit_image(suffix: str) -> Job:
    """Cut with scikit-image and write files of this kind."""
    return partial(write_each, cut=cut_with_scikit_image, suffix=suffix)


def by_patchify(suffix: str) -> Job:
    """Cut with patchify and write files of this kind."""
    return partial(write_each, cut=cut_with_patchify, suffix=suffix)


def write_each(data: Dataset, out: Path, *, cut: Cut, suffix: str) -> None:
    """Write every patch as a file of its own."""
    for folder in ("images", "masks"):
        (out / folder).mkdir(parents=True)
    for sample in data.samples:
        for folder, path in (("images", sample.image_path), ("masks", sample.mask_path)):
            for number, patch in enumerate(cut(imread(path))):
                name = out / folder / f"{sample.name}-PCH{number}{suffix}"
                imsave(name, patch, check_contrast=False)


def write_stacks(data: Dataset, out: Path) -> None:
    """Write a folder of patches as this project does."""
    make_patches(data, out, size=SIZE, step=STEP, edge="drop")


def iter_by_hand(out: Path, suffix: str) -> Iterator[tuple[str, Array, Array]]:
    """Name, image and mask of every patch that was written by hand."""
    for path in sorted((out / "images").glob(f"*{suffix}")):
        yield path.stem, imread(path), imread(out / "masks" / path.name)


def require_same_pixels(stacks: Path, by_hand: Path, *, suffix: str) -> int:
    """Compare every patch of both ways; return how many there are."""
    ours = {sample.name: sample for sample in load_dataset(stacks).samples}
    for name, image, mask in iter_by_hand(by_hand, suffix):
        sample = ours.pop(name)
        assert np.array_equal(np.moveaxis(sample.read_image()[0], 0, -1), image), name
        assert np.array_equal(sample.read_mask()[0], mask), name
    assert not ours
    return len(load_dataset(stacks).samples)


def measure(job: Job, data: Dataset, *, out: Path) -> Taken:
    """Time one job into an empty folder, from files to files."""
    shutil.rmtree(out, ignore_errors=True)
    os.sync()
    clock, processor = time.perf_counter(), time.process_time()
    job(data, out)
    return Taken(time.perf_counter() - clock, time.process_time() - processor)


def run(root: Path, work: Path, *, rounds: int) -> str:
    """Measure all methods and write the table."""
    data = load_dataset(root)
    once = {
        "view_as_windows + imsave, PNG": (by_scikit_image(".png"), 1),
        "patchify + imsave, PNG": (by_patchify(".png"), 1),
    }
    often = {
        "pixelwise": (write_stacks, rounds),
        "view_as_windows + imsave, TIFF": (by_scikit_image(".tif"), rounds),
        "patchify + imsave, TIFF": (by_patchify(".tif"), rounds),
    }
    write_stacks(data, work / "warm-up")  # imports, and files into the system's cache
    seconds: dict[str, list[Taken]] = {}
    for number in range(rounds):
        for name, (job, times) in (often | once).items():
            if number < times:
                taken = measure(job, data, out=work / name.replace(" ", ""))
                seconds.setdefault(name, []).append(taken)
    count = 0
    for name, suffix in ((name, ".png" if name.endswith("PNG") else ".tif") for name in seconds):
        if name != "pixelwise":
            count = require_same_pixels(
                work / "pixelwise", work / name.replace(" ", ""), suffix=suffix
            )
    return describe(seconds, count=count, rounds=rounds)


def describe(seconds: dict[str, list[Taken]], *, count: int, rounds: int) -> str:
    """Write the table, with ratios of the best rounds, and the machine."""
    ours = best(seconds["pixelwise"])
    lines = [
        f"{count} patches of {SIZE} px every {STEP} px, image and mask; pixels are identical.",
        f"{machine()}",
        f"Best of {rounds} rounds (PNG: one), file to file{priority()}.",
        "",
        "Ratios are how many times as long as pixelwise it takes, by the clock and in CPU time",
        "(what other processes leave of the two cores does not change the latter).",
        "",
        f"{'method':32} {'seconds':>8} {'ratio':>6} {'CPU s':>8} {'ratio':>6} {'patches/s':>10}",
    ]
    for name, taken in seconds.items():
        least = best(taken)
        clock, processor = least.clock / ours.clock, least.processor / ours.processor
        lines.append(
            f"{name:32} {least.clock:8.2f} {clock:5.1f}x {least.processor:8.2f} "
            f"{processor:5.1f}x {count / least.clock:10.0f}"
        )
    return "\n".join(lines)


def priority() -> str:
    """Whether the run went before other processes, as on a shared machine (`chrt -f 10 python`)."""
    scheduler = getattr(os, "sched_getscheduler", lambda _: 0)(0)
    return ", at real-time priority" if scheduler == getattr(os, "SCHED_FIFO", -1) else ""


def best(rounds: list[Taken]) -> Taken:
    """Least of each figure: what other processes add is only ever more."""
    return Taken(*map(min, zip(*rounds, strict=True)))


def machine() -> str:
    """Processor, cores, system and versions."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        models = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = models[0].partition(":")[2].strip() if models else cpu
    return (
        f"{cpu}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, NumPy {np.__version__}, "
        f"scikit-image {skimage.__version__}"
    )


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        text = run(args.data, Path(work), rounds=args.rounds)
    print(text)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
