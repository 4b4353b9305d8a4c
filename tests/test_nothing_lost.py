"""Any command, with any output: what was there is there afterwards, byte for byte.

With ``--overwrite`` what is called like a result may be replaced; images, masks, models, and what
links lead to never.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from pixelwise.cli import run as run_command
from pixelwise.images import write_zarr
from tests.disks import disks, picture, write_set

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links")

SMALL = ("--options", "base_channels=2,depth=2", "--size", 32, "--epochs", 1, "--device", "cpu",
         "--precision", "fp32")  # fmt: skip
COMPARED = ("comparison.md", "comparison.json", "scores.csv", "counts.csv", "curves.png",
            "pictures.png")  # fmt: skip
RESULTS = (*COMPARED, "_labels.tif", "_instances.tif", "_probabilities.tif", "_objects.csv",
           "_objects.csv.json", "notes.svg")  # fmt: skip
OUTPUTS = ("new", "new", "new", "new/below/it", "out", "flat", "flat/sub", "data",
           "data/images", "data/masks", "linked", "out/away", "precious/keep.txt", "run",
           "out/0_labels.tif")  # fmt: skip
FIGURES = ("new.png", "new.svg", "data/masks/new.png", "out/figure.png", "data/images/0.png",
           "data/masks/1.png", "flat/a_labels.png", "flat/figure.png", "figure link.png",
           "out/notes.svg")  # fmt: skip
PLACES = ("data", "flat", "out", "run", "run/model.safetensors", "flat/a_labels.tif", "precious",
          "ours/0_labels.tif", "ours/0_objects.csv", "missing")  # fmt: skip

Snapshot = dict[Path, str]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder of images, masks, a run, results, and everything that others may have there."""
    root = tmp_path_factory.mktemp("template")
    write_set(root / "data", lambda _, mask: mask.astype("u1") * 255, count=3)
    assert call("train", root / "data", "--out", root / "run", *SMALL) == 0
    images = root / "data" / "images"
    assert call("predict", root / "run", images, "--out", root / "ours", "--table") == 0
    write_set(root / "corrections", lambda _, mask: mask.astype("u1") + 1, count=1)
    for name in ("flat/sub", "out", "precious"):
        (root / name).mkdir(parents=True)
    for number, name in enumerate("ab"):
        Image.fromarray(picture(disks(number), number)).save(root / "flat" / f"{name}.png")
        tifffile.imwrite(root / "flat" / f"{name}_labels.tif", disks(number).astype("u1"))
    shutil.copy(root / "ours" / "0_labels.tif", root / "out")
    with (root / "out" / "0_labels.tif").open("rb+") as file:  # a person has corrected it
        file.seek(-9, os.SEEK_END)
        file.write(b"\x01")
    for name in ("out/1_labels.tif", "out/2_objects.csv", "out/0_objects.csv.json",
                 "out/figure.png", "out/scores.csv", "out/notes.svg", "out/log.txt",
                 "flat/notes.txt",
                 "flat/figure.png", "flat/a_objects.csv", "precious/keep.txt",
                 "precious/2_labels.tif"):  # fmt: skip
        (root / name).write_text(f"two years of work, {name}")
    write_zarr(root / "out" / "0_labels.zarr", disks(9).astype("u1"), axes="YX")
    (root / "out" / "1_labels.zarr").mkdir()
    (root / "out" / "1_labels.zarr" / "thesis.txt").write_text("the only copy")
    return root


def copy(template: Path, root: Path) -> None:
    """Copy the template, and make the links, which lead to the copy."""
    shutil.copytree(template, root)
    precious = root / "precious"
    for name, target in (("out/2_labels.tif", precious / "2_labels.tif"), ("linked", precious),
                         ("out/away", precious), ("figure link.png", precious / "keep.txt"),
                         ("out/2_labels.zarr", precious),
                         ("flat/a_probabilities.tif", precious / "new"),
                         ("out/1_objects.csv", precious / "keep.txt")):  # fmt: skip
        (root / name).symlink_to(target)
    os.link(root / "data" / "images" / "1.png", root / "out" / "1_instances.tif")
    os.link(root / "data" / "masks" / "0.png", root / "out" / "figure.pdf")


def call(*arguments: object) -> int:
    return run_command([str(argument) for argument in arguments])


