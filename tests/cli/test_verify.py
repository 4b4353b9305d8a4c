from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

import pixelwise as pw
from pixelwise.checksums import hash_content
from pixelwise.images import write_zarr
from pixelwise.models.files import load_model, save_model
from tests.disks import write_set
from tests.prediction.test_evaluate import binary
from tests.test_input_check import IMAGE


@pytest.fixture
def model(tmp_path: Path) -> Path:
    made, path = binary(), tmp_path / "m.safetensors"
    save_model(path, made.network.state_dict(), made.card)
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    tifffile.imwrite(tmp_path / "a.tif", np.stack([IMAGE, IMAGE[::-1]]), metadata={"axes": "ZYX"})
    return tmp_path / "a.tif"


SETTINGS = {
    "a_labels.tif": (),
    "a_labels.zarr": ("--format", "zarr", "--flips"),
    "a_instances.tif": ("--instances", "--smallest-object", 9),
    "a_probabilities.tif": ("--probabilities", "--probability-dtype", "uint8"),
    "a_objects.csv": ("--table", "--overlap", 0.5),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_what_made_a_result_and_that_it_is_the_same_again(
    pixelwise: Callable, model: Path, image: Path, tmp_path: Path, name: str
) -> None:
    result = pixelwise("predict", model, image, "--out", tmp_path / "out", *SETTINGS[name])
    assert result.status == 0, result.err
    file = tmp_path / "out" / name
    options = ("--model", model, "--image", image, "--again", "--json")
    result = pixelwise("verify", file, *options)
    assert result.status == 0, result.err
    found = json.loads(result.out)
    assert found["state"] == "right"
    assert found["model"] == hash_content(model)
    assert found["image"] == hash_content(image)
    assert found["axes"] == "ZYX"
    assert found["model_is_the_same"]
    assert found["image_is_the_same"]
    assert found["different"] == 0
    text = pixelwise("verify", file).out
    assert "unchanged" in text
    assert hash_content(model) in text


def test_a_result_that_was_corrected_of_another_image_and_model(
    pixelwise: Callable, model: Path, image: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert pixelwise("predict", model, image, "--out", out).status == 0
    file, other = out / "a_labels.tif", tmp_path / "other.tif"
    tifffile.imwrite(other, np.stack([IMAGE, IMAGE]), metadata={"axes": "ZYX"})
    result = pixelwise("verify", file, "--image", other, "--model", model, "--again")
    assert result.status == 1
    assert "(does NOT match)" in result.out
    assert "values DIFFER" in result.out
    again = load_model(model)
    with torch.no_grad():
        next(again.network.parameters()).add_(1)
    save_model(tmp_path / "n.safetensors", again.network.state_dict(), again.card)
    found = json.loads(
        pixelwise("verify", file, "--model", tmp_path / "n.safetensors", "--json").out
    )
    assert not found["model_is_the_same"]
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    result = pixelwise("verify", file)
    assert result.status == 1
    assert "CHANGED since it was written" in result.out


def test_labels_of_evaluate_and_of_an_array(
    pixelwise: Callable, model: Path, tmp_path: Path
) -> None:
    root = write_set(tmp_path / "data", lambda _, m: m.astype("u1") * 255, count=2)
    result = pixelwise("evaluate", model, root, "--labels", tmp_path / "out", "--flips")
    assert result.status == 0, result.err
    options = ("--model", model, "--image", root / "images" / "1.png", "--again")
    result = pixelwise("verify", tmp_path / "out" / "1_labels.tif", *options)
    assert result.status == 0, result.out + result.err
    pw.predict(pw.load_model(model), IMAGE, out=tmp_path / "b.tif")
    result = pixelwise("verify", tmp_path / "b.tif", "--model", model)
    assert result.status == 0, result.out
    assert "an array, not a file" in result.out


def test_what_nobody_knows_who_wrote(pixelwise: Callable, tmp_path: Path) -> None:
    write_zarr(tmp_path / "a.zarr", IMAGE, axes="YX")
    tifffile.imwrite(tmp_path / "a.tif", IMAGE)
    for name in ("a.zarr", "a.tif", "."):
        result = pixelwise("verify", tmp_path / name)
        assert result.status == 1
        assert "has no mark" in result.err
    assert "There is no file" in pixelwise("verify", tmp_path / "missing").err


def test_again_needs_model_and_image(pixelwise: Callable, image: Path) -> None:
    result = pixelwise("verify", image, "--again", "--image", image)
    assert result.status == 2
    assert "--model MODEL --image IMAGE" in result.err


@pytest.mark.parametrize("place", ["pixelwise-sha256:", None])
def test_a_model_file(pixelwise: Callable, model: Path, place: str | None) -> None:
    result = pixelwise("verify", model, "--json")
    assert result.status == 0, result.err
    found = json.loads(result.out)
    assert found["sha256"] == hash_content(model)
    assert found["state"] == "right"
    content = bytearray(model.read_bytes())
    content[content.index(place.encode()) if place else -2] ^= 1
    model.write_bytes(content)
    result = pixelwise("verify", model)
    assert result.status == 1
    assert "CHANGED since it was written" in result.out
