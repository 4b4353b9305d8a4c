"""Corrected images, which are trained on, apart from those that a model is validated on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pixelwise.classes import VOID
from pixelwise.datasets import Sample
from pixelwise.patches.decoded_images import DecodedImage, read_decoded_images
from pixelwise.training.fingerprint import check_pixels


def hide_validated(
    corrected: Sequence[DecodedImage], validation: Sequence[Sample]
) -> list[DecodedImage]:
    """Take away the corrections inside of those parts of an image that are validated on.

    Parameters
    ----------
    corrected : sequence of DecodedImage
    validation : sequence of Sample
        Whole images change nothing, see `leave_out_corrected`.
    """
    hidden = list(corrected)
    for sample in validation if corrected else ():
        if sample.part is None:
            continue
        rows, columns = (slice(*ends) for ends in sample.part.ranges[1:])
        planes = read_decoded_images([replace(sample, part=None)])[slice(*sample.part.planes)]
        checks = {check_pixels(plane.image) for plane in planes}
        for number, decoded in enumerate(hidden):
            if check_pixels(decoded.image) in checks:
                mask = decoded.mask.copy()
                mask[rows, columns] = VOID
                hidden[number] = replace(decoded, mask=mask)
    return hidden


def leave_out_corrected(
    held_out: Sequence[DecodedImage], corrected: Sequence[DecodedImage]
) -> tuple[list[DecodedImage], tuple[str, ...]]:
    """Leave corrected images, which are trained on, out of the validation, unless none is left."""
    learned = {check_pixels(d.image) for d in corrected if (d.mask != VOID).any()}
    kept = [d for d in held_out if not learned or check_pixels(d.image) not in learned]
    if kept and len(kept) < len(held_out):
        count = len(held_out) - len(kept)
        return kept, (f"{count} of the validation images were corrected: they are not scored.",)
    if kept:
        return kept, ()
    note = (
        "All validation images were corrected, and are trained on: the scores are better than "
        "they would be on other images. Add validation images to judge the model by."
    )
    return list(held_out), (note,)
