"""Edits of binary files that know their structure, so that a reader gets past the first bytes."""

from __future__ import annotations

import io
import json
import pickle
import re
import struct
import zipfile
import zlib
from functools import cache
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from pixelwise.checksums import BLANK_CHECKSUM, WORD
from tests.fuzzing.stage import Stage
from tests.fuzzing.trees import (
    draw_value,
    edit_bytes,
    edit_json,
    edit_lines,
    edit_tree,
    edit_xml,
)

_EXTREMES = (0, 1, 2, 3, 4, 8, 16, 17, 32, 255, 4096, 65_535, 2**20, 2**31 - 1, 2**31, 2**32 - 1)


class Planted:
    """Makes a folder when it is unpickled: code that was run."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.mkdir, (str(self.canary),)


def plant(rng: Random, stage: Stage) -> bytes:
    """A pickle that makes the canary."""
    called = f"c__builtin__\neval\n(V__import__('os').mkdir('{stage.canary}')\ntR.".encode()
    return rng.choice([pickle.dumps(Planted(stage.canary), protocol=2), called])


@cache
def squeeze(size: int) -> bytes:
    """So many zeros, compressed."""
    packer = zlib.compressobj(9)
    block = bytes(1 << 20)
    parts = [packer.compress(block) for _ in range(size >> 20)]
    return b"".join([*parts, packer.flush()])


# safetensors


def edit_safetensors(data: bytes, rng: Random, stage: Stage) -> bytes:
    """Change the header, the card in it, or its length."""
    size = int.from_bytes(data[:8], "little")
    header, rest = data[8 : 8 + size], data[8 + size :]
    try:
        tree = json.loads(header)
        card = json.loads(tree["__metadata__"]["pixelwise"])
        names = [key for key in tree if key != "__metadata__"]
        is_card = isinstance(card, dict) and isinstance(card.get("options"), dict)
    except (ValueError, KeyError, TypeError, RecursionError):  # an earlier edit was here
        return edit_bytes(data, rng, stage)
    if not is_card or not names:
        return edit_bytes(data, rng, stage)
    match rng.randrange(6):
        case 0:
            return (
                rng.choice([2**62, 2**33, size + 1, size - 1, 0]).to_bytes(8, "little") + data[8:]
            )
        case 1:
            header = edit_json(header, rng, stage)
        case 2:
            card["options"].update(
                base_channels=rng.choice([256, 700, 4096]), depth=rng.choice([3, 6])
            )
            tree["__metadata__"]["pixelwise"] = json.dumps(card)
            header = json.dumps(tree).encode()
        case 3:
            del tree[rng.choice(names)]
            header = json.dumps(tree).encode()
        case _:
            text = edit_json(json.dumps(card).encode(), rng, stage)
            tree["__metadata__"]["pixelwise"] = text.decode(errors="replace")
            header = json.dumps(tree).encode()
    return len(header).to_bytes(8, "little") + header + rest


def sign_model(data: bytes) -> bytes:
    """Write the checksum of a model file again, so that what was changed counts as written."""
    place = data[: 4 << 20].find(WORD.encode())
    if place < 0:
        return data
    start, end = data[: place + len(WORD)], data[place + len(BLANK_CHECKSUM) :]
    digits = sha256(data[:place] + BLANK_CHECKSUM.encode() + end).hexdigest()
    return start + digits.encode() + end


# torch's checkpoints, with the hash at their end

_MARK = b"pixelwise-sha256:"


def sign(body: bytes) -> bytes:
    """Add the hash that a checkpoint ends in."""
    return body + _MARK + sha256(body).digest()


def edit_checkpoint(data: bytes, rng: Random, stage: Stage) -> bytes:
    """Change the state, or plant a pickle, and hash it again, so that it counts as whole."""
    body = data[: -len(_MARK) - 32]
    match rng.randrange(7):
        case 0:
            return sign(plant(rng, stage))
        case 1:
            return sign(_replace_members(body, r"/data\.pkl$", lambda _: plant(rng, stage)))
        case 2:
            return sign(_replace_members(body, r"/data\.pkl$", lambda d: edit_bytes(d, rng, stage)))
        case 3:
            return sign(edit_bytes(body, rng, stage))
        case 4:
            return sign(edit_zip(body, rng, stage))
        case _:
            return sign(_edit_state(body, rng, stage))


def _edit_state(body: bytes, rng: Random, stage: Stage) -> bytes:
    """Change the tree of a checkpoint: the progress, the parts, a tensor."""
    import torch

    try:
        state = torch.load(io.BytesIO(body), weights_only=True)
        part = rng.choice(["progress", "progress", "parts", "all"])
        if part == "all":
            state = edit_tree(state, rng, stage)
        elif rng.random() < 0.2:
            network = state["parts"]["network"]
            odd = [
                torch.zeros(3),
                torch.zeros(()),
                torch.full((2, 2), torch.nan),
                torch.zeros(1, dtype=torch.bool),
            ]
            network[rng.choice(list(network))] = rng.choice([*odd, torch.zeros(1).expand(10**9)])
        else:
            state[part] = edit_tree(state[part], rng, stage)
    except Exception:  # noqa: BLE001  an earlier edit may have left anything
        return edit_bytes(body, rng, stage)
    out = io.BytesIO()
    torch.save(state, out)
    return out.getvalue()


# ZIP


def _replace_members(data: bytes, pattern: str, change: Any) -> bytes:
    """Change the members of an archive whose name matches."""
    out = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
            for item in old.infolist():
                content = old.read(item)
                new.writestr(
                    item, change(content) if re.search(pattern, item.filename) else content
                )
    except (zipfile.BadZipFile, OSError, RuntimeError, EOFError, ValueError, zlib.error):
        return data[: len(data) // 2]
    return out.getvalue()


def edit_zip(data: bytes, rng: Random, stage: Stage) -> bytes:
    """Change a member of an archive, its name, or add members."""
    try:
        names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
        return edit_bytes(data, rng, stage)
    if not names:
        return edit_bytes(data, rng, stage)
    chosen = f"^{re.escape(rng.choice(names))}$"
    match rng.randrange(5):
        case 0:
            out = io.BytesIO(data)
            with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as file:
                name = str(draw_value(rng, stage))[:1000].replace("\ud800", "?")
                file.writestr(name.replace("\0", "") or "_", plant(rng, stage))
            return out.getvalue()
        case 1:
            out = io.BytesIO()
            with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
                file.writestr(rng.choice(names), bytes(rng.choice([0, 10**6, 10**8])))
            return out.getvalue()
        case 2 if chosen.endswith("npy$"):
            return _replace_members(data, chosen, lambda d: edit_npy(d, rng, stage))
        case _:
            return _replace_members(data, chosen, lambda d: edit_bytes(d, rng, stage))


# NumPy


def edit_npy(data: bytes, rng: Random, stage: Stage) -> bytes:
    """Change the header, or put objects in the place of numbers."""
    size = int.from_bytes(data[8:10], "little")
    header = data[10 : 10 + size].decode("latin-1")
    pixels = data[10 + size :]
    if rng.random() < 0.2:
        out = io.BytesIO()
        np.save(out, np.array([Planted(stage.canary)] * 4, dtype=object), allow_pickle=True)
        return out.getvalue()
    kinds = ["|O", "<f8", "|V8", "<U9", "<M8[s]", "<c16", ">u2", "x", "|b1", "<f2", "|S0", "|u1"]
    shapes = ["()", "(0,)", "(-1, 4)", "(99999999999, 9)", "(2,) * 9", "(True, 4)", "('a',)", "4"]
    shapes += [f"({', '.join(['1'] * 64)})", "(65536, 65536)", "((2,),)", "(1e3, 2)"]
    match rng.randrange(4):
        case 0:
            new = rng.choice([f"'{rng.choice(kinds)}'", "[('a', '<f4')]", "None", "{}", "5"])
            header = re.sub(r"'descr': *[^,]*,", f"'descr': {new},", header)
        case 1:
            header = re.sub(r"'shape': *\([^)]*\)", f"'shape': {rng.choice(shapes)}", header)
        case 2:
            header = edit_lines(header.encode(), rng, stage).decode("utf-8", "replace")[:60_000]
        case _:
            header = f"__import__('os').mkdir('{stage.canary}')"
    encoded = header.encode("latin-1", "replace") + b"\n"
    return data[:8] + len(encoded).to_bytes(2, "little") + encoded + pixels


# PNG

_PNG = b"\x89PNG\r\n\x1a\n"


def _split_png(data: bytes) -> list[tuple[bytes, bytes]]:
    """Names and contents of the chunks."""
    found, at = [], len(_PNG)
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += size + 12
    return found


def _join_png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG of chunks, each with its right checksum."""
    parts = [
        len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")
        for name, body in chunks
    ]
    return b"".join([_PNG, *parts])


