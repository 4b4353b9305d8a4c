"""Improve a model: train it on with corrections, gently, while it keeps seeing its older data."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pixelwise.cards import Card, read_card
from pixelwise.config import DataConfig, ModelConfig, PatchConfig, TrainConfig, TrainingConfig
from pixelwise.errors import ConfigError, PixelwiseError
from pixelwise.runs import RunFolder

RATE_SHARE: Final = 0.03
"""Share of the learning rate that the model was trained with; a tenth has destroyed models."""
EPOCHS: Final = 5
EPOCH_STEPS: Final = 10
MOST_LOST: Final = 0.05
"""Score that an improved model may lose: with few validation images it jumps as much."""
FORGETS: Final = (
    "The data that the model was trained on are not there any more: it learns from the corrections "
    "alone, and may forget the rest."
)


def create_improvement(model: Path, *, corrections: Path, run: Path) -> TrainConfig:
    """Create the config of a training that improves a model.

    The data that the model was trained on stay in every batch, beside the corrections, if the run
    that wrote the model is there and they are too. Otherwise the corrections are all the data.

    Parameters
    ----------
    model : Path
        Model file to start from.
    corrections : Path
        Folder of corrected images, see `DataConfig.corrections`.
    run : Path
        Folder of the new run.

    Raises
    ------
    ReadError, ModelFileError
        The model file is missing or damaged.
    ConfigError
        It joins several models.
    """
    card, before = read_card(model), find_config(model)
    if card.is_ensemble:
        raise ConfigError(
            f"{model} joins several models, which cannot be trained on together: improve the model "
            "of one run instead."
        )
    has_data = before is not None and has_older_data(model)
    old = None if before is None else before.training
    return TrainConfig.create(
        data=before.data.model_copy(update={"corrections": corrections})
        if before is not None and has_data
        else _describe_corrections(corrections, card),
        run=run,
        patches=PatchConfig(size=card.patch_size) if before is None else before.patches,
        model=ModelConfig.create(
            name=card.architecture,
            encoder=card.encoder,
            options=card.options,
            start_from=model,
            freeze_encoder=before is not None and before.model.freeze_encoder,
        ),
        **({} if before is None else {"augmentation": before.augmentation}),
        training=_soften(old or TrainingConfig()),
    )


def find_config(model: Path) -> TrainConfig | None:
    """Find the config of the run that wrote a model; None if it is not there, or damaged."""
    for folder in (model.parent, model.parent.parent):  # kept models lie in its checkpoints
        run = RunFolder(folder)
        if run.config.is_file() and model in (run.model, run.checkpoints / model.name):
            try:
                return run.read_config()
            except (PixelwiseError, OSError):
                return None
    return None


def has_older_data(model: Path) -> bool:
    """Whether the data that a model was trained on are known, and still there."""
    config = find_config(model)
    if config is None:
        return False
    folders = [config.data.path, config.data.validation, config.data.test]
    return all(folder.exists() for folder in folders if folder is not None)


def _describe_corrections(folder: Path, card: Card) -> DataConfig:
    """Config that reads corrections as a data set of their own."""
    return DataConfig.create(
        path=folder,
        layout="pairs",
        images="images",
        masks="masks",
        classes={str(number): name for number, name in enumerate(card.class_names, start=1)},
        sparse=True,
        resize=card.resize,
    )


def _soften(training: TrainingConfig) -> TrainingConfig:
    """Take a small share of the learning rate, with a warm-up, for a few steps."""
    rate = training.learning_rate * RATE_SHARE
    return TrainingConfig.create(
        **training.model_dump()
        | {
            "epochs": EPOCHS,
            "minutes": None,
            "epoch_steps": EPOCH_STEPS,
            "learning_rate": rate,
            "min_learning_rate": min(training.min_learning_rate, rate),
            "schedule": "cosine",
            "warmup_epochs": 1.0,
            "monitor": "last",
            "patience": None,
            "keep_every": None,
            "keep_start": MOST_LOST,
            "normalization": "auto",
        }
    )
