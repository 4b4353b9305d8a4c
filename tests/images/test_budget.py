from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pixelwise.errors import BudgetError, ConfigError
from pixelwise.images.budget import VARIABLE, parse_bytes, read_budget, require_budget


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("500", 500),
        ("8GB", 8 * 10**9),
        ("8 gb", 8 * 10**9),
        ("1.5M", 1_500_000),
        ("2GiB", 2 * 10**9),
        ("1e9", 10**9),
        ("3 TB", 3 * 10**12),
    ],
)
def test_parse_bytes(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "much", "-5", "0", "1..2", "8XB", "nan", "inf"])
def test_no_size(text: str) -> None:
    with pytest.raises(ConfigError, match=r"8GB or 500MB"):
        parse_bytes(text)


def test_the_variable_sets_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "3kB")
    assert read_budget() == 3000
    with pytest.raises(BudgetError, match=r"1 x 3001 pixels of uint8"):
        require_budget(Path("a"), (1, 3001), dtype=np.dtype("uint8"), budget_bytes=None)
    require_budget(Path("a"), (1, 3000), dtype=np.dtype("uint8"), budget_bytes=None)


def test_without_it_half_of_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert 10**6 < read_budget() < 10**14


def test_the_advice_would_be_enough() -> None:
    with pytest.raises(BudgetError) as caught:
        require_budget(Path("a"), (40_000, 50_000), dtype=np.dtype("u2"), budget_bytes=1)
    advice = str(caught.value).partition(f"{VARIABLE}=")[2].partition(",")[0]
    assert parse_bytes(advice) >= 4 * 10**9
