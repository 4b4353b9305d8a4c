from __future__ import annotations

import numpy as np
import pytest

from pixelwise.errors import DataError
from pixelwise.images import ImageContent


def test_axes_are_stored_in_one_order() -> None:
    content = ImageContent("CZTYX", (2, 3, 4, 50, 60), np.dtype(np.float32))
    assert content.stored_axes == "TCZYX"
    assert content.stored_shape == (4, 2, 3, 50, 60)
    assert (content.planes, content.height) == (12, 50)


def test_labels_are_unsigned_and_axes_fit() -> None:
    with pytest.raises(DataError, match="unsigned integers, got int32"):
        ImageContent("YX", (5, 6), np.dtype(np.int32))
    with pytest.raises(DataError, match="2 dimensions, but the image has 3"):
        ImageContent("YX", (5, 6, 7), np.dtype(np.uint8))
