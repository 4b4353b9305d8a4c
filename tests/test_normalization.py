from __future__ import annotations

import numpy as np
import pytest

from pixelwise import normalization
from pixelwise.errors import ConfigError
from pixelwise.normalization import (
    Normalization,
    create_fixed,
    create_imagenet,
    create_percentile,
    create_range,
    intensity_range,
)


def apply(normalization: Normalization, image: np.ndarray) -> np.ndarray:
    offset, scale = normalization.parameters(image)
    return (image.astype(np.float32) - offset[:, None, None]) / scale[:, None, None]


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4000, (2, 50, 60)).astype(np.uint16)


def test_fixed_gives_zero_mean_and_unit_std(image: np.ndarray) -> None:
    normal = create_fixed(image.mean(axis=(1, 2)), image.std(axis=(1, 2)), "test")
    result = apply(normal, image)
    np.testing.assert_allclose(result.mean(axis=(1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(result.std(axis=(1, 2)), 1, atol=1e-4)


def test_percentile_follows_each_image(image: np.ndarray) -> None:
    normal = create_percentile()
    for factor in (1, 7):
        result = apply(normal, image * factor)
        low, high = np.percentile(result, [1, 99.8], axis=(1, 2))
        np.testing.assert_allclose(low, 0, atol=1e-3)
        np.testing.assert_allclose(high, 1, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16], ids=["uint8", "uint16"])
def test_imagenet_follows_the_range_of_the_dtype(dtype: type) -> None:
    top = np.iinfo(dtype).max
    white = np.full((3, 2, 2), top, dtype)
    expected = (1 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    result = apply(create_imagenet(np.dtype(dtype), 3), white)
    np.testing.assert_allclose(result[:, 0, 0], expected, rtol=1e-5)


def test_range_maps_to_one() -> None:
    white = np.full((1, 2, 2), 255, np.uint8)
    assert apply(create_range(white.dtype, 1), white).max() == 1


@pytest.mark.parametrize("value", [0, 255], ids=["black", "white"])
def test_constant_images_stay_finite(value: int) -> None:
    image = np.full((1, 4, 4), value, np.uint8)
    flat = create_fixed(np.array([float(value)]), np.array([0.0]), "test")
    for normal in (create_percentile(), flat):
        assert np.isfinite(apply(normal, image)).all()


@pytest.mark.parametrize(
    "normal",
    [create_percentile(), create_range(np.dtype(np.uint8), 3)],
    ids=["percentile", "range"],
)
def test_round_trips_through_json(normal: Normalization) -> None:
    assert Normalization.model_validate_json(normal.model_dump_json()) == normal


def test_refuses_what_is_no_number() -> None:
    with pytest.raises(ConfigError, match="complex"):
        intensity_range(np.dtype(np.complex64))


def test_percentiles_of_a_large_image_take_every_nth_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever blocks of rows the image comes in."""
    image = np.random.default_rng(0).integers(0, 4000, (2, 57, 61)).astype(np.uint16)
    monkeypatch.setattr(normalization, "_PERCENTILE_PIXELS", 500)
    monkeypatch.setattr(normalization, "_SAMPLED_ROWS", 10)
    offset, scale = create_percentile().parameters(image)
    pixels = image.reshape(2, -1)[:, :: 57 * 61 // 500].astype(np.float32)
    low, high = np.percentile(pixels, [1, 99.8], axis=1)
    np.testing.assert_array_equal(offset, low.astype(np.float32))
    np.testing.assert_array_equal(scale, (high - low).astype(np.float32))
