"""Which network is trained, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from pixelwise.architectures import find_architecture
from pixelwise.config.names import (
    DeviceName,
    LossName,
    NormalizationName,
    OptimizerName,
    Precision,
    PresetName,
    ScheduleName,
    ScoreName,
)
from pixelwise.config_base import Config, Numbers, Options
from pixelwise.scores import SHOWN

MOST_AUTO_BATCH = 16
"""Largest batch size that "auto" chooses: larger ones gain little speed and cost accuracy."""


class ModelConfig(Config):
    """Which network to train, and its initial weights."""

    name: str = Field(default="unet", description="Architecture, see 'pixelwise architectures'")
    encoder: str | None = Field(
        default=None,
        description="Encoder, e.g. mobilenet_v2; the architecture's default if not given",
    )
    pretrained: bool = Field(default=False, description="Start the encoder from ImageNet weights")
    weights: Path | None = Field(
        default=None, description="Local file with the encoder's weights, instead of a download"
    )
    start_from: Path | None = Field(
        default=None, description="Model file to start from: same network and channels"
    )
    freeze_encoder: bool = Field(default=False, description="Train the decoder only")
    options: Options = Field(
        default_factory=dict,
        description="Options of the architecture, e.g. base_channels=16,depth=4",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        architecture = find_architecture(self.name)
        architecture.parse_encoder(self.encoder)
        architecture.parse_options(self.options)
        if self.pretrained and self.weights is not None:
            raise ValueError(
                "pretrained downloads ImageNet weights, weights names a file: give one"
            )
        return self


Strength = Annotated[float, Field(ge=0, le=1)]


class AugmentationConfig(Config):
    """Random changes to training patches; a field left empty follows the preset."""

    preset: PresetName = Field(
        default="auto",
        description="Named set of augmentations; auto: histology for colours of H&E, natural for "
        "street scenes, microscopy for all else",
    )
    shift: bool | None = Field(
        default=None,
        description="Cut patches at random positions that cover the image up to its borders, on "
        "the fly only; unannotated positions are skipped",
    )
    flips: bool | None = Field(default=None, description="Mirror left-right")
    rotate90: bool | None = Field(
        default=None,
        description="Rotate by multiples of 90 degrees (180 if patches are not square)",
    )
    rotate: Annotated[float, Field(ge=0, le=180)] | None = Field(
        default=None, description="Rotate by up to this many degrees"
    )
    scale: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        default=None, description="Zoom by up to this share, in and out"
    )
    brightness: Strength | None = Field(
        default=None, description="Shift by up to this much after normalisation"
    )
    contrast: Strength | None = Field(default=None, description="Stretch by up to this share")
    stain: Strength | None = Field(
        default=None, description="H&E colour jitter: change each stain by up to this share"
    )
    noise: Strength | None = Field(
        default=None, description="Gaussian noise, std up to this much after normalisation"
    )
    blur: Annotated[float, Field(ge=0, le=10)] | None = Field(
        default=None, description="Gaussian blur, sigma up to this many pixels"
    )

    PRESETS: ClassVar[dict[str, dict[str, float | bool]]] = {
        "auto": {},
        "none": {},
        "flips": {"flips": True},
        "light": {
            "shift": True, "flips": True, "rotate90": True, "brightness": 0.1, "contrast": 0.1,
        },
        "microscopy": {
            "shift": True, "flips": True, "rotate90": True, "rotate": 15.0, "scale": 0.2,
            "brightness": 0.2, "contrast": 0.2, "noise": 0.05, "blur": 1.0,
        },
        "histology": {
            "shift": True, "flips": True, "rotate90": True, "scale": 0.2,
            "brightness": 0.1, "contrast": 0.1, "stain": 0.2, "blur": 0.5,
        },
        "natural": {
            "shift": True, "flips": True, "rotate": 5.0, "scale": 0.2,
            "brightness": 0.2, "contrast": 0.2,
        },
    }  # fmt: skip

    def strength(self, switch: str) -> float:
        """Strength of one augmentation: the field's value, or the preset's, or 0 for off.

        "auto" is settled when the images are known, and has none of its own.
        """
        value = getattr(self, switch)
        return float(self.PRESETS[self.preset].get(switch, 0.0) if value is None else value)


def _parse_epoch_steps(value: Any) -> Any:
    """Read an empty value, as configs of older versions have it."""
    return "all" if value is None else value


EpochSteps = Annotated[
    Literal["auto", "all"] | Annotated[int, Field(ge=1, le=1_000_000)],
    BeforeValidator(_parse_epoch_steps),
]


class TrainingConfig(Config):
    """How the network is trained."""

    epochs: int = Field(default=50, ge=1, le=100_000, description="Passes over all patches")
    minutes: float | None = Field(
        default=None,
        gt=0,
        le=100_000,
        description="Train for about this long: the speed decides how many epochs there are, at "
        "most epochs, and how many steps each has",
    )
    epoch_steps: EpochSteps = Field(
        default="auto",
        description="Steps of an epoch; all: one pass over all patches; auto: the same, but at "
        "least 20 steps",
    )
    batch_size: Literal["auto"] | Annotated[int, Field(ge=1, le=4096)] = Field(
        default=8,
        description="Patches per step, at least 2 because of batch normalisation; auto takes the "
        "largest power of two up to 16 that fits the device's memory",
    )
    loss: LossName = Field(default="dice_cross_entropy", description="Loss function")
    class_weights: Literal["none", "balanced"] | Numbers = Field(
        default="none", description="Weight of each class in the loss: none, balanced, or numbers"
    )
    optimizer: OptimizerName = Field(default="adamw", description="Optimiser")
    learning_rate: float = Field(default=1e-3, gt=0, le=10, description="Highest learning rate")
    min_learning_rate: float = Field(default=1e-6, ge=0, le=10, description="Lowest learning rate")
    weight_decay: float = Field(default=1e-4, ge=0, le=1, description="Weight decay")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="Momentum (SGD)")
    schedule: ScheduleName = Field(default="cosine", description="How the learning rate changes")
    weight_average: float = Field(
        default=0.999,
        ge=0,
        lt=1,
        description="Share of the averaged weights that a step keeps: the average over the last "
        "steps is validated and saved; 0 for none, and for statistics of batch normalisation from "
        "the first step on",
    )
    warmup_epochs: float = Field(default=1.0, ge=0, description="Epochs of rising rate (cosine)")
    cycle_epochs: float = Field(default=4.0, gt=0, description="Epochs of one cycle (cyclic)")
    plateau_epochs: int = Field(
        default=5, ge=1, description="Epochs without progress before the rate is cut (plateau)"
    )
    patience: int | None = Field(
        default=None, ge=1, description="Stop after this many epochs without progress"
    )
    monitor: ScoreName = Field(
        default="dice",
        description="Validation score that selects the best model; last takes the newest epoch, "
        "for a handful of validation images whose scores jump",
    )
    keep_start: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Keep the model that was started from unless an epoch scores at most this much "
        "less on the validation images, e.g. 0.02",
    )
    normalization: NormalizationName = Field(
        default="auto", description="How intensities are normalised; recorded in the model"
    )
    device: DeviceName = Field(default="auto", description="auto, cpu, cuda, cuda:1 or mps")
    precision: Precision = Field(default="auto", description="Number format of the computation")
    compile: bool = Field(
        default=False,
        description="Compile the network with torch.compile: minutes at the start, for long runs",
    )
    sync_batch_norm: bool = Field(
        default=False,
        description="Batch normalisation over the patches of all processes, if there are several",
    )
    seed: int = Field(default=0, ge=0, description="Seed of everything that is random")
    deterministic: bool = Field(default=False, description="Same bits on every run, but slower")
    keep_every: int | None = Field(
        default=None, ge=1, description="Keep a model file every this many epochs"
    )
    save_minutes: float = Field(
        default=10.0,
        gt=0,
        description="Save the training's state this often inside epochs, and after each",
    )
    previews: int = Field(
        default=3, ge=0, le=64, description="Validation images shown after each epoch"
    )
    tensorboard: bool = Field(default=False, description="Write TensorBoard logs as well")

    @property
    def shown_score(self) -> str:
        """Score to show beside the best model: `monitor`, or Dice where that is the last epoch."""
        return "dice" if self.monitor == "last" else self.monitor

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min_learning_rate > self.learning_rate:
            raise ValueError(
                f"min_learning_rate {self.min_learning_rate:g} must not exceed "
                f"learning_rate {self.learning_rate:g}"
            )
        if self.minutes is not None and isinstance(self.epoch_steps, int):
            raise ValueError(
                "minutes decides how many steps an epoch has: leave out one of minutes and "
                "epoch_steps"
            )
        if self.monitor == "last" and self.patience is not None:
            raise ValueError(
                "monitor last counts every epoch as progress, so patience would never stop the "
                f"training: leave it out, or monitor {', '.join(SHOWN)} or loss"
            )
        return self
