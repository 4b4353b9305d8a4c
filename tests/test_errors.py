from __future__ import annotations

import pytest

from pixelwise import errors
from pixelwise.errors import PixelwiseError, UnknownNameError, require_name

ERRORS = [
    item
    for item in vars(errors).values()
    if isinstance(item, type) and issubclass(item, PixelwiseError) and item is not PixelwiseError
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_every_error_is_a_builtin_too(error: type[PixelwiseError]) -> None:
    builtins = [b for b in error.__mro__ if b.__module__ == "builtins"]
    assert set(builtins) - {Exception, BaseException, object}
    assert str(error("what was found")) == "what was found"
    assert error.__doc__


def test_a_known_name_passes() -> None:
    assert require_name("layout", "pairs", ["pairs", "camvid"]) == "pairs"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("camvit", r"Unknown layout 'camvit'\. Did you mean 'camvid'\? Known: camvid, pairs\."),
        ("zzz", r"Unknown layout 'zzz'\. Known: camvid, pairs\."),
    ],
)
def test_an_unknown_name_lists_the_known_ones(name: str, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        require_name("layout", name, ["pairs", "camvid"])
