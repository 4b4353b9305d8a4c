from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from pixelwise.axes import Calibration
from pixelwise.images import open_image, write_tiff

STACK = np.zeros((3, 20, 30), np.uint16)


def read(path: Path) -> Calibration | None:
    return open_image(path).calibration


@pytest.mark.parametrize(
    ("metadata", "scale", "units"),
    [
        (
            {"PhysicalSizeX": 0.5, "PhysicalSizeY": 250, "PhysicalSizeYUnit": "nm"},
            (1, 250, 0.5),
            (None, "nanometer", "micrometer"),
        ),
        (
            {"PhysicalSizeZ": 2, "PhysicalSizeX": 1, "PhysicalSizeXUnit": "pixel"},
            (2, 1, 1),
            ("micrometer", None, None),
        ),
    ],
    ids=["units", "pixels"],
)
def test_ome(tmp_path: Path, metadata: dict[str, Any], scale: Any, units: Any) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, STACK, metadata={"axes": "ZYX", **metadata})
    assert read(path) == Calibration.create(scale, units)


def test_imagej(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    metadata = {"axes": "ZYX", "spacing": 1.5, "unit": "um"}
    tifffile.imwrite(path, STACK, imagej=True, resolution=(4, 2), metadata=metadata)
    assert read(path) == Calibration.create([1.5, 0.5, 0.25], ["µm"] * 3)


def test_imagej_time(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": "TYX", "finterval": 1.5})
    assert read(path) == Calibration.create([1.5, 1, 1], ["second", None, None])


def test_tags_in_centimetres(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", STACK[0], axes="YX", pixel_size_um=(0.5, 0.25))
    assert read(tmp_path / "a.tif") == Calibration.create([0.5, 0.25], ["µm", "µm"])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"resolution": (72, 72), "resolutionunit": "INCH"},
        {"resolution": (0, 0), "resolutionunit": "CENTIMETER"},
        {"imagej": True, "resolution": (4, 4), "metadata": {"unit": "furlong"}},
    ],
    ids=["nothing", "screen", "zero", "unknown unit"],
)
def test_what_tells_no_size(tmp_path: Path, options: dict[str, Any]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], **options)
    assert read(tmp_path / "a.tif") is None


def test_ome_that_is_no_xml_keeps_the_image_readable(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK[0], description="<OME broken", metadata=None)
    assert read(path) is None
