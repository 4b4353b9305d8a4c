from __future__ import annotations

import gc

import numpy as np
from napari.components import ViewerModel

from pixelwise.widgets.gc_pause import GcPause


def test_objects_are_set_aside_until_a_layer_goes() -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((4, 4)))
    pause = GcPause(viewer)
    pause.begin()
    assert gc.get_freeze_count() > 0
    viewer.layers.clear()
    assert gc.get_freeze_count() == 0
    pause.begin()
    pause.end()
    assert gc.get_freeze_count() == 0
