"""How near tiled prediction comes to what the hardware can do, and how two others do beside.

    python benchmarks/prediction.py [--out benchmarks/results/prediction.txt]

Networks with random weights label an RGB image of 8 bits in tiles of 256 px that overlap by a
quarter. Time does not depend on the weights.

limit   forward passes of the same folded network over as many tiles as (ours) has, always the same
        resident ones, and nothing else: the faster of batches that share all cores and, on a CPU,
        one tile per core
ours    `pixelwise.predict`, array to labels
files   `pixelwise.predict`, compressed TIFF to compressed TIFF
monai   `sliding_window_inference` with Gaussian weights, and argmax
torchem `predict_with_halo_pipelined` of torch-em: blocks of 192 px with a halo of 32, and argmax
        (it blends nothing)

Each way runs in a process of its own, and they take turns. Memory is what a process needs beyond
that with the model loaded and, but for (files), the image in memory; on a GPU, what torch allocates
there.
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import torch

if TYPE_CHECKING:
    from pixelwise.cards import Card

NETWORKS = {"U-Net + mobilenet_v2": ("unet", "mobilenet_v2"), "SegNet": ("segnet", None)}
WAYS = ("limit", "ours", "files", "monai", "torchem")
TILE, OVERLAP = 256, 0.25
Job = Callable[[], float]


def main() -> None:
    """Measure all ways, or be one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--size", type=int, default=4096, help="height and width of the image")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch-size", type=int, help="tiles at a time, of monai and torchem")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        serve(arguments)
        return
    lines = [*describe(arguments), ""]
    for name in arguments.networks:
        lines += measure(name, arguments)
        print("\n".join(lines[-len(arguments.ways) - 2 :]), flush=True)
    text = "\n".join(lines) + "\n"
    if arguments.out:
        arguments.out.write_text(text)


def describe(arguments: argparse.Namespace) -> list[str]:
    """Machine, versions and command."""
    from pixelwise.models.devices import choose_compute

    compute = choose_compute(arguments.device)
    return [
        f"{platform.processor() or platform.machine()}, {psutil.cpu_count()} cores, {compute}",
        f"Python {platform.python_version()}, torch {torch.__version__}",
        f"{arguments.size} x {arguments.size} px, {arguments.rounds} rounds in turns; medians",
        f"python benchmarks/prediction.py {shlex.join(sys.argv[1:])}",
    ]


