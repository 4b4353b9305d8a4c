"""Names to choose from; the command line and the widgets offer these lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import Field

from pixelwise.images.formats import WRITTEN
from pixelwise.scores import SHOWN

Edge = Literal["drop", "cover"]
LayoutName = Literal[
    "auto", "patches", "cityscapes", "dsb2018", "camvid", "voc", "nnunet", "roboflow", "cellpose",
    "coco", "labelme", "qupath", "imagej", "monuseg", "pairs",
]  # fmt: skip
"""Modules of `datasets.layouts`, the most specific first: auto takes the first that fits."""
LossName = Literal["cross_entropy", "dice", "dice_cross_entropy", "focal", "tversky"]
"""Modules of `training.losses`."""
OptimizerName = Literal["adamw", "adam", "sgd"]
ScheduleName = Literal["constant", "cosine", "cyclic", "one_cycle", "plateau"]
NormalizationName = Literal["auto", "dataset", "imagenet", "percentile", "none"]
PresetName = Literal["auto", "none", "flips", "light", "microscopy", "histology", "natural"]
DeviceName = Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
WindowName = Literal["hann", "gaussian", "flat"]

if TYPE_CHECKING:
    FileFormat: TypeAlias = str
    ScoreName: TypeAlias = str
else:
    FileFormat = Literal[tuple(WRITTEN)]
    ScoreName = Literal[(*SHOWN, "loss", "last")]
