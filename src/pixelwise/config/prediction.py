"""How a trained model is applied."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pixelwise.config.names import DeviceName, FileFormat, Precision, WindowName
from pixelwise.config_base import Config, Size


class PredictConfig(Config):
    """How a trained model is applied to images of any size."""

    tile: Size | None = Field(
        default=None,
        description="Tile height x width in pixels; the model's patch size if not given",
    )
    overlap: float = Field(
        default=0.25, ge=0, le=0.9, description="Fraction of a tile that overlaps the next"
    )
    window: WindowName = Field(default="hann", description="How overlapping tiles are blended")
    border: Literal["zero", "mirror"] = Field(
        default="zero",
        description="What the network sees beyond the image: zeros, as in training, or the image "
        "mirrored over half the overlap",
    )
    batch_size: Literal["auto"] | Annotated[int, Field(ge=1, le=4096)] = Field(
        default="auto",
        description="Tiles at a time, or auto: 32 on a GPU, as many as cores on a CPU; halved when "
        "the memory is full",
    )
    flips: bool = Field(default=False, description="Average over mirrored copies (slower)")
    rotations: bool = Field(default=False, description="Average over rotated copies (slower)")
    probabilities: bool = Field(default=False, description="Give class probabilities, not labels")
    probability_dtype: Literal["float32", "float16", "uint8"] = Field(
        default="float32",
        description="Number format of probabilities; uint8: 0 to 255, a quarter of the bytes",
    )
    instances: bool = Field(
        default=False,
        description="Number the connected areas of each class, plane by plane; 0 is background",
    )
    smallest_object: int = Field(
        default=0, ge=0, description="Remove objects with fewer pixels than this; 0 keeps all"
    )
    largest_hole: int = Field(
        default=0, ge=0, description="Fill holes inside a class of up to this many pixels"
    )
    table: bool = Field(
        default=False,
        description="List the objects of each class with their areas in NAME_objects.csv, beside "
        "files that are written",
    )
    format: FileFormat = Field(
        default="tiff",
        description="Format of the files that are written: tiled TIFF, or OME-Zarr with class "
        "names, colours and a pyramid",
    )
    axes: str | None = Field(
        default=None,
        description="Axes of the images, letters of TZCYX; from the files if not given",
    )
    white: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="Intensity of white, if the images are scaled differently from the training "
        "images: 4095 for 12 bits, 1 for 0 to 1; they are rescaled by it",
    )
    device: DeviceName = Field(default="auto", description="auto, cpu, cuda, cuda:1 or mps")
    precision: Precision = Field(default="auto", description="Number format of the computation")
    fold: bool = Field(
        default=True,
        description="Fold batch norms into convolutions where only rounding changes",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.probabilities and self.instances:
            raise ValueError("instances are made from labels: leave out probabilities")
        if self.probabilities and self.table:
            raise ValueError("objects are made from labels: leave out probabilities, or table")
        if self.probabilities and self.cleans:
            raise ValueError(
                "small objects and holes are those of labels: leave out probabilities, or "
                "smallest_object and largest_hole"
            )
        return self

    @property
    def cleans(self) -> bool:
        """Whether small objects are removed or holes filled."""
        return bool(self.smallest_object or self.largest_hole)
