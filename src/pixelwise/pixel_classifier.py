"""A random forest on the features of single pixels, trained on a few strokes in seconds.

As in ilastik's pixel classification (Berg et al. 2019, doi:10.1038/s41592-019-0582-9): intensity,
edges and texture at several scales, then a random forest. scikit-image and scikit-learn are loaded
by the first call, so that napari's process can import this module without them.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pixelwise.errors import DataError

Array = npt.NDArray[Any]

MOST_CHANNELS: Final = 8
"""Channels of an image; the features of each take 84 MB for 1024 x 1024 pixels."""

FEW_CLASSES: Final = "Draw strokes of at least two classes."

_SIGMAS: Final = (1, 16)  # pixels
_TREES: Final = 30  # 50 take 1.5 times as long
_DEPTH: Final = 10
_PIXELS_PER_TREE: Final = 3_000
_MOST_STROKE_PIXELS: Final = 10_000
_CHUNK: Final = 2**16  # pixels


class PixelClassifier:
    """Classifies pixels, and keeps the features of the last image for its next strokes.

    Attributes
    ----------
    notes : tuple of str
        What was found in the last image.
    """

    def __init__(self) -> None:
        self.notes: tuple[str, ...] = ()
        self._digest = b""
        self._features: Array | None = None

    def classify(self, image: Array, strokes: Array) -> Array:
        """Label all pixels of an image; see `classify_pixels`."""
        if image.ndim != 3 or strokes.shape != image.shape[1:]:
            raise DataError(
                f"The image has shape {image.shape} and the strokes {strokes.shape}: expected "
                "(channels, rows, columns) and (rows, columns) of the same size."
            )
        if not has_classes(strokes):
            raise DataError(FEW_CLASSES)
        features = self.prepare(image)
        picked = _pick_pixels(strokes.ravel())
        return _predict(features, picked, strokes.ravel()[picked]).reshape(strokes.shape)

    def prepare(self, image: Array) -> Array:
        """Features of an image (C, Y, X), (pixels, features): those kept, if it is the same."""
        import sklearn.ensemble  # noqa: F401  takes a second, which the first strokes need not wait

        about = f"{image.dtype.str} {image.shape}".encode()
        digest = blake2b(np.ascontiguousarray(image).view(np.uint8).data, key=about[:64]).digest()
        if self._features is None or digest != self._digest:
            self._features = None  # frees its memory first
            self._features, self.notes = _compute_features(image)
            self._digest = digest
        return self._features


def classify_pixels(image: Array, strokes: Array) -> Array:
    """Label all pixels of an image by a classifier that is trained on strokes.

    The same input gives the same labels.

    Parameters
    ----------
    image : array (C, Y, X)
        Numbers of any type, at most `MOST_CHANNELS` channels. Pixels that are not finite get the
        median of their channel.
    strokes : array (Y, X) of uint8
        0 is not annotated; class i is drawn with the value i + 1.

    Returns
    -------
    labels : array (Y, X) of uint8
        Classes, from 0 on.

    Raises
    ------
    DataError
        The shapes differ, the strokes have fewer than two classes, the image has no finite pixel,
        or too many channels.
    """
    return PixelClassifier().classify(image, strokes)


def has_classes(strokes: Array) -> bool:
    """Whether there are strokes of two classes or more."""
    drawn = strokes[strokes > 0]
    return bool(drawn.size) and not (drawn == drawn[0]).all()


def _compute_features(image: Array) -> tuple[Array, tuple[str, ...]]:
    """Features of all pixels, float32 (pixels, features), and notes."""
    from skimage.feature import multiscale_basic_features

    if len(image) > MOST_CHANNELS:
        raise DataError(
            f"The image has {len(image)} channels, live labels take at most {MOST_CHANNELS}: "
            "show fewer channels as one layer."
        )
    lost = not np.isfinite(image).all()
    scaled = np.stack([_scale(channel) for channel in image])
    smallest, largest = _SIGMAS
    features = multiscale_basic_features(
        scaled, sigma_min=smallest, sigma_max=largest, channel_axis=0
    )
    note = "Pixels that are not finite count as the median of their channel."
    return features.reshape(-1, features.shape[-1]), (note,) * lost


def _scale(channel: Array) -> Array:
    """Shift and scale one channel to mean 0 and deviation 1, float32; without gaps."""
    values = channel.astype(np.float64)
    finite = np.isfinite(values)
    if not finite.any():
        raise DataError("A channel of the image has no finite pixel.")
    values = np.where(finite, values, np.median(values[finite]))
    values -= values.mean()
    return (values / (values.std() or 1.0)).astype(np.float32)


def _pick_pixels(strokes: Array) -> npt.NDArray[np.intp]:
    """Draw indices of stroke pixels at random, about as many of each class."""
    rng = np.random.default_rng(0)
    classes = np.unique(strokes[strokes > 0])
    share = max(1, _MOST_STROKE_PIXELS // len(classes))
    drawn = [np.flatnonzero(strokes == value) for value in classes]
    picked = [rng.choice(one, share, replace=False) if len(one) > share else one for one in drawn]
    return np.concatenate(picked)


def _predict(features: Array, picked: npt.NDArray[np.intp], values: Array) -> Array:
    """Train on the picked pixels, whose strokes have these values; label all pixels, uint8."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        _TREES,
        max_depth=_DEPTH,
        max_samples=min(_PIXELS_PER_TREE, len(picked)),
        class_weight="balanced",
        random_state=0,
    )
    forest.fit(features[picked], values)
    starts = range(0, len(features), _CHUNK)
    # threads over pixels, not over trees: no locks, and the sum over the trees has one order
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        parts = pool.map(lambda start: forest.predict(features[start : start + _CHUNK]), starts)
        return (np.concatenate(list(parts)) - 1).astype(np.uint8)
