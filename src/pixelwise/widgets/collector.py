"""Python's cycle collector, kept out of the way while a training is watched.

A full collection walks all that napari holds, which was measured to stop the window for 160 ms.
What is there when a training begins is therefore set aside, until it ends or a layer is removed,
whose memory is to come back.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import napari


class Collector:
    """Sets the objects of a viewer's process aside, and takes them back."""

    def __init__(self, viewer: napari.Viewer) -> None:
        viewer.layers.events.removed.connect(self.take_back)

    def set_aside(self) -> None:
        """Collect once, and look no more at what is left."""
        gc.collect()
        gc.freeze()

    def take_back(self, *_: object) -> None:
        """Look at everything again."""
        gc.unfreeze()
