"""Make the animation of the README: the ten minutes of docs/ten_minutes.md, a picture each.

    xvfb-run -s "-screen 0 1366x768x24" python docs/animation.py

It drives a real window, see benchmarks/ten_minutes.py; the training takes a minute or two.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).resolve().parent
OUT = DOCS / "images" / "ten_minutes.gif"
SIZE = (960, 540)
COLORS = 128
SECONDS = 1.6


def main() -> None:
    """Work through the page, and write its pictures as one GIF that repeats."""
    script = DOCS.parent / "benchmarks" / "ten_minutes.py"
    with tempfile.TemporaryDirectory() as folder:
        shots, runs = Path(folder, "shots"), Path(folder, "runs")
        runs.mkdir()
        command = [sys.executable, script, "--runs", runs, "--shots", shots]
        subprocess.run([str(part) for part in command], check=True)
        frames = [read_frame(path) for path in sorted(shots.glob("*.png"))[2:]]  # from annotate on
    first, *others = frames
    first.save(
        OUT,
        save_all=True,
        append_images=others,
        duration=round(1000 * SECONDS),
        loop=0,
        optimize=True,
    )
    print(f"{OUT}: {len(frames)} pictures, {OUT.stat().st_size / 1e6:.2f} MB")


def read_frame(path: Path) -> Image.Image:
    """Read a screenshot, small and with few colours."""
    with Image.open(path) as image:
        small = image.convert("RGB").resize(SIZE, Image.Resampling.LANCZOS)
    return small.quantize(COLORS, dither=Image.Dither.NONE)


if __name__ == "__main__":
    main()
