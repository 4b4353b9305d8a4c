"""A process that is attacked: it opens what it is sent, and says how that went.

The guard is an audit hook of Python's: it sees every file that is opened for writing, moved or
removed, every program that is started and every connection, in whatever library.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import struct
import sys
import tempfile
import traceback
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pixelwise.errors import PixelwiseError
from tests.fuzzing.cases import Case
from tests.fuzzing.doors import LONGEST_MESSAGE, Door, Fault
from tests.fuzzing.edits import apply, list_edits
from tests.fuzzing.stage import Attack, Stage

MOST_BYTES = 1 << 30  # that one attack may take
ANSWER, MEMORY = "answer", "memory"  # what verdicts begin with
_SPACE = 6 << 30  # of addresses; what is taken and touched is measured
_BUDGET = "256MB"  # of one image; half of the machine would be more than `MOST_BYTES`
_RUNS = {"os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen", "socket.connect"}
_CHANGES = {
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.truncate",
    "os.link",
    "os.symlink",
}
_CHANGES |= {"os.chmod", "os.chown", "os.utime"}


@dataclass(frozen=True)
class Verdict:
    """What an attack has shown that it should not; `place` is the line of the package."""

    what: str
    place: str
    detail: str


class Guard:
    """Refuses, and remembers, whatever reaches outside of the folders that may be written."""

    def __init__(self) -> None:
        self.allowed: tuple[str, ...] | None = None
        self.offences: list[tuple[str, str]] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.allowed is None:
            return
        if event in _RUNS:
            self._refuse(f"{event} {arguments[:2]!r}")
        elif event == "open":
            path, mode, flags = arguments
            writes = any(letter in (mode or "") for letter in "wax+")
            if writes or (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
                self._require_inside(event, path)
        elif event in _CHANGES:
            links = event in ("os.remove", "os.rename", "os.rmdir", "os.symlink", "os.mkdir")
            paths = arguments[:2] if event == "os.rename" else arguments[:1]
            paths = arguments[1:2] if event in ("os.symlink", "os.link") else paths
            folder = -1 if event == "os.truncate" else arguments[-1]  # that ends in a length
            for path in paths:
                self._require_inside(event, path, itself=links, folder=folder)

    def _require_inside(
        self, event: str, path: Any, *, itself: bool = False, folder: Any = -1
    ) -> None:
        """Refuse a path whose target, or that `itself`, lies outside."""
        path = Path(f"/proc/self/fd/{path}" if isinstance(path, int) else os.fsdecode(path))
        if isinstance(folder, int) and folder > 2:
            path = Path(f"/proc/self/fd/{folder}").readlink() / path
        above = os.path.realpath(path.parent)  # Path.resolve stumbles over links in a circle
        real = str(Path(above, path.name)) if itself else os.path.realpath(path)
        if real != os.devnull and not real.startswith((*(self.allowed or ()), "pipe:")):
            self._refuse(f"{event} {real}")

    def _refuse(self, offence: str) -> None:
        places = [frame for frame in traceback.extract_stack() if is_ours(frame.filename)]
        self.offences.append((offence, _show(places)))
        raise PermissionError(13, "refused by the guard of the test", offence)


def is_ours(filename: str) -> bool:
    """Whether a line belongs to the package."""
    return "/pixelwise/" in filename


def _show(places: list[traceback.FrameSummary]) -> str:
    """Innermost line of the package in a traceback."""
    if not places:
        return "?"
    return f"{places[-1].filename.partition('/pixelwise/')[2]}:{places[-1].lineno}"


def open_case(stage: Stage, case: Case, guard: Guard) -> Verdict | None:
    """Let an input on the stage come to the doors of its case."""
    before = stage.look()
    folders = [stage.out, stage.temporary, *([] if case.keeps_input else [stage.input])]
    verdict = None
    for door in case.doors:
        guard.allowed = tuple(f"{folder.resolve()}{end}" for folder in folders for end in ("/", ""))
        try:
            door(stage)
        except BaseException as error:  # noqa: BLE001  SystemExit as well
            verdict = verdict or judge(error, door)
        finally:
            guard.allowed = None
        if guard.offences:
            offence, place = guard.offences[0]
            guard.offences.clear()
            verdict = Verdict("reached outside", place, offence)
            break
    if stage.look() != before:
        return Verdict(
            "changed outside", "?", "the victim's files or the canary are not as they were"
        )
    return verdict


def judge(error: BaseException, door: Door) -> Verdict | None:
    """Say what is wrong with what a door has raised; None if it is one message."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if is_ours(frame.filename)
    ]
    if isinstance(error, Fault):
        name = getattr(door, "__name__", door)
        return Verdict(f"{ANSWER} of {name}", "?", str(error)[:600])
    if not isinstance(error, PixelwiseError):
        return Verdict(type(error).__name__, _show(frames), str(error)[:600])
    said = " ".join([str(error), *getattr(error, "__notes__", [])])
    if len(said) <= LONGEST_MESSAGE:
        return None
    return Verdict("long message", _show(frames), f"{len(said)} characters: {said[:300]}")


