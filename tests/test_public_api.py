from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import pixelwise as pw

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.parametrize("name", pw.__all__)
def test_every_name_can_be_imported_and_says_what_it_is(name: str) -> None:
    thing = getattr(pw, name)
    assert thing.__name__ == name
    assert thing.__doc__


def test_names_for_the_type_checker_are_the_same() -> None:
    source = Path(pw.__file__).read_text()
    assert sorted(re.findall(r"import \w+ as (\w+)", source)) == pw.__all__


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        pw.trian  # noqa: B018
    assert set(pw.__all__) < set(dir(pw))
    assert pw.__version__


def cpu_seconds(code: str, rounds: int = 7) -> float:
    """Least CPU time of a new interpreter for some code, which other processes do not change."""
    ending = "; import time; print(time.process_time())"
    runs = [
        subprocess.run([sys.executable, "-c", code + ending], check=True, capture_output=True)
        for _ in range(rounds)
    ]
    return min(float(run.stdout) for run in runs)


def test_import_costs_next_to_nothing() -> None:
    assert cpu_seconds("import pixelwise") - cpu_seconds("pass") < 0.15


def test_the_readme_uses_names_that_exist() -> None:
    used = set(re.findall(r"\bpw\.(\w+)", README.read_text()))
    assert {"fit", "predict", "evaluate"} <= used <= set(pw.__all__)
