from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from pixelwise.classes import VOID
from pixelwise.datasets import load_dataset
from pixelwise.patches.decoded_images import DecodedImage, read_decoded_images
from pixelwise.training.corrected import hide_validated, leave_out_corrected
from tests.training.conftest import write_discs

RNG = np.random.default_rng(2)


def draw(name: str) -> DecodedImage:
    image = RNG.integers(0, 255, (1, 8, 9)).astype(np.uint8)
    return DecodedImage(name, image, np.zeros((8, 9), np.uint8))


def test_a_corrected_image_is_not_validated_on() -> None:
    one, two = draw("one"), draw("two")
    corrected = replace(one, name="one (corrected)", mask=one.mask + 1)
    kept, notes = leave_out_corrected([one, two], [corrected])
    assert [decoded.name for decoded in kept] == ["two"]
    assert notes == ("1 of the validation images were corrected: they are not scored.",)
    assert leave_out_corrected([one, two], []) == ([one, two], ())
    assert leave_out_corrected([two], [corrected]) == ([two], ())
    untouched = replace(corrected, mask=np.full((8, 9), VOID, np.uint8))
    assert leave_out_corrected([one], [untouched]) == ([one], ()), "nothing was corrected on it"


def test_corrected_images_are_validated_on_where_there_are_no_others() -> None:
    one = draw("one")
    kept, (note,) = leave_out_corrected([one], [one])
    assert kept == [one]
    assert "All validation images were corrected" in note


def test_corrections_inside_of_a_validated_part_are_not_trained_on(tmp_path: Path) -> None:
    data = load_dataset(write_discs(tmp_path / "data", images=1))
    _, validation = data.split(0.3)
    (sample,) = validation.samples
    assert sample.part is not None
    (whole,) = read_decoded_images([replace(sample, part=None)])
    corrected = replace(whole, mask=np.ones_like(whole.mask))
    other = draw("other")
    hidden, kept = hide_validated([corrected, other], validation.samples)
    assert kept is other
    assert (sample.part.cut(hidden.mask[None]) == VOID).all()
    assert (hidden.mask == VOID).sum() == sample.part.cut(hidden.mask[None]).size
