"""The shipped samples as napari's layers, for its menu of sample data.

napari finds `nuclei` through the manifest and makes the layers itself: nothing of it is imported.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pixelwise.samples import load_samples

LayerData: TypeAlias = tuple[NDArray[np.uint8], dict[str, Any], str]


def nuclei() -> list[LayerData]:
    """Return each sample as an image (Y, X, C) and its mask (Y, X); only the first pair shows.

    A mask lies over its image and bears its name, so that the two can be told to belong together.
    """
    layers: list[LayerData] = []
    for index, sample in enumerate(load_samples()):
        shown = {"visible": index == 0}
        layers.append((sample.image, {"name": sample.name, "rgb": True, **shown}, "image"))
        layers.append((sample.mask, {"name": f"{sample.name} mask", **shown}, "labels"))
    return layers
