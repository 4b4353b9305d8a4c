from __future__ import annotations

import json

import pytest

from pixelwise import errors
from pixelwise.errors import (
    MEMORY_ADVICE,
    PixelwiseError,
    UnknownNameError,
    explain_memory_error,
    is_memory_error,
    quote,
    quote_value,
    require_name,
    show_text,
)

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
    assert "900 characters are not shown" in str(error(4_900 * "x"))


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


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"), True),
        (RuntimeError("Invalid buffer size: 12.00 GB"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling"), True),
        (RuntimeError("GET was unable to find an engine to execute this computation"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("could not create a memory object"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("could not create a primitive descriptor for the matmul primitive."), False),
        (RuntimeError("could not create a memory descriptor from blob"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
    ids=str,
)
def test_full_memory_is_known_by_its_words(error: Exception, full: bool) -> None:
    assert is_memory_error(error) is full


def test_what_is_said_of_full_memory_keeps_its_words() -> None:
    said = explain_memory_error(RuntimeError("std::bad_alloc"))
    assert said.startswith(MEMORY_ADVICE)
    assert said.endswith("(std::bad_alloc)")
    assert explain_memory_error(MemoryError()).endswith("(MemoryError)")
    assert len(quote(RuntimeError("word " * 1000))) < 200


@pytest.mark.parametrize("code", [0, 7, 8, 0x0D, 0x1B, 0x7F, 0x9B, 0x202E, 0x2066, 0x2028, 0xDCFF])
def test_what_controls_a_screen_is_escaped(code: int) -> None:
    shown = show_text(f"a{chr(code)}[31mb")
    assert shown == f"a\\u{code:04x}[31mb"
    assert json.loads(show_text(json.dumps(chr(code), ensure_ascii=False))) == chr(code)


def test_usual_text_is_shown_as_it_is() -> None:
    assert show_text("µm, ä:\n\t[/x] 日本 🙂 $a$") == "µm, ä:\n\t[/x] 日本 🙂 $a$"


def test_long_texts_keep_both_ends() -> None:
    shown = show_text("a" * 50_000 + "b", most=100)
    assert shown.startswith("aaa")
    assert shown.endswith("ab")
    assert "49901 characters are not shown" in shown
    assert len(shown) < 200


@pytest.mark.parametrize(
    "value",
    ["x" * 10**6, ["x" * 10**6] * 1000, {"a": {"b": "x" * 1000}}, 10**5000, [10**5000]],
    ids=["text", "list", "object", "number", "numbers"],
)
def test_values_are_cut(value: object) -> None:
    assert len(quote_value(value)) <= 200


def test_short_values_are_whole() -> None:
    assert quote_value({"a": [1, "b"]}) == "{'a': [1, 'b']}"
    with pytest.raises(UnknownNameError) as caught:
        require_name("layout", "x" * 10**6, ["pairs"])
    assert len(str(caught.value)) < 300
