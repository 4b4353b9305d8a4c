from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pixelwise.cards import METADATA_KEY, read_card
from pixelwise.checksums import Checksum, check_checksum
from pixelwise.errors import ModelFileError
from pixelwise.models.files import Model, create_network, load_model, load_weights, save_model
from tests.prediction.conftest import create_card


@pytest.fixture
def model() -> Model:
    card = create_card(1, dtype="uint8")
    return Model(create_network(card).eval(), card)


@pytest.fixture
def path(model: Model, tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_model(path, model.network.state_dict(), model.card)
    return path


def flip(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_a_model_has_its_checksum_and_one_set_of_bytes(path: Path, model: Model) -> None:
    assert check_checksum(path) is Checksum.RIGHT
    before = path.read_bytes()
    for _ in range(5):  # safetensors writes the notes of a header in any order
        save_model(path, model.network.state_dict(), model.card)
        assert path.read_bytes() == before


def test_every_flipped_bit_is_noticed(path: Path) -> None:
    content = path.read_bytes()
    head = 8 * (8 + int.from_bytes(content[:8], "little"))
    draw = random.Random(4)
    network = create_network(read_card(path))
    for bit in draw.sample(range(head), 60) + draw.sample(range(head, 8 * len(content)), 20):
        path.write_bytes(flip(content, bit))
        with pytest.raises(ModelFileError, match=r"model\.safetensors"):
            load_model(path)
        with pytest.raises(ModelFileError, match=r"model\.safetensors"):
            load_weights(network, path)
    path.write_bytes(content)
    load_weights(network, path)


def test_a_damaged_weight_is_refused_with_a_remedy(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(flip(content, 8 * len(content) - 9))
    with pytest.raises(ModelFileError, match=r"is damaged.*Copy it again, or use another"):
        load_model(path)


@pytest.mark.parametrize("word", ["checksum", "pixelwise-sha256:"])
def test_a_checksum_is_not_lost_with_its_name(path: Path, word: str) -> None:
    path.write_bytes(path.read_bytes().replace(word.encode(), word.upper().encode()))
    with pytest.raises(ModelFileError, match="is damaged"):
        load_model(path)


def test_models_of_older_versions_have_none_and_load(path: Path, model: Model) -> None:
    notes = {METADATA_KEY: read_card(path).model_dump_json()}
    save_file(load_file(path), path, metadata=notes)
    assert check_checksum(path) is Checksum.MISSING
    found = load_model(path).network.state_dict()
    assert all(torch.equal(found[name], t) for name, t in model.network.state_dict().items())


def test_loading_a_model_does_not_load_a_compiler(path: Path) -> None:
    """It takes seconds, for every command that predicts."""
    code = (
        "import sys; from pixelwise.models.files import load_model; load_model(sys.argv[1]); "
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["False"]
