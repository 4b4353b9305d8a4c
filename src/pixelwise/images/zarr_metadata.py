"""Metadata of Zarr folders, checked before zarr opens an array.

zarr creates any codec that the metadata name, and a codec such as pickle runs code from the file.
Only numbers in known codecs pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from pixelwise.errors import DataError, ReadError, quote_value
from pixelwise.images.budget import require_budget
from pixelwise.images.formats import ZARR_FILES
from pixelwise.parsing import parse_json, read_text

_METADATA_BYTES: Final = 64 << 20
_MOST_DIMENSIONS: Final = 16
_MOST_PIXELS: Final = 1 << 62
_DEEPEST_SHARDS: Final = 4

_NUMBERS: Final = "buifc"
_COMPRESSORS: Final = frozenset({"blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd"})
_FILTERS: Final = frozenset({
    *("adler32", "astype", "bitround", "crc32", "crc32c", "delta", "fixedscaleoffset"),
    *("fletcher32", "jenkins_lookup3", "packbits", "quantize", "shuffle"),
})  # fmt: skip
_CODECS: Final = frozenset(
    {"blosc", "bytes", "crc32c", "gzip", "sharding_indexed", "transpose", "zstd"}
)
_BORROWED: Final = "numcodecs."
"""Prefix of format 2 codecs in format 3."""
_DTYPES: Final = ("dtype", "astype", "encode_dtype", "decode_dtype")
_ADVICE: Final = "Save it again as an array of numbers, compressed by Blosc, Zstandard or gzip."


@dataclass(frozen=True)
class Node:
    """An array or a group, from its metadata.

    Attributes
    ----------
    path : Path
    zarr_format : int
        2 or 3.
    is_array : bool
    attributes : dict
    """

    path: Path
    zarr_format: Literal[2, 3]
    is_array: bool
    attributes: dict[str, Any]


def read_node(path: Path) -> Node:
    """Read the metadata of a folder; an array that passes is safe for zarr to open.

    Raises
    ------
    ReadError
        The metadata are missing or damaged.
    DataError
        The array does not hold numbers, or uses an unsupported codec.
    BudgetError
        A chunk would take more memory than the budget.
    """
    found = next((name for name in ZARR_FILES if (path / name).is_file()), None)
    if found is None:
        raise ReadError(
            f"{path} is not a Zarr: expected {', '.join(ZARR_FILES[:-1])} or {ZARR_FILES[-1]} in "
            "it. Point at the folder of an image, or copy it again."
        )
    metadata = _read_object(path, found)
    if found == "zarr.json":
        kind = metadata.get("node_type")
        if kind not in ("array", "group") or metadata.get("zarr_format") != 3:
            raise _damaged(path, f"node_type {quote_value(kind)} of format 3 is unknown")
        node = Node(path, 3, kind == "array", _take_object(path, metadata, "attributes"))
    else:
        is_there = (path / ".zattrs").is_file()
        attributes = _read_object(path, ".zattrs") if is_there else {}
        node = Node(path, 2, found == ".zarray", attributes)
    if node.is_array:
        _require_readable(path, metadata, zarr_format=node.zarr_format)
    return node


def list_members(path: Path) -> list[str]:
    """Names of the arrays and groups directly in a group."""
    return sorted(
        entry.name for entry in path.iterdir() if any((entry / n).is_file() for n in ZARR_FILES)
    )


def _read_object(path: Path, name: str) -> dict[str, Any]:
    """Read the JSON object in a metadata file."""
    file = path / name
    place = f"Cannot read the metadata of {path}: {name}"
    value = parse_json(read_text(file, what="metadata", most=_METADATA_BYTES), place)
    if not isinstance(value, dict):
        raise _damaged(path, f"{name} should hold an object, found {quote_value(value)}")
    return value


def _take_object(path: Path, metadata: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Value of a key that is an object, or absent."""
    value = metadata.get(key) or {}
    if not isinstance(value, dict):
        raise _damaged(path, f"{key} should be an object, found {quote_value(value)}")
    return value


def _damaged(path: Path, problem: str) -> ReadError:
    return ReadError(
        f"Cannot read the metadata of {path}: {problem}. The Zarr is damaged; copy it again, or "
        "save it again."
    )