def edit_png(data: bytes, rng: Random, stage: Stage) -> bytes:
    """Change a chunk, add one or take one away; the checksums are right."""
    chunks = _split_png(data)
    if not data.startswith(_PNG) or len(chunks) < 2 or len(chunks[0][1]) != 13:
        return edit_bytes(data, rng, stage)
    at = rng.randrange(len(chunks))
    name, body = chunks[at]
    match rng.randrange(6):
        case 0 | 1:
            width, height, *more = struct.unpack(">IIBBBBB", chunks[0][1])
            more[rng.randrange(5)] = rng.randrange(18)
            sides = [(width, height), (2**31 - 1, 1), (8192, 8192), (0, height), (width, 2**31 - 1)]
            new = struct.pack(">IIBBBBB", *rng.choice(sides), *more)
            bomb = (b"IDAT", squeeze(1 << 26))
            chunks = [(b"IHDR", new), *([bomb] if rng.random() < 0.3 else []), *chunks[1:]]
        case 2:
            bomb = squeeze(rng.choice([1 << 20, 1 << 26]))
            chunks.insert(1, rng.choice([(b"zTXt", b"a\0\0" + bomb), (b"iCCP", b"a\0\0" + bomb)]))
        case 3:
            text = str(draw_value(rng, stage))[:100_000].encode("utf-8", "replace")
            added = [(b"tEXt", b"Comment\0" + text), (b"tRNS", text[:300]), (b"PLTE", text[:768])]
            added += [(b"eXIf", b"II*\0" + text), (b"pHYs", text[:9]), (b"acTL", text[:8])]
            chunks.insert(1, rng.choice(added))
        case 4:
            chunks[at : at + 1] = [] if rng.random() < 0.5 else [(name, body)] * 300
        case _:
            chunks[at] = (name, edit_bytes(body, rng, stage))
    return _join_png(chunks)


