"""The networks that can be trained, as plain data: descriptions and options.

Free of torch: the command line lists them and the widgets build forms from them. `models.registry`
builds the networks, with the module that an entry names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pixelwise.architectures.options import Option, OptionValue
from pixelwise.errors import ConfigError, quote_value, require_name


@dataclass(frozen=True)
class Architecture:
    """One network of the registry, with the text that helps a user choose it.

    Attributes
    ----------
    name : str
        Key in the registry.
    title : str
        Display name.
    sentence : str
        What it is good for, in a biologist's words.
    source : str
        The paper.
    options : tuple of Option
    encoders : tuple of str
        Suggested encoders; empty if the network takes none. If it takes one, every encoder of
        segmentation-models-pytorch works, and timm's as ``tu-<name>``.
    default_encoder : str or None
        Encoder if none is given; None: the plain network.
    imagenet : bool
        Whether ImageNet weights exist for the network without an encoder.
    module : str
        Its `create_network` builds it from a `models.network.NetworkSpec`.
    """

    name: str
    title: str
    sentence: str
    source: str
    options: tuple[Option, ...] = ()
    encoders: tuple[str, ...] = ()
    default_encoder: str | None = None
    imagenet: bool = False
    module: str = "pixelwise.models.smp"

    @property
    def takes_encoder(self) -> bool:
        """Whether an encoder can be chosen."""
        return bool(self.encoders)

    @property
    def defaults(self) -> dict[str, OptionValue]:
        """Default of each option by name."""
        return {option.name: option.default for option in self.options}

    def parse_options(self, options: Mapping[str, object]) -> dict[str, OptionValue]:
        """Return a value for every option: the given ones, checked, and defaults for the rest.

        Raises
        ------
        ConfigError
            Unknown option, or a value that is not allowed.
        """
        known = {option.name: option for option in self.options}
        if unknown := sorted(set(options) - set(known)):
            listing, other = ", ".join(known) or "none", quote_value(unknown[0])
            raise ConfigError(
                f"{self.title} ({self.name}) has no option {other}. It has: {listing}."
            )
        return self.defaults | {name: known[name].parse(value) for name, value in options.items()}

    def parse_encoder(self, encoder: str | None) -> str | None:
        """Return the encoder to use: the given one, or the default.

        Raises
        ------
        ConfigError
            The architecture takes no encoder.
        """
        if encoder is not None and not self.takes_encoder:
            raise ConfigError(
                f"{self.title} ({self.name}) has its own encoder: leave out encoder={encoder!r} or "
                f"choose one of {', '.join(a.name for a in ARCHITECTURES if a.takes_encoder)}."
            )
        return encoder or self.default_encoder


_ENCODERS = ("mobilenet_v2", "resnet18", "resnet34", "resnet50", "efficientnet-b0")
_DILATABLE = ("mobilenet_v2", "resnet34", "resnet50", "tu-xception41", "tu-xception65")

_BASE_CHANNELS = Option(
    "base_channels", 64, "Channels of the first level, twice as many at each next", low=1, high=1024
)
_DEPTH = Option("depth", 4, "How often the image is halved on the way down", low=1, high=5)

_DROPOUT = Option("dropout", 0.5, "Share of features dropped while training", low=0, high=0.9)
_DECODER_CHANNELS = Option("decoder_channels", 256, "Channels of the decoder", low=8, high=4096)
_HEAD = (_DECODER_CHANNELS, _DROPOUT)
_STRIDES = "Pixels of the image per step of the deepest map: 8 is finer, 16 faster"

ARCHITECTURES: Final = (
    Architecture(
        name="unet",
        module="pixelwise.models.unet",
        title="U-Net",
        sentence="The standard for microscopy: fine detail and context joined by skip connections; "
        "learns from few images, and with an encoder starts from ImageNet weights.",
        source="Ronneberger et al. 2015, arXiv:1505.04597",
        options=(
            _BASE_CHANNELS,
            _DEPTH,
            Option(
                "up",
                "bilinear",
                "How maps are enlarged: interpolated, or by learned transposed convolutions",
                choices=("bilinear", "nearest", "transposed"),
            ),
            Option(
                "order",
                "relu-norm",
                "Order of activation and batch normalisation after a convolution",
                choices=("relu-norm", "norm-relu"),
            ),
            Option("dropout", 0.0, "Share of features dropped while training", low=0, high=0.9),
        ),
        encoders=_ENCODERS,
    ),
    Architecture(
        name="unetplusplus",
        module="pixelwise.models.unetplusplus",
        title="UNet++",
        sentence="A U-Net with dense, nested skip connections; slower than a U-Net, often a little "
        "more exact on objects of varying size.",
        source="Zhou et al. 2018, arXiv:1807.10165",
        options=(
            Option("deep_supervision", False, "Train four heads, one for each nesting depth"),
            Option(
                "head",
                "average",
                "With deep supervision: the head that predicts, or the average of all four",
                choices=("average", "1", "2", "3", "4"),
            ),
        ),
        encoders=("efficientnet-b4", *_ENCODERS),
        default_encoder="efficientnet-b4",
    ),
    Architecture(
        name="segnet",
        module="pixelwise.models.segnet",
        title="SegNet",
        sentence="A VGG16 encoder whose pooling positions steer the decoder: sharp borders at "
        "little memory; good for scenes and tissue with large regions.",
        source="Badrinarayanan et al. 2017, arXiv:1511.00561",
        options=(_BASE_CHANNELS,),
        imagenet=True,
    ),
    Architecture(
        name="deeplabv3",
        title="DeepLabV3",
        sentence="Views the image at several scales at once through dilated convolutions; for "
        "large objects and scenes, coarser at borders.",
        source="Chen et al. 2017, arXiv:1706.05587",
        options=(
            Option("output_stride", 8, _STRIDES, choices=(8, 16)),
            *_HEAD,
        ),
        encoders=_DILATABLE,
        default_encoder="mobilenet_v2",
    ),
    Architecture(
        name="r2unet",
        module="pixelwise.models.r2unet",
        title="R2U-Net",
        sentence="A U-Net that looks at each map several times with the same weights; for thin, "
        "branching structures such as vessels and neurites.",
        source="Alom et al. 2018, arXiv:1802.06955",
        options=(
            Option("t", 2, "How often each recurrent convolution is applied", low=1, high=8),
            Option("norm", "batch", "Normalisation after convolutions", choices=("batch", None)),
            Option("skip", "concat", "How skip connections join", choices=("concat", "add")),
            Option(
                "entry",
                None,
                "Kernel of the convolution that enters a block: none is 1 with concatenated "
                "skips, 3 with added ones",
                choices=(None, 1, 3),
            ),
            _BASE_CHANNELS,
            _DEPTH,
        ),
    ),
    Architecture(
        name="ddunet",
        module="pixelwise.models.ddunet",
        title="DDU-Net",
        sentence="A shallow U-Net with dilated convolutions in its depth: wide context from a "
        "small network.",
        source="Dilated U-Net trained on Cityscapes; dilation after Yu and Koltun 2016, "
        "arXiv:1511.07122",
        options=(
            _BASE_CHANNELS,
            Option("dilation", 3, "Spacing of the kernel's taps in dilated levels", low=1, high=16),
            Option(
                name="dilated_encoder",
                default=(3, 4),
                low=1,
                high=4,
                help="Levels dilated on the way down: 1 is the finest, 4 the deepest",
            ),
            Option(
                name="dilated_decoder",
                default=(3,),
                low=1,
                high=3,
                help="Levels dilated on the way up: 3 is the deepest, 1 the finest",
            ),
        ),
    ),
    Architecture(
        name="deeplabv3plus",
        title="DeepLabV3+",
        sentence="DeepLabV3 with one skip connection that sharpens borders; fast with a small "
        "encoder.",
        source="Chen et al. 2018, arXiv:1802.02611",
        options=(
            Option("output_stride", 16, _STRIDES, choices=(8, 16)),
            *_HEAD,
        ),
        encoders=_DILATABLE,
        default_encoder="mobilenet_v2",
    ),
    Architecture(
        name="fpn",
        title="FPN",
        sentence="Feature pyramid: sums predictions of all scales; light and fast.",
        source="Kirillov et al. 2017, presentation of the COCO stuff task",
        options=(Option("dropout", 0.2, _DROPOUT.help, low=0, high=0.9),),
        encoders=_ENCODERS,
        default_encoder="mobilenet_v2",
    ),
    Architecture(
        name="pspnet",
        title="PSPNet",
        sentence="Pools context over the whole image and its quarters; very fast, coarse.",
        source="Zhao et al. 2017, arXiv:1612.01105",
        options=(Option("dropout", 0.2, _DROPOUT.help, low=0, high=0.9),),
        encoders=_ENCODERS,
        default_encoder="mobilenet_v2",
    ),
    Architecture(
        name="linknet",
        title="LinkNet",
        sentence="A U-Net that adds its skip connections and stays small; for fast prediction.",
        source="Chaurasia and Culurciello 2017, arXiv:1707.03718",
        encoders=_ENCODERS,
        default_encoder="mobilenet_v2",
    ),
    Architecture(
        name="manet",
        title="MA-Net",
        sentence="A U-Net with attention between positions and between channels.",
        source="Fan et al. 2020, doi:10.1109/ACCESS.2020.3025372",
        encoders=_ENCODERS,
        default_encoder="mobilenet_v2",
    ),
    Architecture(
        name="pan",
        title="PAN",
        sentence="Pyramid attention on a dilated encoder; needs images of 128 pixels or more.",
        source="Li et al. 2018, arXiv:1805.10180",
        options=(Option("decoder_channels", 32, _DECODER_CHANNELS.help, low=8, high=4096),),
        encoders=_DILATABLE,
        default_encoder="mobilenet_v2",
    ),
    Architecture(
        name="upernet",
        title="UPerNet",
        sentence="Joins a feature pyramid with pooled context; strong with large encoders.",
        source="Xiao et al. 2018, arXiv:1807.10221",
        options=(_DECODER_CHANNELS,),
        encoders=_ENCODERS,
        default_encoder="mobilenet_v2",
    ),
    Architecture(
        name="segformer",
        title="SegFormer",
        sentence="A plain decoder for transformer encoders (mit_b0 to mit_b5); works with any.",
        source="Xie et al. 2021, arXiv:2105.15203",
        options=(_DECODER_CHANNELS,),
        encoders=("mit_b0", "mit_b2", *_ENCODERS),
        default_encoder="mobilenet_v2",
    ),
    Architecture(
        name="dpt",
        title="DPT",
        sentence="A decoder for plain vision transformers; wants much data and a GPU.",
        source="Ranftl et al. 2021, arXiv:2103.13413",
        options=(_DECODER_CHANNELS,),
        encoders=("tu-vit_tiny_patch16_224", "tu-vit_small_patch16_224", "tu-vit_base_patch16_224"),
        default_encoder="tu-vit_tiny_patch16_224",
    ),
)
"""All architectures, the principal ones first."""

_NAMED: Final = {architecture.name: architecture for architecture in ARCHITECTURES}


def list_architectures() -> tuple[Architecture, ...]:
    """Return all architectures, the six principal ones first."""
    return ARCHITECTURES


def find_architecture(name: str) -> Architecture:
    """Return the architecture of that name.

    Raises
    ------
    UnknownNameError
        There is none; the message lists the names and the nearest ones.
    """
    return _NAMED[require_name("architecture", name, _NAMED)]
