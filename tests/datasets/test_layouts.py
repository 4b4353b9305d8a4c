from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from pixelwise.config import DataConfig, LayoutName
from pixelwise.datasets.layouts import LAYOUTS, Found, list_data
from pixelwise.errors import DataError, ReadError, UnknownNameError
from pixelwise.images import write_picture


def find(path: Path, layout: LayoutName = "auto") -> Found:
    return list_data(DataConfig(path=path, layout=layout))[0]


def test_the_config_knows_every_layout() -> None:
    assert set(get_args(LayoutName)) == {"auto", *LAYOUTS}


@pytest.mark.parametrize(
    ("folder", "layout", "root", "reason"),
    [
        ("camvid", "camvid", "camvid", "holds train/ with trainannot/"),
        (
            "cityscapes_layout_from_camvid",
            "cityscapes",
            "cityscapes_layout_from_camvid",
            "holds leftImg8bit/ and gtFine/",
        ),
        ("monuseg2018", "monuseg", "MoNuSegTrainingData", "in MoNuSegTrainingData/: holds Tissue"),
        ("dsb2018", "dsb2018", "stage1_train", "sub-folders such as"),
        ("dsb2018/stage1_train", "dsb2018", "stage1_train", "contain images/ and masks/"),
        ("sstem_vnc", "pairs", "sstem_vnc", "found images/ and labels/"),
        ("wbc_dataset1", "pairs", "wbc_dataset1", "found images/ and masks/"),
        ("stardist_samples", "pairs", "stardist_samples", "such as img2d.tif with mask2d.tif"),
        ("plantseg_3d", "pairs", "plantseg_3d", "1135_raw_ZYX.tif with 1135_label_ZYX.tif"),
        ("plantseg_multichannel_3d", "pairs", "plantseg_multichannel_3d", "rgb_3D_0.tiff with"),
    ],
    ids=lambda value: value if "/" not in value else None,
)
def test_real_folders_are_recognised(
    data_dir: Path, folder: str, layout: str, root: str, reason: str
) -> None:
    found = find(data_dir / folder)
    assert (found.layout.name, found.root.name) == (layout, root)
    assert reason in found.reason
    assert find(data_dir / folder, layout).root == found.root


@pytest.mark.parametrize("content", [[], ["notes.txt"], ["a.png", "b.png"], ["images/a.png"]])
def test_what_was_looked_for_is_said(tmp_path: Path, content: list[str]) -> None:
    for name in content:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    held = content[0].split("/")[0] if content else "nothing"
    with pytest.raises(DataError, match=rf"contains {held}") as caught:
        find(tmp_path)
    for layout in LAYOUTS:
        assert f"  {layout}: " in str(caught.value)


def test_a_named_layout_that_does_not_fit(data_dir: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)Looked for:\n  camvid: train/ with trainannot/"):
        find(data_dir / "sstem_vnc", "camvid")


def test_unknown_names_list_the_known_ones(tmp_path: Path) -> None:
    config = DataConfig(path=tmp_path).model_copy(update={"layout": "canvid"})
    with pytest.raises(UnknownNameError, match=r"Did you mean 'camvid'\?"):
        list_data(config)


def test_several_data_sets_are_named(data_dir: Path) -> None:
    with pytest.raises(DataError, match=r"several data sets: camvid/ \(camvid\), cityscapes"):
        find(data_dir)


def test_an_archive_must_be_unpacked(data_dir: Path) -> None:
    with pytest.raises(ReadError, match=r"stage1_train\.zip is an archive: unpack it"):
        find(data_dir / "dsb2018" / "stage1_train.zip")


def test_a_missing_folder_and_a_file(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="does not exist"):
        find(tmp_path / "nowhere")
    write_picture(tmp_path / "a.png", np.zeros((2, 2), np.uint8))
    with pytest.raises(ReadError, match="Expected a folder"):
        find(tmp_path / "a.png")
