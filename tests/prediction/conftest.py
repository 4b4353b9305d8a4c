"""Models that need no training."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pixelwise.cards import Card
from pixelwise.classes import create_classes
from pixelwise.events import RowsPredicted
from pixelwise.images import ImageSource
from pixelwise.models.files import Model, create_network
from pixelwise.models.network import SegmentationNetwork
from pixelwise.normalization import create_percentile, create_range
from pixelwise.prediction.pipeline import iter_predict
from pixelwise.prediction.predictor import Predictor
from pixelwise.prediction.sinks import plan_file


class Stack(SegmentationNetwork):
    """Convolutions 3 x 3 one after another: the receptive field is 2 * layers + 1 px."""

    def __init__(self, in_channels: int, classes: int, layers: int, stride: int = 1) -> None:
        super().__init__(in_channels, classes, stride=stride)
        width = [in_channels, *[4] * (layers - 1), classes]
        self.encoder = torch.nn.Sequential(
            *[torch.nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(width)]
        )

    def logits(self, image: torch.Tensor) -> torch.Tensor:
        return 3 * self.encoder(image)


def create_card(channels: int = 1, classes: int = 3, *, dtype: str = "float32") -> Card:
    names = ["background", *[f"class {i}" for i in range(1, classes)]]
    percentile = dtype != "float32"
    norm = create_percentile() if percentile else create_range(np.dtype(dtype), channels)
    return Card(
        architecture="unet",
        options={"base_channels": 4, "depth": 2},
        in_channels=channels,
        classes=create_classes(names),
        normalization=norm,
        axes="YX" if channels == 1 else "CYX",
        dtype=dtype,
        patch_size=(64, 64),
    )


def create_stack(layers: int = 3, channels: int = 1, classes: int = 3) -> Model:
    torch.manual_seed(layers)
    return Model(Stack(channels, classes, layers).eval(), create_card(channels, classes))


def iter_predict_file(
    predictor: Predictor, source: ImageSource, output: Path, **options: Any
) -> Iterator[RowsPredicted]:
    """Predict into a file that may be written."""
    return iter_predict(predictor, source, plan_file(predictor, source, output), **options)


@pytest.fixture
def create_unet() -> Callable[..., Model]:
    def create(channels: int = 1, **options: object) -> Model:
        torch.manual_seed(0)
        card = create_card(channels, dtype="uint8")
        card = card.model_copy(update={"options": {**card.options, **options}})
        return Model(create_network(card).eval(), card)

    return create
