"""Data sets: folders of images and masks, recognised, checked, and split by source image."""

from __future__ import annotations

from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.loading import load_dataset
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.sample import Sample

__all__ = ["Dataset", "Problem", "Sample", "load_dataset"]
