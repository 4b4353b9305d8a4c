"""All edits, by name: which files each suits, and what it does to one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random

from tests.fuzzing import containers, trees
from tests.fuzzing.stage import Edit, Stage, remove

ContentEdit = Callable[[bytes, Random, Stage], bytes]
PlaceEdit = Callable[[Path, Random, Stage], None]

_LARGEST = 1 << 30  # bytes; an earlier edit may have left more, and they are not copied
_JSON = (".json", ".geojson", ".zarray", ".zgroup", ".zattrs")
_TEXT = (".txt", ".csv", ".pgm", ".ppm", ".pbm", ".jsonl", ".yaml")
CONTENT: dict[str, tuple[tuple[str, ...], ContentEdit]] = {
    "bytes": (("",), trees.edit_bytes),
    "json": (_JSON, trees.edit_json),
    "json lines": ((".jsonl",), trees.edit_json_lines),
    "yaml": ((".yaml",), trees.edit_yaml),
    "xml": ((".xml",), trees.edit_xml),
    "lines": (_TEXT, trees.edit_lines),
    "safetensors": ((".safetensors",), containers.edit_safetensors),
    "checkpoint": ((".pt",), containers.edit_checkpoint),
    "zip": ((".zip", ".npz"), containers.edit_zip),
    "npy": ((".npy",), containers.edit_npy),
    "png": ((".png",), containers.edit_png),
    "tiff": ((".tif",), containers.edit_tiff),
}
"""Endings of the files, and what becomes of the bytes."""


def put_something_else(path: Path, rng: Random, stage: Stage) -> None:
    """Put a pipe, a link, a folder or nothing in the place of a file."""
    size = path.stat().st_size if path.is_file() else 0
    remove(path)
    links = [stage.victim / "notes.txt", stage.victim / "home", stage.victim, path, stage.canary]
    match rng.randrange(8):
        case 0 | 1:
            os.mkfifo(path)
        case 2 | 3:
            path.symlink_to(rng.choice([*links, Path("/dev/zero"), Path("../victim/notes.txt")]))
        case 4:
            path.mkdir()
        case 5:
            path.touch()
        case 6:
            with path.open("wb") as file:
                file.truncate(rng.choice([size, 1 << 20, 3 << 30]))
        case _:
            pass


def rename(path: Path, rng: Random, stage: Stage) -> None:
    """Give a file or its folder another name."""
    names = [
        "\x1b[31m",
        "[/x]",
        "a\nb",
        "é" * 80,
        " ",
        "-x",
        "%s{}",
        "..x",
        "\udcff",
        "a.tif",
        "b.zarr",
    ]
    chosen = path.parent if path.parent != stage.input and rng.random() < 0.3 else path
    name = rng.choice(names) + rng.choice(["", "".join(chosen.suffixes[-2:])])
    if not (chosen.parent / name).exists():
        chosen.rename(chosen.parent / name)


SEALS: dict[str, Callable[[bytes], bytes]] = {
    ".safetensors": containers.sign_model,
    ".jsonl": trees.sign_lines,
}
"""What makes the checksum in a file right again, by its ending; done to every other attack."""

PLACE: dict[str, tuple[tuple[str, ...], PlaceEdit]] = {
    "something else": (("",), put_something_else),
    "rename": (("",), rename),
    "hdf5": ((".h5",), containers.edit_hdf5),
    "zarr": ((".zarray", "zarr.json"), containers.edit_zarr),
}
"""Endings of the files, and what is done to them where they lie."""


def list_edits(files: Iterable[Path]) -> list[str]:
    """Names of the edits that suit some of the files; those that know the structure more often."""
    names = [file.name for file in files]
    known = {**CONTENT, **PLACE}
    suiting = [n for n, (endings, _) in known.items() if any(x.endswith(endings) for x in names)]
    return suiting + 3 * [name for name in suiting if known[name][0] != ("",)]


def apply(edit: Edit, stage: Stage, pattern: str) -> None:
    """Do one edit to one file of the input; none if an earlier one left none that it suits."""
    rng = Random(f"{edit.name} {edit.seed}")
    endings = (CONTENT.get(edit.name) or PLACE[edit.name])[0]
    found = sorted(path for path in stage.input.rglob(pattern) if is_plain(path))
    suiting = [path for path in found if path.name.endswith(endings)]
    if not suiting:
        return
    path = rng.choice(suiting)
    if path.stat().st_size > _LARGEST:
        return
    if edit.name in PLACE:
        PLACE[edit.name][1](path, rng, stage)
    else:
        content = CONTENT[edit.name][1](path.read_bytes(), rng, stage)
        seal = SEALS.get(path.suffix)
        path.write_bytes(seal(content) if seal and rng.random() < 0.5 else content)


def is_plain(path: Path) -> bool:
    """Whether a path is a file and no link."""
    return path.is_file() and not path.is_symlink()
