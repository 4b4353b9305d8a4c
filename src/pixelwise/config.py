"""Job settings: immutable models shared by the command line, Python and the widgets.

A config round-trips through YAML, forbids unknown fields, and is validated once, on creation.
Field descriptions and bounds are the help texts and limits of every form built from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pixelwise.architectures import find_architecture
from pixelwise.config_base import ClassMapping, Config, Numbers, Options, Size

Edge = Literal["drop", "cover"]
LayoutName = Literal[
    "auto", "pairs", "monuseg", "dsb2018", "cityscapes", "camvid", "patches", "voc", "coco",
    "labelme", "qupath", "roboflow", "nnunet", "cellpose", "imagej",
]  # fmt: skip
LossName = Literal["cross_entropy", "dice", "dice_cross_entropy", "focal", "tversky"]
OptimizerName = Literal["adamw", "adam", "sgd"]
ScheduleName = Literal["constant", "cosine", "cyclic", "one_cycle", "plateau"]
NormalizationName = Literal["auto", "dataset", "imagenet", "percentile", "none"]
PresetName = Literal["none", "flips", "light", "microscopy", "histology", "natural"]
DeviceName = Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
FileFormat = Literal["tiff", "zarr"]
WindowName = Literal["hann", "gaussian", "flat"]
FULL_PATCH, TRAINED_PATCH = (256, 256), 32  # size "auto" of large images; least side to train on
MOST_AUTO_BATCH = 16
"""Largest batch size that "auto" chooses: larger ones gain little speed and cost accuracy."""


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
    validation_fraction: float = Field(
        default=0.2, gt=0, lt=1, description="Share of the images kept for validation"
    )
    split_seed: int = Field(default=0, ge=0, description="Seed of the random split by image")


class PatchConfig(Config):
    """How images are cut into patches."""

    size: Literal["auto"] | Size = Field(
        default="auto",
        description="Patch height x width in pixels; auto: 256x256, or what fits into all images",
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

    preset: PresetName = Field(default="light", description="Named set of augmentations")
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
    brightness: Strength | None = Field(default=None, description="Shift by up to this many std")
    contrast: Strength | None = Field(default=None, description="Stretch by up to this share")
    stain: Strength | None = Field(
        default=None, description="H&E colour jitter: change each stain by up to this share"
    )
    noise: Strength | None = Field(default=None, description="Gaussian noise, up to this many std")
    blur: Annotated[float, Field(ge=0, le=10)] | None = Field(
        default=None, description="Gaussian blur, sigma up to this many pixels"
    )

    PRESETS: ClassVar[dict[str, dict[str, float | bool]]] = {
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
        """Strength of one augmentation: the field's value, or the preset's, or 0 for off."""
        value = getattr(self, switch)
        return float(self.PRESETS[self.preset].get(switch, 0.0) if value is None else value)


class TrainingConfig(Config):
    """How the network is trained."""

    epochs: int = Field(default=50, ge=1, le=100_000, description="Passes over all patches")
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
    warmup_epochs: float = Field(default=1.0, ge=0, description="Epochs of rising rate (cosine)")
    cycle_epochs: float = Field(default=4.0, gt=0, description="Epochs of one cycle (cyclic)")
    plateau_epochs: int = Field(
        default=5, ge=1, description="Epochs without progress before the rate is cut (plateau)"
    )
    patience: int | None = Field(
        default=None, ge=1, description="Stop after this many epochs without progress"
    )
    monitor: Literal["dice", "iou", "accuracy", "loss", "last"] = Field(
        default="dice",
        description="Validation score that selects the best model; last takes the newest epoch, "
        "for a handful of validation images whose scores jump",
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
        if self.monitor == "last" and self.patience is not None:
            raise ValueError(
                "monitor last counts every epoch as progress, so patience would never stop the "
                "training: leave it out, or monitor dice, iou, accuracy or loss"
            )
        return self


class TrainConfig(Config):
    """A whole training: data in, run folder out."""

    data: DataConfig
    run: Path = Field(description="Folder of the run; created; refused if it holds another run")
    patches: PatchConfig = PatchConfig()
    model: ModelConfig = ModelConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    training: TrainingConfig = TrainingConfig()

    def make_absolute(self) -> Self:
        """Give the same with absolute paths, which mean the same from any folder."""
        sections = {
            "data": _make_absolute(self.data, "path", "validation"),
            "model": _make_absolute(self.model, "weights", "start_from"),
        }
        return self.model_copy(update={**sections, "run": self.run.absolute()})


def _make_absolute(config: Config, *names: str) -> Config:
    paths = {name: getattr(config, name) for name in names}
    return config.model_copy(update={n: p.absolute() for n, p in paths.items() if p is not None})


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
