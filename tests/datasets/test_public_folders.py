"""Public data sets as their authors left them: listings with the pairs that a person would make.

The listings and the check that makes tiny files after them lie in `shared/layouts`.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

WRONG = ("WRONG", "PART, SILENT", "mixed kinds", "crash")
RIGHT_AT_LEAST = 65


@pytest.fixture(scope="module")
def folder(data_dir: Path) -> Path:
    """Return the folder of the listings."""
    return data_dir.parent / "layouts"


@pytest.fixture(scope="module")
def check(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """Load the check; it makes its files in a folder of this test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MADE", str(tmp_path_factory.mktemp("made")))
        patch.setattr(sys, "path", [str(folder), *sys.path])
        yield import_module("check")


def list_cases(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*-*.json"), key=lambda f: int(f.name.split("-")[0]))


def test_most_are_read_and_none_is_read_wrongly(check: ModuleType, folder: Path) -> None:
    verdicts = {}
    for file in list_cases(folder):
        case, name, plain, _, rows = check.run(file)
        verdicts[name] = check.final(case, plain, rows)
        assert plain not in WRONG, f"{name}: {plain}"
        assert not [row for row in rows if row[1] in WRONG], f"{name}: {rows}"
    right = [name for name, verdict in verdicts.items() if verdict[:2] in ("A ", "B ")]
    assert len(right) >= RIGHT_AT_LEAST, verdicts


def test_every_refusal_says_what_was_found_and_what_to_do(check: ModuleType, folder: Path) -> None:
    for file in list_cases(folder):
        case = json.loads(file.read_text())
        root = check.MADE / f"refused-{file.stem}"
        check.make(case, root)
        state, _, message, _ = check.load(root, {}, root.resolve())
        if state == "refused":
            assert str(root) in message
            assert "pixelwise " in message, message


@pytest.mark.parametrize(
    "rounds", [100, pytest.param(1000, marks=pytest.mark.slow)], ids=["some", "many"]
)
def test_files_that_are_missing_make_no_wrong_pair(
    check: ModuleType, folder: Path, rounds: int
) -> None:
    draw = random.Random(rounds)
    cases = list_cases(folder)
    for number in range(rounds):
        file = cases[number % len(cases)]
        case = json.loads(file.read_text())
        root = check.MADE / f"missing-{number}"
        check.make(case, root)
        gone = draw.sample(case["files"], min(draw.randint(1, 3), len(case["files"]) - 1))
        for name in gone:
            (root / name).unlink(missing_ok=True)
        for options in ({}, *case["options_ok"]):
            found, low = load_pairs(check, root, options)
            wrong = found - list_right(check, case)
            assert not wrong, f"{file.stem} without {gone}, {options}: {wrong}"
            assert not low, f"{file.stem} without {gone}, {options}: {low}"


def load_pairs(
    check: ModuleType, root: Path, options: dict[str, str]
) -> tuple[set[tuple[str, str]], list[Any]]:
    """Pairs that are found, and those whose picture does not show what their mask does."""
    state, got, message, _ = check.load(root, options, root.resolve())
    assert state != "crash", message
    return (got[0], got[1]) if state == "loaded" else (set(), [])


def list_right(check: ModuleType, case: dict[str, Any]) -> set[tuple[str, str]]:
    """All pairs that a person would make."""
    if case.get("negative"):
        return set()
    return set().union(
        *(check.norm(pairs) for pairs in (case["pairs"], *case.get("also_right", [])))
    )
