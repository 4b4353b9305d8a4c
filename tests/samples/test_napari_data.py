"""The sample in napari's menu opens in a real viewer, through the installed manifest."""

from __future__ import annotations

import numpy as np
import pytest

from pixelwise.samples.napari_data import nuclei

pytestmark = pytest.mark.one_binding


def test_images_and_masks_alternate_and_the_first_pair_is_visible() -> None:
    layers = nuclei()
    assert [kind for _, _, kind in layers] == ["image", "labels"] * 4
    assert [options["visible"] for _, options, _ in layers] == [True] * 2 + [False] * 6


def test_masks_lie_over_their_images() -> None:
    layers = nuclei()
    for (image, shown, _), (mask, over, _) in zip(layers[::2], layers[1::2], strict=True):
        assert over["name"] == f"{shown['name']} mask"
        assert mask.shape == image.shape[:2]
        assert set(np.unique(mask)) == {0, 1}


@pytest.mark.display
def test_napari_opens_and_draws_the_sample(make_napari_viewer) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.open_sample("napari-pixelwise", "nuclei")
    assert len(viewer.layers) == len(nuclei())
    for layer, (data, options, kind) in zip(viewer.layers, nuclei(), strict=True):
        assert (layer.name, layer._type_string) == (options["name"], kind)
        np.testing.assert_array_equal(layer.data, data)
    picture = viewer.screenshot(canvas_only=True, flash=False)
    assert len(np.unique(picture[..., :3].reshape(-1, 3), axis=0)) > 100
