"""What a prediction needs as images grow: time per megapixel, and memory.

    python benchmarks/growth.py [--sizes 2048 8192 32768] [--out benchmarks/results/growth.txt]

Square images of 8 bits lie on the disk as OME-Zarr and as tiled TIFF (BigTIFF from 2 GB on), and
are predicted with a small U-Net of two classes into files of the same kind, in tiles of 256 px.
Each prediction runs in a process of its own, after a small one that loads what is needed. Memory is
the peak beyond what the process has then. MONAI's `sliding_window_inference` runs beside for the
sizes it is asked for: it holds image and result as float32.
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import torch
from prediction import OVERLAP, TILE, create_card, forget_peak, read_peak


def main() -> None:
    """Write images, predict each in a process of its own, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=[2048, 8192, 32768])
    parser.add_argument("--monai", nargs="*", type=int, default=[2048, 8192])
    parser.add_argument("--folder", type=Path, help="where the images are written")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        predict(arguments.child[0], Path(arguments.child[1]))
        return
    machine = f"{platform.processor() or platform.machine()}, {psutil.cpu_count()} cores"
    lines = [
        f"{machine}, Python {platform.python_version()}, torch {torch.__version__}",
        f"python benchmarks/growth.py {shlex.join(sys.argv[1:])}",
        "",
        f"{'':14} {'px':>6} {'seconds':>8} {'s/MP':>7} {'MiB':>6}",
    ]
    print("\n".join(lines))
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for size in arguments.sizes:
            for kind, suffix in (("OME-Zarr", ".zarr"), ("TIFF", ".tif")):
                path = Path(folder) / f"{size}{suffix}"
                write_image(path, size)
                lines.append(measure(kind, "ours", path, size=size))
                if kind == "TIFF" and size in arguments.monai:
                    lines.append(measure("MONAI", "monai", path, size=size))
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n")


def write_image(path: Path, size: int) -> None:
    """Write noise and gradients, rows by rows."""
    from pixelwise.images import ImageContent, load_writer

    noise = np.random.default_rng(0).integers(0, 100, (1024, size), np.uint8)

    def read(_plane: int, rows: slice, channel: int | None = None) -> np.ndarray:
        found = noise[: rows.stop - rows.start] + np.uint8(rows.start // 512 % 100)
        return found if channel is not None else found[None]

    content = ImageContent("CYX", (1, size, size), np.dtype(np.uint8))
    load_writer(path).write_rows(path, content, read)


def measure(title: str, way: str, path: Path, *, size: int) -> str:
    """Predict in a new process: a line of the table."""
    command = [sys.executable, __file__, "--child", way, str(path)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    pixels = size * size / 1e6
    line = (
        f"{title:14} {size:6} {found['seconds']:8.1f} {found['seconds'] / pixels:7.4f} "
        f"{found['bytes'] / 2**20:6.0f}"
    )
    print(line, flush=True)
    return line


def predict(way: str, path: Path) -> None:
    """Predict one image, and print seconds and bytes."""
    from pixelwise.images import read_image
    from pixelwise.models.files import Model
    from pixelwise.models.registry import create_model
    from pixelwise.prediction.predict import predict as predict_image

    torch.manual_seed(0)
    options = {"base_channels": 4, "depth": 2}
    network = create_model("unet", 1, classes=2, **options).eval()
    card = create_card("unet", options, channels=1)
    small = path.with_name(f"small{path.suffix}")
    write_image(small, 1536)
    out = path.with_name(f"labels{path.suffix}")
    predict_image(Model(network, card), small, axes="CYX", out=out)
    base = psutil.Process().memory_info().rss
    forget_peak()
    started = time.perf_counter()
    if way == "ours":
        predict_image(Model(network, card), path, axes="CYX", out=out, overlap=OVERLAP)
    else:
        from monai.inferers import sliding_window_inference

        pixels = torch.from_numpy(read_image(path)[0].squeeze()[None, None] / np.float32(255))
        with torch.inference_mode():
            window = (TILE, TILE)
            found = sliding_window_inference(
                pixels, window, 4, network, overlap=OVERLAP, mode="gaussian"
            )
            found.argmax(dim=1).to(torch.uint8)
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "bytes": read_peak() - base}))


if __name__ == "__main__":
    main()
