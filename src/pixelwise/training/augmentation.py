"""Random changes to a batch of patches, on its device, the same for image and mask.

Whatever is random comes from one generator; each patch of a batch gets its own values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelwise.classes import VOID
from pixelwise.config import AugmentationConfig
from pixelwise.errors import ConfigError
from pixelwise.training.batch_rng import BatchRng
from pixelwise.training.batches import Batch
from pixelwise.training.transfer import send

# Optical density of haematoxylin, eosin and DAB in RGB: Ruifrok & Johnston 2001.
_STAINS = ((0.650, 0.704, 0.286), (0.072, 0.990, 0.105), (0.268, 0.570, 0.776))


@dataclass(frozen=True)
class Augmentation:
    """Random changes to training patches.

    Attributes
    ----------
    config : AugmentationConfig
    intensity_range : float
        Largest stored intensity, for the stains.
    reason : str
        Why this preset, if the images decided it.
    """

    config: AugmentationConfig
    intensity_range: float
    reason: str = ""

    def describe(self) -> str:
        """Name the preset, and why it was chosen."""
        return f"{self.config.preset} ({self.reason or 'asked for'})"

    def require_channels(self, channels: int) -> None:
        """Refuse a stain jitter for images that are not RGB.

        Raises
        ------
        ConfigError
            `stain` is on and the images do not have 3 channels.
        """
        if self.config.strength("stain") and channels != 3:
            raise ConfigError(
                f"H&E colour jitter (stain) needs RGB images, these have {channels} channels: "
                "use another preset, or stain=0."
            )

    def change(self, batch: Batch, rng: BatchRng) -> tuple[Tensor, Tensor]:
        """Cast, augment and normalise a batch on its device.

        Returns
        -------
        image : float Tensor, (N, C, Y, X)
            Network input.
        mask : uint8 Tensor, (N, Y, X)
        """
        image, mask = self.change_geometry(batch.image.float(), batch.mask, rng)
        image = self.change_stains(image, rng)
        image = self.change_intensities((image - batch.offset) / batch.scale, rng)
        return image.contiguous(memory_format=torch.channels_last), mask

    def change_geometry(self, image: Tensor, mask: Tensor, rng: BatchRng) -> tuple[Tensor, Tensor]:
        """Mirror, rotate and zoom.

        Parameters
        ----------
        image : float Tensor, (N, C, Y, X)
        mask : uint8 Tensor, (N, Y, X)
        rng : BatchRng

        Returns
        -------
        image, mask
            Same shapes; what comes from outside the patch is mirrored, and void in the mask.
        """
        strength = self.config.strength
        if strength("flips"):
            image, mask = flip(image, mask, rng)
        if strength("rotate90"):
            image, mask = rotate90(image, mask, rng)
        if strength("rotate") or strength("scale"):
            matrix = draw_affine(rng, degrees=strength("rotate"), zoom=strength("scale"))
            image, mask = warp(image, mask, matrix)
        return image, mask

    def change_stains(self, image: Tensor, rng: BatchRng) -> Tensor:
        """Vary the stains of RGB images (N, 3, Y, X) of stored intensities."""
        strength = self.config.strength("stain")
        if not strength:
            return image
        return jitter_stains(image / self.intensity_range, strength, rng) * (self.intensity_range)

    def change_intensities(self, image: Tensor, rng: BatchRng) -> Tensor:
        """Vary brightness, contrast, noise and blur of normalised images (N, C, Y, X)."""
        strength = self.config.strength
        if strength("contrast"):
            factor = 1 + send(rng.spread(strength("contrast")), image.device)
            mean = image.mean(dim=(2, 3), keepdim=True)
            image = (image - mean) * factor + mean
        if strength("brightness"):
            image = image + send(rng.spread(strength("brightness")), image.device)
        if strength("blur"):
            sigma = rng.spread(strength("blur")).abs()
            image = blur(image, sigma, largest=strength("blur"))
        if strength("noise"):
            sigma = send(rng.spread(strength("noise")).abs(), image.device)
            image = image + sigma * rng.normal(*image.shape[1:], device=image.device)
        return image


def flip(image: Tensor, mask: Tensor, rng: BatchRng) -> tuple[Tensor, Tensor]:
    """Mirror each patch left-right with probability one half."""
    chosen = send(rng.uniform() < 0.5, image.device)
    return (
        torch.where(chosen[:, None, None, None], image.flip(-1), image),
        torch.where(chosen[:, None, None], mask.flip(-1), mask),
    )


def rotate90(image: Tensor, mask: Tensor, rng: BatchRng) -> tuple[Tensor, Tensor]:
    """Rotate each patch by 0 to 3 quarter turns; by 0 or 2 where patches are not square."""
    square = image.shape[-1] == image.shape[-2]
    turns = rng.integers(4 if square else 2)
    turns = turns if square else turns * 2
    counts = turns.tolist()
    images = [torch.rot90(x, k, (-2, -1)) for x, k in zip(image, counts, strict=True)]
    masks = [torch.rot90(x, k, (-2, -1)) for x, k in zip(mask, counts, strict=True)]
    return torch.stack(images), torch.stack(masks)


def draw_affine(rng: BatchRng, *, degrees: float, zoom: float) -> Tensor:
    """Draw rotations of up to `degrees` and zooms of up to 1 ± `zoom`: (N, 2, 2) matrices."""
    angle = rng.spread(math.radians(degrees)).flatten()
    factor = 1 + rng.spread(zoom).flatten()
    cosine, sine = torch.cos(angle) / factor, torch.sin(angle) / factor
    rows = torch.stack([cosine, -sine]), torch.stack([sine, cosine])
    return torch.stack(rows).permute(2, 0, 1)


def warp(image: Tensor, mask: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Resample patches about their centre: images bilinearly, masks by nearest neighbour.

    Parameters
    ----------
    image : float Tensor, (N, C, Y, X)
    mask : uint8 Tensor, (N, Y, X)
    matrix : Tensor, (N, 2, 2)
        From output to input, in pixels, (x, y) order.
    """
    height, width = image.shape[-2:]
    # affine_grid's coordinates run from -1 to 1 on both axes, whatever the sides' lengths.
    aspect = torch.tensor([[1.0, height / width], [width / height, 1.0]])
    theta = send(F.pad(matrix * aspect, (0, 1)).to(image.dtype), image.device)
    grid = F.affine_grid(theta, list(image.shape), align_corners=False)
    warped = F.grid_sample(
        image, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    # Shifted by one, to tell the zeros from outside apart from class 0.
    shifted = F.grid_sample(
        mask[:, None].to(image.dtype) + 1, grid, mode="nearest", align_corners=False
    )
    labels = torch.where(shifted == 0, VOID, shifted - 1)[:, 0]
    return warped, labels.to(mask.dtype)


def blur(image: Tensor, sigma: Tensor, *, largest: float) -> Tensor:
    """Gaussian blur with one sigma (N, 1, 1, 1), in pixels, per image (N, C, Y, X).

    `largest` is what sigma can be at most. It alone decides how far the kernel reaches, so that an
    image is blurred the same whichever others are beside it.
    """
    radius = min(math.ceil(3 * largest), min(image.shape[-2:]) - 1)
    offsets = torch.arange(-radius, radius + 1)
    kernel = torch.exp(-0.5 * (offsets / sigma.reshape(-1, 1).clamp_min(1e-3)) ** 2)
    kernel = send((kernel / kernel.sum(dim=1, keepdim=True)).to(image.dtype), image.device)
    count, channels, height, width = image.shape
    kernel = kernel.repeat_interleave(channels, 0)[:, None]
    planes = image.reshape(1, count * channels, height, width)
    planes = F.pad(planes, [radius] * 4, mode="reflect")
    planes = F.conv2d(planes, kernel[..., None], groups=count * channels)
    planes = F.conv2d(planes, kernel[:, :, None], groups=count * channels)
    return planes.reshape(image.shape)


def jitter_stains(image: Tensor, strength: float, rng: BatchRng) -> Tensor:
    """Change the amount of each stain of H&E images (Tellez et al. 2018).

    Parameters
    ----------
    image : Tensor, (N, 3, Y, X)
        RGB of 0 to 1.
    strength : float
        Each stain is multiplied by up to 1 ± strength, and shifted by up to a tenth of it.
    rng : BatchRng
    """
    stains = F.normalize(torch.tensor(_STAINS), dim=1)
    factor = 1 + (rng.uniform(3) * 2 - 1) * strength
    shift = (rng.uniform(3) * 2 - 1) * strength / 10
    # density' = ((density @ S^-1) * factor + shift) @ S, as one matrix and one vector per image
    matrix = torch.linalg.inv(stains) @ (factor[:, :, None] * stains)
    constant = send((shift @ stains)[:, :, None, None].to(image.dtype), image.device)
    density = -torch.log(image.clamp_min(1 / 256))
    mixed = torch.einsum("ncyx,ncd->ndyx", density, send(matrix.to(image.dtype), image.device))
    return torch.exp(-(mixed + constant)).clamp(0, 1)
