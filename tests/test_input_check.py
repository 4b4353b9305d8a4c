from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from pixelwise.axes import NamedAxes
from pixelwise.config import PredictConfig
from pixelwise.errors import ConfigError, DataError
from pixelwise.images import ImageArray
from pixelwise.input_check import find_white, guess_white, require_intensities
from pixelwise.models.files import Model, create_network
from pixelwise.normalization import create_fixed, create_percentile
from pixelwise.prediction.predict import predict
from pixelwise.prediction.predictor import Predictor
from tests.disks import disks, picture
from tests.prediction.conftest import create_card

IMAGE = picture(disks(50, (120, 160)), 50)


def create_model(
    dtype: str = "uint8", reach: tuple[float, float] | None = (0, 221), *, channels: int = 1
) -> Model:
    """A model with a fixed normalisation, for images that reach so far."""
    torch.manual_seed(0)
    top = (reach or (0, 221))[1]
    norm = create_fixed(np.full(channels, 0.4 * top), np.full(channels, 0.2 * top), "mean and std")
    card = create_card(channels, dtype="uint8").model_copy(
        update={"dtype": dtype, "normalization": norm, "intensities": reach}
    )
    return Model(create_network(card).eval(), card)


def array(image: np.ndarray) -> ImageArray:
    return ImageArray(image, NamedAxes("YX", "test"))


def advised(error: pytest.ExceptionInfo[DataError]) -> float:
    found = re.search(r"--white ([\d.e+]+)", str(error.value))
    assert found, str(error.value)
    return float(found[1].rstrip("."))


@pytest.mark.parametrize(
    ("image", "white"),
    [
        (IMAGE.astype("u2") * 16, 4095),
        (IMAGE.astype("u2") * 257, 65535),
        ((IMAGE / 255).astype("f4"), 1),
        ((IMAGE / 255).astype("f8"), 1),
        (IMAGE.astype("f4"), 255),
        (IMAGE.astype("u2"), 255),
        (IMAGE.astype("i4"), 255),
        (IMAGE > 120, 1),
    ],
    ids=["12-bit", "16-bit", "0-1", "double", "float-255", "u2-255", "i4-255", "bool"],
)
def test_another_dtype_is_refused_and_the_advice_works(image: np.ndarray, white: float) -> None:
    model = create_model()
    with pytest.raises(DataError, match=r"trained on uint8 \(0 to 221\).*expected the same") as e:
        predict(model, image, axes="YX")
    assert advised(e) == white
    found = predict(model, image, axes="YX", white=white)
    if image.dtype != bool:
        expected = predict(model, IMAGE, axes="YX")
        assert (found == expected).mean() > 0.98  # 12 bits end at 4095, not at 4080
    converted = (image / white * 255).astype("uint8")  # what the message says for Python
    assert (predict(model, converted, axes="YX") == found).mean() > 0.98


@pytest.mark.parametrize(
    ("dtype", "reach", "image"),
    [
        ("uint16", (0, 4000), IMAGE),
        ("uint16", (0, 4000), IMAGE.astype("u2") * 257),
        ("uint16", (0, 60000), IMAGE.astype("u2") * 16),
        ("uint16", (0, 4000), IMAGE.astype("u2")),
        ("uint16", (0, 4000), (IMAGE / 255).astype("f4")),
        ("float32", (0, 1), IMAGE),
        ("float32", (0, 1), IMAGE.astype("f4")),
        ("float32", (0, 221), (IMAGE / 255).astype("f4")),
        ("int32", (0, 4000), IMAGE.astype("u2") * 257),
    ],
)
def test_another_range_is_refused_and_the_advice_works(
    dtype: str, reach: tuple[float, float], image: np.ndarray
) -> None:
    model = create_model(dtype, reach)
    with pytest.raises(DataError, match="expected the same") as error:
        predict(model, image, axes="YX")
    predict(model, image, axes="YX", white=advised(error))


@pytest.mark.parametrize(
    ("dtype", "reach", "image"),
    [
        ("uint8", (0, 221), IMAGE),
        ("uint8", None, IMAGE),
        ("uint16", (0, 4000), IMAGE.astype("u2") * 16),
        ("uint16", (0, 4000), IMAGE.astype("u2") * 8),
        ("uint16", (0, 4000), IMAGE.astype("i4") * 16),
        ("uint16", (0, 4000), np.zeros((64, 64), "u2")),
        ("uint16", None, IMAGE.astype("u2")),
        ("float32", (0, 1), (IMAGE / 255).astype("f8")),
        ("float32", (0, 1), (IMAGE / 255 * 1.5).astype("f4")),
    ],
)
def test_images_like_those_of_the_training_are_taken(
    dtype: str, reach: tuple[float, float] | None, image: np.ndarray
) -> None:
    require_intensities(array(image), create_model(dtype, reach).card)


def test_models_of_percentiles_take_any_dtype() -> None:
    model = create_model()
    card = model.card.model_copy(update={"normalization": create_percentile()})
    for image in (IMAGE.astype("u2") * 16, (IMAGE / 255).astype("f4"), IMAGE):
        require_intensities(array(image), card)
    with pytest.raises(ConfigError, match="leave out --white"):
        Predictor(Model(model.network, card), PredictConfig.create(white=255))


def test_a_wrong_white_is_refused() -> None:
    with pytest.raises(DataError, match=r"--white says 255.*--white 4095"):
        predict(create_model(), IMAGE.astype("u2") * 16, axes="YX", white=255)


