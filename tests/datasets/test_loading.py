from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pixelwise.config import DataConfig
from pixelwise.datasets import Dataset, load_dataset
from pixelwise.errors import ConfigError, DataError, ReadError
from pixelwise.images import read_image, write_picture, write_tiff
from pixelwise.patches import make_patches

RNG = np.random.default_rng(4)


def add(root: Path, name: str, *, shape: tuple[int, ...] = (8, 9, 3), mask: object = None) -> None:
    """Write one image and its mask, 8 x 9 with values 0 and 255 unless told otherwise."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    image = RNG.integers(0, 256, shape, np.uint8)
    labels = RNG.integers(0, 2, shape[:2], np.uint8) * 255 if mask is None else np.array(mask)
    write_picture(root / "images" / f"{name}.png", image)
    write_tiff(root / "masks" / f"{name}.tif", labels.astype(np.uint8), axes="YX")


def kinds(data: Dataset) -> list[tuple[str, bool]]:
    return [(problem.kind, problem.fatal) for problem in data.problems]


def test_a_config_and_keywords_give_the_same(tmp_path: Path) -> None:
    add(tmp_path, "a")
    config = DataConfig(path=tmp_path, layout="pairs", classes={"0": "out", "255": "in"})
    data = load_dataset(config)
    assert data == load_dataset(tmp_path, "pairs", classes="0=out,255=in")
    assert data == load_dataset(str(tmp_path), classes={"0": "out", "255": "in"})
    assert [item.name for item in load_dataset(config, classes="255=in,0=out").classes] == [
        "in",
        "out",
    ]


def test_a_wrong_field_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="resize"):
        load_dataset(tmp_path, resize="0x5")
    with pytest.raises(ConfigError, match="layout"):
        load_dataset(tmp_path, "canvid")
    with pytest.raises(ConfigError, match="colour"):
        load_dataset(tmp_path, colour="red")


def test_grey_among_colours_is_repeated_with_a_note(tmp_path: Path) -> None:
    add(tmp_path, "a")
    add(tmp_path, "b", shape=(8, 9))
    add(tmp_path, "c", shape=(8, 9))
    data = load_dataset(tmp_path)
    assert data.in_channels == 3
    assert "2 grey images among 1 with 3 channels" in str(data.problems[0])
    assert {sample.read_image().shape for sample in data.samples} == {(1, 3, 8, 9)}


def test_other_mixtures_are_refused(tmp_path: Path) -> None:
    for name in "ab":
        add(tmp_path, name)
    write_tiff(tmp_path / "images" / "b.png", np.zeros((2, 8, 9), np.uint8), axes="CYX")
    with pytest.raises(DataError, match=r"b\.png has 2 channels .* most images have 3"):
        load_dataset(tmp_path)
    data = load_dataset(tmp_path, strict=False)
    assert kinds(data) == [("channels", True)]
    assert len(data.samples) == 1


def test_classes_come_from_the_masks(tmp_path: Path) -> None:
    add(tmp_path, "a", mask=np.tile([0, 128, 255], (8, 3)))
    data = load_dataset(tmp_path)
    assert [item.name for item in data.classes] == ["background", "value 128", "value 255"]
    assert "one class per value" in data.mapping
    assert data.samples[0].read_mask()[0, 0, :3].tolist() == [0, 1, 2]


def test_void_and_sparse(tmp_path: Path) -> None:
    add(tmp_path, "a", mask=np.tile([0, 1, 2], (8, 3)))
    data = load_dataset(tmp_path, void="2")
    assert data.samples[0].read_mask()[0, 0, :3].tolist() == [0, 1, 255]
    data = load_dataset(tmp_path, sparse=True)
    assert data.background is None
    assert data.samples[0].read_mask()[0, 0, :3].tolist() == [255, 0, 1]


def test_sparse_does_not_fit_a_layout_with_classes_of_its_own(data_dir: Path) -> None:
    with pytest.raises(ConfigError, match=r"in this layout it is a class .*CamVid"):
        load_dataset(data_dir / "camvid", sparse=True)


def test_a_validation_folder(tmp_path: Path) -> None:
    for name in "abc":
        add(tmp_path / "train", name)
    add(tmp_path / "held", "d", mask=np.full((8, 9), 255))
    data = load_dataset(tmp_path / "train", validation=tmp_path / "held")
    train, validation = data.split(0.5, 0)
    assert [sample.name for sample in train.samples] == ["a", "b", "c"]
    assert [sample.name for sample in validation.samples] == ["d"]
    assert (validation.samples[0].read_mask() == 1).all()


def test_a_test_folder_is_neither_trained_nor_validated_on(tmp_path: Path) -> None:
    for name in "abc":
        add(tmp_path / "train", name)
    add(tmp_path / "apart", "d")
    (tmp_path / "apart" / "images" / "a.png").symlink_to(tmp_path / "train" / "images" / "a.png")
    (tmp_path / "apart" / "masks" / "a.tif").symlink_to(tmp_path / "train" / "masks" / "a.tif")
    data = load_dataset(tmp_path / "train", test=tmp_path / "apart")
    train, validation = data.split(0.5, 0)
    assert {sample.name for sample in (*train.samples, *validation.samples)} == {"b", "c"}
    assert {sample.name for sample in data.select("test").samples} == {"a", "d"}
    assert "1 of the images are also in the test folder" in str(data.problems[0])
    with pytest.raises(ConfigError, match="folds and a test folder exclude each other"):
        load_dataset(tmp_path / "train", test=tmp_path / "apart", folds=2)


def test_an_empty_validation_folder(tmp_path: Path) -> None:
    add(tmp_path, "a")
    (tmp_path / "held" / "images").mkdir(parents=True)
    (tmp_path / "held" / "masks").mkdir()
    with pytest.raises(DataError, match=r"No images with masks were recognised in .*held"):
        load_dataset(tmp_path, validation=tmp_path / "held")


def test_images_of_one_name_get_numbers(tmp_path: Path) -> None:
    add(tmp_path / "train", "a")
    add(tmp_path / "val", "a")
    data = load_dataset(tmp_path)
    assert [sample.name for sample in data.samples] == ["a", "a-2"]
    assert data.groups == ("a", "a-2")
    assert kinds(data) == [("duplicate", False)]


def test_numbers_do_not_meet_names_that_are_there(tmp_path: Path) -> None:
    for name in ("a", "a-2", "B"):
        add(tmp_path / "train", name)
    for name in ("a", "b"):
        add(tmp_path / "val", name)
    data = load_dataset(tmp_path)
    assert sorted(sample.name for sample in data.samples) == ["B", "a", "a-2", "a-3", "b-2"]


def test_axes_for_all_images(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    write_tiff(tmp_path / "images" / "a.tif", np.zeros((2, 8, 9), np.uint8), axes="ZYX")
    write_tiff(tmp_path / "masks" / "a.tif", np.eye(8, 9, dtype=np.uint8), axes="YX")
    assert load_dataset(tmp_path, axes="CYX").samples[0].shape == (1, 2, 8, 9)
    with pytest.raises(DataError, match="its image has 2 planes of 8 x 9"):
        load_dataset(tmp_path)


# Bad input: each is refused by name, and `strict=False` lists it and goes on with the rest.


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


def replace_mask(root: Path, array: np.ndarray) -> None:
    write_tiff(root / "masks" / "b.tif", array, axes="YX" if array.ndim == 2 else "YXC")


@pytest.mark.parametrize(
    ("spoil", "kind", "message"),
    [
        (lambda root: cut(root / "images" / "b.png"), "unreadable", r"b\.png is damaged"),
        (lambda root: cut(root / "masks" / "b.tif"), "unreadable", r"b\.tif is damaged"),
        (
            lambda root: (root / "images" / "b.png").write_text("no image"),
            "unreadable",
            r"Expected an image.*b\.png is text and starts with b'no image'",
        ),
        (
            lambda root: replace_mask(root, np.zeros((9, 8), np.uint8)),
            "shape",
            r"b\.tif has 9 x 8 pixels, its image has 8 x 9",
        ),
        (
            lambda root: replace_mask(root, np.zeros((8, 9, 2), np.uint8)),
            "shape",
            r"b\.tif has 2 channels",
        ),
        (
            lambda root: replace_mask(root, RNG.integers(0, 255, (8, 9, 3), np.uint8)),
            "values",
            r"RGB images with \d+ colours",
        ),
        (
            lambda root: replace_mask(root, np.linspace(0, 1, 72, dtype="f4").reshape(8, 9)),
            "unreadable",
            "not integers",
        ),
    ],
    ids=["image-cut", "mask-cut", "foreign", "shape", "channels", "photo", "fractions"],
)
def test_broken_files(
    tmp_path: Path, spoil: Callable[[Path], None], kind: str, message: str
) -> None:
    for name in "abc":
        add(tmp_path, name)
    spoil(tmp_path)
    with pytest.raises(DataError, match=rf"(?s)pixelwise inspect.*{message}"):
        load_dataset(tmp_path)
    data = load_dataset(tmp_path, strict=False)
    assert (kind, True) in kinds(data)
    assert {"a", "c"} <= {sample.name for sample in data.samples}


def test_pixels_that_are_cut_off_show_when_they_are_read(tmp_path: Path) -> None:
    add(tmp_path, "a")
    path = tmp_path / "images" / "a.png"
    path.write_bytes(path.read_bytes()[:-30])
    sample = load_dataset(tmp_path).samples[0]  # headers are whole
    with pytest.raises(ReadError, match=r"a\.png is damaged or truncated"):
        sample.read_image()


def test_no_pairs_at_all(tmp_path: Path) -> None:
    add(tmp_path, "a")
    (tmp_path / "masks" / "a.tif").rename(tmp_path / "masks" / "z.tif")
    with pytest.raises(DataError, match=r"a\.png.*z\.tif, but their names do not show"):
        load_dataset(tmp_path)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="contains nothing"):
        load_dataset(tmp_path)
    with pytest.raises(ReadError, match="does not exist"):
        load_dataset(tmp_path / "nowhere")


def test_unpaired_files_do_not_stop_it(tmp_path: Path) -> None:
    for name in "ab":
        add(tmp_path, name)
    (tmp_path / "masks" / "b.tif").unlink()
    data = load_dataset(tmp_path)
    assert [sample.name for sample in data.samples] == ["a"]
    assert kinds(data) == [("unpaired", False)]


def test_a_file_that_vanishes_later_is_named(tmp_path: Path) -> None:
    add(tmp_path, "a")
    sample = load_dataset(tmp_path).samples[0]
    (tmp_path / "images" / "a.png").unlink()
    with pytest.raises(ReadError, match=r"a\.png: No such file"):
        sample.read_image()


# Real data


@pytest.mark.parametrize(
    ("folder", "classes", "channels", "dtype", "shape", "words"),
    [
        ("sstem_vnc", 9, 1, "uint8", (1, 1, 1024, 1024), "9 mask values read as one class"),
        ("wbc_dataset1", 3, 3, "uint8", (1, 3, 120, 120), "3 mask values read as one class"),
        ("stardist_samples", 2, 1, "uint16", (1, 1, 512, 512), "read as instances"),
        ("plantseg_3d", 2, 1, "uint8", (100, 1, 100, 100), "54 values that number"),
        ("camvid", 11, 3, "uint8", (1, 3, 360, 480), "11 = void"),
        ("dsb2018", 2, 3, "uint8", (1, 3, 260, 347), "merged"),
    ],
)  # fmt: skip
def test_real_sets(
    data_dir: Path, folder: str, classes: int, channels: int, dtype: str, shape: object, words: str
) -> None:
    data = load_dataset(data_dir / folder)
    assert (len(data.classes), data.in_channels, data.dtypes) == (classes, channels, (dtype,))
    assert words in data.mapping
    sample = data.samples[0]
    assert sample.shape == sample.read_image().shape == shape
    assert set(np.unique(sample.read_mask())) <= {*range(classes), 255}


def test_real_codes_can_be_named(data_dir: Path) -> None:
    data = load_dataset(data_dir / "wbc_dataset1", classes="0=background,128=cytoplasm,255=nucleus")
    assert [item.name for item in data.classes] == ["background", "cytoplasm", "nucleus"]
    raw, _ = read_image(data.samples[0].mask_path)
    assert np.array_equal(data.samples[0].read_mask()[0] == 2, raw == 255)


def test_real_stack_without_axes(data_dir: Path) -> None:
    """A two-channel volume: the guess is said, and the user's axes are respected."""
    folder = data_dir / "plantseg_multichannel_3d"
    data = load_dataset(folder, strict=False)
    assert [sample.name for sample in data.samples] == ["rgb_3D_0", "rgb_3D_1"]
    assert "rgb_3D_c_seg_.tif has 2 channels (read as CZYX (guessed" in str(data.problems[0])
    assert data.problems[0].fatal


