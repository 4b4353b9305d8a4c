"""Data sets: folders of images and masks, recognised, checked, and split by source image."""

from __future__ import annotations

from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.inspection import Inspection, draw_inspection, inspect_dataset
from pixelwise.datasets.loading import load_dataset
from pixelwise.datasets.matching import KnownClasses, match_classes
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.sample import Sample, Split

__all__ = [
    "Dataset",
    "Inspection",
    "KnownClasses",
    "Problem",
    "Sample",
    "Split",
    "draw_inspection",
    "inspect_dataset",
    "load_dataset",
    "match_classes",
]
