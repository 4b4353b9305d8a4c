"""Patch folders: cut from a data set, written atomically, and opened again as a data set.

The format is described in the layout that reads it, `datasets.layouts.patches`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pixelwise.atomic import creating_folder, flush_file, flush_folder, write_text
from pixelwise.classes import VOID, SegmentationClass
from pixelwise.config import PatchConfig
from pixelwise.datasets import Dataset, Sample
from pixelwise.datasets.layouts.patches import INDEX_NAME, PatchAxes, PatchIndex, PatchSource
from pixelwise.errors import ConfigError, DataError
from pixelwise.outputs import require_outside_images
from pixelwise.parsing import require_file_name
from pixelwise.patches.windows import Window, fit_windows, iter_windows, require_all_fit

Array = npt.NDArray[Any]
Cut = tuple[int, int, Window]
"""Number of a window on its source image, plane, and window."""
_LARGEST_NUMBER = 10**9
_FEW_CLASSES = 16
"""Up to this many, comparing with each class is faster than `bincount`."""


@dataclass(frozen=True)
class SourcePatches:
    """Patches of one source image.

    Attributes
    ----------
    name : str
        Of the source image.
    windows : int
        Possible patches of its planes.
    kept : int
        Patches written; the others have too little foreground.
    class_pixels : tuple of int
        Pixels of each class in the patches written.
    void_pixels : int
        Ignored pixels in them.
    """

    name: str
    windows: int
    kept: int
    class_pixels: tuple[int, ...]
    void_pixels: int


@dataclass(frozen=True)
class PatchFolder:
    """A finished folder of patches; `load_dataset` opens its `path`."""

    path: Path
    classes: tuple[SegmentationClass, ...]
    windows: PatchConfig
    sources: tuple[SourcePatches, ...]

    @property
    def count(self) -> int:
        """Number of patches."""
        return sum(source.kept for source in self.sources)

    @property
    def skipped(self) -> int:
        """Number of patches left out for too little foreground."""
        return sum(source.windows for source in self.sources) - self.count

    @property
    def class_shares(self) -> dict[str, float]:
        """Fraction of each class in the annotated pixels of all patches."""
        totals = np.array([source.class_pixels for source in self.sources]).sum(axis=0)
        shares = totals / max(totals.sum(), 1)
        return {c.name: float(share) for c, share in zip(self.classes, shares, strict=True)}

    def summary(self) -> str:
        """Describe the folder in a few lines."""
        height, width = self.windows.size_px
        per_source = sorted({source.kept for source in self.sources})
        each = f"{per_source[0]}" + (f" to {per_source[-1]}" if per_source[1:] else "")
        shares = ", ".join(f"{name} {share:.1%}" for name, share in self.class_shares.items())
        skipped = f"\n{self.skipped} left out for too little foreground" if self.skipped else ""
        return (
            f"{self.path}\n{self.count} patches of {height} x {width} px, {each} from each of "
            f"{len(self.sources)} images{skipped}\npixels: {shares}"
        )


def make_patches(
    data: Dataset, out: str | Path, *, workers: int | None = None, **windows: Any
) -> PatchFolder:
    """Cut a data set into patches and write them as a new folder.

    Parameters
    ----------
    data : Dataset
        Patches inherit its splits, groups and classes.
    out : path
        New or empty folder. It appears only when it is complete.
    workers : int, optional
        Images cut at a time; by default two more than there are cores, because some wait for the
        disk.
    **windows
        Fields of `PatchConfig`: ``size=256, step=128, edge="drop", min_foreground=0.1``.

    Raises
    ------
    DataError
        A patch is larger than an image, a mask does not fit, or no patch has enough foreground.
    WriteError
        The folder is not empty or cannot be written.
    ReadError
        A file is damaged.
    """
    *_, folder = iter_make_patches(data, out, workers=workers, **windows)
    assert isinstance(folder, PatchFolder)  # noqa: S101  for the type checker
    return folder


def iter_make_patches(
    data: Dataset, out: str | Path, *, workers: int | None = None, **windows: Any
) -> Iterator[SourcePatches | PatchFolder]:
    """Cut like `make_patches`: yield each finished source image, and the folder at the end.

    Closing the iterator early leaves nothing behind. Parameters and errors as in `make_patches`.
    """
    config = _create_windows(data, windows)
    for sample in data.samples:
        _require_usable(sample)
    if workers is not None and workers < 1:
        raise ConfigError(f"workers must be at least 1, got {workers}.")
    require_outside_images(Path(out))
    pool = ThreadPoolExecutor(workers or (os.cpu_count() or 1) + 2)
    done: list[tuple[PatchSource, SourcePatches]] = []
    with creating_folder(Path(out)) as folder:
        cutter = _Cutter(folder, config, data)
        cutter.create_folders()
        try:
            for result in pool.map(cutter.write_source, data.samples):
                done.append(result)
                yield result[1]
        finally:
            pool.shutdown(cancel_futures=True)
        cutter.write_index([source for source, _ in done])
    yield PatchFolder(Path(out), data.classes, config, tuple(counted for _, counted in done))


def count_patches(data: Dataset, **windows: Any) -> tuple[SourcePatches, ...]:
    """Count what `make_patches` would write, without writing: one entry per source image.

    Parameters and errors as in `make_patches`.
    """
    cutter = _Cutter(Path(), _create_windows(data, windows), data)
    with ThreadPoolExecutor((os.cpu_count() or 1) + 2) as pool:
        return tuple(pool.map(cutter.count_source, data.samples))


def _create_windows(data: Dataset, windows: dict[str, Any]) -> PatchConfig:
    """Settle how images are cut; refuses patches that are larger than an image."""
    shapes = {str(sample.image_path): sample.shape[2:] for sample in data.samples}
    config = fit_windows(PatchConfig.create(**windows), shapes.values())
    require_all_fit(shapes.items(), config.size_px)
    return config


@dataclass(frozen=True)
class _Cutter:
    """Writes the stacks and the index of a data set into a folder."""

    folder: Path
    config: PatchConfig
    data: Dataset

    @property
    def axes(self) -> PatchAxes:
        """Axes of one patch, so that viewers show RGB as colours and other channels as a stack."""
        if self.data.in_channels == 1:
            return "YX"
        rgb = self.data.in_channels == 3 and {"uint8", "uint16"}.issuperset(self.data.dtypes)
        return "YXC" if rgb else "CYX"

    def create_folders(self) -> None:
        """Create the folders of the stacks."""
        for name in ("images", "masks"):
            (self.folder / name).mkdir()

    def count_source(self, sample: Sample) -> SourcePatches:
        """Count what `write_source` would write."""
        labels = sample.read_mask()
        cuts = list(_iter_cuts(sample.shape, self.config))
        kept = [cut for cut in cuts if self._has_foreground(labels, cut)]
        return self._count(sample, stack_masks(labels, kept), cuts=len(cuts))

    def _count(self, sample: Sample, masks: Array, *, cuts: int) -> SourcePatches:
        """Count the pixels of the patches that are kept."""
        classes = count_pixels(masks, len(self.data.classes))
        void = masks.size - sum(classes)
        return SourcePatches(sample.name, cuts, len(masks), classes, void_pixels=void)

    def write_source(self, sample: Sample) -> tuple[PatchSource, SourcePatches]:
        """Cut one source image and write its two stacks."""
        planes, labels = sample.read_finite_image(), sample.read_mask()
        cuts = list(_iter_cuts(planes.shape, self.config))
        kept = [cut for cut in cuts if self._has_foreground(labels, cut)]
        names = {"image": f"images/{sample.name}.tif", "mask": f"masks/{sample.name}.tif"}
        masks = stack_masks(labels, kept)
        if kept:
            _write_stack(self.folder / names["image"], self._stack_images(planes, kept), self.axes)
            _write_stack(self.folder / names["mask"], masks, "YX")
        source = PatchSource(
            name=sample.name,
            group=sample.group,
            split=sample.split,
            dtype=planes.dtype.name,
            positions=tuple((plane, window.y, window.x) for _, plane, window in kept),
            names=tuple(f"{sample.name}-PCH{number}" for number, _, _ in kept),
            **names,
        )
        return source, self._count(sample, masks, cuts=len(cuts))

    def write_index(self, sources: Sequence[PatchSource]) -> None:
        """Write the index, after every stack is on the disk."""
        kept = tuple(source for source in sources if source.positions)
        if not kept:
            raise DataError(
                f"No patch of {self.data.root} has {self.config.min_foreground:.0%} foreground; "
                "lower min_foreground (--min-foreground)."
            )
        for name in ("images", "masks"):
            flush_folder(self.folder / name)
        index = PatchIndex(
            classes=self.data.classes,
            axes=self.axes,
            channels=self.data.in_channels,
            windows=self.config,
            background=self.data.background,
            mapping=self.data.mapping,
            sources=kept,
        )
        write_text(self.folder / INDEX_NAME, json.dumps(index.model_dump(mode="json"), indent=1))

    def _has_foreground(self, labels: Array, cut: Cut) -> bool:
        """Whether a patch has enough annotated pixels that are not background."""
        if self.config.min_foreground == 0:
            return True
        _, plane, window = cut
        mask = labels[plane, *window.slices]
        annotated = mask != VOID
        if self.data.background is not None:
            annotated &= mask != self.data.background
        return bool(annotated.mean() >= self.config.min_foreground)

    def _stack_images(self, planes: Array, cuts: Sequence[Cut]) -> Array:
        """Patches (K, ...) of planes (N, C, Y, X), in the axes of the folder."""
        if self.axes == "YX":
            return stack_masks(planes[:, 0], cuts)
        if self.axes == "CYX":
            return np.stack([planes[plane, :, *window.slices] for _, plane, window in cuts])
        last = np.moveaxis(planes, 1, -1)
        return np.stack([last[plane, *window.slices] for _, plane, window in cuts])


def _require_usable(sample: Sample) -> None:
    """Raise if the names of an image's patches would be refused on reading."""
    try:
        require_file_name(f"{sample.name}-PCH{_LARGEST_NUMBER}")
    except ValueError as error:
        raise DataError(f"Patches of {sample.image_path} cannot be named: {error}.") from error


