"""The starter model: a small U-Net for nuclei that predicts without any training, see README.md."""

from __future__ import annotations

from pathlib import Path
from typing import Final

STARTER: Final = "starter"
"""What the command line calls it, in place of a model file."""


def starter_path() -> Path:
    """File of the starter model."""
    return Path(__file__).with_name("nuclei.safetensors")
