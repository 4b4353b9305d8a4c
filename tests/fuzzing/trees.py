"""Edits of texts that are trees: JSON, YAML, XML; and of lines."""

from __future__ import annotations

import json
import math
import re
from random import Random
from typing import Any
from zlib import crc32

import yaml

from pixelwise.parsing import CONFIG_BYTES
from tests.fuzzing.stage import Stage

_RAW = "@raw@"
_ESCAPES = (
    "\x1b[31mred\x07",
    "a\0b",
    "line\nline\r",
    "[/x]",
    "[bold red]",
    "\u202etxt.exe",
    "\ud800",
)
_NUMBERS = (0, 1, -1, 2, 7, 255, 256, 700, 65_536, 10**6, 2**31, 2**32, 2**63, 2**64, 10**30)
_FLOATS = (-0.0, 0.5, -1.5, 1e-320, 1e308, math.nan, math.inf, -math.inf)


def draw_path(rng: Random, stage: Stage) -> str:
    """A name that leads out of the folder, or that no file can have."""
    outside = [stage.victim / "notes.txt", stage.victim / "home/letter", stage.victim, stage.canary]
    target = rng.choice(outside)
    odd = ["", ".", "..", "/", "//", "~", "CON", "a/b", "a\\b", "x" * 300, "a/../..", "/dev/zero"]
    up = "../" * rng.randint(1, 4)
    return rng.choice([str(target), f"{up}{target.relative_to(stage.root)}", rng.choice(odd)])


def draw_value(rng: Random, stage: Stage) -> Any:
    """A value that a reader may not expect."""
    match rng.randrange(9):
        case 0:
            return rng.choice([None, True, False, [], {}, "", [[]], {"a": {}}, [None], [0, 0]])
        case 1 | 2:
            return rng.choice(_NUMBERS) * rng.choice([1, 1, -1])
        case 3:
            return rng.choice(_FLOATS)
        case 4:
            return draw_path(rng, stage)
        case 5:
            return rng.choice(_ESCAPES) * rng.choice([1, 1, 50])
        case 6:
            return "long" * rng.choice([100, 10_000, 1_000_000])
        case 7:
            return [rng.choice(_NUMBERS)] * rng.choice([2, 3, 5, 1000, 100_000])
        case _:
            return rng.choice(["0", "-1", "1e999", "nan", "|O", "uint8", "yx", "auto", "é", "😀"])


Groups = dict[str, list[tuple[Any, Any]]]


def _group_places(tree: Any, groups: Groups, seen: set[int], *, path: str = "") -> None:
    """Group all (container, key) of a tree: the items of a list belong together.

    What stands at several places, as in YAML with aliases, is looked into once.
    """
    seen.add(id(tree))
    for key in tree.keys() if isinstance(tree, dict) else range(len(tree)):
        inner = f"{path}/{key if isinstance(tree, dict) else '*'}"
        groups.setdefault(inner, []).append((tree, key))
        is_new = isinstance(tree[key], dict | list) and id(tree[key]) not in seen
        if is_new and inner.count("/") < 50:
            _group_places(tree[key], groups, seen, path=inner)


def edit_tree(tree: Any, rng: Random, stage: Stage) -> Any:
    """Change one to three places of a tree of dicts and lists, each kind of place as likely."""
    holder = [tree]
    for _ in range(rng.choice([1, 1, 1, 1, 2, 3])):
        groups: Groups = {}
        _group_places(holder, groups, set())
        container, key = rng.choice(groups[rng.choice(list(groups))])
        _edit_place(container, key, rng=rng, stage=stage)
    return holder[0]


