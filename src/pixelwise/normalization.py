"""Intensity normalisation: recorded in the model, the same in training and prediction.

Every kind computes ``(image - offset) / scale`` with one offset and one scale per channel. "fixed"
takes them from the training set (mean and standard deviation), from ImageNet, or from the dtype's
range; "percentile" takes them from each image, for intensities that vary between images.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from pixelwise.errors import ConfigError

Array = npt.NDArray[Any]
Vector = npt.NDArray[np.float32]

# Deng et al. 2009, as torchvision and timm publish them, for intensities of 0 to 1.
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
# Percentiles of an image are taken from at most this many pixels per channel.
_PERCENTILE_PIXELS = 1_000_000
_SAMPLED_ROWS = 1024


class Plane(Protocol):
    """A plane (C, Y, X) whose rows can be sliced: an array, or a plane of a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width."""
        ...

    def __getitem__(self, key: Any, /) -> Any: ...


class Normalization(BaseModel):
    """How stored intensities become network input.

    Attributes
    ----------
    kind : "fixed" or "percentile"
    source : str
        Where the values come from, in words.
    offset, scale : tuple of float
        One value per channel, in stored intensities (kind "fixed").
    low, high : float
        Percentiles that become 0 and 1 (kind "percentile").
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["fixed", "percentile"]
    source: str
    offset: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    low: float = Field(default=1.0, ge=0, lt=100)
    high: float = Field(default=99.8, gt=0, le=100)

    def parameters(self, image: Plane) -> tuple[Vector, Vector]:
        """Offset and scale for one image.

        Parameters
        ----------
        image : Plane, (C, Y, X)
            In stored intensities; only "percentile" reads it, some rows at a time.

        Returns
        -------
        offset, scale : float32 ndarray, (C,)
        """
        if self.kind == "fixed":
            return np.array(self.offset, np.float32), np.array(self.scale, np.float32)
        pixels = _sample(image).astype(np.float32)
        low, high = np.nanpercentile(pixels, [self.low, self.high], axis=1)
        return low.astype(np.float32), _nonzero(high - low).astype(np.float32)


def rescale(normalization: Normalization, factor: float) -> Normalization:
    """Normalisation for images before their intensities are multiplied by `factor`."""
    offset = tuple(value / factor for value in normalization.offset)
    scale = tuple(value / factor for value in normalization.scale)
    return normalization.model_copy(update={"offset": offset, "scale": scale})


def _sample(image: Plane) -> Array:
    """Every n-th pixel of each channel (C, pixels), about `_PERCENTILE_PIXELS` at most."""
    _, height, width = image.shape
    step = max(1, height * width // _PERCENTILE_PIXELS)
    parts = []
    for top in range(0, height, _SAMPLED_ROWS):
        rows = image[:, top : top + _SAMPLED_ROWS]
        # A copy: a view would keep all the rows in memory.
        parts.append(rows.reshape(len(rows), -1)[:, -top * width % step :: step].copy())
    return np.concatenate(parts, axis=1)


def create_fixed(mean: Array, std: Array, source: str) -> Normalization:
    """Normalisation by the mean and standard deviation (C,) of a data set."""
    offset, scale = mean.tolist(), _nonzero(std).tolist()
    return Normalization(kind="fixed", source=source, offset=offset, scale=scale)


def create_range(dtype: np.dtype[Any], channels: int) -> Normalization:
    """Normalisation by the dtype's largest value; float images are not changed."""
    top = intensity_range(dtype)
    return Normalization(
        kind="fixed",
        source=f"divided by {top:g}",
        offset=(0.0,) * channels,
        scale=(top,) * channels,
    )


def create_imagenet(dtype: np.dtype[Any], channels: int) -> Normalization:
    """ImageNet's mean and standard deviation, scaled to the range of `dtype`.

    For channel counts other than 3 they are repeated in turn, as segmentation-models-pytorch does
    with the first layer's weights.
    """
    top = intensity_range(dtype)
    mean = tuple(_IMAGENET_MEAN[i % 3] * top for i in range(channels))
    std = tuple(_IMAGENET_STD[i % 3] * top for i in range(channels))
    return Normalization(kind="fixed", source="ImageNet mean and std", offset=mean, scale=std)


def create_percentile() -> Normalization:
    """Normalisation of each image by its own percentiles 1 and 99.8."""
    return Normalization(kind="percentile", source="percentiles 1 and 99.8 of each image")


def intensity_range(dtype: np.dtype[Any]) -> float:
    """Largest value of an integer dtype; 1 for bool and float."""
    if dtype.kind in "bf":
        return 1.0
    if dtype.kind not in "ui":
        raise ConfigError(f"Images of dtype {dtype} cannot be normalised; expected numbers.")
    return float(np.iinfo(dtype).max)


def _nonzero(scale: Array) -> Array:
    """Scale with 1 where it is 0, as in a constant channel."""
    return np.where(scale > 0, scale, 1.0)
