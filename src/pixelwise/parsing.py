"""The boundary for untrusted files: regular files only, and limits for size, depth and count.

What passes is plain data that fits into memory; its meaning is checked by the caller. Every
refusal is a `ReadError` that names the file.
"""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from collections.abc import Hashable
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import IO, TYPE_CHECKING, Annotated, Any, Final

import yaml
from pydantic import AfterValidator

from pixelwise.errors import LONGEST_VALUE, ReadError, has_control, quote, quote_value

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

CONFIG_BYTES: Final = 1 << 18
"""Largest config in YAML."""
JSON_BYTES: Final = 1 << 30
"""Largest JSON file: COCO's training set of 2017 has 450 MB."""
_MOST_ITEMS: Final = 100_000_000
_MOST_NODES: Final = 10_000
_DEEPEST_YAML: Final = 30
_LONGEST_NUMBER: Final = 100
_XML_BYTES: Final = 64 << 20
_MOST_ELEMENTS: Final = 2_000_000
_LONGEST_NAME: Final = 255
_LONGEST_PATH: Final = 1000  # characters, inside a folder
_LONGEST_ANYWHERE: Final = 4000  # bytes

_KINDS: Final = (
    (stat.S_ISFIFO, "a pipe (FIFO)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_regular(path: Path) -> IO[bytes]:
    """Open a file to read its bytes; never blocks, as opening a pipe would.

    Raises
    ------
    ReadError
        The path is a pipe, a socket or a device.
    OSError
        The file is missing, a folder, or cannot be read.
    """
    return open(path, "rb", opener=_open_regular)  # Path.open takes no opener


def _open_regular(path: str, flags: int) -> int:
    """Open without blocking, then check the type of the open file."""
    try:
        handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        _refuse_special(path, os.stat(path).st_mode)  # noqa: PTH116  a socket cannot be opened
        raise
    mode = os.fstat(handle).st_mode
    try:
        _refuse_special(path, mode)
    except ReadError:
        os.close(handle)
        raise
    return handle


def _refuse_special(path: str, mode: int) -> None:
    """Raise if a path is a pipe, a socket or a device."""
    kind = next((words for matches, words in _KINDS if matches(mode)), None)
    if kind is not None:
        raise ReadError(f"{path} is {kind}; expected a file. Save its content to a file first.")


def require_regular(path: Path) -> None:
    """Raise `ReadError` if a path is a pipe, a socket or a device, `OSError` if it is missing."""
    _refuse_special(str(path), path.stat().st_mode)


def read_bytes(path: Path, *, what: str = "file", most: int = JSON_BYTES) -> bytes:
    """Read a file of up to `most` bytes.

    Parameters
    ----------
    path : path
    what : str
        Name for messages: config, annotation, patch index.
    most : int
        Largest size in bytes.

    Raises
    ------
    ReadError
        The file is missing, too large, or not a regular file.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(most + 1) if size <= most else b""
    except ReadError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise ReadError(f"Cannot read the {what} {path}: {reason}. Check the path.") from error
    if max(size, len(data)) > most:
        raise ReadError(
            f"The {what} {path} has {_describe_size(size)}; at most {_describe_size(most)} are "
            "read. Check that it is the right file, or export it in parts."
        )
    return data


def read_text(path: Path, *, what: str = "file", most: int = JSON_BYTES) -> str:
    """Read a UTF-8 text, with or without a byte order mark; as `read_bytes`.

    Raises
    ------
    ReadError
        As `read_bytes`, or the file is not UTF-8.
    """
    return decode_text(read_bytes(path, what=what, most=most), f"The {what} {path}")


def decode_text(data: bytes, place: str) -> str:
    """Decode UTF-8 with or without a byte order mark.

    Raises
    ------
    ReadError
        It is not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ReadError(
            f"{place} is not UTF-8 text {quote(error)}. Save it as UTF-8, or export it again."
        ) from error


def parse_json(text: str, place: str) -> Any:
    """Parse JSON of limited depth and count, without duplicate keys.

    Parameters
    ----------
    text : str
    place : str
        For messages: the file, and the part of it.

    Raises
    ------
    ReadError
        It is not JSON, or exceeds the limits.
    """
    if text.count(",") + text.count("[") + text.count("{") > _MOST_ITEMS:
        raise ReadError(f"{place} holds more than {_MOST_ITEMS:,} values: refused. Split it.")
    try:
        return json.loads(text, object_pairs_hook=_collect)
    except RecursionError:
        raise ReadError(
            f"{place} is nested thousands of levels deep, which is never needed: refused. Check "
            "where it comes from."
        ) from None
    except ValueError as error:
        raise ReadError(
            f"{place} is not JSON: {quote(error)} Is it truncated? Copy or export it again."
        ) from error


def _collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Create an object; duplicate keys are refused, because parsers disagree on them."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise ValueError(f"the key {quote_value(twice)} occurs twice in one object")
    return found


class _Loader(yaml.SafeLoader):
    """YAML of plain values: no aliases, no dates, no duplicate keys, within limits."""

    yaml_implicit_resolvers = {  # noqa: RUF012  as PyYAML declares it
        first: [(tag, form) for tag, form in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._nodes = self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Create a node, unless there are too many or it is nested too deeply."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise _refuse(event, "anchors and aliases (&, *) are refused: write the value again")
        self._nodes += 1
        self._depth += 1
        if self._nodes > _MOST_NODES:
            raise _refuse(event, f"more than {_MOST_NODES:,} values are refused")
        if self._depth > _DEEPEST_YAML:
            raise _refuse(event, f"values nested deeper than {_DEEPEST_YAML} are refused")
        node: Any = super().compose_node(parent, index)
        self._depth -= 1
        is_text = node.tag.endswith(":str") or not isinstance(node, yaml.ScalarNode)
        if not is_text and len(node.value) > _LONGEST_NUMBER:
            raise _refuse(event, f"numbers of more than {_LONGEST_NUMBER} characters are refused")
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """Create a mapping without duplicate keys."""
        found = super().construct_mapping(node, deep)
        if len(found) != len(node.value):
            raise _refuse(node, "a key occurs twice in one mapping")
        return found


def _refuse(place: Any, problem: str) -> yaml.YAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)


def parse_yaml(text: str, place: str) -> Any:
    """Parse YAML of plain values, at most 256 KiB, 10,000 values and 30 levels of them.

    Dates stay text. Parameters as in `parse_json`.

    Raises
    ------
    ReadError
        It is not YAML, exceeds the limits, or has anchors, aliases or duplicate keys.
    """
    if len(text) > CONFIG_BYTES:
        raise ReadError(
            f"{place} has {_describe_size(len(text))}; YAML of up to "
            f"{_describe_size(CONFIG_BYTES)} is read. Check that it is the right file."
        )
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  a safe loader with fewer rights
    except (yaml.YAMLError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise ReadError(f"{place} is not valid YAML: {quote(error)} Correct it.") from error


def parse_xml(text: str | bytes, place: str) -> Element:
    """Parse XML without a document type: no entities, no external references.

    Parameters as in `parse_json`.

    Raises
    ------
    ReadError
        It is not XML, defines a document type or entities, or has more than 64 MiB or 2 million
        elements.
    """
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    sign: Any = "<" if isinstance(text, str) else b"<"
    if len(text) > _XML_BYTES or text.count(sign) > 2 * _MOST_ELEMENTS:
        raise ReadError(
            f"{place} is too large: XML of up to {_describe_size(_XML_BYTES)} and "
            f"{_MOST_ELEMENTS:,} elements is read."
        )
    try:
        root: Element = fromstring(text, forbid_dtd=True)
    except DefusedXmlException as error:
        raise ReadError(
            f"{place} defines XML entities or a document type, which annotations and metadata "
            "never need and which can blow up when read: refused. Check where the file comes from."
        ) from error
    except (ParseError, ValueError, LookupError) as error:
        raise ReadError(f"{place} is not XML: {quote(error)} Copy or export it again.") from error
    return root


def _describe_size(count: int) -> str:
    for exponent, unit in ((30, "GiB"), (20, "MiB")):
        if count >= 1 << exponent:
            return f"{count / (1 << exponent):.4g} {unit}"
    return f"{count / 1024:.4g} KiB"


def list_folder(folder: Path) -> list[Path]:
    """List the entries of a folder, sorted by name.

    Raises
    ------
    ReadError
        It cannot be listed, or a name has a line break, which could forge a message.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise ReadError(f"Cannot list the folder {folder}: {error.strerror or error}.") from error
    if broken := [entry.name for entry in entries if "\n" in entry.name or "\r" in entry.name]:
        raise ReadError(
            f"A name in {folder} has a line break: {quote_value(broken[0])}. Rename the file."
        )
    return entries


def require_file_name(name: str) -> str:
    """Return a file name, or raise `ValueError`.

    It must have no separator, drive, ``..`` or control character, and at most 255 bytes.
    """
    plain = name not in ("", "..") and PureWindowsPath(name).name == name
    if (
        not plain
        or has_control(name)
        or len(name.encode("utf-8", "surrogateescape")) > _LONGEST_NAME
    ):
        raise ValueError(
            f"expected a file name without /, \\, .. and control characters, at most "
            f"{_LONGEST_NAME} bytes, got {quote_value(name)}"
        )
    return name


def _measure_name(name: str) -> int:
    """Count what disks limit in a name: bytes, or two bytes each on Windows."""
    if os.name == "nt":
        return len(name.encode("utf-16-le", "surrogatepass")) // 2
    return len(os.fsencode(name))


def require_possible_path(path: str | Path) -> None:
    """Raise `ValueError` if a path is longer than any disk allows, as a whole or in a name."""
    names = [_measure_name(name) for name in PurePath(path).parts]
    if sum(names) > _LONGEST_ANYWHERE or max(names, default=0) > _LONGEST_NAME:
        raise ValueError(
            f"expected a path of at most {_LONGEST_ANYWHERE} bytes and {_LONGEST_NAME} bytes in a "
            f"name, got {quote_value(str(path))}"
        )


def require_inner_path(name: str) -> str:
    """Return a path inside a folder, relative and without ``..``, or raise `ValueError`."""
    paths: tuple[PurePath, ...] = (PurePosixPath(name), PureWindowsPath(name))
    leaves = any(path.anchor or ".." in path.parts for path in paths)
    sizes = [len(part.encode("utf-8", "surrogateescape")) for part in paths[0].parts]
    is_long = max(sizes, default=0) > _LONGEST_NAME
    if leaves or not name or has_control(name) or is_long or len(name) > _LONGEST_PATH:
        raise ValueError(
            "expected a path inside the folder, without .. and control characters, of at most "
            f"{_LONGEST_PATH} characters and {_LONGEST_NAME} bytes in a name, got "
            f"{quote_value(name)}"
        )
    return name


def require_plain_name(name: str) -> str:
    """Return a display name, such as a class's, or raise `ValueError`.

    It must have no control characters and at most 200 characters.
    """
    if has_control(name) or len(name) > LONGEST_VALUE:
        raise ValueError(
            f"expected a name without control characters, at most {LONGEST_VALUE} long, got "
            f"{quote_value(name)}"
        )
    return name


FileName = Annotated[str, AfterValidator(require_file_name)]
InnerPath = Annotated[str, AfterValidator(require_inner_path)]
PlainName = Annotated[str, AfterValidator(require_plain_name)]
