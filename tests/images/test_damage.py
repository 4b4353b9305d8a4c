from __future__ import annotations

from pathlib import Path

import pytest

from pixelwise.errors import DataError, ReadError
from pixelwise.images.damage import explaining_damage


class StrangeError(Exception):
    """What some package raises."""


@pytest.mark.parametrize("error", [OSError("short"), KeyError("x"), EOFError(), StopIteration()])
def test_what_packages_raise_is_explained(error: Exception) -> None:
    with (
        pytest.raises(ReadError, match=r"a\.nd2 is damaged.*Save it again"),
        explaining_damage(Path("a.nd2")),
    ):
        raise error


def test_own_errors_and_unknown_ones_pass() -> None:
    with pytest.raises(DataError, match="mine"), explaining_damage(Path("a")):
        raise DataError("mine")
    with pytest.raises(StrangeError), explaining_damage(Path("a")):
        raise StrangeError
    with pytest.raises(ReadError), explaining_damage(Path("a"), StrangeError):
        raise StrangeError
