from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelwise.datasets import Inspection, draw_inspection, inspect_dataset, load_dataset
from pixelwise.images import open_image, write_picture, write_tiff


def add(root: Path, name: str, mask: np.ndarray, *, value: float = 7, dtype: str = "u1") -> None:
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    write_tiff(root / "images" / f"{name}.tif", np.full((4, 5), value, dtype), axes="YX")
    write_picture(root / "masks" / f"{name}.png", mask.astype(np.uint8))


def inspect(root: Path, **fields: object) -> Inspection:
    return inspect_dataset(load_dataset(root, strict=False, **fields))


EMPTY = np.zeros((4, 5))
HALF = np.array([[0, 1, 1, 1, 1], [0] * 5, [1] * 5, [0] * 5])  # 9 of 20


def test_counts(tmp_path: Path) -> None:
    add(tmp_path, "a", HALF, value=3)
    add(tmp_path, "b", HALF, value=9)
    found = inspect(tmp_path)
    assert (found.images, found.sources, found.planes, found.channels) == (2, 2, 2, 1)
    assert (found.sizes, found.dtypes) == ({"4 x 5": 2}, {"uint8": 2})
    assert found.intensities == (3, 9)
    assert found.axes == {"read as YX (plain image)": 2}
    assert [(c.name, c.pixels, c.share, c.images) for c in found.classes] == [
        ("background", 22, 0.55, 2),
        ("foreground", 18, 0.45, 2),
    ]
    assert found.sound
    assert not found.problems
    assert "no problem found" in found.text()


def test_json_holds_everything(tmp_path: Path) -> None:
    add(tmp_path, "a", HALF)
    values = json.loads(json.dumps(inspect(tmp_path).to_dict()))
    assert values["sound"] is True
    assert values["classes"][1]["pixels"] == 9
    assert values["layout"] == "pairs"


def test_void_is_counted_apart(tmp_path: Path) -> None:
    add(tmp_path, "a", HALF)
    found = inspect(tmp_path, classes="0=void,1=a,2=b")
    assert found.void_pixels == 11
    assert found.void_share == pytest.approx(0.55)
    assert [item.share for item in found.classes] == [1.0, 0.0]


def test_every_problem_is_found_in_one_go(tmp_path: Path) -> None:
    for name in ("good", "cut", "odd", "gone", "small"):
        add(tmp_path, name, HALF)
    add(tmp_path, "nan", HALF, value=np.nan, dtype="f4")
    add(tmp_path, "empty", EMPTY)
    add(tmp_path, "odd", np.full((4, 5), 9))
    add(tmp_path, "small", np.zeros((3, 5)))
    (tmp_path / "masks" / "gone.png").unlink()
    image = tmp_path / "images" / "cut.tif"
    write_tiff(image, np.random.default_rng(0).integers(0, 9, (4, 5), np.uint8), axes="YX")
    image.write_bytes(image.read_bytes()[:-3])
    found = inspect(tmp_path, classes="0=background,1=cell")
    by_kind = {problem.kind: problem for problem in found.problems}
    assert {kind for kind, problem in by_kind.items() if problem.fatal} == {
        *("unreadable", "values", "shape", "nan"),
    }
    assert {kind for kind, problem in by_kind.items() if not problem.fatal} == {"unpaired", "empty"}
    assert "cut.tif" in by_kind["unreadable"].where
    assert "9 (20 pixels)" in by_kind["values"].message
    assert "20 NaN or infinite pixels" in by_kind["nan"].message
    assert "1 masks hold no class but background" in by_kind["empty"].message
    assert found.problems[0].fatal
    assert not found.sound
    text = found.text()
    assert text.index("to fix:") < text.index("notes:")


def test_nothing_but_background_is_fatal(tmp_path: Path) -> None:
    add(tmp_path, "a", EMPTY)
    add(tmp_path, "b", EMPTY)
    found = inspect(tmp_path)
    assert [(problem.kind, problem.fatal) for problem in found.problems] == [("empty", True)]
    assert "all masks hold no class but background" in str(found.problems[0])


def test_equal_notes_become_one(tmp_path: Path) -> None:
    for name in "ab":
        add(tmp_path, name, HALF)
        (tmp_path / "images" / f"{name}.tif").unlink()
        Image.new("RGBA", (5, 4), (1, 2, 3, 100)).save(tmp_path / "images" / f"{name}.png")
    found = inspect(tmp_path)
    assert len(found.problems) == 1
    assert "2 files, e.g." in found.problems[0].message
    assert "transparent" in found.problems[0].message


def test_long_lists_are_cut(tmp_path: Path) -> None:
    add(tmp_path, "a", HALF)
    for number in range(25):
        write_picture(tmp_path / "images" / f"lone{number}.png", np.zeros((4, 5), np.uint8))
    found = inspect(tmp_path)
    assert len(found.problems) == 25
    assert found.text().endswith("and 5 more")


def test_drawing(tmp_path: Path) -> None:
    for name in "abc":
        add(tmp_path / "data", name, HALF)
    data = load_dataset(tmp_path / "data")
    draw_inspection(inspect_dataset(data), data, path=tmp_path / "a.png")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.png", "data"]
    pixels = open_image(tmp_path / "a.png").read()
    assert pixels.shape[0] > 300
    orange = (np.abs(pixels.astype(int) - (230, 159, 0)).max(axis=-1) < 3).sum()
    assert orange > 500  # the bar and the outlines


def test_drawing_leaves_out_broken_images(tmp_path: Path) -> None:
    add(tmp_path / "data", "a", HALF)
    data = load_dataset(tmp_path / "data")
    (tmp_path / "data" / "images" / "a.tif").unlink()
    draw_inspection(inspect_dataset(data), data, path=tmp_path / "a.png")
    assert (tmp_path / "a.png").is_file()


@pytest.mark.parametrize(
    ("folder", "shares", "void"),
    [
        ("sstem_vnc", {"background": 0.0230, "value 255": 0.7305, "value 223": 0.0064}, 0),
        ("wbc_dataset1", {"background": 0.6550, "value 128": 0.2061, "value 255": 0.1390}, 0),
        ("camvid", {"Road": 0.3210, "Building": 0.2454, "Pedestrian": 0.0055}, 0.0372),
        ("stardist_samples", {"object": 0.2533}, 0),
        ("plantseg_3d", {"object": 0.2310}, 0),
        ("dsb2018", {"nucleus": 0.1706}, 0),
        ("cityscapes_layout_from_camvid", {"road": 0.3196, "rider": 0.0078, "bus": 0}, 0.0356),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_real_shares(data_dir: Path, folder: str, shares: dict[str, float], void: float) -> None:
    found = inspect(data_dir / folder)
    assert found.sound
    assert found.void_share == pytest.approx(void, abs=1e-4)
    by_name = {item.name: item.share for item in found.classes}
    assert sum(by_name.values()) == pytest.approx(1)
    assert {name: by_name[name] for name in shares} == pytest.approx(shares, abs=1e-4)
