"""Small ND2, LIF and CZI files made by hand: no library writes these formats.

They hold what their readers look at, and no more; files of real microscopes hold much else.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Loops = Sequence[tuple[str, int]]


# ND2, version 2.1, whose metadata are XML

_MAGIC = 0x0ABECEDA
_FRAME_HEADER = 4096
_LOOP_TYPES = {"T": 1, "P": 2, "Z": 4, "?": 7}


def _variant(name: str, value: Any) -> str:
    """One node of a CLxVariant."""
    if isinstance(value, Mapping):
        inner = "".join(_variant(key, item) for key, item in value.items())
        return f'<{name} runtype="CLxListVariant">{inner}</{name}>'
    kind = "bool" if isinstance(value, bool) else "double" if isinstance(value, float) else ""
    text = str(value).lower() if isinstance(value, bool) else value
    return f'<{name} runtype="{kind or "lx_uint32"}" value="{text}"/>'


def _describe_loop(letter: str, count: int) -> dict[str, Any]:
    """Parameters of one loop."""
    if letter == "P":
        points = {f"p{i}": {"dPosX": float(i), "dPosY": 0.0} for i in range(count)}
        return {"uiCount": count, "Points": points}
    if letter == "Z":
        return {"uiCount": count, "dZLow": 0.0, "dZHigh": 2.0 * (count - 1), "dZStep": 2.0}
    return {"uiCount": count, "dStart": 0.0, "dPeriod": 500.0, "dDuration": 500.0 * (count - 1)}


def _describe_experiment(loops: Loops) -> dict[str, Any]:
    """Nested loops, the slowest outside."""
    (letter, count), *inner = loops
    found: dict[str, Any] = {
        "eType": _LOOP_TYPES[letter],
        "uLoopPars": _describe_loop(letter, count),
    }
    if inner:
        found["ppNextLevelEx"] = {"i0000000000": _describe_experiment(inner)}
    return found


def write_nd2(
    path: Path,
    frames: np.ndarray,
    loops: Loops = (),
    *,
    rgb: bool = False,
    missing: Sequence[int] = (),
    compression: int = 2,
) -> None:
    """Write frames (N, Y, X, C); C are channels, or BGR components of one channel."""
    count, height, width, parts = frames.shape
    bits = frames.dtype.itemsize * 8
    channels = 1 if rgb else parts
    attributes = {
        "uiWidth": width, "uiWidthBytes": width * parts * bits // 8, "uiHeight": height,
        "uiComp": parts, "uiBpcInMemory": bits, "uiBpcSignificant": bits,
        "uiSequenceCount": count, "eCompression": compression,
    }  # fmt: skip
    probe = {"uiColor": 255}  # nd2 needs one
    plane = {"uiCompCount": parts // channels, "uiColor": 255, "pFluorescentProbe": probe}
    planes = {f"a{i}": plane for i in range(channels)}
    picture = {
        "bCalibrated": True, "dCalibration": 0.25,
        "sPicturePlanes": {"uiCount": channels, "sPlaneNew": planes},
    }  # fmt: skip
    chunks: list[tuple[bytes, bytes]] = [
        (b"ImageAttributes!", _encode(attributes)),
        (b"ImageMetadataSeq|0!", _encode(picture)),
    ]
    if loops:
        chunks.append((b"ImageMetadata!", _encode(_describe_experiment(loops))))
    for i, frame in enumerate(frames):
        if i not in missing:
            data = frame.tobytes()
            data = zlib.compress(data) if compression == 0 else data
            chunks.append((f"ImageDataSeq|{i}!".encode(), bytes(8) + data))
    path.write_bytes(_join_chunks(chunks))


def _encode(values: Mapping[str, Any]) -> bytes:
    return f'<variant version="1.0">{_variant("no_name", values)}</variant>'.encode()


def _join_chunks(chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Signature, chunks, and the map of chunks at the end."""
    signature = b"ND2 FILE SIGNATURE CHUNK NAME01!"
    out = bytearray(struct.pack("<IIQ", _MAGIC, 32, 64) + signature + b"Ver2.1".ljust(64, b"\0"))
    index = b""
    for name, data in chunks:
        reserve = _FRAME_HEADER - 16 - 8
        index += name + struct.pack("<QQ", len(out), len(data))
        out += struct.pack("<IIQ", _MAGIC, reserve, len(data)) + name.ljust(reserve, b"\0") + data
    place = len(out)
    end = b"ND2 CHUNK MAP SIGNATURE 0000001!" + struct.pack("<Q", place)
    name = b"ND2 FILEMAP SIGNATURE NAME 0001!"
    out += struct.pack("<IIQ", _MAGIC, 32, len(index) + len(end)) + name + index + end
    return bytes(out)


# LIF, version 2

_DIMENSIONS = {"X": 1, "Y": 2, "Z": 3, "T": 4, "λ": 5, "M": 10}