# TIFF, classic and little-endian, as the cases are

_TAGS = (254, 256, 257, 258, 259, 262, 266, 270, 273, 277, 278, 279, 282, 284, 305, 317, 320, 322)
_TAGS += (323, 324, 325, 330, 338, 339, 347, 33628, 34665, 50838, 50839)


def _list_entries(data: bytes) -> tuple[list[int], list[int]]:
    """Places of all entries, and of the offsets to the next directory."""
    entries: list[int] = []
    links = [4]
    while len(links) < 20:
        at = int.from_bytes(data[links[-1] : links[-1] + 4], "little")
        if not 8 <= at < len(data) - 2:
            break
        count = int.from_bytes(data[at : at + 2], "little")
        entries += range(at + 2, min(at + 2 + 12 * count, len(data) - 12), 12)
        links.append(at + 2 + 12 * count)
    return entries, links


def edit_tiff(data: bytes, rng: Random, stage: Stage) -> bytes:
    """Change a tag, the text that describes the image, or the chain of the pages."""
    entries, links = _list_entries(data)
    if data[:4] != b"II*\0" or not entries:
        return edit_bytes(data, rng, stage)
    at = rng.choice(entries)
    tag, kind, count, value = struct.unpack("<HHII", data[at : at + 12])
    match rng.randrange(8):
        case 0:
            kind = rng.randrange(20)
        case 1:
            count = rng.choice(_EXTREMES)
        case 2:
            tag = rng.choice(_TAGS)
        case 3:
            link = rng.choice(links)
            target = rng.choice(
                [0, 8, at, *(int.from_bytes(data[n : n + 4], "little") for n in links)]
            )
            return data[:link] + target.to_bytes(4, "little") + data[link + 4 :]
        case 4 | 5:
            return _edit_description(data, entries, rng=rng, stage=stage)
        case _:
            value = rng.choice([*_EXTREMES, value + 1, max(0, value - 1), len(data)])
    return data[:at] + struct.pack("<HHII", tag, kind, count, value & 0xFFFFFFFF) + data[at + 12 :]