def measure_peak() -> int:
    """Most memory that this process has had since `forget_peak`, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = next(line for line in lines if line.startswith("VmHWM:"))
    return int(found.split()[1]) * 1024


def forget_peak() -> None:
    """Let the peak begin anew: what the edits have taken is not the package's."""
    Path("/proc/self/clear_refs").write_text("5")


def serve(pipe: Connection, cases: Mapping[str, Case], root: Path, trace: Path) -> None:
    """Write the cases, say which edits suit each, then answer attacks until the pipe is closed."""
    sys.dont_write_bytecode = True
    warnings.simplefilter("ignore")
    os.environ.update(PIXELWISE_MEMORY_BUDGET=_BUDGET, OMP_NUM_THREADS="1")
    with trace.open("w") as log, trace.with_name("printed.txt").open("w") as printed:
        for number in (1, 2):  # libraries log what they find odd
            os.dup2(printed.fileno(), number)
        faulthandler.enable(log)
        faulthandler.register(signal.SIGUSR1, log)
        guard, stage = Guard(), Stage(root / "stage")
        stage.root.mkdir(exist_ok=True)
        pipe.send({name: _write_case(root, name, cases, stage) for name in cases})
        space = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (space + _SPACE, space + _SPACE))
        calm = measure_peak()
        while True:
            try:
                attack: Attack = pipe.recv()
            except EOFError:
                return
            folder, case = find_folder(root, attack.case, cases), cases[attack.case]
            verdict = answer(attack, case, folder, stage=stage, guard=guard)
            taken = measure_peak() - calm
            if verdict is None and taken > MOST_BYTES:
                verdict = Verdict(MEMORY, "?", f"{taken / 1e9:.1f} GB")
            pipe.send(verdict)


def find_folder(root: Path, name: str, cases: Mapping[str, Case]) -> Path:
    """Folder of a case: that of the first one which is written alike."""
    first = next(other for other, case in cases.items() if case.write == cases[name].write)
    return root / "cases" / first.replace("/", "-")


def _write_case(root: Path, name: str, cases: Mapping[str, Case], stage: Stage) -> list[str]:
    """Write a case, open it once as it is, which loads what it needs; gives the edits for it."""
    folder, case = find_folder(root, name, cases), cases[name]
    if not folder.exists():
        folder.mkdir(parents=True)
        case.write(folder)
    stage.prepare(folder)
    tempfile.tempdir = str(stage.temporary)
    for door in case.doors:
        if door(stage):
            raise RuntimeError(f"{name} is not sound: {door}")
    return list_edits(path for path in folder.rglob(case.attacked) if path.is_file())


def answer(
    attack: Attack, case: Case, folder: Path, *, stage: Stage, guard: Guard
) -> Verdict | None:
    """Do an attack on a case, which lies in a folder."""
    stage.prepare(folder)
    for number, edit in enumerate(attack.edits):
        try:
            apply(edit, stage, case.attacked)
        except (OSError, MemoryError, struct.error):
            continue
        except Exception as error:  # noqa: BLE001
            if not number:  # what an earlier edit has left need not take a further one
                return Verdict("the test itself", edit.name, repr(error)[:300])
    forget_peak()
    return open_case(stage, case, guard)
