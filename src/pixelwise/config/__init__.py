"""What a job is asked to do: frozen models that the command line, Python and the widgets share.

A config round-trips through YAML, forbids unknown fields, and is checked once, when it is made.
The descriptions and bounds of the fields are the help texts and limits of every form built from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field

from pixelwise.config.data import DataConfig, PatchConfig
from pixelwise.config.names import (
    Edge,
    LayoutName,
    OptimizerName,
    ScheduleName,
    WindowName,
)
from pixelwise.config.prediction import PredictConfig
from pixelwise.config.training import (
    MOST_AUTO_BATCH,
    AugmentationConfig,
    ModelConfig,
    TrainingConfig,
)
from pixelwise.frozen import Config

__all__ = [
    "MOST_AUTO_BATCH",
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
    run: Path = Field(description="Folder of the run; made, and refused if it holds another run")
    patches: PatchConfig = PatchConfig()
    model: ModelConfig = ModelConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    training: TrainingConfig = TrainingConfig()

    def make_absolute(self) -> Self:
        """Give the same with absolute paths, which mean the same from any folder."""
        paths: dict[str, tuple[Config, tuple[str, ...]]] = {
            "data": (self.data, ("path", "validation")),
            "model": (self.model, ("weights", "start_from")),
        }
        sections = {
            section: config.model_copy(
                update={
                    name: path.absolute()
                    for name in names
                    if (path := getattr(config, name)) is not None
                }
            )
            for section, (config, names) in paths.items()
        }
        return self.model_copy(update={**sections, "run": self.run.absolute()})
