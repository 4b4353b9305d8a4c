from __future__ import annotations

from dataclasses import replace

import numpy as np

from pixelwise.patches.decoded_images import DecodedImage
from pixelwise.training.fingerprint import leave_out_corrected

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


def test_corrected_images_are_validated_on_where_there_are_no_others() -> None:
    one = draw("one")
    kept, (note,) = leave_out_corrected([one], [one])
    assert kept == [one]
    assert "All validation images were corrected" in note
