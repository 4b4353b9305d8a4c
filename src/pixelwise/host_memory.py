"""The memory this process may still use: free memory of the machine, or the limit of its job.

Clusters and containers give a job less than the machine has, and kill it if it uses more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_FILES = {  # of Linux's control groups, versions 2 and 1: limit, usage, and cached file pages
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def measure_host_memory(root: Path = Path("/")) -> int:
    """Bytes this process may still use; `root` holds Linux's ``proc`` and ``sys``."""
    import psutil  # takes a tenth of a second

    free = int(psutil.virtual_memory().available)
    return max(min([free, *_iter_free_in_groups(root)]), 0)


def _iter_free_in_groups(root: Path) -> Iterator[int]:
    """Bytes left under each memory limit of this process."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not on Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        kind = next((name for name in controllers.split(",") if name in _FILES), None)
        if kind is None:
            continue
        top = root / "sys/fs/cgroup" / kind
        own = top / path.lstrip("/")
        for folder in (own, *own.parents):
            if folder.is_relative_to(top):
                yield from _read_free(folder, _FILES[kind])


def _read_free(folder: Path, names: tuple[str, str, str]) -> Iterator[int]:
    """Bytes left under a group's limit, if it has one."""
    limit, use, cached = names
    try:
        allowed = int((folder / limit).read_text())  # "max", no limit, raises ValueError
        used = int((folder / use).read_text())
        match = re.search(rf"^{cached} (\d+)$", (folder / "memory.stat").read_text(), re.MULTILINE)
    except (OSError, ValueError):
        return
    yield allowed - used + (int(match[1]) if match else 0)