def take_snapshot(root: Path) -> Snapshot:
    """Hash what each file holds, and where each link leads."""
    found = {}
    for path in root.rglob("*"):
        if path.is_symlink():
            found[path] = f"link to {path.readlink()}"
        elif path.is_file():
            found[path] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def draw_command(draw: random.Random, root: Path, *, first: bool) -> list[object]:
    """Draw a command with its options."""
    kind = draw.choice(
        ["predict"] * 4 + ["evaluate"] * 3 + ["inspect"] * 2 + ["patches"] * 2 + ["compare", "look"]
    )
    source, out = root / draw.choice(["data", "flat"]), root / draw.choice(OUTPUTS)
    out = root / "new" if first else out
    overwrite = draw.choice([[], [], ["--overwrite"]])
    if first or draw.random() < 0.03:
        return ["train", root / "data", "--out", out, *SMALL]
    if draw.random() < 0.03:
        return ["improve", root / "run", root / "corrections", "--out", out]
    if kind == "compare":
        return ["compare", root / "run", "--out", out, *overwrite]
    if kind == "predict":
        images = draw.choice([[root / "data" / "images"], [root / "flat"],
                              [root / "flat" / "a.png", root / "flat" / "a_labels.tif"],
                              [root / "data" / "images" / "1.png"]])  # fmt: skip
        more = draw.choice([[], ["--format", "zarr"], ["--table"], ["--instances", "--table"],
                            ["--probabilities"], ["--skip-existing"]])  # fmt: skip
        return ["predict", root / "run", *images, "--out", out, *more, *overwrite]
    if kind == "evaluate":
        return ["evaluate", root / "run", source, "--labels", out, *overwrite]
    if kind == "inspect":
        return ["inspect", source, "--figure", root / draw.choice(FIGURES), *overwrite]
    if kind == "patches":
        return ["patches", source, "--out", out, "--size", 32]
    return [draw.choice(["verify", "info", "runs", "stop"]), root / draw.choice(PLACES)]


def may_change(path: Path, command: list[object], root: Path) -> bool:
    """Whether a file is what ``--overwrite`` is for: called like a result, and not read."""
    inside = path.relative_to(root).parts
    is_result = path.name.endswith(RESULTS) or inside[1:2] == ("0_labels.zarr",)
    if "--overwrite" not in command or not is_result or inside[0] == "precious":
        return False
    read = [Path(str(item)) for item in command[1:3]] if command[0] != "predict" else command[2:-1]
    folder = path.parent if command[0] in ("evaluate", "inspect") else None
    return path not in read and folder not in read


def require_nothing_lost(before: Snapshot, command: list[object], root: Path) -> None:
    after = take_snapshot(root)
    for path, content in before.items():
        is_same = after.get(path) == content
        is_lock = path == root / "run" / "lock"
        assert is_same or is_lock or may_change(path, command, root), (path, command)


@pytest.mark.timeout(3600)  # 1500 commands with --slow
def test_whatever_is_called_nothing_is_lost(
    template: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    trials = 1500 if request.config.getoption("--slow") else 50
    draw = random.Random(int(os.environ.get("PIXELWISE_LOSS_SEED", "16")))
    done: Counter[str] = Counter()
    for trial in range(trials):
        root = tmp_path / str(trial)
        copy(template, root)
        before = take_snapshot(root)
        command = draw_command(draw, root, first=not trial)
        status = call(*command)
        printed = capsys.readouterr().err
        assert "unexpected" not in printed, (command, printed)
        done[f"{command[0]} {'done' if status == 0 else 'refused'}"] += 1
        done["planned"] += "Nothing was written" in printed
        require_nothing_lost(before, command, root)
        shutil.rmtree(root)
    names = ("predict", "evaluate", "inspect")
    assert all(done[f"{name} {end}"] for name in names for end in ("done", "refused")), done
    assert done["patches done"] and done["train done"], done  # noqa: PT018
    if trials > 50:
        assert all(done[f"{name} done"] for name in ("compare", "improve")), done
    assert done["planned"] >= trials // 15, done


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    copy(template, tmp_path / "root")
    return tmp_path / "root"


def require_refused(
    root: Path, capsys: pytest.CaptureFixture[str], *command: object, name: str
) -> None:
    before = take_snapshot(root)
    assert call(*command) == 1
    message = capsys.readouterr().err
    assert "Nothing was written" in message
    assert name in message
    assert take_snapshot(root) == before


def test_an_annotation_beside_its_image_is_kept(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("predict", root / "run", root / "flat" / "a.png", "--out", root / "flat")
    require_refused(root, capsys, *command, name="a_labels.tif exists already")
    assert call(*command, "--overwrite") == 0
    assert call(*command) == 0, "now it is a result, which may be made anew"


def test_the_truth_is_kept_whatever_is_asked_for(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in ((), ("--overwrite",)):
        command = ("evaluate", root / "run", root / "flat", "--labels", root / "flat", *more)
        require_refused(root, capsys, *command, name="b_labels.tif would overwrite")


def test_an_image_that_was_named_is_kept_whatever_is_asked_for(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = (root / "flat" / "a.png", root / "flat" / "a_labels.tif")
    for more in ((), ("--overwrite",)):
        command = ("predict", root / "run", *images, "--out", root / "flat", *more)
        require_refused(root, capsys, *command, name="a_labels.tif would overwrite")


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)], ids=["plain", "overwrite"])
@pytest.mark.parametrize("figure", ["data/images/0.png", "figure link.png", "out/figure.pdf"])
def test_a_figure_never_takes_the_place_of_an_image_a_mask_or_a_link(
    root: Path, capsys: pytest.CaptureFixture[str], figure: str, overwrite: tuple[str, ...]
) -> None:
    command = ("inspect", root / "data", "--figure", root / figure, *overwrite)
    require_refused(root, capsys, *command, name=figure)


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)], ids=["plain", "overwrite"])
@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("inspect", "data", "--figure", "data/masks/new.png"), "taken for an image or a mask"),
        (("inspect", "flat", "--figure", "flat/new.svg"), "taken for an image or a mask"),
        (("inspect", "flat", "--figure", "data/masks/1.png"), "may be an image or a mask"),
        (("evaluate", "run", "data", "--labels", "data/masks"), "taken for an image or a mask"),
    ],
)
def test_nothing_comes_to_lie_among_the_truth_or_in_its_place(
    root: Path,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
    name: str,
    overwrite: tuple[str, ...],
) -> None:
    parts = [root / part if (root / part.split("/")[0]).exists() else part for part in command]
    require_refused(root, capsys, *parts, *overwrite, name=name)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_figure_is_drawn_again_unless_somebody_has_changed_it(root: Path, suffix: str) -> None:
    figure = root / f"new{suffix}"
    command = ("inspect", root / "data", "--figure", figure)
    assert call(*command) == call(*command) == 0
    content = figure.read_bytes()
    figure.write_bytes(content.replace(content[:5], b"mine!", 1))
    changed = figure.read_bytes()
    assert call(*command) == 1
    assert figure.read_bytes() == changed
    assert call(*command, "--overwrite") == 0
    assert figure.read_bytes()[:5] != b"mine!"


