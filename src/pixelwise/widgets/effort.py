"""How much work a training run is: a choice of three that fills several fields at once."""

from __future__ import annotations

import platform
import shutil
import sys
from dataclasses import dataclass
from typing import Any, Final

from pixelwise.config import TRAINED_PATCH, ModelConfig

OWN: Final = "own settings"


@dataclass(frozen=True)
class Effort:
    """Network, patches and length of a training run.

    Attributes
    ----------
    model : ModelConfig
    patch : int
        Side of the patches in pixels, where the images are as large.
    learning_rate : float
    steps : int
        Steps in all; the epochs follow from the pixels to learn from.
    epochs : int
        Epochs where the pixels are not known, as of a folder.
    """

    model: ModelConfig
    patch: int
    learning_rate: float
    steps: int
    epochs: int

    def fields(self, pixels: int | None, *, batch_size: int, side: int | None) -> dict[str, Any]:
        """Give the fields for images of so many pixels, None if they are not known.

        `side` is the shortest side of the images, if it is known: larger patches do not fit.
        A validation on a part of a few patches is soon perfect: the newest epoch is kept.
        """
        fitting = self.patch if side is None else min(self.patch, side // 16 * 16)
        size = fitting if fitting >= TRAINED_PATCH else "auto"  # which says what is wrong
        fields = {"size": size, "learning_rate": self.learning_rate, "epochs": self.epochs}
        if not pixels:
            return fields | _MANY
        steps = max(pixels / (self.patch**2 * batch_size), 1)
        if steps >= _SHORTEST_EPOCH:
            return fields | _MANY | {"epochs": max(round(self.steps / steps), _FEWEST_EPOCHS)}
        few = {
            "epochs": self.steps // _SHORTEST_EPOCH,
            "epoch_steps": _SHORTEST_EPOCH,
            "monitor": "last",
        }
        return fields | _MANY | few


def has_gpu() -> bool:
    """Guess, without torch, whether there is a GPU to train on."""
    is_apple = sys.platform == "darwin" and platform.machine() == "arm64"
    return is_apple or shutil.which("nvidia-smi") is not None


_FEWEST_EPOCHS = 5
_SHORTEST_EPOCH = 20  # steps
_MANY = {"epoch_steps": "auto", "monitor": "dice"}
_SMALL = ModelConfig.create(name="unet", options={"base_channels": 12, "up": "transposed"})
_ENCODER = ModelConfig.create(name="unet", encoder="mobilenet_v2")
EFFORTS: Final = {
    "quick": Effort(_SMALL, 128, learning_rate=3e-3, steps=200, epochs=20),
    "balanced": Effort(_ENCODER, 256, learning_rate=1e-3, steps=1500, epochs=60),
    "thorough": Effort(ModelConfig(), 256, learning_rate=1e-3, steps=4000, epochs=100),
}
"""Small U-Net of the demo; U-Net with an encoder; plain U-Net, which wants a GPU."""
TIP: Final = (
    "quick: a small U-Net, for a computer without a GPU; balanced: a U-Net with the encoder "
    "mobilenet_v2; thorough: the full U-Net, for a GPU. The fields below show what that means, and "
    "changing one of them makes it 'own settings'."
)
