"""Job settings: immutable models shared by the command line, Python and the widgets.

A config round-trips through YAML, forbids unknown fields, and is validated once, on creation.
Field descriptions and bounds are the help texts and limits of every form built from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from pixelwise.config.data import (
    CPU_PATCH,
    FOLDERS,
    FOR_TRAINING,
    FULL_PATCH,
    TRAINED_PATCH,
    DataConfig,
    PatchConfig,
)
from pixelwise.config.names import Edge, LayoutName, OptimizerName, ScheduleName, WindowName
from pixelwise.config.prediction import PredictConfig
from pixelwise.config.training import (
    MOST_AUTO_BATCH,
    AugmentationConfig,
    ModelConfig,
    TrainingConfig,
)
from pixelwise.config_base import Config

__all__ = [
    "CPU_PATCH",
    "FOLDERS",
    "FOR_TRAINING",
    "FULL_PATCH",
    "MOST_AUTO_BATCH",
    "TRAINED_PATCH",
    "AugmentationConfig",
    "DataConfig",
    "Edge",
    "LayoutName",
    "ModelConfig",
    "OptimizerName",
    "PatchConfig",
    "PredictConfig",
    "ScheduleName",
    "TrainConfig",
    "TrainingConfig",
    "WindowName",
]


class TrainConfig(Config):
    """A whole training: data in, run folder out."""

    data: DataConfig
    run: Path = Field(description="Folder of the run; created; refused if it holds another run")
    patches: PatchConfig = PatchConfig()
    model: ModelConfig = ModelConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    training: TrainingConfig = TrainingConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.training.keep_start is not None and self.model.start_from is None:
            raise ValueError("keep_start keeps the model that start_from names: give both")
        return self

    def make_absolute(self) -> Self:
        """Give the same with absolute paths, which mean the same from any folder."""
        sections = {
            "data": self.data.make_paths_absolute(*FOLDERS),
            "model": self.model.make_paths_absolute("weights", "start_from"),
        }
        return self.model_copy(update={**sections, "run": self.run.absolute()})