def measure(name: str, arguments: argparse.Namespace) -> list[str]:
    """Run all ways of one network in turns: a table."""
    command = [sys.executable, __file__, "--size", str(arguments.size)]
    command += ["--device", arguments.device, "--child", name]
    if arguments.batch_size:
        command += ["--batch-size", str(arguments.batch_size)]
    children = {
        way: subprocess.Popen(
            [*command, way], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for way in arguments.ways
    }
    results: dict[str, list[dict[str, float]]] = {way: [] for way in arguments.ways}
    for child in children.values():
        child.stdout.readline()  # ready
    for _ in range(arguments.rounds):
        for way, child in children.items():
            child.stdin.write("go\n")
            child.stdin.flush()
            results[way].append(json.loads(child.stdout.readline()))
    for child in children.values():
        child.stdin.close()
        child.wait()
    seconds = {way: [item["seconds"] for item in found] for way, found in results.items()}
    lines = [f"{name:22} seconds   MiB  limit/way  way/ours"]
    for way, taken in seconds.items():
        memory = max(item["bytes"] for item in results[way]) / 2**20
        ratios = [
            statistics.median(a / b for a, b in zip(*pair, strict=True))
            for pair in ((seconds["limit"], taken), (taken, seconds["ours"]))
        ]
        lines.append(
            f"{way:22} {statistics.median(taken):7.1f} {memory:5.0f}  {ratios[0]:9.3f} "
            f"{ratios[1]:9.3f}"
        )
    return [*lines, ""]


def serve(arguments: argparse.Namespace) -> None:
    """Be one way: run whenever a line comes, and report seconds and bytes."""
    name, way = arguments.child
    with tempfile.TemporaryDirectory() as folder:
        job = Way(name, arguments, Path(folder)).prepare(way)
        base = psutil.Process().memory_info().rss
        forget_peak()
        print("ready", flush=True)
        for _ in sys.stdin:
            seconds = job()
            used = read_peak() - base
            if torch.cuda.is_available():
                used = torch.cuda.max_memory_allocated()
            print(json.dumps({"seconds": seconds, "bytes": used}), flush=True)


def forget_peak() -> None:
    """Let the peak of this process's memory begin anew (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def read_peak() -> int:
    """Peak of this process's memory since then, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def create_card(architecture: str, options: dict[str, Any], *, channels: int) -> Card:
    """Card of a model of two classes for images of 8 bits."""
    from pixelwise.cards import Card
    from pixelwise.classes import create_classes
    from pixelwise.normalization import create_imagenet

    return Card(
        architecture=architecture,
        options=options,
        in_channels=channels,
        classes=create_classes(["background", "nucleus"]),
        normalization=create_imagenet(np.dtype(np.uint8), channels),
        axes="CYX",
        dtype="uint8",
        patch_size=(TILE, TILE),
    )


class Way:
    """One network, one image, and the ways to label it."""

    def __init__(self, name: str, arguments: argparse.Namespace, folder: Path) -> None:
        from pixelwise.models.devices import choose_compute
        from pixelwise.models.files import Model
        from pixelwise.models.registry import create_model

        torch.manual_seed(0)
        network, encoder = NETWORKS[name]
        options = {} if encoder is None else {"encoder": encoder}
        self.network = create_model(network, 3, classes=2, **options).eval()
        self.card = create_card(network, options, channels=3)
        self.model = Model(self.network, self.card)
        self.compute = choose_compute(arguments.device)
        self.device = self.compute.device
        self.batch_size = arguments.batch_size or (4 if self.device.type == "cpu" else 32)
        self.size = arguments.size
        self.folder = folder

    def prepare(self, way: str) -> Job:
        """Get one way ready to run."""
        from pixelwise.models.folding import fold_batch_norms

        image = np.random.default_rng(0).integers(0, 256, (self.size, self.size, 3), np.uint8)
        if way in ("ours", "files"):
            return self._prepare_ours(image, files=way == "files")
        if way == "limit":
            self.network, _ = fold_batch_norms(self.network)
        self.network.to(self.device).to(memory_format=torch.channels_last)
        if way == "limit":
            return self._prepare_limit()
        offset, scale = self.card.normalization.parameters(image.transpose(2, 0, 1))
        pixels = (image.transpose(2, 0, 1).astype(np.float32) - offset[:, None, None]) / scale[
            :, None, None
        ]
        del image
        return getattr(self, f"_prepare_{way}")(pixels)

    def _prepare_ours(self, image: np.ndarray, *, files: bool) -> Job:
        from pixelwise.axes import NamedAxes
        from pixelwise.config import PredictConfig
        from pixelwise.images import ImageArray, open_image, write_tiff
        from pixelwise.prediction.pipeline import iter_predict, predict_array
        from pixelwise.prediction.predictor import Predictor
        from pixelwise.prediction.sinks import plan_file

        config = PredictConfig.create(overlap=OVERLAP, device=str(self.device))
        predictor = Predictor(self.model, config)
        path = self.folder / "image.tif"
        planes = image.transpose(2, 0, 1)[None]
        if files:
            write_tiff(path, image, axes="YXC")
            del image, planes

        def run() -> float:
            started = time.perf_counter()
            if files:
                source = open_image(path)
                sink = plan_file(predictor, source, self.folder / "labels.tif")
                for _ in iter_predict(predictor, source, sink):
                    pass
            else:
                predict_array(predictor, ImageArray(planes, NamedAxes("ZCYX", "planes")))
            return time.perf_counter() - started

        return run

    @torch.inference_mode()
    def _prepare_limit(self) -> Job:
        """Run the faster of two ways to do nothing but forward passes."""
        from pixelwise.models.allocator import keeping_freed_memory
        from pixelwise.prediction.geometry import plan_axis
        from pixelwise.prediction.tile_threads import TileThreads

        axis = plan_axis(self.size, tile=TILE, overlap=OVERLAP, stride=32, window="hann")
        count = len(axis.origins) ** 2
        tiles = torch.randn(self.batch_size, 3, TILE, TILE, device=self.device)
        tiles = tiles.contiguous(memory_format=torch.channels_last)
        threads = TileThreads() if self.device.type == "cpu" else None

        def run_batches(count: int) -> None:
            for first in range(0, count, self.batch_size):
                self._forward(tiles[: count - first])
            if self.device.type == "cuda":
                torch.cuda.synchronize()

        def run_threads(count: int) -> None:
            cut = ((n, tiles[n % len(tiles)][None]) for n in range(count))
            for _ in threads.iter_predicted(self._forward, cut):
                pass

        def time_one(run: Callable[[int], None], count: int) -> float:
            started = time.perf_counter()
            with keeping_freed_memory():
                run(count)
            return time.perf_counter() - started

        ways = [run_batches] if threads is None else [run_batches, run_threads]
        probe = 6 * self.batch_size
        best = min(ways, key=lambda way: (time_one(way, probe), time_one(way, probe))[1])
        print(f"limit: {best.__name__}", file=sys.stderr)
        return lambda: time_one(best, count)

    @torch.inference_mode()
    def _forward(self, tiles: torch.Tensor) -> torch.Tensor:
        with self.compute.autocast():
            return self.network(tiles)

    def _prepare_monai(self, pixels: np.ndarray) -> Job:
        from monai.inferers import sliding_window_inference

        tensor = torch.from_numpy(pixels)[None]

        def run() -> float:
            started = time.perf_counter()
            with torch.inference_mode():
                found = sliding_window_inference(
                    tensor.to(self.device),
                    (TILE, TILE),
                    sw_batch_size=self.batch_size,
                    predictor=self._forward,
                    overlap=OVERLAP,
                    mode="gaussian",
                )
                found.argmax(dim=1).to(torch.uint8).cpu()
            return time.perf_counter() - started

        return run

    def _prepare_torchem(self, pixels: np.ndarray) -> Job:
        from torch_em.util.prediction import predict_with_halo_pipelined

        step = int(TILE * (1 - OVERLAP))

        def run() -> float:
            started = time.perf_counter()
            output = np.zeros((2, self.size, self.size), np.float32)
            with torch.inference_mode():
                predict_with_halo_pipelined(
                    pixels,
                    self.network,
                    [str(self.device)],
                    (step, step),
                    ((TILE - step) // 2,) * 2,
                    output=output,
                    preprocess=lambda block: block,
                    with_channels=True,
                    disable_tqdm=True,
                    batch_size=self.batch_size,
                )
            output.argmax(axis=0).astype(np.uint8)
            return time.perf_counter() - started

        return run


if __name__ == "__main__":
    main()
