from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelwise.datasets import Dataset, inspect_dataset, load_dataset
from pixelwise.datasets.annotations.voc import VOC_NAMES, create_palette
from pixelwise.errors import ConfigError, DataError

LABELMAP = """# label:color_rgb:parts:actions
background:0,0,0::
cell:250,50,83::
nucleus:52,209,183:a,b:c
"""
RGB = {0: (0, 0, 0), 1: (250, 50, 83), 2: (52, 209, 183)}


def blocks(*values: int) -> np.ndarray:
    """A mask (8, 12) whose columns hold the values, equally many each."""
    return np.repeat(np.array(values, np.uint8), 12 // len(values))[None].repeat(8, axis=0)


def paint(path: Path, mask: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((8, 12, 3), np.uint8) if mask is None else mask
    Image.fromarray(pixels).save(path)


def to_rgb(mask: np.ndarray) -> np.ndarray:
    return np.array([RGB[value] for value in range(3)], np.uint8)[mask]


def save_palette(path: Path, mask: np.ndarray, palette: Sequence[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(mask)
    picture.putpalette([part for color in palette for part in color.to_bytes(3)])
    assert picture.mode == "P"
    picture.save(path)


def write_lists(root: Path, **lists: str) -> None:
    folder = root / "ImageSets" / "Segmentation"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in lists.items():
        (folder / f"{name}.txt").write_text(content)


def write_cvat(root: Path, *names: str, labelmap: str = LABELMAP) -> None:
    for name in names or ("a",):
        paint(root / "JPEGImages" / f"{name}.jpg")
        paint(root / "SegmentationClass" / f"{name}.png", to_rgb(blocks(0, 1, 2)))
        paint(root / "SegmentationObject" / f"{name}.png", to_rgb(blocks(0, 1, 2)) // 2)
    (root / "labelmap.txt").write_text(labelmap)


def names(data: Dataset) -> list[str]:
    return [item.name for item in data.classes]


def test_datumaros_export_holds_what_went_in(
    exports: Path, require_truth: Callable[[Dataset, str], None]
) -> None:
    data = load_dataset(exports / "datumaro" / "voc")
    assert (data.layout, names(data)) == ("voc", ["background", "cell wall", "nucleus"])
    assert [s.split for s in data.samples] == ["train", "train", "validation"]
    assert not data.problems
    require_truth(data, "datumaro")
    inspection = inspect_dataset(data)
    assert inspection.sound
    assert [round(item.share, 3) for item in inspection.classes] == [0.874, 0.062, 0.064]


def test_labelmes_export_holds_what_went_in(
    exports: Path, require_truth: Callable[[Dataset, str], None]
) -> None:
    data = load_dataset(exports / "labelme" / "voc")
    assert (data.layout, names(data)) == ("voc", ["background", "cell", "nucleus"])
    require_truth(data, "labelme")
    assert inspect_dataset(data).void_share > 0


def test_cvats_colours_are_its_labels(tmp_path: Path) -> None:
    write_cvat(tmp_path)
    data = load_dataset(tmp_path)
    assert [(c.name, c.color) for c in data.classes] == [
        ("background", "#000000"),
        ("cell", "#fa3253"),
        ("nucleus", "#34d1b7"),
    ]
    assert data.samples[0].mask_path.parent.name == "SegmentationClass"
    assert np.array_equal(data.samples[0].read_mask()[0], blocks(0, 1, 2))
    assert data.mapping == "labelmap.txt: background, cell, nucleus"


def test_a_palette_is_read_by_its_colours(tmp_path: Path) -> None:
    write_cvat(tmp_path)
    colors = [
        sum(part << shift for part, shift in zip(RGB[v], (16, 8, 0), strict=True)) for v in RGB
    ]
    save_palette(
        tmp_path / "SegmentationClass" / "a.png", blocks(2, 1, 0), [colors[2], colors[1], colors[0]]
    )
    assert np.array_equal(load_dataset(tmp_path).samples[0].read_mask()[0], blocks(0, 1, 2))


def test_grey_values_are_numbers_of_labels(tmp_path: Path) -> None:
    write_cvat(tmp_path)
    paint(tmp_path / "SegmentationClass" / "a.png", blocks(0, 1, 2, 255))
    assert np.array_equal(load_dataset(tmp_path).samples[0].read_mask()[0], blocks(0, 1, 2, 255))


def test_grey_labels_are_read_by_their_grey(tmp_path: Path) -> None:
    write_cvat(tmp_path, labelmap="background:0,0,0::\ncell:128,128,128::\nedge:255,255,255::\n")
    paint(tmp_path / "SegmentationClass" / "a.png", blocks(0, 128, 255))
    assert np.array_equal(load_dataset(tmp_path).samples[0].read_mask()[0], blocks(0, 1, 2))


def test_a_background_of_another_colour_and_another_place(tmp_path: Path) -> None:
    labelmap = "cell:250,50,83::\nnucleus:52,209,183::\nbackground:0,128,0::\n"
    write_cvat(tmp_path, labelmap=labelmap)
    with pytest.raises(DataError, match="#000000"):
        load_dataset(tmp_path).samples[0].read_mask()
    mask = to_rgb(blocks(0, 1, 2))
    mask[:, :4] = (0, 128, 0)
    paint(tmp_path / "SegmentationClass" / "a.png", mask)
    data = load_dataset(tmp_path)
    assert names(data) == ["background", "cell", "nucleus"]
    assert np.array_equal(data.samples[0].read_mask()[0], blocks(0, 1, 2))


def test_black_is_background_where_no_label_is(tmp_path: Path) -> None:
    write_cvat(tmp_path, labelmap="cell:250,50,83::\nnucleus:52,209,183::\n")
    data = load_dataset(tmp_path)
    assert names(data) == ["background", "cell", "nucleus"]
    assert np.array_equal(data.samples[0].read_mask()[0], blocks(0, 1, 2))


def test_colours_that_no_label_has_are_refused(tmp_path: Path) -> None:
    write_cvat(tmp_path, labelmap=LABELMAP.replace("52,209,183", "52,209,184"))
    with pytest.raises(DataError, match=r"not mapped to a class: #34d1b7 \(32 pixels\)"):
        load_dataset(tmp_path).samples[0].read_mask()
    assert not inspect_dataset(load_dataset(tmp_path, strict=False)).sound


def test_names_may_hold_colons_and_colours_be_missing(tmp_path: Path) -> None:
    write_cvat(tmp_path, labelmap="background:0,0,0::\nT: one:250,50,83::\nother:::\n")
    mask = to_rgb(blocks(0, 1, 0))
    mask[:, 8:] = (0, 128, 0)  # VOC's second colour
    paint(tmp_path / "SegmentationClass" / "a.png", mask)
    data = load_dataset(tmp_path)
    assert names(data) == ["background", "T: one", "other"]
    assert np.array_equal(data.samples[0].read_mask()[0], blocks(0, 1, 2))


@pytest.mark.parametrize(
    ("labelmap", "message"),
    [
        (
            "background:0,0,0::\ncell:250,50::\n",
            r"expected name:red,green,blue:: .*'cell:250,50::'",
        ),
        ("background:0,0,0::\ncell:250,50,999::\n", "with 0 to 255"),
        ("background:0,0,0::\ncell:red,50,9::\n", "with 0 to 255"),
        ("background:0,0,0::\n:250,50,9::\n", "with 0 to 255"),
        ("background:0,0,0::\na:1,2,3::\na:4,5,6::\n", "two labels have the name 'a'"),
        ("background:0,0,0::\na:1,2,3::\nb:1,2,3::\n", "two labels have the color '#010203'"),
    ],
)
def test_labelmaps_that_do_not_say_it(tmp_path: Path, labelmap: str, message: str) -> None:
    write_cvat(tmp_path, labelmap=labelmap)
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path)


def test_lists_are_splits_and_say_what_is_missing(tmp_path: Path) -> None:
    write_cvat(tmp_path, "a", "b", "c", "d e", "sub/f", "rest")
    paint(tmp_path / "JPEGImages" / "bare.jpg")
    write_lists(
        tmp_path,
        train="a\nb.png\ngone\nbare\n",
        val='c  1\n"d e"\n',
        test="sub/f\n",
        trainval="a\nb\nc\nd e\n",
    )
    data = load_dataset(tmp_path)
    assert {s.name: s.split for s in data.samples} == {
        "a": "train",
        "b": "train",
        "c": "validation",
        "d e": "validation",
        "f": "test",
    }
    text = "\n".join(map(str, data.problems))
    assert "train.txt lists 1 names with no image: gone" in text
    assert "train.txt lists 1 names with no mask: bare" in text
    assert "1 masks are in no list of ImageSets/Segmentation and are left out: rest" in text


def test_cvats_single_list_is_no_split(tmp_path: Path) -> None:
    write_cvat(tmp_path, "a", "b")
    write_lists(tmp_path, default="a\nb\n")
    data = load_dataset(tmp_path)
    assert [sample.split for sample in data.samples] == [None, None]
    assert not data.problems


def test_an_image_in_two_splits_is_refused(tmp_path: Path) -> None:
    write_cvat(tmp_path, "a", "b")
    write_lists(tmp_path, train="a\nb\n", val="b\n")
    with pytest.raises(DataError, match="lists b for train and for validation"):
        load_dataset(tmp_path)


def write_voc2012(root: Path, palette: Sequence[int] | None = None) -> None:
    for name in ("2007_000032", "2007_000033"):
        paint(root / "JPEGImages" / f"{name}.jpg")
        path = root / "SegmentationClass" / f"{name}.png"
        save_palette(path, blocks(0, 1, 15, 255), palette or create_palette())
    paint(root / "JPEGImages" / "2007_000099.jpg")  # most pictures of VOC have no mask
    write_lists(root, train="2007_000032\n", val="2007_000033\n")


def test_voc_itself_has_21_classes_and_a_void_border(tmp_path: Path) -> None:
    write_voc2012(tmp_path)
    data = load_dataset(tmp_path)
    assert tuple(names(data)) == VOC_NAMES
    assert data.classes[1].color == "#800000"
    assert np.array_equal(data.samples[0].read_mask()[0], blocks(0, 1, 15, 255))
    assert [sample.split for sample in data.samples] == ["train", "validation"]
    assert "1 images have no mask and are left out: 2007_000099" in str(data.problems[0])


def test_the_palette_is_that_of_the_development_kit() -> None:
    palette = create_palette()
    assert [f"{color:06x}" for color in palette[:4]] == ["000000", "800000", "008000", "808000"]
    assert (f"{palette[20]:06x}", f"{palette[255]:06x}") == ("004080", "e0e0c0")


def test_another_palette_is_not_voc(tmp_path: Path) -> None:
    write_voc2012(tmp_path, [0, 0x123456, *create_palette()[2:]])
    assert "aeroplane" not in names(load_dataset(tmp_path))


def test_other_names_of_files_are_not_voc(tmp_path: Path) -> None:
    write_voc2012(tmp_path)
    for folder in ("JPEGImages", "SegmentationClass"):
        for file in sorted((tmp_path / folder).iterdir()):
            file.rename(file.with_name(f"cells {file.name}"))
    write_lists(tmp_path, train="cells 2007_000032\n", val="cells 2007_000033\n")
    assert "aeroplane" not in names(load_dataset(tmp_path))


def test_an_older_labelme_has_arrays_beside_the_pictures(tmp_path: Path) -> None:
    paint(tmp_path / "JPEGImages" / "a.jpg")
    save_palette(tmp_path / "SegmentationClassPNG" / "a.png", blocks(0, 1, 255), create_palette())
    (tmp_path / "SegmentationClass").mkdir()
    np.save(tmp_path / "SegmentationClass" / "a.npy", blocks(0, 1, 255))
    (tmp_path / "class_names.txt").write_text("_background_\ncell\n")
    data = load_dataset(tmp_path)
    assert names(data) == ["background", "cell"]
    assert np.array_equal(data.samples[0].read_mask()[0], blocks(0, 1, 255))


def test_class_names_without_a_background_are_not_used(tmp_path: Path) -> None:
    paint(tmp_path / "JPEGImages" / "a.jpg")
    paint(tmp_path / "SegmentationClass" / "a.png", blocks(0, 255))
    (tmp_path / "class_names.txt").write_text("cell\n")
    data = load_dataset(tmp_path)
    assert names(data) == ["background", "foreground"]
    assert "does not begin with _background_" in str(data.problems[0])


def test_an_export_without_pictures_says_how_to_get_them(tmp_path: Path) -> None:
    write_cvat(tmp_path / "export")
    (tmp_path / "export" / "JPEGImages").rename(tmp_path / "pictures")
    with pytest.raises(DataError, match=r"Save images.* name the folder of the images"):
        load_dataset(tmp_path / "export")
    data = load_dataset(tmp_path / "export", layout="voc", images="../pictures")
    assert len(data.samples) == 1


def test_the_users_classes_come_first(tmp_path: Path) -> None:
    write_cvat(tmp_path)
    by_name = load_dataset(tmp_path, classes="nucleus=core,cell=void")
    assert names(by_name) == ["background", "core"]
    assert np.array_equal(by_name.samples[0].read_mask()[0], blocks(0, 255, 1))
    by_color = load_dataset(tmp_path, classes="#000000=bg,#fa3253=x,#34d1b7=x")
    assert names(by_color) == ["bg", "x"]
    assert np.array_equal(by_color.samples[0].read_mask()[0], blocks(0, 1, 1))
    instances = load_dataset(tmp_path, classes="instances")
    assert np.array_equal(instances.samples[0].read_mask()[0], blocks(0, 1, 1))
    with pytest.raises(ConfigError, match=r"name the label instead \(classes: nucleus=void"):
        load_dataset(tmp_path, void="255")
    assert names(load_dataset(tmp_path, classes="nucleus=void,cell=cell")) == ["background", "cell"]


def test_values_can_be_named_for_indices(tmp_path: Path) -> None:
    paint(tmp_path / "JPEGImages" / "a.jpg")
    save_palette(tmp_path / "SegmentationClass" / "a.png", blocks(0, 1, 2), create_palette())
    (tmp_path / "class_names.txt").write_text("_background_\ncell\nnucleus\n")
    data = load_dataset(tmp_path, classes="0=background,1=x,2=x")
    assert np.array_equal(data.samples[0].read_mask()[0], blocks(0, 1, 1))


@pytest.mark.parametrize("folder", ["JPEGImages", "SegmentationClass"])
def test_two_files_of_one_name_are_refused(tmp_path: Path, folder: str) -> None:
    write_cvat(tmp_path)
    paint(tmp_path / folder / "a.bmp")
    with pytest.raises(DataError, match=r"a\.\w+ have one name; keep one of them"):
        load_dataset(tmp_path)


def test_another_size_is_refused(tmp_path: Path) -> None:
    write_cvat(tmp_path)
    paint(tmp_path / "SegmentationClass" / "a.png", to_rgb(blocks(0, 1, 2))[:4])
    with pytest.raises(DataError, match="4 x 12 pixels, the image has 8 x 12"):
        load_dataset(tmp_path)
