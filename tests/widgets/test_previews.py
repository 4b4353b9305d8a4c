from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QObject

from pixelwise.widgets.layers import find_layers
from pixelwise.widgets.previews import NAMES, PreviewLayers


def test_whoever_is_painting_goes_on_painting(make_napari_viewer: Any) -> None:
    viewer, parent = make_napari_viewer(), QObject()
    viewer.add_image(np.zeros((40, 50)), scale=(0.1, 0.2), name="cells")
    drawn = viewer.add_labels(np.zeros((40, 50), np.uint8), scale=(0.1, 0.2))
    previews = PreviewLayers(viewer, parent)
    previews.begin()
    assert viewer.layers.selection.active is drawn
    assert set(viewer.layers.selection) == {drawn}
    assert find_layers(viewer, "labels") == [drawn]
    shown = viewer.layers[NAMES[0]]
    np.testing.assert_allclose(shown.scale[-2:], (0.1, 0.2))
    right = shown.extent.world[1][-1]
    assert right < viewer.layers["cells"].extent.world[0][-1], "to the left of the image"
    previews.remove()
    assert len(viewer.layers) == 2
