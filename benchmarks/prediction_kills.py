"""Kill predictions at random moments, start them again, and compare what comes out byte for byte.

    python benchmarks/prediction_kills.py --times 100

Each prediction runs in a process of its own that has loaded all it needs, so that every moment lies
in the work itself. It is killed (signal 9) up to three times, each time at a moment drawn evenly
from the time that it takes undisturbed; then it may end. Into TIFF and into OME-Zarr; one in five
is predicted by two workers, which are not killed with their process, so that they may still write
while it is started again. It counts as identical if all bytes are the same and nothing is left.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import zarr  # noqa: F401  so that no child has to load it

from pixelwise.cards import Card
from pixelwise.classes import create_classes
from pixelwise.config import PredictConfig
from pixelwise.images import open_image, write_tiff
from pixelwise.models.files import create_network, save_model
from pixelwise.normalization import create_percentile
from pixelwise.prediction.cluster import connecting, create_dask_executor
from pixelwise.prediction.pipeline import iter_predict
from pixelwise.prediction.predictor import Predictor
from pixelwise.prediction.result_spool import name_spool
from pixelwise.prediction.sinks import plan_file

_SHAPE = (3000, 72)  # 12 blocks of rows, whose probabilities are too large to be kept in memory
_MOST_KILLS = 3  # of one prediction
_LONG = 300.0  # seconds


@dataclass(frozen=True)
class Job:
    """One way to predict the image, and what comes out undisturbed.

    Attributes
    ----------
    name : str
        Of the output.
    workers : int
        0: the process predicts itself.
    seconds : float
        That it takes.
    wanted : dict of str to bytes
    """

    name: str
    workers: int
    seconds: float = 0.0
    wanted: dict[str, bytes] | None = None


def write_inputs(folder: Path) -> None:
    """Write a noisy image and a model with random weights."""
    torch.manual_seed(0)
    card = Card(
        architecture="unet", options={"base_channels": 4, "depth": 2}, in_channels=1,
        classes=create_classes(["background", "a", "b"]), normalization=create_percentile(),
        axes="YX", dtype="uint8", patch_size=(128, 128),
    )  # fmt: skip
    save_model(folder / "model.safetensors", create_network(card).state_dict(), card)
    noise = np.random.default_rng(1).normal(120, 40, _SHAPE).clip(0, 255).astype(np.uint8)
    write_tiff(folder / "image.tif", noise, axes="YX")


def predict(folder: Path, output: Path, workers: int) -> None:
    """Predict the image: what a child does."""
    config = PredictConfig.create(
        tile=64, device="cpu", precision="fp32", probabilities=True, probability_dtype="float32"
    )
    predictor = Predictor(folder / "model.safetensors", config)
    image = open_image(folder / "image.tif")
    sink = plan_file(predictor, image, output)
    if not workers:
        list(iter_predict(predictor, image, sink))
        return
    with connecting(workers=workers) as client:
        list(iter_predict(predictor, image, sink, execute=create_dask_executor(client)))


def start(task: Callable[[], None]) -> int:
    """Start a child, with a group of processes of its own; gives its number."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        task()
        status = 0
    except BaseException:  # noqa: BLE001  a fork may not go on with what its parent does
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def wait(child: int, seconds: float) -> int | None:
    """Wait for a child for some time; gives its exit status, None if it still runs."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None


def end_group(child: int) -> None:
    """End what is left of a child's group: workers that did not notice yet."""
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)


def read_all(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def run_to_end(folder: Path, out: Path, job: Job) -> float:
    """Predict until it is done; gives the seconds."""
    started = time.perf_counter()
    child = start(lambda: predict(folder, out / job.name, job.workers))
    status = wait(child, _LONG)
    end_group(child)
    if status != 0:
        raise SystemExit(f"The prediction into {out / job.name} ended with {status}.")
    return time.perf_counter() - started


def disturb(folder: Path, out: Path, job: Job, draw: random.Random) -> list[str]:
    """Kill a prediction some times; gives when, and how many blocks were there."""
    kills: list[str] = []
    children: list[int] = []
    for _ in range(draw.randint(1, _MOST_KILLS)):
        moment = draw.uniform(0, job.seconds)
        child = start(lambda: predict(folder, out / job.name, job.workers))
        if wait(child, moment) is not None:
            break
        os.kill(child, signal.SIGKILL)  # and not its workers
        os.waitpid(child, 0)
        children.append(child)
        done = name_spool(out / job.name) / "done"
        blocks = done.read_bytes().count(b" .") if done.exists() else 0
        kills.append(f"{moment:.2f} s ({blocks} blocks)")
    run_to_end(folder, out, job)
    for child in children:
        end_group(child)
    return kills


def measure_jobs(folder: Path, *, alone: bool) -> list[Job]:
    """Predict undisturbed, in each way."""
    jobs = []
    for name, workers in [("a.tif", 0), ("a.zarr", 0), ("a.tif", 2), ("a.zarr", 2)][
        : 4 - 2 * alone
    ]:
        job = Job(name, workers)
        out = folder / f"straight-{name}-{workers}"
        out.mkdir()
        seconds = run_to_end(folder, out, job)
        jobs.append(Job(name, workers, seconds, read_all(out)))
        print(f"undisturbed, {name}, {workers} workers: {seconds:.1f} s", flush=True)
    return jobs


def drill(folder: Path, jobs: list[Job], *, times: int, seed: int) -> int:
    """Disturb `times` predictions; gives how many end as the undisturbed ones."""
    draw = random.Random(seed)
    alone, shared = jobs[:2], jobs[2:]
    identical = 0
    for number in range(1, times + 1):
        job = draw.choice(shared if shared and number % 5 == 0 else alone)
        out = folder / f"out-{seed}-{number}"
        out.mkdir()
        kills = disturb(folder, out, job, draw)
        same = read_all(out) == job.wanted
        identical += same
        what = f"{job.name}, {job.workers} workers, killed at {', '.join(kills) or '-'}"
        print(f"{number:3}  {what}: {'identical' if same else 'DIFFERENT'}", flush=True)
    print(f"{identical} of {times} identical")
    return identical


def main() -> int:
    """Run the drill; the exit status is 1 if a result came out different."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=100, help="predictions to disturb [100]")
    parser.add_argument("--seed", type=int, default=0, help="of the moments [0]")
    parser.add_argument("--alone", action="store_true", help="leave out the workers")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_inputs(folder)
        open_image(folder / "image.tif")  # loads the reader
        jobs = measure_jobs(folder, alone=given.alone)
        return int(drill(folder, jobs, times=given.times, seed=given.seed) < given.times)


if __name__ == "__main__":
    raise SystemExit(main())