def _edit_place(container: Any, key: Any, *, rng: Random, stage: Stage) -> None:
    """Change one value, or its key."""
    old = container[key]
    if isinstance(old, str) and rng.random() < 0.3:
        container[key] = draw_path(rng, stage)
        return
    match rng.randrange(10):
        case 0 if isinstance(container, dict):
            del container[key]
        case 1 if isinstance(container, list):
            container.extend([old] * rng.choice([1, 1000]))
        case 2 if isinstance(container, dict):
            container[str(draw_value(rng, stage))[:500]] = container.pop(key)
        case 3:
            container[key] = [old]
        case 4:
            container[key] = _RAW
        case 5 if isinstance(old, str):
            at = rng.randint(0, len(old))
            container[key] = old[:at] + str(draw_value(rng, stage))[:500] + old[at:]
        case 6 if isinstance(old, int | float):
            container[key] = old * rng.choice([-1, 0, 2, 10, 1000, 0.5])
        case _:
            container[key] = draw_value(rng, stage)


def _draw_raw_json(rng: Random) -> str:
    """What `json.dumps` never writes."""
    depth = rng.choice([50, 500, 5_000, 200_000])
    repeated = "{" + ",".join(f'"a{n}":1' for n in range(rng.choice([10, 100_000]))) + "}"
    texts = ["[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth, "9" * 5_000, "1e400"]
    texts += [repeated, '{"a":1,"a":2}', "[1,]", "'a'", "\x00", "1/0", "// x\n1", "-"]
    return rng.choice(texts)


def edit_json(data: bytes, rng: Random, stage: Stage) -> bytes:
    """Change the tree of a JSON text."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):  # an earlier edit was here
        return edit_bytes(data, rng, stage)
    text = json.dumps(edit_tree(tree, rng, stage), ensure_ascii=rng.random() < 0.8)
    return text.replace(f'"{_RAW}"', _draw_raw_json(rng)).encode(errors="surrogatepass")


def edit_json_lines(data: bytes, rng: Random, stage: Stage) -> bytes:
    """Change one line of JSON lines, or repeat it."""
    lines = data.splitlines() or [b"{}"]
    at = rng.randrange(len(lines))
    lines[at : at + 1] = [edit_json(lines[at], rng, stage)] * rng.choice([1, 1, 2, 1000])
    return b"\n".join(lines) + b"\n"


def sign_lines(data: bytes) -> bytes:
    """Write the checksums of a run's story again, at the ends of its lines."""
    return b"\n".join(map(_sign_line, data.split(b"\n")))


def _sign_line(line: bytes) -> bytes:
    text, count = re.subn(rb',\s*"crc":\s*"[^"]*"}$', b"", line)
    return b'%s,"crc":"%08x"}' % (text, crc32(text + b"}")) if count else line


def _draw_raw_yaml(rng: Random, stage: Stage) -> str:
    """What `yaml.safe_dump` never writes, for the place of a value."""
    depth = rng.choice([50, 500, 100_000])
    code = f"!!python/object/apply:os.mkdir ['{stage.canary}']"
    values = [code, "!!python/name:os.system", "2024-99-99", "2024-01-01", "!!binary x", "0o17"]
    values += ["&a [*a]", "*missing", "!!set {a}", ":".join(["59"] * 500), "'\\x1b'", "\t", "? a"]
    values += ["[" * depth + "]" * depth, "{a: " * depth, "9" * 5_000, "!<x> y", "|\n  text", "%"]
    return rng.choice([*values, '"\\x1b[31m\\a"', "- " * depth, "&a " + "b" * 10**6, "1_000", "~"])


def _draw_bomb(rng: Random) -> str:
    """Aliases of aliases: a few hundred bytes that stand for 9 ** 9 items."""
    lines = ["bomb: &a [l,l,l,l,l,l,l,l,l]"]
    for before, after in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"x{after}: &{after} [{','.join([f'*{before}'] * rng.choice([2, 9]))}]")
    return "\n".join(lines)


_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # the other takes seconds for megabytes


