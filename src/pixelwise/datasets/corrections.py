"""Corrected images that are trained on beside a data set, with its classes."""

from __future__ import annotations

from dataclasses import replace

from pixelwise.config import DataConfig
from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.loading import load_dataset
from pixelwise.datasets.sample import Sample
from pixelwise.errors import DataError


def load_corrections(config: DataConfig, data: Dataset) -> tuple[Sample, ...]:
    """Load the corrected images of a config; none if it names no folder.

    Value 0 of their masks is not annotated, and value i + 1 is class i of the data set.

    Parameters
    ----------
    config : DataConfig
    data : Dataset
        What `config` describes without the corrections.

    Raises
    ------
    ReadError, DataError
        As in `load_dataset`; or the corrected images have other channels than those of the data.
    """
    if config.corrections is None:
        return ()
    asked = DataConfig.create(
        path=config.corrections,
        layout="pairs",
        images="images",
        masks="masks",
        classes={str(number): item.name for number, item in enumerate(data.classes, start=1)},
        sparse=True,
        resize=config.resize,
    )
    found = load_dataset(asked)
    if found.in_channels not in (1, data.in_channels):
        raise DataError(
            f"The corrected images in {config.corrections} have {found.in_channels} channels, "
            f"those in {data.root} have {data.in_channels}: expected as many."
        )
    return tuple(
        replace(
            sample,
            name=f"{sample.name} (corrected)",
            group=f"{sample.group} (corrected)",
            split="train",
            channels=data.in_channels,
        )
        for sample in found.samples
    )
