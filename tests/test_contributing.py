"""Does what CONTRIBUTING.md says of adding things, in a copy of the source, and uses each."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from pixelwise.checksums import Checksum
from pixelwise.marks import check_mark
from tests.conftest import LONG, REPOSITORY

ADDED = REPOSITORY / "tests" / "fixtures" / "adding"


@dataclass(frozen=True)
class Addition:
    """One thing to add: its kind as CONTRIBUTING.md calls it, its file and its entry.

    `name` takes the place of NAME; `within` names the class of the entry where the words give a
    folder or leave it to choose.
    """

    kind: str
    entry: str
    name: str = ""
    within: str = ""


ADDITIONS = (
    Addition(
        "an architecture",
        'Architecture("small", "Small", "Small.", "none", module="pixelwise.models.small", '
        'options=(Option("width", 8, "Channels"),)),',
        "small",
    ),
    Addition("a loss", '"likely",', "likely"),
    Addition("a layout of a data set", '"truths",', "truths"),
    Addition(
        "an image format",
        'ImageFormat("Simple", "pixelwise.images.simple", (".simple",), '
        'lambda mark: mark.startswith(b\'{"format": "simple"\'), '
        'writer="pixelwise.images.simple"),',
        "simple",
    ),
    Addition("a score", "youden: float = _score(lambda n: (n.tp - n.fp, n.tp + n.fn))"),
    Addition(
        "a field of a form",
        'remark: str = Field(default="none", description="What to remember")',
        within="TrainingConfig",
    ),
)
CHECKS = (
    *("test_every_room_has_its_place", "test_rooms_import_only_rooms_below"),
    *("test_torch_free_rooms_reach_no_torch", "test_no_relative_imports"),
    "test_files_are_short",
    *("test_functions_take_few_arguments", "test_further_arguments_are_keyword_only"),
)


def read_words() -> dict[str, str]:
    """What CONTRIBUTING.md says of each kind."""
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition("## Adding")[2].partition("\n## ")[0]
    return dict(re.findall(r"^- \*\*(.+?)\*\*: (.+)$", section, re.MULTILINE))


@dataclass(frozen=True)
class Copy:
    """A copy of the source that things are added to."""

    root: Path
    words: dict[str, str] = field(default_factory=read_words)

    def add(self, addition: Addition) -> None:
        """Do what the words say: one file, if they name one, and one entry."""
        words = self.words[addition.kind]
        if found := re.search(r"`(src/\S+/NAME\.py)`", words):
            path = self.root / found[1].replace("NAME", addition.name)
            assert path.parent.is_dir(), f"{addition.kind}: there is no folder {path.parent}"
            assert not path.exists()
            shutil.copy(ADDED / path.name, path)
        self.enter(addition, words)

    def enter(self, addition: Addition, words: str) -> None:
        """Write the entry into the list or the class that the words name."""
        found = re.search(r"`(\w+)` (?:of|in) `(src/\S+\.py)`", words)
        if found:
            where, path = found[1], self.root / found[2]
        else:
            folder = re.search(r"`(src/\S+/)`", words)
            assert folder, f"{addition.kind}: the words name no place"
            where, files = addition.within, sorted((self.root / folder[1]).glob("*.py"))
            path = next(f for f in files if f"class {where}" in f.read_text(encoding="utf-8"))
        text = path.read_text(encoding="utf-8")
        opening = rf'^class {where}\b.*\n    """.*"""\n\n?|^{where}\b.* = \w*[(\[]'
        place = re.search(opening, text, re.MULTILINE)
        assert place, f"{addition.kind}: {path} has no {where}"
        indent = "    " if place[0].startswith("class") else ""
        changed = f"{text[: place.end()]}{indent}{addition.entry}\n{text[place.end() :]}"
        path.write_text(changed, encoding="utf-8")

    def run(self, *arguments: str | Path) -> str:
        """Run a command of the copy; gives what it prints."""
        child = subprocess.run(
            [sys.executable, "-m", "pixelwise", *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": str(self.root / "src"), "COLUMNS": "200"},
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=LONG,
        )
        assert child.returncode == 0, child.stderr
        return child.stdout

    def load_checks(self, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
        """Load the house rules for the copy."""
        path = self.root / "tests" / "test_architecture.py"
        path.parent.mkdir()
        shutil.copy(REPOSITORY / "tests" / path.name, path)
        found = spec_from_file_location("checks_of_the_copy", path)
        assert found is not None
        assert found.loader is not None
        module = module_from_spec(found)
        monkeypatch.setitem(sys.modules, module.__name__, module)  # dataclasses look there
        found.loader.exec_module(module)
        return module


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """Copy the source, and add one of each kind."""
    copy = Copy(tmp_path_factory.mktemp("adding"))
    source = REPOSITORY / "src"
    shutil.copytree(source, copy.root / "src")  # what is compiled goes along
    for addition in ADDITIONS:
        copy.add(addition)
    return copy


@pytest.fixture(scope="module")
def data(copy: Copy) -> Path:
    """Write a data set in the new layout and format: bright squares on noise."""
    folder = copy.root / "data"
    folder.mkdir()
    (folder / "layout.txt").touch()
    rng = np.random.default_rng(0)
    for name in "abcd":
        mask = np.zeros((40, 48), np.uint8)
        mask[8:30, 10:40] = 1
        image = (rng.integers(0, 50, mask.shape) + 150 * mask).astype(np.uint8)
        for path, array in ((f"{name}.simple", image), (f"truth-{name}.simple", mask)):
            said = {"format": "simple", "axes": "YX", "shape": array.shape, "dtype": "uint8"}
            (folder / path).write_bytes(json.dumps(said).encode() + b"\n" + array.tobytes())
    return folder


@pytest.fixture(scope="module")
def run(copy: Copy, data: Path) -> Path:
    """Train the new network with the new loss on the new data, with the new field."""
    run = copy.root / "run"
    copy.run(
        *("train", data, "--out", run, "--model", "small", "--loss", "likely", "--remark", "soon"),
        *("--epochs", 1, "--size", 32, "--batch-size", 2, "--device", "cpu", "--augment", "none"),
        *("--previews", 0),
    )
    return run


def test_every_kind_is_tried() -> None:
    assert {a.kind for a in ADDITIONS} | {"an encoder"} == set(read_words())


def test_the_house_rules_hold(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = copy.load_checks(monkeypatch)
    for name in CHECKS:
        getattr(checks, name)()


def test_a_layout_and_a_format_are_read(copy: Copy, data: Path) -> None:
    said = copy.run("inspect", data)
    assert "truths" in said
    assert "4 images" in said


def test_an_architecture_a_loss_and_a_field_are_trained_with(run: Path) -> None:
    config = (run / "config.yaml").read_text(encoding="utf-8")
    for line in ("name: small", "loss: likely", "remark: soon"):
        assert line in config


def test_a_format_is_written(copy: Copy, data: Path, run: Path) -> None:
    copy.run("predict", run, data / "a.simple", "--out", copy.root / "out", "--format", "simple")
    written = copy.root / "out" / "a_labels.simple"
    line, pixels = written.read_bytes().split(b"\n", 1)
    assert json.loads(line)["shape"] == [40, 48]
    assert set(pixels) <= {0, 1}
    assert check_mark(written) is Checksum.RIGHT  # so it may be replaced


def test_a_score_is_shown(copy: Copy, data: Path, run: Path) -> None:
    assert "youden" in copy.run("evaluate", run, data)


def test_an_encoder_is_shown(copy: Copy) -> None:
    assert "`encoders` of an architecture's entry" in copy.words["an encoder"]
    path = copy.root / "src" / "pixelwise" / "architectures" / "__init__.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("encoders=_ENCODERS", 'encoders=("resnet26",)', 1), "utf-8")
    assert "resnet26" in copy.run("architectures")