def _edit_description(data: bytes, entries: list[int], *, rng: Random, stage: Stage) -> bytes:
    """Give a page another description, at the end of the file."""
    found = [at for at in entries if data[at : at + 2] == (270).to_bytes(2, "little")]
    if not found:
        return edit_bytes(data, rng, stage)
    at = rng.choice(found)
    count, value = struct.unpack("<II", data[at + 4 : at + 12])
    text = data[value : value + count].rstrip(b"\0") if count > 4 else b""
    edit = edit_xml if b"<" in text else edit_json if text.startswith(b"{") else edit_lines
    text = edit(text, rng, stage) + b"\0"
    return data[: at + 4] + struct.pack("<II", len(text), len(data)) + data[at + 12 :] + text


# HDF5 and Zarr, whose edits need the file itself


def edit_hdf5(path: Path, rng: Random, stage: Stage) -> None:
    """Change a data set, its attributes, or what its name stands for."""
    import h5py

    try:
        with h5py.File(path, "r+") as file:
            names: list[str] = []
            file.visititems(
                lambda name, node: names.append(name) if hasattr(node, "shape") else None
            )
            _edit_dataset(file, rng.choice(names or ["data"]), rng=rng, stage=stage)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError):
        path.write_bytes(edit_bytes(path.read_bytes(), rng, stage))


def _edit_dataset(file: Any, name: str, *, rng: Random, stage: Stage) -> None:
    """Put something else in the place of a data set."""
    import h5py

    notes = str(stage.victim / "notes.txt")
    kind = rng.randrange(9)
    if kind == 0:
        tags = edit_json(b'{"axes": [{"key": "z"}, {"key": "y"}, {"key": "x"}]}', rng, stage)
        file[name].attrs["axistags"] = tags.decode("utf-8", "replace")[:60_000]
        return
    if kind == 1:
        file[str(draw_value(rng, stage)).replace("\0", "").replace("\ud800", "")[:200]] = np.zeros(
            (9, 9)
        )
        return
    if name in file:
        del file[name]
    match kind:
        case 2:
            file[name] = h5py.ExternalLink(
                rng.choice([notes, path_of(file), "../x.h5"]), f"/{name}"
            )
        case 3:
            file[name] = h5py.SoftLink(f"/{name}")
        case 4:
            file.create_dataset(name, (4, 20, 24), h5py.string_dtype())
        case 5:
            sides = rng.choice(
                [(10**6,) * 3, (2**40, 4), (0, 20, 24), (1,) * 32, (300, 10**4, 10**4)]
            )
            file.create_dataset(
                name,
                sides,
                "u1",
                chunks=tuple(min(n, 64) or 1 for n in sides),
                maxshape=(None,) * len(sides),
            )
        case 6:
            file.create_dataset(name, (20, 24), "u1", external=[(notes, 0, 480)])
        case 7:
            file.create_dataset(name, (20, 24), rng.choice(["c8", "f2", "V7", "S9", "i1,f4", "?"]))
        case _:  # larger images are no attack: to cut them into patches of 6 px takes its time
            sides = (64, 2 * 10**5)
            zeros = np.zeros(sides, "u1")
            file.create_dataset(name, sides, "u1", chunks=sides, compression="gzip", data=zeros)