def edit_yaml(data: bytes, rng: Random, stage: Stage) -> bytes:
    """Change the tree of a YAML text, or add what a person would not write."""
    if len(data) > CONFIG_BYTES:  # after an earlier edit; parsing it takes long
        return edit_bytes(data, rng, stage)
    text = data.decode(errors="replace")
    match rng.randrange(5):
        case 0:
            odd = [
                "1: 2",
                "? [a]: b",
                "<<: *x",
                "---\na: b",
                "%YAML 9.9",
                "run: y\nrun: z",
                "a: b: c",
            ]
            return f"{text}\n{rng.choice([*odd, _draw_bomb(rng), _draw_bomb(rng)])}\n".encode()
        case _:
            try:
                tree = edit_tree(yaml.safe_load(text), rng, stage)
                plain = rng.random() < 0.2
                text = yaml.dump(tree, Dumper=_DUMPER, sort_keys=False, allow_unicode=plain)
            except (yaml.YAMLError, ValueError, RecursionError):
                return edit_bytes(data, rng, stage)
            return text.replace(_RAW, _draw_raw_yaml(rng, stage)).encode(errors="surrogatepass")


def edit_xml(data: bytes, rng: Random, stage: Stage) -> bytes:
    """Change a value, a tag or the frame of an XML text."""
    text = data.decode(errors="replace")
    spans = [
        m.span(1) for m in re.finditer(r'="([^"]*)"|>([^<>]+)<', text) if m.group(1) is not None
    ]
    match rng.randrange(6):
        case 0:
            levels = "".join(
                f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, rng.choice([3, 10]))
            )
            inner = (
                f'<!ENTITY l0 "lol">{levels}<!ENTITY f SYSTEM "file://{stage.victim}/notes.txt">'
            )
            text = re.sub(r"^(<\?xml.*?\?>)?", rf"\1<!DOCTYPE a [{inner}]>", text, count=1)
            return re.sub(
                r'"[^"<>]*"', f'"&{rng.choice(["l2", "l9", "f"])};"', text, count=4
            ).encode()
        case 1:
            depth = rng.choice([100, 10_000, 200_000])
            at = text.find(">") + 1
            return (text[:at] + "<a>" * depth + "</a>" * depth + text[at:]).encode()
        case 2:
            tags = list(re.finditer(r"<(\w[^<>]*)/>", text)) or list(re.finditer(r"<(\w+)", text))
            if tags:
                found = rng.choice(tags)
                return (text[: found.end()] + found.group() * 20 + text[found.end() :]).encode()
        case _:
            if spans:
                start, stop = rng.choice(spans)
                value = str(draw_value(rng, stage))
                value = value.replace("&", "&amp;").replace('"', "").replace("<", "&lt;")
                return (text[:start] + value + text[stop:]).encode(errors="surrogatepass")
    return edit_bytes(data, rng, stage)


def edit_lines(data: bytes, rng: Random, stage: Stage) -> bytes:
    """Change, repeat or remove a line, or a field in it."""
    lines = data.decode(errors="replace").split("\n")
    at = rng.randrange(len(lines))
    fields = re.split(r"([,:;\s]+)", lines[at])
    fields[rng.randrange(len(fields))] = str(draw_value(rng, stage))
    changed = [["".join(fields)], [lines[at]] * 1000, [], [lines[at], "".join(fields)]]
    lines[at : at + 1] = rng.choice(changed)
    return "\n".join(lines).encode(errors="surrogatepass")


def edit_bytes(data: bytes, rng: Random, stage: Stage) -> bytes:
    """Flip, cut, insert, repeat or overwrite bytes, more often near the start."""
    size = len(data)
    at = rng.randrange(max(1, min(size, rng.choice([16, 128, 1024, size + 1]))))
    end = min(size, at + rng.choice([1, 2, 4, 8, 64, 4096]))
    match rng.randrange(7):
        case 0 | 1 if size:
            return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        case 2:
            return data[: rng.randint(0, size)]
        case 3:
            return data[:at] + rng.randbytes(end - at) + data[end:]
        case 4:
            return data[:at] + data[at:end] * rng.choice([2, 50]) + data[end:]
        case 5:
            extremes = ["ff" * 8, "00" * 8, "ffffff7f", "00000080", "0000c07f", "000000000000f07f"]
            new = bytes.fromhex(rng.choice(extremes))
            return data[: at & ~1] + new + data[(at & ~1) + len(new) :]
        case _:
            return data[:at] + data[end:]
