"""Every block of the README and the documentation is run, or says why it is not."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import tifffile
import yaml
import zarr
from skimage.io import imread, imsave

import pixelwise as pw
from pixelwise.cli import commands, run
from pixelwise.config import TrainConfig
from pixelwise.config.comparison import ComparisonConfig
from tests.conftest import REPOSITORY

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"(<!-- not run: (?P<reason>[^>]+) -->\n)?^```(?P<kind>\S*)\n(?P<text>.*?)^```", re.S | re.M
)
SHOWN = {"text", "mermaid", "{eval-rst}", "{toctree}"}
SIDE = 32


@dataclass(frozen=True)
class Block:
    page: str
    kind: str
    text: str
    reason: str | None

    @property
    def commands(self) -> list[list[str]]:
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def iter_blocks(page: Path) -> Iterator[Block]:
    for found in BLOCK.finditer(page.read_text(encoding="utf-8")):
        yield Block(page.name, found["kind"], found["text"], found["reason"])


BLOCKS = [block for page in PAGES for block in iter_blocks(page)]


def write_pairs(folder: Path, count: int = 4) -> None:
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[8 + number : 24, 8:24] = 1
        image = (60 + 120 * mask + rng.normal(0, 9, mask.shape)).clip(0, 255).astype(np.uint8)
        imsave(folder / "images" / f"{number}.png", image, check_contrast=False)
        imsave(folder / "masks" / f"{number}.png", mask, check_contrast=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages speak of: images, masks, corrections, a run."""
    folder = tmp_path_factory.mktemp("pages")
    for name in ("my-data", "test-data", "corrections"):
        write_pairs(folder / name)
    for name in ("new-images", "plate"):
        shutil.copytree(folder / "my-data" / "images", folder / name)
    image = np.tile(imread(folder / "my-data" / "images" / "0.png"), (3, 3))
    tifffile.imwrite(folder / "new.tif", image, photometric="minisblack")
    zarr.save(folder / "slide.ome.zarr", image)
    config = TrainConfig.create(
        data={"path": folder / "my-data"},
        model={"name": "unet", "options": {"base_channels": 4, "depth": 2}},
        training={"epochs": 1, "epoch_steps": 4, "device": "cpu", "previews": 0},
        run=folder / "runs" / "first",
    )
    list(pw.fit(config))
    return folder


@pytest.fixture
def place(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    shutil.copytree(trained, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("pixelwise.improvement.EPOCHS", 1)
    monkeypatch.setattr("pixelwise.improvement.EPOCH_STEPS", 2)
    return folder


def shorten(words: list[str]) -> list[str]:
    """Make a training short; what else is written stays."""
    if words[1] not in ("train", "compare") or words[2] == "config.yaml":
        return words
    if "--epochs" in words:
        at = words.index("--epochs")
        words = words[:at] + words[at + 2 :]
    more = ["--models", "ddunet"] if words[1] == "compare" else ["--previews", "0"]
    if "--epoch-steps" not in words:
        more += ["--epoch-steps", "2"]
    return [*words, "--epochs", "1", *more]


@pytest.mark.longest
@pytest.mark.parametrize("page", [page.name for page in PAGES])
def test_blocks_run_in_the_order_of_their_page(
    page: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    for block in (block for block in BLOCKS if block.page == page):
        if block.reason or block.kind in SHOWN:
            continue
        text = block.text
        if block.kind == "python":
            if (place / "runs" / "first").exists() and "pw.fit" in text:
                shutil.rmtree(place / "runs" / "first")  # the block makes its own
            exec(
                compile(
                    text.replace('"epochs": 50', '"epochs": 1, "epoch_steps": 2'), page, "exec"
                ),
                names,
            )
        elif block.kind == "yaml":
            read_yaml(text)
        else:
            for words in block.commands:
                assert words[0] == "pixelwise", f"{page}: say why it is not run: {text}"
                run_command(words, place, capsys)


def run_command(words: list[str], place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = Path(words[words.index("--out") + 1]) if "--out" in words else None
    if words[1] in ("train", "compare") and out is not None and out.exists():
        shutil.rmtree(out)
    target = None
    if ">" in words:
        words, target = words[: words.index(">")], words[-1]
    capsys.readouterr()
    status = run(shorten(words)[1:])
    printed = capsys.readouterr()
    assert status == 0, f"{shlex.join(words)}: {printed.out}{printed.err}"
    if target is not None:
        (place / target).write_text(printed.out)


def read_yaml(text: str) -> None:
    """A config in a page is one that the command takes."""
    values = yaml.safe_load(text)
    if "models" in values:
        ComparisonConfig.create(**values)
    else:
        TrainConfig.create(**values)


def test_reasons_are_given_for_what_is_not_run_only() -> None:
    assert len(BLOCKS) > 20
    for block in BLOCKS:
        if block.reason is None and block.kind in ("", "bash"):
            assert all(words[0] == "pixelwise" for words in block.commands), (
                block.page,
                block.text,
            )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_page_is_in_the_table_of_contents() -> None:
    index = (REPOSITORY / "docs" / "index.md").read_text(encoding="utf-8")
    listed = {line for line in index.splitlines() if re.fullmatch(r"[a-z_]+", line)}
    assert listed == {page.stem for page in PAGES[1:]} - {"index"}


def test_messages_in_troubleshooting_are_messages_of_the_program() -> None:
    text = (REPOSITORY / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    source = "\n".join(p.read_text(encoding="utf-8") for p in (REPOSITORY / "src").rglob("*.py"))
    source = re.sub(r'"\s*\n\s*f?"', "", source)
    quoted = re.findall(r"^\| \*([^*]+)\* \|", text, re.M)
    assert len(quoted) > 6
    for message in quoted:
        for part in re.split(r"\s*…\s*", message):
            assert part in source, part


# Of other programs, which the pages name too.
FOREIGN = {
    *("nproc-per-node", "nodes", "ntasks-per-node", "gpus-per-node", "time", "signal", "gpus"),
    *("user", "shm-size", "volume", "tag", "rm", "timeout", "device", "nv", "resources", "name"),
    *("nthreads", "kill-on-bad-exit", "runs", "times", "only", "out", "slow", "numprocesses"),
    *("info", "change"),
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_that_a_page_names_are_options(page: Path) -> None:
    known = {
        text.lstrip("-")
        for name in commands.list_commands(click.Context(commands))
        for parameter in commands.get_command(click.Context(commands), name).params
        for text in (*parameter.opts, *parameter.secondary_opts)
    }
    text = re.sub(r"^```mermaid\n.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    named = set(re.findall(r"(?<![\w-])--([a-z][a-z0-9-]*)", text))
    assert named - known - FOREIGN - {"version", "help", "debug"} == set()