def test_an_image_that_is_all_but_black_is_taken_and_it_is_said() -> None:
    with pytest.warns(UserWarning, match=r"values reach 1 only.*say --white 1"):
        predict(create_model(), disks(0).astype("u1"), axes="YX")
    predict(create_model(), disks(0).astype("u1"), axes="YX", white=1)
    predict(create_model(reach=(0, 1)), disks(0).astype("u1"), axes="YX")


def converted(error: pytest.ExceptionInfo[DataError], image: np.ndarray) -> np.ndarray:
    """What the line of Python that a message names makes of an image."""
    found = re.search(r"in Python: (.*\))\.$", str(error.value))
    assert found, str(error.value)
    return eval(found[1], {"image": image})


@pytest.mark.parametrize("white", [None, 255, 1023, 1])
@pytest.mark.parametrize(
    ("image", "ends"),
    [
        ((IMAGE.astype(int) - 128).astype("i1"), "-128 is black and 127"),
        (IMAGE.astype("i2") * 8 - 1024, "-1024 is black and 1023"),
        ((IMAGE / 127.5 - 1).astype("f4"), "-1 is black and 1"),
        (IMAGE.astype("f8") * 257 - 32768, "-32768 is black and 32767"),
    ],
    ids=["int8", "int16", "-1-to-1", "double"],
)
def test_values_below_0_are_refused_and_the_advice_works(
    image: np.ndarray, ends: str, white: float | None
) -> None:
    model = create_model()
    with pytest.raises(DataError, match=f"{ends} is white") as error:
        predict(model, image, axes="YX", white=white)
    assert "--white" not in str(error.value)
    shifted = converted(error, image)
    assert shifted.dtype == np.uint8
    found = predict(model, shifted, axes="YX")
    assert (found == predict(model, IMAGE, axes="YX")).mean() > 0.98


def test_values_below_0_like_those_of_the_training_are_taken() -> None:
    image = IMAGE.astype("i2") * 8 - 1024
    require_intensities(array(image), create_model("int16", (-1024, 900)).card)
    require_intensities(array(image), create_model("int16", None).card)
    noise = IMAGE / np.float32(255) - np.float32(0.003)  # as interpolation leaves it
    require_intensities(array(noise), create_model("float32", (0, 1)).card)
    with pytest.raises(DataError, match="-1024 is black"):
        require_intensities(array(image), create_model("int16", (-3, 900)).card)
    with pytest.raises(DataError, match="-1 is black"):
        require_intensities(
            array(IMAGE / np.float32(127.5) - 1), create_model("float32", (0, 1)).card
        )


def test_values_below_0_between_the_rows_that_are_looked_at_first(tmp_path: Path) -> None:
    image = np.tile(IMAGE, (12, 1)).astype("i2") * 16
    image[100:110] -= 3000
    model = create_model("int16", (0, 3600))
    require_intensities(array(image), model.card)
    tifffile.imwrite(tmp_path / "a.tif", image)
    with pytest.raises(DataError, match="shift and scale it") as error:
        predict(model, tmp_path / "a.tif", out=tmp_path / "b.tif")
    assert not (tmp_path / "b.tif").exists()
    assert converted(error, image).dtype == np.int16


@pytest.mark.parametrize("bits", [2, 3, 4, 5])
def test_a_few_bits_in_a_byte_are_said_and_the_advice_works(bits: int) -> None:
    white = 2**bits - 1
    image = IMAGE >> 8 - bits
    with pytest.warns(UserWarning, match=rf"say --white {white}\.$"):
        predict(create_model(), image, axes="YX")
    found = predict(create_model(), image, axes="YX", white=white)  # without a warning
    full = (image * (255 / white)).round().astype("u1")
    assert (found == predict(create_model(), full, axes="YX")).mean() > 0.99


def test_a_white_of_many_digits_is_written_out() -> None:
    image = IMAGE.astype("u4") * 16843009
    with pytest.raises(DataError, match=r"say --white 4294967295;.*image / 4294967295 \*") as error:
        predict(create_model(), image, axes="YX")
    assert (
        predict(create_model(), converted(error, image), axes="YX")
        == predict(create_model(), image, axes="YX", white=4294967295)
    ).mean() > 0.98


@pytest.mark.parametrize(
    ("largest", "white"), [(0.8, 1), (1, 1), (1.1, 255), (3264, 4095), (5e4, 65535), (0, None)]
)
def test_guesses(largest: float, white: float | None) -> None:
    assert guess_white(largest) == white


def test_white_of_a_model() -> None:
    assert find_white(create_model().card) == 255
    assert find_white(create_model("uint16", (3, 3264)).card) == 4095
    assert find_white(create_model("uint16", None).card) == 65535
    assert find_white(create_model("float32", None).card) == 1


@pytest.mark.parametrize("layout", ["ZYX", "CYX", "TZYX"])
def test_stacks_are_looked_at_all_over(layout: str) -> None:
    image = np.zeros((5,) * (len(layout) - 2) + (40, 300), "u2")
    image[..., 20, 250] = 60000
    source = ImageArray(image, NamedAxes(layout, "test"))
    with pytest.raises(DataError, match="reach 60000"):
        require_intensities(source, create_model("uint16", (0, 4000)).card)


def test_files_are_checked_before_anything_is_written(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", IMAGE.astype("u2") * 16)
    with pytest.raises(DataError, match="--white 4095"):
        predict(create_model(), tmp_path / "a.tif", out=tmp_path / "b.tif")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]
    predict(create_model(), tmp_path / "a.tif", out=tmp_path / "b.tif", white=4095)
    expected = predict(create_model(), IMAGE.astype("u2") * 16, axes="YX", white=4095)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), expected)
