"""What `predict` writes, opened again by tifffile, zarr, OME-Zarr's models and a napari window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from ome_zarr_models.v05 import Image, ImageLabel

from pixelwise.errors import ConfigError
from pixelwise.images import write_tiff

pytestmark = [pytest.mark.display, pytest.mark.one_binding]

KINDS: dict[str, dict[str, Any]] = {
    "labels": {},
    "instances": {"instances": True},
    "float16": {"probabilities": True, "probability_dtype": "float16"},
    "uint8": {"probabilities": True, "probability_dtype": "uint8"},
}


CASES = [
    *(("out.tif", kind) for kind in ("labels", "float16")),
    *(("out.ome.tif", kind) for kind in ("instances", "float16")),
    *(("out.zarr", kind) for kind in KINDS),
]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_output_opens_everywhere(
    tmp_path: Path, make_napari_viewer: Any, write_model: Any, name: str, kind: str
) -> None:
    from pixelwise.prediction.predict import predict

    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(0, 255, (2, 40, 50)), np.ones((1, 16, 16))).astype(np.uint8)
    write_tiff(tmp_path / "a.ome.tif", image, axes="ZYX", pixel_size_um=(0.25, 0.5))
    model, options = write_model(), {"device": "cpu", "tile": 256, **KINDS[kind]}
    if (name, kind) == ("out.ome.tif", "float16"):
        with pytest.raises(ConfigError, match="OME-TIFF has no float16"):
            predict(model, tmp_path / "a.ome.tif", out=tmp_path / name, **options)
        return
    expected = predict(model, image, axes="ZYX", **options)  # probabilities: Z, C, Y, X
    out = predict(model, tmp_path / "a.ome.tif", out=tmp_path / name, **options)
    has_channels = expected.ndim == 4
    if has_channels:
        expected = expected.transpose(1, 0, 2, 3)
        assert expected.dtype == kind
    viewer = make_napari_viewer(show=True)
    if name.endswith(".tif"):
        np.testing.assert_array_equal(tifffile.imread(out), expected)
        [layer] = viewer.open(str(out), plugin="napari")
        np.testing.assert_array_equal(layer.data, expected)
    else:
        group = zarr.open_group(out, mode="r")
        np.testing.assert_array_equal(group["0"][:], expected)
        (Image if has_channels else ImageLabel).from_zarr(group)
        layers = viewer.open(str(out), plugin="napari")  # one, or one per channel
        data = np.asarray(layers[0].data[0])
        np.testing.assert_array_equal(data, expected)
        if not has_channels:
            viewer.layers.clear()
            [layer] = viewer.open(str(out), plugin="napari-pixelwise")
            assert layer._type_string == "labels"
            np.testing.assert_allclose(layer.scale[-2:], (0.25, 0.5))
    picture = viewer.screenshot(canvas_only=False, flash=False)
    assert picture.std() > 0
