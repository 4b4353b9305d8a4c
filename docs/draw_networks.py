"""Draw the six networks as levels and what connects them: docs/images/networks/*.svg.

    python docs/draw_networks.py

Channels and sizes are those of the built networks, taken from a forward pass.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import torch

from pixelwise.models.registry import create_model

SIDE = 256
FOLDER = Path(__file__).parent / "images" / "networks"
INK, DOWN, UP, ACROSS = "#444444", "#4c78a8", "#f58518", "#888888"
STYLE = {"svg.hashsalt": "pixelwise", "font.family": "sans-serif", "font.size": 8}


def trace(name: str, **options: Any) -> list[tuple[int, int]]:
    """Channels and side of the maps in the order in which they are computed, without repeats."""
    network = create_model(name, in_channels=3, classes=2, **options).eval()
    found: list[tuple[int, int]] = []

    def note(_: Any, __: Any, maps: Any) -> None:
        if isinstance(maps, torch.Tensor) and maps.ndim == 4 and maps.shape[-1] > 1:
            level = (int(maps.shape[1]), int(maps.shape[-1]))
            if not found or found[-1] != level:
                found.append(level)

    for part in network.modules():
        if isinstance(part, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            part.register_forward_hook(note)
    with torch.inference_mode():
        network(torch.zeros(1, 3, SIDE, SIDE))
    return found


def pick_levels(found: list[tuple[int, int]]) -> tuple[list[tuple[int, int]], ...]:
    """Widest maps of each side, on the way down and on the way up."""
    deepest = min(range(len(found)), key=lambda i: found[i][1])
    down, up = {}, {}
    for channels, side in found[: deepest + 1]:
        down[side] = channels
    for channels, side in found[deepest + 1 :]:
        if side > found[deepest][1] and channels > 2:
            up[side] = channels
    return sorted(((c, s) for s, c in down.items()), key=lambda i: -i[1]), sorted(
        ((c, s) for s, c in up.items()), key=lambda i: i[1]
    )


class Drawing:
    """Boxes at (column, level), and arrows between them."""

    def __init__(self, columns: float, levels: int) -> None:
        self.figure, self.axes = plt.subplots(figsize=(7.2, 0.62 * levels + 0.5))
        self.axes.set_xlim(-0.6, columns - 0.4)
        self.axes.set_ylim(levels - 0.4, -0.6)
        self.axes.axis("off")

    def box(self, x: float, y: float, text: str, color: str) -> None:
        """Draw a level."""
        self.axes.text(
            x, y, text, ha="center", va="center", color="white",
            bbox={"boxstyle": "round,pad=0.45", "facecolor": color, "edgecolor": "none"},
        )  # fmt: skip

    def arrow(self, start: tuple[float, float], stop: tuple[float, float], text: str = "") -> None:
        """Draw an arrow between two levels."""
        self.axes.annotate(
            "", xy=stop, xytext=start, zorder=0,
            arrowprops={"arrowstyle": "-|>", "color": ACROSS, "shrinkA": 13, "shrinkB": 13},
        )  # fmt: skip
        if text:
            x, y = (start[0] + stop[0]) / 2, (start[1] + stop[1]) / 2
            self.axes.text(x, y - 0.12, text, ha="center", va="bottom", color=INK, fontsize=7)

    def save(self, name: str) -> None:
        """Write the picture, the same bytes each time."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        path = FOLDER / f"{name}.svg"
        self.figure.savefig(path, bbox_inches="tight", metadata={"Date": None}, transparent=False)
        plt.close(self.figure)


def draw_u(name: str, skip: str, note: str = "", **options: Any) -> None:
    """Draw an encoder and a decoder of the same depth, with what goes across."""
    down, up = pick_levels(trace(name, **options))
    sides = sorted({side for _, side in [*down, *up]}, reverse=True)
    drawing = Drawing(2 * len(sides), len(sides))
    place: dict[tuple[str, int], tuple[float, float]] = {}
    for channels, side in down:
        x = y = sides.index(side)
        drawing.box(x, y, f"{channels}", DOWN)
        place["down", side] = x, y
    for channels, side in up:
        y = sides.index(side)
        x = 2 * len(sides) - 2 - y
        drawing.box(x, y, f"{channels}", UP)
        place["up", side] = x, y
    for way, levels in (("down", down), ("up", up)):
        for (_, first), (_, second) in itertools.pairwise(levels):
            drawing.arrow(place[way, first], place[way, second])
    drawing.arrow(place["down", down[-1][1]], place["up", up[0][1]])
    for _, side in up:
        if ("down", side) in place:
            top = side == up[-1][1]
            drawing.arrow(place["down", side], place["up", side], skip if top else "")
    if note:
        drawing.axes.text(len(sides) - 1, len(sides) - 0.45, note, ha="center", color=INK)
    drawing.save(name)


def draw_nested(name: str) -> None:
    """Draw the nodes of UNet++."""
    drawing = Drawing(5, 5)
    for level in range(5):
        for column in range(5 - level):
            x, y = column + level * 0.5, level
            drawing.box(x, y, f"{level},{column}", DOWN if column == 0 else UP)
            if column:
                drawing.arrow((x - 1, y), (x, y))
                drawing.arrow((column - 1 + (level + 1) * 0.5, level + 1), (x, y))
            if column == 0 and level:
                drawing.arrow(((level - 1) * 0.5, level - 1), (x, y))
    drawing.axes.text(0.3, 4.1, "level, node", color=INK)
    drawing.save(name)


def draw_pyramid(name: str) -> None:
    """Draw DeepLabV3: an encoder that stops at an eighth, and fields of several widths."""
    drawing = Drawing(6, 5)
    for number, text in enumerate(["1/2", "1/4", "1/8"]):
        drawing.box(number, number, text, DOWN)
        if number:
            drawing.arrow((number - 1, number - 1), (number, number))
    fields = ["1 x 1", "dilation 12", "dilation 24", "dilation 36", "whole image"]
    for level, text in enumerate(fields):
        drawing.box(3.4, level, text, UP)
        drawing.arrow((2, 2), (3.1, level))
        drawing.arrow((3.7, level), (5, 2))
    drawing.box(5, 2, "concatenated, 8 x up", UP)
    drawing.save(name)


def main() -> None:
    """Draw all six."""
    mpl.use("Agg")
    with mpl.rc_context(STYLE):
        draw_u("unet", "concatenated")
        draw_nested("unetplusplus")
        draw_u("segnet", "pooling indices")
        draw_pyramid("deeplabv3")
        draw_u(
            "r2unet",
            "concatenated",
            "each box: recurrent convolutions, t steps with shared weights",
        )
        draw_u("ddunet", "concatenated", "the deepest boxes are dilated")


if __name__ == "__main__":
    main()