def stack_masks(labels: Array, cuts: Sequence[Cut]) -> Array:
    """Patches (K, height, width) of labels (N, Y, X)."""
    if not cuts:
        return labels[:0]
    return np.stack([labels[plane, *window.slices] for _, plane, window in cuts])


def count_pixels(labels: Array, classes: int) -> tuple[int, ...]:
    """Pixels of each class; what is left is void."""
    if classes > _FEW_CLASSES:
        counts = np.bincount(labels.ravel(), minlength=classes)
        return tuple(counts[:classes].tolist())
    return tuple(int(np.count_nonzero(labels == index)) for index in range(classes))


def _iter_cuts(shape: tuple[int, ...], config: PatchConfig) -> Iterator[Cut]:
    """Windows on every plane of (N, C, Y, X), numbered consecutively."""
    number = 0
    for plane in range(shape[0]):
        for window in iter_windows((shape[2], shape[3]), config):
            yield number, plane, window
            number += 1


def _write_stack(path: Path, stack: Array, axes: str) -> None:
    """Write (K, ...) patches as one uncompressed, contiguous TIFF, and flush it to disk."""
    import tifffile

    rgb = axes == "YXC"
    tifffile.imwrite(
        path,
        stack,
        photometric="rgb" if rgb else "minisblack",
        metadata={"axes": "ZYXS" if rgb else f"Z{axes}"},
    )
    flush_file(path)
