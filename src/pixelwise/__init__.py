"""Semantic segmentation where your images are: patches, networks, training, prediction.

This is the whole public API; everything else may move. Names are imported when they are first
used, so that ``import pixelwise`` costs nothing and loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pixelwise.architectures import list_architectures as list_architectures
    from pixelwise.cards import read_card as read_card
    from pixelwise.comparison.compare import compare as compare
    from pixelwise.config import DataConfig as DataConfig
    from pixelwise.config import PredictConfig as PredictConfig
    from pixelwise.config import TrainConfig as TrainConfig
    from pixelwise.config.comparison import ComparisonConfig as ComparisonConfig
    from pixelwise.datasets import inspect_dataset as inspect_dataset
    from pixelwise.datasets import load_dataset as load_dataset
    from pixelwise.errors import PixelwiseError as PixelwiseError
    from pixelwise.images import read_image as read_image
    from pixelwise.models.files import load_model as load_model
    from pixelwise.models.files import save_model as save_model
    from pixelwise.models.registry import create_model as create_model
    from pixelwise.models.summary import summarize as summarize
    from pixelwise.patches import make_patches as make_patches
    from pixelwise.prediction.evaluate import evaluate as evaluate
    from pixelwise.prediction.predict import predict as predict
    from pixelwise.samples import load_samples as load_samples
    from pixelwise.samples import samples_path as samples_path
    from pixelwise.summaries import list_runs as list_runs
    from pixelwise.training.fit import fit as fit
    from pixelwise.training.fit import resume as resume

_HOMES = {
    "ComparisonConfig": "config.comparison",
    "DataConfig": "config",
    "PixelwiseError": "errors",
    "PredictConfig": "config",
    "TrainConfig": "config",
    "compare": "comparison.compare",
    "create_model": "models.registry",
    "evaluate": "prediction.evaluate",
    "fit": "training.fit",
    "inspect_dataset": "datasets",
    "list_architectures": "architectures",
    "list_runs": "summaries",
    "load_dataset": "datasets",
    "load_model": "models.files",
    "load_samples": "samples",
    "make_patches": "patches",
    "predict": "prediction.predict",
    "read_card": "cards",
    "read_image": "images",
    "resume": "training.fit",
    "samples_path": "samples",
    "save_model": "models.files",
    "summarize": "models.summary",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("napari-pixelwise")
    if name not in _HOMES:
        raise AttributeError(f"module 'pixelwise' has no attribute {name!r}")
    return getattr(import_module(f"pixelwise.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