def path_of(file: Any) -> str:
    """Path of an open HDF5 file."""
    return str(file.filename)


def edit_zarr(path: Path, rng: Random, stage: Stage) -> None:
    """Change the metadata of an array so that a codec would run code, or a chunk is not there."""
    try:
        tree = json.loads(path.read_bytes())
        is_array = "chunks" in tree or "codecs" in tree
    except (ValueError, TypeError, RecursionError):
        is_array = False
    if not is_array:
        path.write_bytes(edit_json(path.read_bytes(), rng, stage))
        return
    shape = rng.choice(
        [(10**6,) * 3, (2**62,) * 3, (0, 4, 4), (1, 1, 1), (-1, 4, 4), (4,) * 40, (1, 1024, 1024)]
    )
    try:
        edit = _edit_format_3 if "codecs" in tree else _edit_format_2
        edit(tree, list(shape), rng)
    except (KeyError, TypeError, AttributeError):  # an earlier edit has left something else
        tree["shape"] = list(shape)
    path.write_text(json.dumps(tree))
    for chunk in [file for file in path.parent.rglob("*") if file.is_file() and file != path][:3]:
        if not chunk.name.startswith(".z") and chunk.name != "zarr.json":
            chunk.write_bytes(plant(rng, stage))


def _edit_format_2(tree: dict[str, Any], shape: list[int], rng: Random) -> None:
    odd = [
        {"id": "pickle"},
        {"id": "json2"},
        {"id": "nothing"},
        {"id": "zlib", "level": -99},
        {},
        5,
    ]
    odd += [
        {"id": "vlen-utf8"},
        {"id": "blosc", "cname": "x"},
        {"id": "delta", "dtype": "|O"},
        {"id": "gzip"},
    ]
    match rng.randrange(5):
        case 0:
            tree.update(dtype="|O", filters=[{"id": "pickle"}], compressor=None)
        case 1:
            tree.update(dtype="|O", filters=None, compressor={"id": "pickle"}, fill_value=0)
        case 2:
            tree.update(
                rng.choice([{"compressor": rng.choice(odd)}, {"filters": [rng.choice(odd)]}])
            )
        case 3:
            tree.update(
                shape=shape, chunks=rng.choice([shape, [1] * len(shape), [16] * len(shape)])
            )
        case _:
            tree.update(
                dtype=rng.choice(["<M8[ns]", "<U5", "|S3", "<c16", [["a", "<i4"]], "|V4", 7])
            )


def _edit_format_3(tree: dict[str, Any], shape: list[int], rng: Random) -> None:
    codecs = [
        "numcodecs.pickle",
        "numcodecs.json2",
        "vlen-utf8",
        "vlen-bytes",
        "nothing",
        "zstd",
        "blosc",
    ]
    match rng.randrange(4):
        case 0:
            tree["codecs"] = [{"name": rng.choice(codecs), "configuration": {}}]
        case 1:
            tree["codecs"].insert(
                0, {"name": rng.choice(codecs), "configuration": {"id": "pickle"}}
            )
        case 2:
            chunks = rng.choice([shape, [1] * len(shape), [16] * len(shape), [0] * len(shape)])
            tree.update(shape=shape)
            tree["chunk_grid"]["configuration"]["chunk_shape"] = chunks
        case _:
            kinds = [
                "string",
                "variable_length_bytes",
                "complex64",
                "float16",
                "r8",
                "bool",
                "object",
            ]
            named = {"name": "numpy.datetime64", "configuration": {"unit": "s", "scale_factor": 1}}
            tree["data_type"] = rng.choice([*kinds, named])
