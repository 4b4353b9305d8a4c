"""Every remedy that a message names is tried: the test takes the message and does what it says.

`TRIED` says what of each message is tried; a message that names an option and is neither there nor
in `NOT_TRIED` fails the test, so that no new advice goes untried.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from pixelwise.classes import MaskValues
from pixelwise.cli import run as run_command
from pixelwise.comparison.trials import begin
from pixelwise.config import TrainConfig
from pixelwise.config.comparison import ComparisonConfig
from pixelwise.datasets import load_dataset
from pixelwise.errors import PixelwiseError
from pixelwise.images import open_image
from pixelwise.models.files import save_model
from pixelwise.training.setup import prepare
from tests.datasets.test_mask_files import (
    byte,
    cell_and_nucleus,
    indices,
    label_with,
    smooth,
    three_levels,
    with_void,
)
from tests.disks import disks, write_set
from tests.messages import MESSAGES
from tests.prediction.test_evaluate import with_classes
from tests.test_input_check import IMAGE, create_model

Array = np.ndarray
OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*)(?: ('[^']*'|[^\s;()']+?(?=[,.:]?(?:[\s;()]|$))))?")

# A part of each message whose advice a test below follows.
TRIED = (
    "--classes",
    "--void 255",
    ": if X is white in it",
    "If X is white in it",
    "and --white says",
    "leave out --white",
    "say --axes",
    "No patch has a foreground share",
    "No patch of X has X foreground",
    "take --edge cover, a smaller --step",
    "larger images (--resize",
    "smaller patches (--size X) or ",
    "hold no annotated pixel",
    "show no foreground",
    "expected at least two classes",
    "expected the same layout",
    "Use --split all",
    "none to validate on",
    "X already holds a run",
    "X is not empty",
    "X holds a comparison with other settings",
    "choose another --normalization",
    "needs new ones, by",
    "Nothing names the axes",
    "give the same pixels different values",
    "has two masks of one name",
    "has lossy compression, its image has not",
    "or the same suffix after it, and say that",
    "If they lie elsewhere, name both folders",
    "replace existing files with --overwrite",
)
# Advice that other tests follow, or that needs a machine of its own.
NOT_TRIED = {
    "datum convert": "was tried with datumaro 1.12 in an environment of its own",
    "of what was exported: pixelwise inspect": "tests/datasets/layouts names the folders",
    "is not a writable folder": "the administrator may write anywhere",
    "They take X GB": "needs a full disk",
    "cannot be downloaded": "tests/models/test_weights.py gives a file",
    "leave out --sync-batch-norm": "tests/training/test_sync_batch_norm.py",
    "are not those that X began with": "--start-from: tests/training/test_fit.py",
    "The memory of": "needs a full memory: tests/training/test_memory.py",
    "start a new run from it with --start-from": "tests/training/test_fit.py starts from models",
    "To train longer": "tests/training/test_fit.py",
    "has a model, but no checkpoint": "tests/training/test_fit.py",
    "are too few for X processes": "needs several processes: tests/training/test_distributed.py",
    "ask SLURM": "needs a cluster",
    "With SLURM": "needs a cluster",
    "half the learning rate": "a lower rate cannot promise to converge",
    "by estimate patches of": "needs a full memory: tests/training/test_memory.py",
}


@pytest.mark.parametrize("message", MESSAGES)
def test_advice_is_tried(message: str) -> None:
    assert any(part in message for part in (*TRIED, *NOT_TRIED)), message


def test_nothing_is_listed_that_no_message_says() -> None:
    for part in (*TRIED, *NOT_TRIED):
        assert any(part in message for message in MESSAGES), part


def read_advice(message: str) -> list[list[str]]:
    """Options that a message names, each as arguments; those said together stay together."""
    found: list[list[str]] = []
    end = -1
    for option in OPTION.finditer(message):
        value = option[2] or ""
        is_value = value and not re.fullmatch("or|and|in|if|on|so|by|the|with", value)
        arguments = [f"--{option[1]}", *(shlex.split(value) if is_value else [])]
        if found and message[end : option.start()] == " ":
            found[-1] += arguments
        else:
            found.append(arguments)
        end = option.end()
    return found


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Call the command line: exit status, and all that was printed, in one line."""

    def run(*arguments: object) -> tuple[int, str]:
        status = run_command([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, f"{captured.out} {captured.err}"

    return run


Call = Callable[..., tuple[int, str]]
Draw = Callable[[int, Array], Array]


def five(_: int, mask: Array) -> Array:
    drawn = byte(mask, 1)
    drawn[:8, :8] = 5
    return drawn


def painted(_: int, mask: Array) -> Array:
    return np.array([[0, 0, 0], [255, 0, 0]], "u1")[byte(mask, 1)]


def objects_and_255(seed: int, mask: Array) -> Array:
    numbered = label_with(lambda s, n, _: np.arange(1, n + 1) + 8 * s)(seed, mask)
    if seed in (1, 2):
        numbered[:6, :6] = 255
    return numbered


@dataclass(frozen=True)
class Masks:
    """Masks that are refused, or that leave a note, and how many ways are named."""

    draw: Draw
    ways: int
    suffix: str = ".png"
    fields: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


MASKS = {
    "0/1 and 0/128": Masks(lambda s, m: byte(m, 128 if s % 2 else 1), 2),
    "0/15 and 0/255": Masks(lambda s, m: byte(m, 255 if s % 2 else 15), 3),
    "void or white": Masks(
        lambda s, m: [byte(m, 1), with_void(byte(m, 1)), byte(m)][s % 3], 2
    ),
    "32 beside 255": Masks(indices(32), 2),
    "100, 200, 255": Masks(indices(100, 200), 2),
    "objects or classes": Masks(
        label_with(lambda _, n, rng: rng.choice(np.arange(1, 10), n, replace=False)), 2
    ),
    "colours of objects or classes": Masks(
        label_with(lambda _, n, r: np.arange(60, 180).reshape(40, 3)[r.permutation(20)[:n]]), 2
    ),
    "255 among objects": Masks(objects_and_255, 2),
    "-5": Masks(lambda _, m: with_void(m, -5, "i2"), 2, ".tif"),
    "-1 and 1": Masks(lambda _, m: np.where(m, 1, -1).astype("i2"), 1, ".tif"),
    "soft": Masks(smooth(2), 1),
    "three levels of JPEG": Masks(three_levels, 1, ".jpg"),
    "only 7": Masks(lambda _, m: byte(m * 0 + 1, 7), 1),
    "cell and nucleus": Masks(cell_and_nucleus, 1),
    "unknown value": Masks(five, 1, fields=("--classes", "0=out,1=in")),
    "colours for numbers": Masks(painted, 1, fields=("--classes", "0=out,1=in")),
    "codes of many bits": Masks(
        lambda s, m: m * np.random.default_rng(s).integers(300, 400, m.shape, "u2"), 1, ".tif"
    ),
}  # fmt: skip


@pytest.mark.parametrize("masks", MASKS.values(), ids=MASKS)
def test_masks_that_are_not_understood(masks: Masks, tmp_path: Path, call: Call) -> None:
    root = write_set(tmp_path, masks.draw, suffix=masks.suffix, **masks.options)
    status, message = call("inspect", root, *masks.fields)
    assert status == (0 if "no problem" in message or "to fix" not in message else 1)
    ways = [way for way in read_advice(message) if way[0] == "--classes"]
    unique = list({tuple(way): way for way in ways}.values())
    assert len(unique) == masks.ways, message
    for way in unique:
        status, shown = call("inspect", root, *way)
        assert "0 background" in shown or "0 " in shown
        assert "not mapped to a class" not in shown
        assert "unclear" not in shown
        only = "nothing to learn" in shown  # masks of one value teach nothing yet
        assert status == 0 or only, shown


def write_small(root: Path, *, heights: tuple[int, ...] = (96, 80, 48, 64, 70, 90)) -> Path:
    """Images of several heights, all smaller than a patch of 100 pixels."""
    write_set(root, lambda _, m: byte(m))
    for number, height in enumerate(heights):
        for folder in ("images", "masks"):
            path = root / folder / f"{number}.png"
            Image.open(path).crop((0, 0, 96, height)).save(path)
    return root


def test_patches_larger_than_some_images(tmp_path: Path, call: Call) -> None:
    root = write_small(tmp_path)
    status, message = call("patches", root, "--dry-run", "--size", 100)
    assert status == 1
    ways = read_advice(message)
    assert ways == [["--size", "48"], ["--resize", "100x100"]]
    assert call("patches", root, "--dry-run", *ways[0])[0] == 0
    assert call("patches", root, "--dry-run", "--size", 100, *ways[1])[0] == 0


def follow(config: dict[str, Any], *ways: dict[str, Any]) -> str:
    """Message of a training that cannot begin; each way, as changed sections, lets it begin."""
    with pytest.raises(PixelwiseError) as error:
        prepare(TrainConfig.create(**config))
    for way in ways:
        changed = {name: {**config.get(name, {}), **values} for name, values in way.items()}
        prepare(TrainConfig.create(**{**config, **changed}))
    return str(error.value)


def create(root: Path, **sections: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "data": {"path": root},
        "run": root / "run",
        "patches": {"size": 32},
        "model": {"name": "unet", "options": {"base_channels": 2, "depth": 2}},
        "training": {"device": "cpu", "precision": "fp32"},
    }
    return {
        name: {**value, **sections.get(name, {})} if isinstance(value, dict) else value
        for name, value in base.items()
    }


def test_training_patches_larger_than_some_images(tmp_path: Path) -> None:
    root = write_small(tmp_path, heights=(96, 80, 90, 64, 70, 40))
    config = create(root, patches={"size": 100})
    message = follow(config, {"patches": {"size": 40}}, {"data": {"resize": "100x100"}})
    assert read_advice(message) == [["--size", "40"], ["--resize", "100x100"]]


def test_images_smaller_than_a_network_takes(tmp_path: Path) -> None:
    root = write_small(tmp_path, heights=(96, 20, 90, 64, 70, 40))
    config = create(root, patches={"size": 64})
    message = follow(config, {"data": {"resize": "64x64"}})
    assert read_advice(message) == [["--resize", "64x64"]]


def half_annotated(seed: int, mask: Array) -> Array:
    drawn = byte(mask, 1)
    if seed == 0:
        drawn[:] = 255
    return drawn


def test_validation_images_without_annotation(tmp_path: Path) -> None:
    root = write_set(tmp_path / "a", half_annotated)
    other = write_set(tmp_path / "b", lambda _, m: byte(m, 1))
    data = {"classes": "0=background,1=cell,255=void", "validation_fraction": 0.1}
    seed = find_seed(root, data, wanted="0")
    good = find_seed(root, data, wanted="1")
    config = create(root, data={**data, "split_seed": seed})
    message = follow(config, {"data": {"validation": other}}, {"data": {"split_seed": good}})
    assert read_advice(message) == [["--validation"], ["--split-seed"]]


def find_seed(root: Path, data: dict[str, Any], *, wanted: str) -> int:
    """A seed by which just this image is drawn to validate on."""
    loaded = load_dataset(root, **{k: v for k, v in data.items() if k == "classes"})
    for seed in range(100):
        held = loaded.split(data["validation_fraction"], seed)[1].samples
        if [sample.name for sample in held] == [wanted]:
            return seed
    raise AssertionError


def test_validation_images_without_foreground(tmp_path: Path) -> None:
    root = write_set(tmp_path / "a", lambda seed, m: byte(m if seed else m * 0))
    other = write_set(tmp_path / "b", lambda _, m: byte(m))
    data = {"classes": "0=background,255=cell", "validation_fraction": 0.1}
    config = create(root, data={**data, "split_seed": find_seed(root, data, wanted="0")})
    message = follow(
        config,
        {"data": {"validation": other}},
        {"data": {"split_seed": find_seed(root, data, wanted="1")}},
        {"training": {"monitor": "loss"}},
    )
    assert read_advice(message) == [["--validation"], ["--split-seed"], ["--monitor", "loss"]]


def test_too_little_foreground(tmp_path: Path, call: Call) -> None:
    root = write_set(tmp_path, lambda _, m: byte(m))
    config = create(root, patches={"min_foreground": 0.99})
    message = follow(config, {"patches": {"min_foreground": 0.1}})
    assert read_advice(message) == [["--min-foreground"]]
    arguments = ["patches", root, "--size", 32, "--out", tmp_path / "patches"]
    status, message = call(*arguments, "--min-foreground", 0.99)
    assert status == 1
    assert read_advice(message) == [["--min-foreground"]]
    assert call(*arguments, "--min-foreground", 0.1)[0] == 0


def test_patches_that_reach_no_annotation(tmp_path: Path) -> None:
    def draw(_: int, mask: Array) -> Array:
        drawn = np.zeros(mask.shape, "u1")
        drawn[80:, :48], drawn[80:, 48:] = 1, 2
        return drawn

    data = {"sparse": True}
    config = create(
        write_set(tmp_path, draw), data=data, patches={"size": 64, "step": 64, "edge": "drop"}
    )
    message = follow(
        config,
        {"patches": {"edge": "cover"}},
        {"patches": {"step": 32}},
        {"patches": {"size": 32, "step": 32}},
    )
    assert read_advice(message) == [["--edge", "cover"], ["--step"], ["--size"]]


def test_masks_with_one_class_to_train_on(tmp_path: Path, call: Call) -> None:
    def draw(_: int, mask: Array) -> Array:
        return np.where(mask, 1, 2).astype("u1")

    root = write_set(tmp_path, draw)
    message = follow(
        create(root, data={"classes": "1=cell,2=cell,3=background"}),
        {"data": {"classes": "1=cell,2=background"}},
    )
    assert read_advice(message) == [["--classes"]]
    assert "'pixelwise inspect'" in message
    assert call("inspect", root)[0] == 0


def test_one_image_only(tmp_path: Path) -> None:
    root = write_set(tmp_path / "a", lambda _, m: byte(m), count=1)
    other = write_set(tmp_path / "b", lambda _, m: byte(m), count=1)
    message = follow(create(root, data={"resize": 48}), {"data": {"validation": other}})
    assert read_advice(message) == [["--validation"]]


def test_a_validation_folder_in_another_layout(tmp_path: Path, call: Call) -> None:
    root = write_set(tmp_path / "a", lambda _, m: byte(m, 1))
    held = tmp_path / "held"
    for seed in range(2):
        for folder in ("images", "masks"):
            (held / f"n{seed}" / folder).mkdir(parents=True)
        Image.open(root / f"images/{seed}.png").save(held / f"n{seed}/images/n{seed}.png")
        Image.fromarray(byte(disks(seed))).save(held / f"n{seed}/masks/0.png")
    status, message = call("inspect", root, "--validation", held)
    assert status == 1
    assert ["--classes"] in read_advice(message)
    classes = "0=background,1=nucleus,255=nucleus"
    assert call("inspect", root, "--validation", held, "--classes", classes)[0] == 0


def test_a_folder_that_holds_a_run_already(tmp_path: Path, call: Call) -> None:
    root = write_set(tmp_path / "a", lambda _, m: byte(m))
    train = ["train", root, "--options", "base_channels=2,depth=2", "--size", 32, "--epochs", 1,
             "--device", "cpu", "--precision", "fp32"]  # fmt: skip
    run = tmp_path / "run"
    assert call(*train, "--out", run)[0] == 0
    status, message = call(*train, "--out", run)
    assert status != 0
    assert f"'pixelwise resume {run}'" in message.replace("\n", "")
    assert read_advice(message)[-1] == ["--out"]
    folds = [*train, "--folds", 2, "--out", tmp_path / "fold"]
    assert call(*folds)[0] == 0
    status, message = call(*folds, "--fold", 1)
    assert status != 0
    assert read_advice(message)[-1] == ["--out"]
    compare = ["compare", *train[1:], "--models", "segnet", "--out", tmp_path / "all"]
    begin(ComparisonConfig.create(data={"path": root}, out=tmp_path / "all", models="unet"))
    (tmp_path / "all" / "runs").mkdir()
    status, message = call(*(x for x in compare if x not in ("--options", train[3])))
    assert status != 0
    assert read_advice(message) == [["--out"]]
    begin(ComparisonConfig.create(data={"path": root}, out=tmp_path / "new", models="segnet"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").touch()
    status, message = call(*train, "--out", tmp_path / "full")
    assert status != 0
    assert read_advice(message) == [["--out"]]
    assert call(*train, "--out", tmp_path / "other")[0] == 0


def test_a_model_of_another_dtype_to_start_from(tmp_path: Path) -> None:
    root = write_set(tmp_path / "a", lambda _, m: byte(m))
    fixed = {"normalization": "dataset"}
    setup = prepare(TrainConfig.create(**create(root, training=fixed)))
    card = setup.card.model_copy(update={"dtype": "uint16"})
    save_model(tmp_path / "m.safetensors", setup.network.state_dict(), card)
    config = create(root, model={"start_from": tmp_path / "m.safetensors"})
    message = follow(config, {"training": {"normalization": "dataset"}})
    assert read_advice(message) == [["--normalization"]]
    assert "e.g. dataset" in message


def test_patches_in_another_size(tmp_path: Path, call: Call) -> None:
    root = write_set(tmp_path / "a", lambda _, m: byte(m))
    assert call("patches", root, "--size", 48, "--out", tmp_path / "p48")[0] == 0
    config = TrainConfig.create(**create(tmp_path / "p48", patches={"size": 32}))
    notes = prepare(config).notes
    assert any("'pixelwise patches … --size'" in note for note in notes)
    assert call("patches", root, "--size", 32, "--out", tmp_path / "p32")[0] == 0
    config = TrainConfig.create(**create(tmp_path / "p32", patches={"size": 32}))
    assert not any("pixelwise patches" in note for note in prepare(config).notes)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.safetensors"
    values = MaskValues(table=((0, 0), (255, 1)))
    made = with_classes(create_model(), "background", "foreground", values=values)
    save_model(path, made.network.state_dict(), made.card)
    return path


STORED: list[tuple[str, Array, tuple[str, ...]]] = [
    ("12 bits", IMAGE.astype("u2") * 16, ()),
    ("0 to 1", (IMAGE / 255).astype("f4"), ()),
    ("wrong white", IMAGE.astype("u2") * 16, ("--white", "255")),
]
BELOW_0: list[Array] = [IMAGE.astype("i2") * 8 - 1024, (IMAGE / 127.5 - 1).astype("f4")]


@pytest.mark.parametrize(("name", "image", "options"), STORED, ids=[case[0] for case in STORED])
def test_images_that_are_stored_otherwise(
    name: str, image: Array, options: tuple[str, ...], tmp_path: Path, model: Path, call: Call
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", image)
    command = ["predict", model, tmp_path / "a.tif", "--out", tmp_path / "out"]
    status, message = call(*command, *options)
    assert status == 1, name
    assert call(*command, *read_advice(message)[-1])[0] == 0
    convert = re.search(r"in Python: (.*?\))\.\s", message)
    assert convert
    converted = eval(convert[1], {"image": image})  # what the message says
    tifffile.imwrite(tmp_path / "a.tif", converted)
    assert call(*command)[0] == 0


@pytest.mark.parametrize("image", BELOW_0, ids=["int16", "-1 to 1"])
@pytest.mark.parametrize("white", [(), ("--white", "1023")], ids=["", "white"])
def test_values_below_0(
    image: Array, white: tuple[str, ...], tmp_path: Path, model: Path, call: Call
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", image)
    command = ["predict", model, tmp_path / "a.tif", "--out", tmp_path / "out"]
    status, message = call(*command, *white)
    convert = re.search(r"in Python: (.*?\))\.\s", message)
    assert convert, message
    assert (status, read_advice(message)) == (1, [])
    tifffile.imwrite(tmp_path / "a.tif", eval(convert[1], {"image": image}))
    assert call(*command)[0] == 0


def test_a_picture_of_one_bit(tmp_path: Path, model: Path, call: Call) -> None:
    tifffile.imwrite(tmp_path / "a.tif", disks(0).astype("u1"))
    command = ["predict", model, tmp_path / "a.tif", "--out", tmp_path / "out"]
    status, message = call(*command)
    assert (status, read_advice(message)) == (0, [["--white", "1"]])
    assert not read_advice(call(*command, "--white", 1)[1])


def test_a_white_for_percentiles(tmp_path: Path, call: Call) -> None:
    made = create_model()
    percentile = made.card.normalization.model_copy(update={"kind": "percentile"})
    card = made.card.model_copy(update={"normalization": percentile})
    save_model(tmp_path / "p.safetensors", made.network.state_dict(), card)
    tifffile.imwrite(tmp_path / "a.tif", IMAGE)
    command = ["predict", tmp_path / "p.safetensors", tmp_path / "a.tif", "--out", tmp_path / "o"]
    status, message = call(*command, "--white", 255)
    assert status == 2
    assert "leave out --white" in message
    assert call(*command)[0] == 0


@pytest.mark.parametrize(
    ("shape", "axes"), [((4, 60, 70), "CYX"), ((60, 70, 4), "YXC"), ((2, 3, 60, 70), "CZYX")]
)
def test_axes_that_were_read_wrongly(
    shape: tuple[int, ...], axes: str, tmp_path: Path, model: Path, call: Call
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full(shape, 9, "u1"), photometric="minisblack")
    command = ["predict", model, tmp_path / "a.tif", "--out", tmp_path / "out"]
    status, message = call(*command, "--axes", axes)
    assert status == 1
    for way in read_advice(message):
        assert call(*command, *way)[0] == 0
    assert bool(read_advice(message)) == (axes != "YXC")  # nothing fits 60 x 70 x 4


def test_a_split_that_the_folder_does_not_have(tmp_path: Path, model: Path, call: Call) -> None:
    root = write_set(tmp_path / "a", lambda _, m: byte(m), count=2)
    status, message = call("evaluate", model, root, "--split", "test")
    assert status == 1
    assert read_advice(message) == [["--split", "all"]]
    assert call("evaluate", model, root, *read_advice(message)[0])[0] == 0


@pytest.mark.parametrize(
    "draw",
    [
        lambda _, m: byte(m, 1) + byte(~m & np.roll(m, 9), 2),
        lambda _, m: np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0]], "u1")[
            byte(m, 1) + byte(~m & np.roll(m, 9), 2)
        ],
        lambda _, m: byte(m, 128),
    ],
    ids=["three values", "three colours", "128"],
)
def test_classes_that_the_model_lacks(draw: Draw, tmp_path: Path, model: Path, call: Call) -> None:
    root = write_set(tmp_path / "a", draw, count=2)
    status, message = call("evaluate", model, root)
    assert status == 1
    for way in read_advice(message):
        assert call("evaluate", model, root, *way)[0] == 0


def write_mask(path: Path, mask: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(byte(mask)).save(path)


def test_axes_that_nothing_names(tmp_path: Path, model: Path, call: Call) -> None:
    stack = np.stack([IMAGE] * 3, -1)[:, :2]
    for path in (tmp_path / "set/images/a.npy", tmp_path / "set/images/b.npy"):
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, stack)
    status, message = call("predict", model, tmp_path / "set/images", "--out", tmp_path / "out")
    ways = read_advice(message)
    assert (status, ways[0][0]) == (1, "--axes"), message
    with pytest.raises(PixelwiseError):
        open_image(tmp_path / "set/images/a.npy").read()
    assert open_image(tmp_path / "set/images/a.npy", axes=ways[0][1]).read().shape == stack.shape


def test_masks_of_one_image_that_contradict_each_other(tmp_path: Path, call: Call) -> None:
    for seed in range(2):
        write_mask(tmp_path / f"{seed}.png", disks(seed))
        write_mask(tmp_path / f"{seed}_mask.png", disks(seed))
    Image.fromarray(byte(disks(0), 128)).save(tmp_path / "0_mask_1.png")
    status, message = call("inspect", tmp_path, "--classes", "0=a,128=b,255=c")
    assert (status, read_advice(message)) == (1, [["--mask-suffix"]])
    assert call("inspect", tmp_path, "--mask-suffix", "_mask")[0] == 0


def test_two_masks_of_one_name(tmp_path: Path, call: Call) -> None:
    for seed in range(2):
        write_mask(tmp_path / f"images/{seed}.png", disks(seed))
        write_mask(tmp_path / f"masks/{seed}.png", disks(seed))
    write_mask(tmp_path / "masks/1.bmp", disks(1))
    status, message = call("inspect", tmp_path)
    assert status == 1
    ways = read_advice(message)
    assert len(ways) == 1
    for suffix in (ways[0][1], ".png", ".bmp"):
        text = call("inspect", tmp_path, "--mask-suffix", suffix)[1]
        assert "two masks of one name" not in text


def test_a_picture_of_a_mask(tmp_path: Path, call: Call) -> None:
    for seed in range(2):
        write_mask(tmp_path / f"{seed}.png", disks(seed))
        write_mask(tmp_path / f"{seed}_lesion.jpg", disks(seed))
    status, message = call("inspect", tmp_path, "--mask-suffix", "_lesion")
    ways = read_advice(message)
    assert (status, ways[0]) == (1, ["--mask-suffix", "_lesion.jpg"])
    assert "are not mapped to a class" not in call("inspect", tmp_path, *ways[0])[1]


def test_names_that_do_not_tell(tmp_path: Path, call: Call) -> None:
    for seed, name in enumerate("ab"):
        write_mask(tmp_path / f"images/{name}.png", disks(seed))
        write_mask(tmp_path / f"masks/{seed}.png", disks(seed))
    status, message = call("inspect", tmp_path)
    ways = read_advice(message)
    assert (status, ways) == (1, [["--mask-suffix", "_mask"]])
    for seed, name in enumerate("ab"):
        (tmp_path / f"masks/{seed}.png").rename(tmp_path / f"masks/{name}_mask.png")
    assert call("inspect", tmp_path, *ways[0])[0] == 0


def test_masks_that_lie_elsewhere(tmp_path: Path, call: Call) -> None:
    for seed in range(2):
        write_mask(tmp_path / f"data/images/{seed}.png", disks(seed))
        write_mask(tmp_path / f"far/{seed}.png", disks(seed))
    status, message = call("inspect", tmp_path / "data")
    ways = read_advice(message)
    assert (status, ways) == (1, [["--images", "FOLDER", "--masks", "FOLDER"]])
    named = ["--images", "images", "--masks", tmp_path / "far"]
    assert call("inspect", tmp_path / "data", *named)[0] == 0


def test_a_file_of_somebody_else_where_a_result_is_to_be(tmp_path: Path, call: Call) -> None:
    model = create_model()
    save_model(tmp_path / "m.safetensors", model.network.state_dict(), model.card)
    tifffile.imwrite(tmp_path / "a.tif", IMAGE)
    (tmp_path / "a_labels.tif").write_text("two years")
    command = ("predict", tmp_path / "m.safetensors", tmp_path / "a.tif", "--out")
    status, message = call(*command, tmp_path)
    assert status == 1
    assert "Choose another folder" in message
    assert read_advice(message) == [["--overwrite"]]
    assert call(*command, tmp_path / "other")[0] == 0
    assert call(*command, tmp_path, "--overwrite")[0] == 0