def test_a_validation_folder_in_another_layout_is_refused(tmp_path: Path) -> None:
    for name in ("train", "held"):
        add(tmp_path / name, name)
    raw, cut = tmp_path / "held", tmp_path / "patches"
    make_patches(load_dataset(tmp_path / "train"), cut, size=8)
    with pytest.raises(DataError, match=r"was read as pairs .+ as patches .+the same layout"):
        load_dataset(cut, validation=raw)
    data = load_dataset(cut, validation=raw, classes="0=out,1=in,255=in")
    _, validation = data.split()
    assert set(np.unique(validation.samples[0].read_mask())) == {0, 1}


def test_validation_patches_with_other_classes_are_refused(tmp_path: Path) -> None:
    add(tmp_path / "raw", "a")
    for name, classes in (("train", "0=out,255=in"), ("held", "255=in,0=out")):
        make_patches(load_dataset(tmp_path / "raw", classes=classes), tmp_path / name, size=8)
    with pytest.raises(DataError, match=r"classes in, out, .+ has out, in: expected the same"):
        load_dataset(tmp_path / "train", validation=tmp_path / "held")


def test_what_is_validated_on_is_not_trained_on(tmp_path: Path) -> None:
    for name in "abc":
        add(tmp_path / "train", name)
    for kind, suffix in (("images", "png"), ("masks", "tif")):
        (tmp_path / "held" / kind).mkdir(parents=True)
        path = f"{kind}/b.{suffix}"
        (tmp_path / "held" / path).symlink_to(tmp_path / "train" / path)
    data = load_dataset(tmp_path / "train", validation=tmp_path / "held")
    train, validation = data.split()
    assert [sample.name for sample in train.samples] == ["a", "c"]
    assert [sample.name for sample in validation.samples] == ["b"]
    assert "1 of the images are also in the validation folder" in str(data.problems[0])
    with pytest.raises(DataError, match="none is left to train on"):
        load_dataset(tmp_path / "train", validation=tmp_path / "train")
