from __future__ import annotations

from pathlib import Path

import pytest

from pixelwise.datasets.layouts.masks import (
    UnclearPairsError,
    find_suffixed,
    prefer_lossless,
    require_lossless,
)


def paths(text: str) -> list[Path]:
    return [Path(name) for name in text.split()]


@pytest.mark.parametrize(
    ("files", "suffix", "found"),
    [
        ("a.png a_mask.png", "_mask", {"a_mask.png": "a"}),
        ("a.png a_Mask.png", "_Mask", {"a_Mask.png": "a"}),
        ("a.png a_Mask.png", "_mask", {"a_Mask.png": "a"}),
        ("A_mask.png b_MASK.png", "_mask", {"A_mask.png": "A"}),
        ("a.png a_mask.png", "mask", {"a_mask.png": "a"}),
        ("a.png a_mask.png a_mask.jpg", "_mask.png", {"a_mask.png": "a"}),
        ("a.bmp a.png", ".png", {"a.png": "a"}),
        ("im1.bmp im1.vk.bmp", ".vk", {"im1.vk.bmp": "im1"}),
        ("um_0.png um_road_0.png um_lane_0.png", "road", {"um_road_0.png": "um__0"}),
        ("a_railroad_0.png", "road", {}),
        ("_mask.png", "_mask", {}),
        ("a.ome.tif a_mask.ome.tif", "_mask", {"a_mask.ome.tif": "a"}),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_given_suffix(files: str, suffix: str, found: dict[str, str]) -> None:
    assert {f.name: stem for f, stem in find_suffixed(paths(files), suffix).items()} == found


def test_copies_with_loss_are_left_out() -> None:
    assert prefer_lossless(paths("a.jpg a.bmp")) == paths("a.bmp")
    assert require_lossless(paths("a_m.bmp a_m.jpg"), paths("a.bmp"), "_m") == (Path("a_m.bmp"),)
    assert require_lossless(paths("a_m.jpg"), paths("a.jpg"), "_m") == (Path("a_m.jpg"),)


def test_a_picture_of_a_mask_is_not_taken_unless_its_format_is_said() -> None:
    with pytest.raises(UnclearPairsError, match=r"--mask-suffix _m\.jpg") as caught:
        require_lossless(paths("a_m.jpg"), paths("a.bmp"), "_m")
    advice = str(caught.value).rpartition("--mask-suffix ")[2].rstrip(".")
    assert require_lossless(paths("a_m.jpg"), paths("a.bmp"), advice) == (Path("a_m.jpg"),)
