from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.config import PredictConfig
from pixelwise.models.devices import choose_compute
from pixelwise.models.files import Model
from pixelwise.prediction.geometry import blend_window
from pixelwise.prediction.sliding_window import TilePredictor
from tests.prediction.conftest import create_stack


def predict(model: Model, image: np.ndarray, **settings: Any) -> np.ndarray:
    config = PredictConfig.create(device="cpu", **settings)
    tiles = TilePredictor(model, config, choose_compute("cpu"))
    strips = list(tiles.iter_strips(image))
    starts = np.cumsum([0, *(strip.values.shape[1] for strip in strips)])
    assert [strip.y for strip in strips] == starts[:-1].tolist()
    return torch.cat([strip.values for strip in strips], dim=1).numpy()


def whole(model: Model, image: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return model.network(torch.from_numpy(image)[None]).softmax(dim=1)[0].numpy()


def noise(height: int, width: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(channels, height, width)).astype(np.float32)


@pytest.mark.parametrize("shape", [(64, 64), (150, 201), (65, 300)], ids=str)
@pytest.mark.parametrize("layers", [1, 4], ids=["field 3", "field 9"])
def test_tiled_equals_whole_where_the_field_fits_in_the_overlap(
    shape: tuple[int, int], layers: int
) -> None:
    model, image = create_stack(layers), noise(*shape)
    tiled = predict(model, image, tile=48, overlap=0.34)  # 16 px: 4 lack context on each side
    np.testing.assert_allclose(tiled, whole(model, image), atol=1e-5)


def test_tiled_differs_where_the_field_does_not_fit() -> None:
    model, image = create_stack(10), noise(150, 150)
    tiled = predict(model, image, tile=48, overlap=0.1)
    assert np.abs(tiled - whole(model, image)).max() > 1e-3


@settings(max_examples=25)
@given(
    height=st.integers(1, 140),
    width=st.integers(1, 140),
    overlap=st.floats(0, 0.9),
    window=st.sampled_from(["hann", "gaussian", "flat"]),
    batch_size=st.sampled_from([1, 3, 8]),
)
def test_any_size_gives_probabilities_of_that_size(
    height: int, width: int, overlap: float, window: str, batch_size: int
) -> None:
    model, image = create_stack(2), noise(height, width)
    options = {"tile": 40, "overlap": overlap, "window": window}
    result = predict(model, image, batch_size=batch_size, **options)
    assert result.shape == (3, height, width)
    np.testing.assert_allclose(result.sum(axis=0), 1, atol=1e-4)
    np.testing.assert_allclose(result, predict(model, image, batch_size=2, **options), atol=1e-5)


@pytest.mark.parametrize(
    ("window", "overlap"),
    [("flat", 0.25), ("flat", 0.625), ("gaussian", 0.25), ("gaussian", 0.75)],
)
def test_agrees_with_monai(window: str, overlap: float) -> None:
    from monai.inferers import sliding_window_inference  # its import takes seconds

    model, image = create_stack(8), noise(160, 192)
    weights = torch.from_numpy(blend_window(64, 16, window))
    with torch.inference_mode():
        expected = sliding_window_inference(
            torch.from_numpy(image)[None],
            (64, 64),
            sw_batch_size=4,
            predictor=lambda tiles: model.network(tiles).softmax(dim=1),
            overlap=overlap,
            roi_weight_map=weights[:, None] * weights,
        )[0].numpy()
    result = predict(model, image, tile=64, overlap=overlap, window=window)
    np.testing.assert_allclose(result, expected, atol=1e-3)


def test_a_network_with_a_stride_sees_one_phase(create_unet: Any) -> None:
    model = create_unet(up="transposed")  # align_corners, of "bilinear", depends on the tile's size
    image = np.random.default_rng(0).integers(0, 255, (1, 200, 170)).astype(np.uint8)
    offset, scale = model.card.normalization.parameters(image)
    normalised = (image.astype(np.float32) - offset[0]) / scale[0]
    tiled = predict(model, image, tile=128, overlap=0.75)
    np.testing.assert_allclose(tiled, whole(model, normalised), atol=1e-4)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 1),
        ({"flips": True}, 4),
        ({"rotations": True}, 4),
        ({"flips": True, "rotations": True}, 8),
    ],
    ids=["none", "flips", "rotations", "both"],
)
def test_averaging_makes_prediction_equivariant(options: dict[str, bool], count: int) -> None:
    model, image = create_stack(4), noise(64, 64)
    compute = choose_compute("cpu")
    tiles = TilePredictor(model, PredictConfig.create(**options), compute)
    assert len(tiles._tta) == count
    assert len(set(tiles._tta)) == count
    result = predict(model, image, tile=64, **options)
    if "rotations" in options:
        turned = predict(model, np.rot90(image, axes=(1, 2)).copy(), tile=64, **options)
        np.testing.assert_allclose(turned, np.rot90(result, axes=(1, 2)), atol=1e-5)
    if "flips" in options:
        mirrored = predict(model, image[:, :, ::-1].copy(), tile=64, **options)
        np.testing.assert_allclose(mirrored, result[:, :, ::-1], atol=1e-5)
    if count == 1:
        mirrored = predict(model, image[:, :, ::-1].copy(), tile=64)
        assert np.abs(mirrored - result[:, :, ::-1]).max() > 1e-3


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches as on a GPU."""
    create = TilePredictor.__init__

    def create_without_threads(self: TilePredictor, *arguments: Any) -> None:
        create(self, *arguments)
        self.threads, self.batch_size = None, self.config.batch_size

    monkeypatch.setattr(TilePredictor, "__init__", create_without_threads)


@pytest.mark.usefixtures("batches")
def test_full_memory_halves_the_batch_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, image = create_stack(2), noise(70, 400)
    expected = predict(model, image, tile=48, batch_size=8)
    sizes: list[int] = []
    forward = model.network.forward

    def fail_beyond_two(tiles: torch.Tensor) -> torch.Tensor:
        sizes.append(len(tiles))
        if len(tiles) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(tiles)

    monkeypatch.setattr(model.network, "forward", fail_beyond_two)
    found = predict(model, image, tile=48, batch_size=8, fold=False)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(found.argmax(axis=0), expected.argmax(axis=0))
    assert sizes[:3] == [8, 4, 2]
    assert max(sizes[2:]) == 2


def test_threads_and_batches_give_the_same(request: pytest.FixtureRequest) -> None:
    model, image = create_stack(4), noise(130, 200)
    expected = predict(model, image, tile=48)
    request.getfixturevalue("batches")
    found = predict(model, image, tile=48, batch_size=4)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_memory_for_not_even_one_tile_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    model = create_stack(1)

    def fail(_tiles: torch.Tensor) -> torch.Tensor:
        raise MemoryError

    monkeypatch.setattr(model.network, "forward", fail)
    with pytest.raises(MemoryError):
        predict(model, noise(64, 64), tile=48)
