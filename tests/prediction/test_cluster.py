"""Two worker processes of a local dask cluster: the same labels, also when one is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from pixelwise.axes import NamedAxes
from pixelwise.config import PredictConfig
from pixelwise.errors import ConfigError, DataError
from pixelwise.images import ImageArray, open_image, read_image
from pixelwise.models.files import Model
from pixelwise.prediction import cluster as module
from pixelwise.prediction.cluster import choose_gpu, connecting, create_dask_executor
from pixelwise.prediction.predict import predict
from pixelwise.prediction.predictor import Predictor
from tests.prediction.conftest import iter_predict_file
from tests.test_input_check import IMAGE, create_model


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with connecting(workers=2) as found:
        yield found


def write_image(path: Path, shape: tuple[int, ...] = (2300, 400)) -> Path:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, [-(-side // 8) for side in shape]).astype(np.uint8)
    for axis in range(len(shape)):
        coarse = np.repeat(coarse, 8, axis)
    image = coarse[tuple(slice(side) for side in shape)]
    tifffile.imwrite(path, image, tile=(256, 256), compression="zlib", photometric="minisblack")
    return path


@pytest.mark.parametrize("name", ["b.tif", "b.zarr"])
def test_workers_give_the_bytes_of_one_process(
    tmp_path: Path, create_unet: Any, client: Any, name: str
) -> None:
    path = write_image(tmp_path / "a.tif", (2300, 1000))
    model = create_unet()  # normalised by percentiles
    config = PredictConfig.create(tile=128, probabilities=name == "b.zarr")
    source, out = open_image(path), tmp_path / name
    execute = create_dask_executor(client)
    rows = iter_predict_file(Predictor(model, config), source, out, execute=execute)
    shares = [each.done for each in rows]
    assert len(shares) == 3  # 4 blocks of 256 rows, 4, 1
    assert shares[-1] == 1
    once = tmp_path / f"once_{name}"
    predict(model, path, out=once, tile=128, probabilities=config.probabilities)
    np.testing.assert_array_equal(read_image(out)[0], read_image(once)[0])
    for file in [out] if out.is_file() else [p for p in out.rglob("*") if p.is_file()]:
        other = once / file.relative_to(out) if out.is_dir() else once
        if file.name != "zarr.json":  # the image's name is in it
            assert file.read_bytes() == other.read_bytes()


def test_a_worker_that_is_killed_loses_nothing(
    tmp_path: Path, create_unet: Any, client: Any
) -> None:
    path, model = write_image(tmp_path / "a.tif", (4000, 300)), create_unet()
    predictor = Predictor(model, PredictConfig.create(tile=128))
    pids = client.run(os.getpid)
    steps = iter_predict_file(
        predictor, open_image(path), tmp_path / "b.tif", execute=create_dask_executor(client)
    )
    next(steps)
    os.kill(next(iter(pids.values())), signal.SIGKILL)
    *_, last = steps
    assert last.done == 1
    assert set(client.run(os.getpid).values()) != set(pids.values())
    found = read_image(tmp_path / "b.tif")[0]
    np.testing.assert_array_equal(found, predict(model, path, tile=128))


def test_two_models_in_the_same_place_are_two(
    tmp_path: Path, create_unet: Any, client: Any
) -> None:
    path, out = write_image(tmp_path / "a.tif"), tmp_path / "b.tif"
    for width in (4, 6):
        model = create_unet(base_channels=width)
        predictor = Predictor(model, PredictConfig.create(tile=256))
        list(
            iter_predict_file(
                predictor, open_image(path), out, execute=create_dask_executor(client)
            )
        )
        np.testing.assert_array_equal(read_image(out)[0], predict(model, path, tile=256))


def test_local_workers_get_a_gpu_each() -> None:
    settings = PredictConfig()
    assert choose_gpu(settings, 5, count=4).device == "cuda:1"
    assert choose_gpu(settings, 5, count=1) == settings
    assert choose_gpu(settings, "tcp://1.2.3.4", count=4) == settings
    assert choose_gpu(PredictConfig(device="cpu"), 1, count=4).device == "cpu"


def test_an_error_in_a_worker_is_that_of_this_process(
    tmp_path: Path, create_unet: Any, client: Any
) -> None:
    path, model = write_image(tmp_path / "a.tif"), create_unet()
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        at = tiff.pages[0].dataoffsets[-1]
    data[at : at + 40] = bytes(40)
    source = open_image(path)
    model = Model(
        model.network,
        model.card.model_copy(
            update={
                "normalization": model.card.normalization.model_copy(
                    update={"kind": "fixed", "offset": (0.0,), "scale": (255.0,)}
                )
            }
        ),
    )
    path.write_bytes(bytes(data))
    predictor = Predictor(model, PredictConfig.create(tile=128))
    (tmp_path / "out").mkdir()
    with pytest.raises(Exception, match="damaged"):
        list(
            iter_predict_file(
                predictor, source, tmp_path / "out" / "b.tif", execute=create_dask_executor(client)
            )
        )
    assert not list((tmp_path / "out").iterdir())


def test_an_array_has_no_file_for_the_workers(
    tmp_path: Path, create_unet: Any, client: Any
) -> None:
    source = ImageArray(np.zeros((2000, 2000), np.uint8), NamedAxes("YX", "given"))
    steps = iter_predict_file(
        Predictor(create_unet()), source, tmp_path / "b.tif", execute=create_dask_executor(client)
    )
    with pytest.raises(DataError, match="give a file"):
        list(steps)


def test_no_scheduler_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SECONDS_TO_CONNECT", 0.5)
    with (
        pytest.raises(ConfigError, match="No dask scheduler answers at"),
        connecting("tcp://127.0.0.1:9"),
    ):
        pass


def test_workers_scale_images_once_and_refuse_what_is_stored_otherwise(
    tmp_path: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "pixelwise.prediction.result_spool.SMALL_BYTES", 0
    )  # else no worker is asked
    image = np.tile(IMAGE.astype("u2") * 16, (3, 2))
    tifffile.imwrite(tmp_path / "a.tif", image, tile=(128, 128), photometric="minisblack")
    source, execute = open_image(tmp_path / "a.tif"), create_dask_executor(client)
    with pytest.raises(DataError, match="--white 4095"):
        next(
            iter_predict_file(
                Predictor(create_model()), source, tmp_path / "b.tif", execute=execute
            )
        )
    predictor = Predictor(create_model(), PredictConfig.create(white=4095))
    for _ in iter_predict_file(predictor, source, tmp_path / "b.tif", execute=execute):
        pass
    expected = predict(create_model(), image, axes="YX", white=4095)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), expected)