def _require_readable(path: Path, metadata: Mapping[str, Any], *, zarr_format: int) -> None:
    """Raise unless an array is numbers in known codecs, in chunks that fit into memory."""
    shape = _take_sides(path, metadata.get("shape"), "shape", least=0)
    if zarr_format == 2:
        chunks = _take_sides(path, metadata.get("chunks"), "chunks", least=1)
        dtype = _require_numbers(path, metadata.get("dtype"))
        coding = [("compressor", metadata.get("compressor"))]
        coding += [("filter", item) for item in _take_list(path, metadata, "filters")]
        for what, codec in coding:
            if codec is not None:
                _require_codec(path, codec, what)
    else:
        grid = _take_object(path, metadata, "chunk_grid")
        sides = _take_object(path, grid, "configuration").get("chunk_shape")
        chunks = _take_sides(path, sides, "chunk_shape", least=1)
        dtype = _require_numbers(path, metadata.get("data_type"))
        if metadata.get("storage_transformers"):
            raise DataError(f"{path} uses storage transformers, which are unsupported. {_ADVICE}")
        for codec in _iter_codecs(path, metadata, depth=0):
            _require_codec_3(path, codec)
    if len(chunks) != len(shape) or prod(shape) > _MOST_PIXELS:
        problem = f"shape {quote_value(shape)} and chunks {quote_value(chunks)} do not fit"
        raise _damaged(path, problem)
    require_budget(path, chunks, dtype=dtype, budget_bytes=None)


def _take_sides(path: Path, value: Any, what: str, *, least: int) -> tuple[int, ...]:
    """Sizes along the axes."""
    is_sizes = isinstance(value, list) and len(value) <= _MOST_DIMENSIONS
    if not is_sizes or not all(type(n) is int and n >= least for n in value):
        raise _damaged(path, f"{what} should be whole numbers, found {quote_value(value)}")
    return tuple(value)


def _take_list(path: Path, metadata: Mapping[str, Any], key: str) -> list[Any]:
    """Value of a key that is a list, or null."""
    value = metadata.get(key) or []
    if not isinstance(value, list):
        raise _damaged(path, f"{key} should be a list, found {quote_value(value)}")
    return value


def _require_numbers(path: Path, value: Any) -> np.dtype[Any]:
    """Dtype of numbers; never of Python objects, texts or records."""
    try:
        dtype = np.dtype(value) if isinstance(value, str) else None
    except (TypeError, ValueError, SyntaxError):
        dtype = None
    if dtype is None or dtype.kind not in _NUMBERS:
        raise DataError(f"{path} holds {quote_value(value)} values; expected numbers. {_ADVICE}")
    return dtype


def _require_codec(path: Path, codec: Any, what: str) -> None:
    """Raise unless a codec of format 2 is known, and its dtypes are numbers."""
    name = codec.get("id") if isinstance(codec, dict) else codec
    known = _COMPRESSORS if what == "compressor" else _COMPRESSORS | _FILTERS
    _require_known(path, name, known, what=what)
    for key in _DTYPES:
        if key in codec:
            _require_numbers(path, codec[key])


def _iter_codecs(
    path: Path, metadata: Mapping[str, Any], *, depth: int
) -> Iterator[dict[str, Any]]:
    """Codecs of format 3, including those of shards and their indices."""
    if depth > _DEEPEST_SHARDS:
        raise _damaged(path, "shards are nested too deeply")
    for key in ("codecs", "index_codecs"):
        for codec in _take_list(path, metadata, key):
            codec = {"name": codec} if isinstance(codec, str) else codec
            if not isinstance(codec, dict):
                raise _damaged(path, f"a codec should be an object, found {quote_value(codec)}")
            yield codec
            if codec.get("name") == "sharding_indexed":
                inner = _take_object(path, codec, "configuration")
                _take_sides(path, inner.get("chunk_shape"), "chunk_shape", least=1)
                yield from _iter_codecs(path, inner, depth=depth + 1)


def _require_codec_3(path: Path, codec: Mapping[str, Any]) -> None:
    """Raise unless a codec of format 3 is known."""
    name, settings = codec.get("name"), _take_object(path, codec, "configuration")
    if isinstance(name, str) and name.startswith(_BORROWED):
        _require_codec(path, {**settings, "id": name.removeprefix(_BORROWED)}, "codec")
        return
    _require_known(path, name, _CODECS, what="codec")


def _require_known(path: Path, name: Any, known: frozenset[str], *, what: str) -> None:
    if not isinstance(name, str) or name not in known:
        raise DataError(
            f"{path} uses the {what} {quote_value(name)}, which is not supported: it is unknown, "
            f"or runs code from the file. Known: {', '.join(sorted(known))}. {_ADVICE}"
        )
