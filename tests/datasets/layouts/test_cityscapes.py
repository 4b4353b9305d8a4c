from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pixelwise.classes import VOID
from pixelwise.datasets import load_dataset
from pixelwise.datasets.layouts.cityscapes import create_cityscapes_scheme
from pixelwise.images import write_picture

LABEL_IDS = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
TRAIN_IDS = {label: index for index, label in enumerate(LABEL_IDS)}


def test_label_ids_become_train_ids() -> None:
    scheme = create_cityscapes_scheme()
    raw = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    found = scheme.class_map.apply(raw).ravel().tolist()
    assert found == [TRAIN_IDS.get(label, VOID) for label in range(256)]
    assert len(scheme.classes) == 19
    assert scheme.classes[0].name == "road"
    assert scheme.classes[13].rgb == (0, 0, 142)
    assert scheme.classes[18].name == "bicycle"


@pytest.mark.parametrize("city", ["ulm/", ""], ids=["by-city", "flat"])
def test_labels_by_city_or_flat(tmp_path: Path, city: str) -> None:
    image = tmp_path / "leftImg8bit/val/ulm/ulm_000000_000019_leftImg8bit.png"
    labels = tmp_path / f"gtFine/val/{city}ulm_000000_000019_gtFine_labelIds.png"
    for path in (image, labels):
        path.parent.mkdir(parents=True)
    write_picture(image, np.zeros((4, 5, 3), np.uint8))
    write_picture(labels, np.full((4, 5), 26, np.uint8))
    write_picture(labels.with_name("ulm_000000_000019_gtFine_color.png"), np.zeros((4, 5, 3), "u1"))
    data = load_dataset(tmp_path)
    assert [(s.name, s.split) for s in data.samples] == [("ulm_000000_000019", "validation")]
    assert (data.samples[0].read_mask() == 13).all()


def test_unpaired(tmp_path: Path) -> None:
    for name in ("leftImg8bit/train/ulm/a_leftImg8bit.png", "gtFine/train/b_gtFine_labelIds.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        write_picture(tmp_path / name, np.zeros((4, 5), np.uint8))
    with pytest.raises(ValueError, match=r"(?s)no image with a mask.*no a_gtFine.*no b_leftImg"):
        load_dataset(tmp_path)


def test_the_stand_in(data_dir: Path) -> None:
    data = load_dataset(data_dir / "cityscapes_layout_from_camvid", resize="256x256")
    train, validation = data.split(0.5, 0)
    assert (len(train.samples), len(validation.samples)) == (8, 4)
    assert {s.split for s in validation.samples} == {"validation"}
    values = set(np.unique(data.samples[0].read_mask()).tolist())
    assert values <= {*range(19), VOID}
    assert {0, 2, 10, 13, VOID} <= values
    assert data.samples[0].read_image().shape == (1, 3, 256, 256)
