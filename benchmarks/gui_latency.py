"""How smooth napari's window stays while a network is trained: in a child, and in a thread.

    xvfb-run -s "-screen 0 1600x1200x24" python benchmarks/gui_latency.py

A timer of 10 ms ticks in a window that shows an image of 2000 x 2000 px, once idle, once while the
Train widget trains, once while the same training runs in napari's `thread_worker`. What counts is
the time between two ticks: a person sees 33 ms as smooth and 150 ms as a stumble.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 2000
OPTIONS = {"base_channels": 16, "depth": 4}
CLASSES = {"0": "background", "255": "nucleus"}


def main() -> None:
    """Measure each way in a process of its own, and print the figures side by side."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--way", choices=["idle", "child", "thread"])
    arguments = parser.parse_args()
    if arguments.way:
        measure(arguments.way, arguments.seconds)
        return
    print(
        f"{platform.machine()}, Python {platform.python_version()}, {arguments.seconds:.0f} s each"
    )
    print(f"{'way':8}{'ticks':>8}{'median':>9}{'99 %':>9}{'longest':>9}   share < 33 ms")
    for way in ("idle", "child", "thread"):
        command = [sys.executable, "-W", "ignore", __file__, "--way", way]
        command += ["--seconds", str(arguments.seconds)]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="")


def measure(way: str, seconds: float) -> None:
    """Tick for some seconds, and print one line."""
    if way == "thread":
        import pixelwise.training.fit  # noqa: F401  loaded after Qt, torch ends the process
    import napari
    from qtpy.QtCore import QTimer

    viewer = napari.Viewer()
    image = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE)).astype(np.uint8)
    viewer.add_image(image)
    folder = Path(tempfile.mkdtemp())
    job = start(way, viewer, folder)
    ticks: list[float] = []
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
    timer.start(10)
    wait(seconds, job)
    timer.stop()
    gaps = np.diff(ticks) * 1000
    middle, high = np.percentile(gaps, [50, 99])
    print(
        f"{way:8}{len(ticks):8d}{middle:6.1f} ms{high:6.1f} ms{gaps.max():6.1f} ms"
        f"   {np.mean(gaps < 33):.2%}"
    )
    finish(way, job)
    viewer.close()
    shutil.rmtree(folder)


def start(way: str, viewer: Any, folder: Path) -> Any:
    """Start a training and give its handle once the first step is done."""
    from pixelwise.widgets.jobs import wait_until

    if way == "child":
        from pixelwise.samples import samples_path

        _, widget = viewer.window.add_plugin_dock_widget("napari-pixelwise", "Train")
        widget.data.choose_folder(samples_path(), classes=CLASSES)
        widget.place["folder"].value = folder
        widget.patches["size"].value = "128"
        widget.training.fill({"epochs": 1000})
        widget.model.options.fill(OPTIONS)
        widget.start()
        wait_until(lambda: bool(widget.status.understood.text()), 120)
        return widget
    if way == "thread":
        return start_thread(folder)
    wait_until(lambda: time.perf_counter() > START + 5, 60)  # napari's own start is over
    return None


def start_thread(folder: Path) -> Any:
    """Train by the engine in napari's `thread_worker`."""
    from napari.qt.threading import thread_worker

    import pixelwise as pw
    from pixelwise.widgets.jobs import wait_until

    config = pw.TrainConfig.create(
        data={"path": pw.samples_path(), "classes": CLASSES},
        patches={"size": 128},
        model={"name": "unet", "options": OPTIONS},
        training={"epochs": 1000},
        run=folder / "run",
    )
    seen: list[Any] = []

    @thread_worker(connect={"yielded": seen.append})
    def train() -> Any:
        yield from pw.fit(config)

    worker = train()
    wait_until(lambda: bool(seen), 120)
    return worker


def wait(seconds: float, job: Any) -> None:
    """Let Qt work, and complain if the training ends before the time is over."""
    from pixelwise.widgets.jobs import wait_until

    end = time.perf_counter() + seconds
    wait_until(lambda: time.perf_counter() > end, seconds + 60)
    if job is not None and not job.is_running:
        raise SystemExit("the training ended before the measurement")


def finish(way: str, job: Any) -> None:
    """Stop the training."""
    from pixelwise.widgets.jobs import wait_until

    if way == "child":
        job.stop()
        job.wait(60)
    elif way == "thread":
        job.quit()
        wait_until(lambda: not job.is_running, 60)


START = time.perf_counter()

if __name__ == "__main__":
    main()
