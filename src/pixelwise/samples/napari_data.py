"""Some of the shipped samples as napari layers, for napari's menu of sample data.

napari finds `nuclei` and `stack` through the manifest and creates the layers itself, so napari is
not imported here.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from pixelwise.samples import load_samples

LayerData: TypeAlias = tuple[npt.NDArray[np.uint8], dict[str, Any], str]

_STACKED: Final = 8
_STACK_SHAPE: Final = (256, 256)
_SHOWN: Final = 4  # enough to train and validate; all of them would be 64 layers


def nuclei() -> list[LayerData]:
    """Return four images (Y, X, C) and their masks (Y, X) as layers; only the first is visible.

    A mask follows its image and has its name, so that the widgets can pair them.
    """
    layers: list[LayerData] = []
    for index, sample in enumerate(load_samples()[:_SHOWN]):
        name, shown = f"nuclei {sample.name}", {"visible": index == 0}
        layers.append((sample.image, {"name": name, "rgb": True, **shown}, "image"))
        layers.append((sample.mask, {"name": f"{name} mask", **shown}, "labels"))
    return layers


def stack() -> list[LayerData]:
    """Return eight images of one size as a stack (Z, Y, X), in grey, and their masks."""
    samples = [sample for sample in load_samples() if sample.image.shape[:2] == _STACK_SHAPE]
    chosen = samples[:_STACKED]
    images = np.stack([sample.image[..., 1] for sample in chosen])
    masks = np.stack([sample.mask for sample in chosen])
    return [
        (images, {"name": "nuclei stack"}, "image"),
        (masks, {"name": "nuclei stack mask", "visible": False}, "labels"),
    ]
