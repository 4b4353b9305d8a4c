from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from pixelwise.errors import ReadError
from pixelwise.parsing import (
    CONFIG_BYTES,
    open_regular,
    parse_json,
    parse_xml,
    parse_yaml,
    read_bytes,
    read_text,
    require_file_name,
    require_inner_path,
    require_plain_name,
    require_regular,
)

needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders")
BOMB = "x: &a [l, l, l, l, l, l, l, l, l]\n" + "".join(
    f"x{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@needs_pipes
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a")
    for read in (read_bytes, open_regular, require_regular):
        with pytest.raises(ReadError, match=r"a is a pipe \(FIFO\); expected a file"):
            read(tmp_path / "a")


@needs_pipes
def test_devices_and_sockets_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ReadError, match="is a device"):
        read_bytes(Path("/dev/zero"))
    with socket.socket(socket.AF_UNIX) as opened:
        monkeypatch.chdir(tmp_path)  # the path of a socket must be short
        opened.bind("s")
        with pytest.raises(ReadError, match="s is a socket"):
            read_bytes(tmp_path / "s")


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").symlink_to("a")
    assert read_bytes(tmp_path / "b") == b"1"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"Cannot read the config .*none: No such file"):
        read_bytes(tmp_path / "none", what="config")
    with pytest.raises(ReadError, match="Is a directory"):
        read_bytes(tmp_path)
    (tmp_path / "a").write_bytes(b"\xff")
    with pytest.raises(ReadError, match="not UTF-8"):
        read_text(tmp_path / "a")
    with pytest.raises(ReadError, match=r"has 0\.00\d+ KiB; at most 0 KiB"):
        read_bytes(tmp_path / "a", most=0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "anchors and aliases"),
        ("a: &x 1", "anchors and aliases"),
        ("[" * 5000, "nested deeper than 30"),
        ("[" + "1," * 20_000 + "]", "more than 10,000 values"),
        ("a: " + "9" * 5000, "numbers of more than 100 characters"),
        ("a: " + "1:" * 5000 + "1", "numbers of more than 100 characters"),
        ("#" * (CONFIG_BYTES + 1), "is read. Check that it is the right file"),
        ("a: 1\na: 2", "occurs twice"),
        ("? [1]\n: 2", "unhashable"),
        ("!!python/object/apply:os.system [ls]", "not valid YAML"),
        ("!!timestamp 2024-99-99", "not valid YAML"),
        ("!!bool maybe", "not valid YAML"),
        ("a: [1", "not valid YAML"),
    ],
    ids=range(13),
)
def test_yaml_beyond_the_limits(text: str, message: str) -> None:
    start = time.process_time()
    with pytest.raises(ReadError, match=message) as caught:
        parse_yaml(text, "The config x")
    assert time.process_time() - start < 2
    assert str(caught.value).startswith("The config x")
    assert len(str(caught.value)) < 500


def test_yaml_of_plain_values() -> None:
    text = "a: 2024-99-99\nb: [1, 2.5, true, null]\nc: {0: x}\nd: 2024-01-01\n"
    expected = {"a": "2024-99-99", "b": [1, 2.5, True, None], "c": {0: "x"}, "d": "2024-01-01"}
    assert parse_yaml(text, "x") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested thousands of levels deep"),
        ('{"a": 1, "a": 2}', "'a' occurs twice"),
        ("9" * 5000, "is not JSON"),
        ("{", "is not JSON"),
    ],
)
def test_json_beyond_the_limits(text: str, message: str) -> None:
    with pytest.raises(ReadError, match=f"x.*{message}"):
        parse_json(text, "x")


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        "<a>",
        "<a>\x00</a>",
        "",
    ],
)
def test_xml_with_more_than_elements(text: str) -> None:
    with pytest.raises(ReadError, match="x "):
        parse_xml(text, "x")
    assert parse_xml("<a><b/></a>", "x")[0].tag == "b"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/a", "a\\b", "C:a", "a\0", "\x1b", "a" * 256]
)
def test_names_that_lead_elsewhere(name: str) -> None:
    with pytest.raises(ValueError, match="expected a file name"):
        require_file_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "../a", "a/../b", "/a", "C:\\a", "\\\\host\\a", "a\0b", "a/" * 501, "a/" + "b" * 256],
)
def test_paths_that_lead_elsewhere(name: str) -> None:
    with pytest.raises(ValueError, match="inside the folder"):
        require_inner_path(name)


@pytest.mark.parametrize("name", ["a", "a.b", "ä ö-PCH1", "..a"])
def test_usual_names(name: str) -> None:
    assert require_file_name(name) == require_inner_path(name) == require_plain_name(name) == name
    assert require_inner_path(f"images/{name}.tif")


@pytest.mark.parametrize("name", ["a\x1b[2J", "a\nb", "a\u202eb", "a\x9b", "a" * 201])
def test_names_that_change_the_screen(name: Any) -> None:
    with pytest.raises(ValueError, match="without control characters"):
        require_plain_name(name)