def test_results_that_are_left_out_are_told_from_other_files(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("predict", root / "run", root / "data" / "images", "--skip-existing", "--out")
    assert call(*command, root / "ours") == 0
    assert "without the mark" not in capsys.readouterr().err
    (root / "out" / "2_labels.tif").unlink()
    assert call(*command, root / "out") == 0
    assert (
        "1 left out: 1_labels.tif (there already, but without the mark" in capsys.readouterr().err
    )


def test_a_file_that_came_during_the_prediction_is_kept(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pixelwise.prediction.predictor import Predictor

    target = root / "late" / "0_labels.tif"
    iter_rows = Predictor.iter_rows

    def interfere(self: Predictor, *arguments: object, **options: object) -> object:
        target.write_text("saved by hand")
        return iter_rows(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Predictor, "iter_rows", interfere)
    image = root / "data" / "images" / "0.png"
    assert call("predict", root / "run", image, "--out", target.parent) == 1
    assert "was created or changed" in capsys.readouterr().err
    assert target.read_text() == "saved by hand"


def test_a_table_whose_mark_was_written_before_a_kill_is_made_anew(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pixelwise.prediction import post_processing

    class Killed(BaseException):
        """Stands for SIGKILL."""

    write: Callable[..., None] = post_processing.write_mark_beside
    command = ("predict", root / "run", root / "data" / "images", "--out", root / "ours", "--table")
    expected = (root / "ours" / "0_objects.csv").read_bytes()
    for before in (False, True):

        def end(*arguments: object, before: bool = before, **options: object) -> None:
            if not before:
                write(*arguments, **options)
            raise Killed

        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(post_processing, "write_mark_beside", end)
            call(*command, "--smallest-object", 20)
        assert call(*command) == 0
        assert (root / "ours" / "0_objects.csv").read_bytes() == expected


def test_arrays_of_python_follow_the_same_rule(root: Path) -> None:
    import pixelwise as pw

    image, out = np.asarray(Image.open(root / "flat" / "a.png")), root / "flat" / "a_labels.tif"
    with pytest.raises(pw.PixelwiseError, match="exists already"):
        pw.predict(root / "run" / "model.safetensors", image, out=out)
    pw.predict(root / "run" / "model.safetensors", image, out=out, overwrite=True)
    pw.predict(root / "run" / "model.safetensors", image, out=out)
    with pytest.raises(pw.PixelwiseError, match="would overwrite"):
        pw.predict(root / "run" / "model.safetensors", image, overwrite=True,
                   out=root / "run" / "model.safetensors")  # fmt: skip
