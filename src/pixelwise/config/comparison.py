"""What is compared: networks, folds and seeds, with one config of everything else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, model_validator

from pixelwise.config.data import FOLDERS, DataConfig, PatchConfig
from pixelwise.config.training import AugmentationConfig, ModelConfig, TrainingConfig
from pixelwise.config_base import Config

SIX: Final = ("unet", "unetplusplus", "segnet", "deeplabv3", "r2unet", "ddunet")


def _parse_models(value: Any) -> Any:
    """Read ``"unet,segnet"``, or a list that has names in it, as models with their defaults."""
    listed = value.split(",") if isinstance(value, str) else value
    if not isinstance(listed, list | tuple):
        return value
    return tuple({"name": one.strip()} if isinstance(one, str) else one for one in listed)


Models = Annotated[tuple[ModelConfig, ...], BeforeValidator(_parse_models)]


class ComparisonConfig(Config):
    """Networks to train on the same data, the same split and with the same budget."""

    data: DataConfig
    out: Path = Field(description="Folder of the comparison")
    models: Models = Field(
        default=tuple(ModelConfig(name=name) for name in SIX),
        min_length=1,
        description="Networks to train, by name and separated by commas; all six if not given",
    )
    seeds: int = Field(
        default=1, ge=1, le=100, description="Trainings of each network and fold, with other seeds"
    )
    patches: PatchConfig = PatchConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    training: TrainingConfig = TrainingConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.data.fold is not None:
            raise ValueError("every fold is trained: leave out fold")
        return self

    def make_absolute(self) -> Self:
        """Give the same with absolute paths, which mean the same from any folder."""
        data, out = self.data.make_paths_absolute(*FOLDERS), self.out
        models = tuple(m.make_paths_absolute("weights", "start_from") for m in self.models)
        return self.model_copy(update={"data": data, "models": models, "out": out.absolute()})

    def name_models(self) -> dict[str, ModelConfig]:
        """Models by a name of their own: a second one of the same network has a number."""
        named: dict[str, ModelConfig] = {}
        for model in self.models:
            same = sum(other.name == model.name for other in named.values())
            named[f"{model.name}-{same + 1}" if same else model.name] = model
        return named
