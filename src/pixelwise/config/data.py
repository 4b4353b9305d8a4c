"""Where the data is, and how images are cut into patches."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from pixelwise.config.names import Edge, LayoutName
from pixelwise.config_base import ClassMapping, Config, Numbers, Size

FULL_PATCH, CPU_PATCH = (256, 256), (128, 128)  # size "auto" of large images, with and without GPU
TRAINED_PATCH = 32  # least side to train on

FOLDERS: Final = ("path", "validation", "test", "corrections")
"""Fields of `DataConfig` that name a folder."""
FOR_TRAINING: Final = ("corrections", "validation_fraction", "split_seed", "folds", "fold")
"""Fields of `DataConfig` that only a training reads."""


class DataConfig(Config):
    """Where images and masks are, and how mask values become classes."""

    path: Path = Field(description="Folder with the images and masks")
    layout: LayoutName = Field(
        default="auto", description="How the folder is arranged; auto says what it recognised"
    )
    images: str | None = Field(
        default=None,
        description="Sub-folder of the images, or a pattern such as */images; found by its name if "
        "not given",
    )
    masks: str | None = Field(
        default=None,
        description="Sub-folder of the masks or annotations, a pattern, or a folder elsewhere; "
        "coco: also the JSON file",
    )
    mask_suffix: str | None = Field(
        default=None,
        description="pairs: text in a mask's name that its image's name lacks, e.g. _mask, or .png",
    )
    classes: ClassMapping = Field(
        default="auto",
        description="Mask value (or 0-127, or #rrggbb, or the label of an annotation file; * is "
        "every other label) = class name, e.g. 0=background,255=cell; 'void' as a name ignores the "
        "value; 'instances': 0 or black is background, all else one class",
    )
    void: Numbers = Field(
        default=(), description="Mask values to ignore in every loss and score, e.g. 255"
    )
    sparse: bool = Field(
        default=False, description="Sparse annotation: mask value 0 means 'not annotated'"
    )
    axes: str | None = Field(
        default=None,
        description="Axes of the images, letters of TZCYX; from the files if not given",
    )
    skip_unreadable: bool = Field(
        default=False,
        description="Skip images and masks that cannot be read, and name each, instead of "
        "refusing the data; reads every file twice",
    )
    resize: Size | None = Field(
        default=None, description="Resize every image to this height x width, e.g. 256x256"
    )
    validation: Path | None = Field(
        default=None, description="Folder with the validation images, in the same layout"
    )
    test: Path | None = Field(
        default=None,
        description="Folder with the test images, in the same layout: not trained on, and scored "
        "by 'compare' and 'report'",
    )
    corrections: Path | None = Field(
        default=None,
        description="Folder with corrected images, in images/ and masks/, that make half of every "
        "batch; in the masks 0 is not annotated, 1 the first class of the data, 2 the second, ...",
    )
    validation_fraction: float = Field(
        default=0.2, gt=0, lt=1, description="Share of the images kept for validation"
    )
    split_seed: int = Field(default=0, ge=0, description="Seed of the random split by image")
    folds: int | None = Field(
        default=None,
        ge=2,
        le=1000,
        description="Cross-validation: share the images out among this many folds, by source",
    )
    fold: int | None = Field(
        default=None, ge=1, description="Fold to validate on, from 1; the others are trained on"
    )

    @model_validator(mode="after")
    def _check_folds(self) -> Self:
        if self.fold is not None and (self.folds is None or self.fold > self.folds):
            raise ValueError(
                f"fold {self.fold} needs folds of at least {self.fold}, got {self.folds}"
            )
        if self.folds is not None:
            for name in ("validation", "test"):
                if getattr(self, name) is not None:
                    raise ValueError(f"folds and a {name} folder exclude each other: leave out one")
        return self


class PatchConfig(Config):
    """How images are cut into patches."""

    size: Literal["auto"] | Size = Field(
        default="auto",
        description="Patch height x width in pixels; auto: 256x256, to train without a GPU "
        "128x128, or what fits into all images",
    )
    step: Size | None = Field(
        default=None, description="Distance between patches in pixels; the patch size if not given"
    )
    edge: Edge = Field(
        default="cover",
        description="drop: skip pixels that do not fill a patch; cover: move the last patch back "
        "to the border, so that every pixel is used",
    )
    min_foreground: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Keep only patches with at least this share of annotated foreground",
    )

    @property
    def size_px(self) -> tuple[int, int]:
        """Size in pixels (height, width); that for large images where none was given."""
        return FULL_PATCH if self.size == "auto" else self.size

    @property
    def step_px(self) -> tuple[int, int]:
        """Step in pixels (height, width), the patch size where none was given."""
        return self.step or self.size_px
