"""Spares the window long pauses of Python's garbage collector during training.

A full collection walks every object napari holds and froze the window for up to 160 ms. Objects
that exist when training starts are therefore exempt until it ends, or until a layer is removed and
its memory must be freed.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import napari


class GcPause:
    """Exempts the objects of this process from garbage collection for a while."""

    def __init__(self, viewer: napari.Viewer) -> None:
        viewer.layers.events.removed.connect(self.end)

    def begin(self) -> None:
        """Collect once, then exempt all objects that are left."""
        gc.collect()
        gc.freeze()

    def end(self, *_: object) -> None:
        """Collect all objects again."""
        gc.unfreeze()
