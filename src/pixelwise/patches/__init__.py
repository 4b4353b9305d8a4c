"""Patches: windows on images, and folders of them."""

from __future__ import annotations

from pixelwise.patches.folder import (
    PatchFolder,
    SourcePatches,
    count_patches,
    iter_make_patches,
    make_patches,
)
from pixelwise.patches.windows import (
    Window,
    fit_windows,
    iter_windows,
    require_all_fit,
    require_fit,
    window_origins,
)

__all__ = [
    "PatchFolder",
    "SourcePatches",
    "Window",
    "count_patches",
    "fit_windows",
    "iter_make_patches",
    "iter_windows",
    "make_patches",
    "require_all_fit",
    "require_fit",
    "window_origins",
]