def write_lif(path: Path, series: Mapping[str, tuple[str, np.ndarray]]) -> None:
    """Write series: name -> axes and pixels; C are channels, S colours that lie together."""
    elements, blocks = "", b""
    for i, (name, (axes, pixels)) in enumerate(series.items()):
        block = f"MemBlock_{i}"
        elements += (
            f'<Element Name="{name}"><Data><Image><ImageDescription>'
            f"<Channels>{_describe_channels(axes, pixels)}</Channels>"
            f"<Dimensions>{_describe_dimensions(axes, pixels)}</Dimensions>"
            f"</ImageDescription></Image></Data>"
            f'<Memory Size="{pixels.nbytes}" MemoryBlockID="{block}"/></Element>'
        )
        blocks += struct.pack("<IIBQBI", 0x70, 0, 0x2A, pixels.nbytes, 0x2A, len(block))
        blocks += block.encode("utf-16-le") + pixels.tobytes()
    xml = (
        '<LMSDataContainerHeader Version="2"><Element Name="Project"><Children>'
        f"{elements}</Children></Element></LMSDataContainerHeader>"
    )
    text = xml.encode("utf-16-le")
    start = struct.pack("<IIBI", 0x70, len(text) + 5, 0x2A, len(xml))
    path.write_bytes(start + text + blocks)


def _describe_channels(axes: str, pixels: np.ndarray) -> str:
    """One description per channel or colour."""
    found = ""
    for letter in "CS":
        at = axes.find(letter)
        for i in range(pixels.shape[at] if at >= 0 else 0):
            found += (
                f'<ChannelDescription DataType="0" ChannelTag="{i + 1 if letter == "S" else 0}" '
                f'Resolution="{pixels.itemsize * 8}" NameOfMeasuredQuantity="" Min="0" Max="1" '
                f'Unit="" LUTName="Gray" IsLUTInverted="0" BytesInc="{i * pixels.strides[at]}" '
                'BitInc="0"/>'
            )
    plain = (
        f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="{pixels.itemsize * 8}" '
        'NameOfMeasuredQuantity="" Min="0" Max="1" Unit="" LUTName="Gray" IsLUTInverted="0" '
        'BytesInc="0" BitInc="0"/>'
    )
    return found or plain


def _describe_dimensions(axes: str, pixels: np.ndarray) -> str:
    """One description per axis that is no channel; a pixel of 0.5 µm, a time step of 2 s."""
    found = ""
    for letter, size, step in zip(axes, pixels.shape, pixels.strides, strict=True):
        if letter in "CS":
            continue
        length = (size - 1) * (2.0 if letter == "T" else 0.5e-6)
        found += (
            f'<DimensionDescription DimID="{_DIMENSIONS[letter]}" NumberOfElements="{size}" '
            f'Origin="0" Length="{length}" Unit="" BytesInc="{step}" BitInc="0"/>'
        )
    return found


# CZI

_PIXEL_TYPES = {("u1", 1): 0, ("u2", 1): 1, ("f4", 1): 2, ("u1", 3): 3, ("u2", 3): 4}
Tile = tuple[Mapping[str, int], np.ndarray]


def write_czi(
    path: Path,
    tiles: Sequence[Tile],
    *,
    compression: int = 0,
    encode: Any = bytes,
    stored: int = 1,
    part: int = 0,
) -> None:
    """Write tiles: first indices along the axes, and pixels (Y, X) or (Y, X, 3) as RGB.

    `encode` compresses the bytes of a tile; `stored` divides its stored size, as in a pyramid's
    coarser level, for tiles with an index P.
    """
    out = bytearray(32 + 512)
    entries = []
    for starts, pixels in tiles:
        entry = _describe_tile(starts, pixels, len(out), (compression, part, stored))
        entries.append(entry)
        bgr = pixels[..., ::-1] if pixels.ndim == 3 else pixels
        data = encode(np.ascontiguousarray(bgr).tobytes())
        body = struct.pack("<iiq", 0, 0, len(data)) + entry
        body += bytes(max(0, 240 - len(entry))) + data
        out += _segment(b"ZISRAWSUBBLOCK", body)
    directory = len(out)
    body = struct.pack("<i", len(entries)) + bytes(124) + b"".join(entries)
    out += _segment(b"ZISRAWDIRECTORY", body)
    metadata = len(out)
    xml = b"<ImageDocument><Metadata><Scaling><Items>"
    xml += b'<Distance Id="X"><Value>5e-7</Value></Distance>'
    xml += b'<Distance Id="Y"><Value>5e-7</Value></Distance></Items></Scaling></Metadata>'
    xml += b"</ImageDocument>"
    out += _segment(b"ZISRAWMETADATA", struct.pack("<ii", len(xml), 0) + bytes(248) + xml)
    guid = uuid.UUID(int=1).bytes
    head = struct.pack("<iiii16s16siqqiq", 1, 0, 0, 0, guid, guid, 0, directory, metadata, 0, 0)
    out[:544] = _segment(b"ZISRAWFILE", head.ljust(512, b"\0"))
    path.write_bytes(out)


def _segment(name: bytes, body: bytes) -> bytes:
    return struct.pack("<16sqq", name, len(body), len(body)) + body


def _describe_tile(
    starts: Mapping[str, int], pixels: np.ndarray, place: int, how: tuple[int, int, int]
) -> bytes:
    """Entry of the directory."""
    compression, part, stored = how
    kind = _PIXEL_TYPES[pixels.dtype.str[1:], 3 if pixels.ndim == 3 else 1]
    coarse = stored if "P" in starts else 1
    spans = {"X": pixels.shape[1], "Y": pixels.shape[0]}
    letters = ["X", "Y", *(x for x in starts if x not in "XYP")]
    entry = struct.pack(
        "<2siqiiBB4si", b"DV", kind, place, part, compression, 0, 0, b"", len(letters)
    )
    for letter in letters:
        size = spans.get(letter, 1)
        full = size * coarse if letter in "XY" else size
        entry += struct.pack("<4siifi", letter.encode(), starts.get(letter, 0), full, 0.0, size)
    return entry
