"""From a config to all that a training run needs: data, network, loss, card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pixelwise.architectures import find_architecture
from pixelwise.cards import Card, TrainingSummary, read_card
from pixelwise.classes import MaskValues
from pixelwise.config import CPU_PATCH, FULL_PATCH, TRAINED_PATCH, PatchConfig, TrainConfig
from pixelwise.datasets import Dataset, Sample, load_dataset
from pixelwise.datasets.corrections import load_corrections
from pixelwise.datasets.holdout import describe_part
from pixelwise.errors import ConfigError, DataError
from pixelwise.models.devices import Compute
from pixelwise.models.files import load_weights
from pixelwise.models.network import SegmentationNetwork, freeze_encoder
from pixelwise.models.registry import create_model
from pixelwise.normalization import Normalization
from pixelwise.patches import fit_windows, require_all_fit
from pixelwise.patches.dataset import PatchDataset
from pixelwise.patches.decoded_images import (
    MEMORY_SHARE,
    DecodedImage,
    fit_memory,
    read_decoded_images,
)
from pixelwise.training.augmentation import Augmentation
from pixelwise.training.augmentation_choice import choose_augmentation
from pixelwise.training.batches import BatchReader
from pixelwise.training.compute import choose_training_compute
from pixelwise.training.corrected import hide_validated, leave_out_corrected
from pixelwise.training.data_checks import (
    count_class_pixels,
    list_names,
    require_foreground,
    require_patches,
    require_validation_foreground,
)
from pixelwise.training.distributed import count_processes
from pixelwise.training.fingerprint import create_fingerprint
from pixelwise.training.losses import Loss, create_loss
from pixelwise.training.normalization_stats import (
    create_normalization,
    find_dtype,
    find_extent,
    find_range,
    require_one_dtype,
)


@dataclass(frozen=True)
class Setup:
    """Everything a training run works with, made once from its config.

    Attributes
    ----------
    config : TrainConfig
    compute : Compute
    train, validation : BatchReader
    train_images, validation_images : int
        Source images of each.
    network : SegmentationNetwork
        On the CPU, with its first weights.
    loss : Loss
    augmentation : Augmentation
    card : Card
        Of the model to be; without scores.
    understood : str
        How the data set was read: layout, axes, masks.
    notes : tuple of str
        Problems of the data set that do not prevent training.
    fingerprint : dict of str to str
        Checksums by name, to recognise the same images, masks, split and classes.
    """

    config: TrainConfig
    compute: Compute
    train: BatchReader
    validation: BatchReader
    train_images: int
    validation_images: int
    network: SegmentationNetwork
    loss: Loss
    augmentation: Augmentation
    card: Card
    understood: str
    notes: tuple[str, ...]
    fingerprint: dict[str, str]


def prepare(
    config: TrainConfig,
    *,
    kept: Normalization | None = None,
    patch_size: tuple[int, int] | None = None,
) -> Setup:
    """Read the data and make the network; what cannot work is refused here, before any step.

    A run that is resumed has `kept` its normalisation and `patch_size`. Its network gets random
    weights, which those of a checkpoint replace: the file that its first ones came from is not
    needed.
    """
    compute = choose_training_compute(config)
    data = load_dataset(config.data)
    train, validation = data.split_by(config.data)
    corrections = load_corrections(config.data, data)
    learned = [*train.samples, *corrections]
    folder = _find_folder(config, [*learned, *validation.samples])
    images = read_decoded_images(learned, folder=folder)
    count = len(images) - _count(corrections)
    images[count:] = hide_validated(images[count:], validation.samples)
    require_foreground(images)
    is_cut = data.layout == "patches"
    normalization = kept or create_normalization(config, images, is_cut=is_cut)
    has_stains = config.augmentation.preset == "auto" or config.augmentation.strength("stain")
    white = find_range(images) if has_stains and data.in_channels == 3 else 1.0  # a look at all
    chosen, reason = choose_augmentation(
        config.augmentation, images, layout=data.layout, white=white
    )
    augmentation = Augmentation(chosen, white, reason)
    augmentation.require_channels(data.in_channels)
    held_out = read_decoded_images(validation.samples, folder=folder)
    held_out, seen = leave_out_corrected(held_out, images[count:])
    every = [*images, *held_out]
    is_quick = compute.device.type != "cpu" or kept is not None  # older runs had them everywhere
    largest = patch_size or (FULL_PATCH if is_quick else CPU_PATCH)
    patches = _create_windows(config, data, images, largest=largest)
    card = _create_card(config, data, images, normalization=normalization, size=patches.size_px)
    if normalization.kind == "fixed":
        require_one_dtype(every, by=normalization.source)
    require_validation_foreground(config, data, held_out)
    dataset = PatchDataset(
        images, patches, normalization, background=data.background, skip_void=True
    )
    require_patches(dataset, patches)
    train_images = len({sample.group for sample in learned})
    trained_on = TrainingSummary(
        data=data.root.name, images=train_images, patches=len(dataset), epochs=0
    )
    return Setup(
        config=config,
        compute=compute,
        train=BatchReader(dataset, corrected=dataset.count_from(count)),
        validation=BatchReader(create_validation_set(held_out, patches, normalization)),
        train_images=train_images,
        validation_images=len({sample.group for sample in validation.samples}),
        network=create_network(config, card, first_weights=kept is None),
        loss=create_loss(config.training.loss, create_class_weights(config, images, data)),
        augmentation=augmentation,
        card=card.model_copy(update={"training": trained_on}),
        understood=f"{data.layout} ({data.reason}); {data.samples[0].header.axes}; {data.mapping}",
        notes=(
            *map(str, data.problems),
            *_describe_held_out(validation),
            *seen,
            *_describe_size(config, data, patches.size_px, largest=largest),
            *_describe_mapping(folder),
        ),
        fingerprint=create_fingerprint(data, training=images, validation=held_out),
    )


def _find_folder(config: TrainConfig, samples: Sequence[Sample]) -> Path | None:
    """Where to keep decoded images: the disk of the run, if they do not fit the memory.

    Not the system's folder for temporary files, which often is memory.
    """
    size, machines = count_processes()
    if fit_memory(samples, sharing=size // machines):
        return None
    # not the run's own folder, which must be empty at the start
    return next(folder for folder in config.run.absolute().parents if folder.is_dir())


def _count(samples: Sequence[Sample]) -> int:
    """Planes of some samples."""
    return sum(sample.shape[0] for sample in samples)


def _create_windows(
    config: TrainConfig,
    data: Dataset,
    images: Sequence[DecodedImage],
    *,
    largest: tuple[int, int],
) -> PatchConfig:
    """Settle the size of the patches: that of a patch folder, else what the config says."""
    if data.layout == "patches":
        return config.patches.model_copy(update={"size": images[0].mask.shape})
    shapes = [(decoded.name, decoded.mask.shape) for decoded in images]
    patches = fit_windows(config.patches, [shape for _, shape in shapes], largest=largest)
    require_all_fit(shapes, patches.size_px, least=TRAINED_PATCH)
    return patches


def _describe_held_out(validation: Dataset) -> tuple[str, ...]:
    """Say that a part of the only image is validated on."""
    return tuple(
        f"{sample.name} is the only image: its {part} are held out from training, and the scores "
        "are measured on them."
        for sample in validation.samples
        if (part := describe_part(sample))
    )


def _describe_size(
    config: TrainConfig, data: Dataset, size: tuple[int, int], *, largest: tuple[int, int]
) -> tuple[str, ...]:
    """Say that patches have another size than is asked for, or than is usual."""
    asked, is_cut = config.patches.size, data.layout == "patches"
    if asked == size or (asked == "auto" and (is_cut or size == largest)):
        return ()
    if asked == "auto":
        note = f"Patches have {size[0]} x {size[1]} px: more does not fit into the smallest image."
        return (note,)
    note = (
        f"The patches are {size[0]} x {size[1]} px, as they were cut: a size of {asked[0]} x "
        f"{asked[1]} px, which is asked for, needs new ones, by 'pixelwise patches … --size'."
    )
    return (note,)


def _describe_mapping(folder: Path | None) -> tuple[str, ...]:
    """Say that images are not in memory."""
    if folder is None:
        return ()
    note = (
        f"The decoded images would take more than {MEMORY_SHARE:.0%} of the free memory: they are "
        f"read from a file on the disk of {folder}, which is slower."
    )
    return (note,)


def create_validation_set(
    images: Sequence[DecodedImage], patches: PatchConfig, normalization: Normalization
) -> PatchDataset:
    """Patches that show every annotated pixel of the validation images once.

    They are smaller than those of the training where a validation image is.

    Raises
    ------
    DataError
        There is none: no epoch could be scored.
    """
    shapes = [(decoded.name, decoded.mask.shape) for decoded in images]
    sizes = [patches.size_px, *(shape for _, shape in shapes)]
    height, width = (min(sides) for sides in zip(*sizes, strict=True))
    if min(height, width) < TRAINED_PATCH:
        require_all_fit(shapes, patches.size_px, least=TRAINED_PATCH)
    whole = PatchConfig(size=(height, width), edge="cover")
    dataset = PatchDataset(images, whole, normalization, skip_void=True, once=True)
    if not len(dataset):
        raise DataError(
            f"The masks of the validation images ({list_names(images)}) hold no annotated "
            "pixel; expected some, to score the epochs by. Annotate these images, name others with "
            "--validation, or draw others with --split-seed."
        )
    return dataset


def create_network(
    config: TrainConfig, card: Card, *, first_weights: bool = True
) -> SegmentationNetwork:
    """Make the network with its first weights, the same for the same seed."""
    torch.manual_seed(config.training.seed)
    model = config.model
    network = create_model(
        model.name,
        card.in_channels,
        classes=len(card.classes),
        encoder=model.encoder,
        pretrained=first_weights and (model.weights or model.pretrained),
        **model.options,
    )
    if first_weights and model.start_from is not None:
        _require_same_network(card, read_card(model.start_from), str(model.start_from))
        load_weights(network, model.start_from)
    if model.freeze_encoder:
        freeze_encoder(network)
    return network


def create_class_weights(
    config: TrainConfig, images: Sequence[DecodedImage], data: Dataset
) -> torch.Tensor | None:
    """Weight of each class in the loss: none, inverse to its pixels ("balanced"), or as given."""
    wanted, classes = config.training.class_weights, len(data.classes)
    if wanted == "none":
        return None
    if wanted == "balanced":
        pixels = torch.as_tensor(count_class_pixels(images))[:classes]
        return torch.where(pixels > 0, pixels.sum() / (classes * pixels.clamp_min(1)), 0.0)
    if len(wanted) != classes:
        raise ConfigError(
            f"class_weights holds {len(wanted)} numbers, but there are {classes} classes: "
            f"{', '.join(item.name for item in data.classes)}."
        )
    return torch.tensor(wanted)


def _create_card(
    config: TrainConfig,
    data: Dataset,
    images: Sequence[DecodedImage],
    *,
    normalization: Normalization,
    size: tuple[int, int],
) -> Card:
    """Card of the model to be; `size` is that of its patches."""
    model = config.model
    architecture = find_architecture(model.name)
    return Card(
        architecture=model.name,
        encoder=architecture.parse_encoder(model.encoder),
        options=architecture.parse_options(model.options),
        in_channels=data.in_channels,
        classes=data.classes,
        normalization=normalization,
        axes="YX" if data.in_channels == 1 else "CYX",
        dtype=str(find_dtype(images)),
        background=data.background,
        resize=config.data.resize,
        patch_size=size,
        intensities=find_extent(images) if normalization.kind == "fixed" else None,
        mask_values=_find_mask_values(config, data),
    )


def _find_mask_values(config: TrainConfig, data: Dataset) -> MaskValues | None:
    """Say what mask values stand for, where the user or the masks do.

    A layout has values of its own, which other folders with these classes need not share.
    """
    if data.layout == "patches" or (data.seen is None and config.data.classes == "auto"):
        return None
    return data.samples[0].class_map.to_values()


def _require_same_network(new: Card, old: Card, path: str) -> None:
    """Refuse to start from the model of another network."""
    for field in ("architecture", "encoder", "options", "in_channels"):
        wanted, found = getattr(new, field), getattr(old, field)
        if wanted != found:
            raise ConfigError(
                f"{path} has {field} {found!r}, the new model {wanted!r}: expected the same."
            )
    if len(new.classes) != len(old.classes):
        raise ConfigError(
            f"{path} has {len(old.classes)} classes, the data {len(new.classes)}: expected as many."
        )
