from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelwise.datasets.layouts.looks import are_flat

RNG = np.random.default_rng(7)
NOISE = RNG.integers(0, 256, (64, 64), np.uint8)
DISK = ((np.mgrid[:64, :64] - 32) ** 2).sum(0) < 400


@pytest.mark.parametrize(
    ("name", "pixels", "flat"),
    [
        ("a.png", NOISE, False),
        ("a.png", np.stack([NOISE] * 3, -1), False),
        ("a.png", DISK.astype(np.uint8), True),
        ("a.png", np.stack([DISK * 255] * 3, -1).astype(np.uint8), True),
        ("a.jpg", (DISK * 255).astype(np.uint8), True),
        ("a.tif", NOISE.astype(np.float32), False),
    ],
    ids=["noise", "colours", "mask", "colour mask", "mask in JPEG", "floats"],
)
def test_looks(tmp_path: Path, name: str, pixels: np.ndarray, flat: bool) -> None:
    Image.fromarray(pixels).save(tmp_path / name)
    assert are_flat([tmp_path / name]) is flat


def test_files_that_differ_or_cannot_be_read(tmp_path: Path) -> None:
    Image.fromarray(NOISE).save(tmp_path / "a.png")
    Image.fromarray(DISK).save(tmp_path / "b.png")
    (tmp_path / "c.png").write_bytes(b"nothing")
    assert are_flat([tmp_path / "a.png", tmp_path / "b.png"]) is None
    assert are_flat([tmp_path / "c.png"]) is None
