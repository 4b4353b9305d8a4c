"""The sample in napari's menu opens in a real viewer, through the installed manifest."""

from __future__ import annotations

import numpy as np
import pytest

from pixelwise.samples import load_samples
from pixelwise.samples.napari_data import nuclei


def test_each_sample_is_an_image_and_its_mask() -> None:
    layers = nuclei()
    assert [kind for _, _, kind in layers] == ["image", "labels"] * len(load_samples())
    assert [options["visible"] for _, options, _ in layers[:4]] == [True, True, False, False]


@pytest.mark.display
def test_napari_opens_the_sample(make_napari_viewer) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.open_sample("napari-pixelwise", "nuclei")
    first = load_samples()[0]
    image, mask = viewer.layers[first.name], viewer.layers[f"{first.name} mask"]
    assert (image._type_string, mask._type_string) == ("image", "labels")
    assert image.rgb
    np.testing.assert_array_equal(image.data, first.image)
    np.testing.assert_array_equal(mask.data, first.mask)
    assert len(viewer.layers) == 2 * len(load_samples())


@pytest.mark.display
def test_the_first_sample_is_drawn(make_napari_viewer) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.open_sample("napari-pixelwise", "nuclei")
    picture = viewer.screenshot(canvas_only=True, flash=False)
    assert len(np.unique(picture[..., :3].reshape(-1, 3), axis=0)) > 10
