"""Attack one kind of files for some time: hypothesis draws, a child process opens."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzzing.cases import Case
from tests.fuzzing.stage import Attack, Edit
from tests.fuzzing.worker import ANSWER, MEMORY, Verdict, serve

LONGEST = 20.0  # seconds that one attack may take
_BATCH = 100


class Worker:
    """The child process, started again whenever an attack has ended it.

    Parameters
    ----------
    cases : mapping of str to Case
    root : Path
        Folder for everything it writes.
    longest : float
        Seconds until an attack counts as a hang.
    """

    def __init__(self, cases: Mapping[str, Case], root: Path, *, longest: float = LONGEST) -> None:
        self.cases, self.root, self.longest = cases, root, longest
        self.trace, self.printed = root / "trace.txt", root / "printed.txt"
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        arguments = (other, self.cases, self.root, self.trace)
        self._process = context.Process(target=serve, args=arguments, daemon=True)
        self._process.start()
        other.close()
        try:
            self.edits: dict[str, list[str]] = self._pipe.recv()
        except EOFError:
            text = self.printed.read_text()
            raise RuntimeError(f"a case does not pass its doors as it is:\n{text}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(5)
        self._process.kill()
        self._process.join()

    def attack(self, attack: Attack) -> Verdict | None:
        """Let one attack happen; gives what it has shown."""
        self._pipe.send(attack)
        if not self._pipe.poll(self.longest):
            self._ask_for_trace()
            return self._restart(f"a hang of more than {self.longest:.0f} s")
        try:
            verdict: Verdict | None = self._pipe.recv()
        except EOFError:
            self._process.join(10)
            return self._restart(f"a crash: exit status {self._process.exitcode}")
        if verdict is not None and verdict.what.startswith((MEMORY, ANSWER)):
            self._restart("")  # its memory, or what its console has kept, would count again
        return verdict

    def _ask_for_trace(self) -> None:
        """Let the child write where it is."""
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGUSR1)
        time.sleep(0.5)

    def _restart(self, what: str) -> Verdict:
        """Start another process in the place of one that is no good; gives the verdict."""
        self._process.kill()
        self._process.join()
        self._pipe.close()
        text = self.trace.read_text() or self.printed.read_text()[-2_000:]
        lines = [line.strip() for line in text.splitlines()]
        place = next((line for line in lines if "/pixelwise/" in line), "?")
        self._start()
        return Verdict(what, place.partition("/pixelwise/")[2] or "?", "\n".join(lines[:12]))


@dataclass
class Report:
    """What the attacks on one kind have shown.

    Attributes
    ----------
    counts : Counter
        Attacks by case.
    found : dict
        (what, place) -> the shortest attack that shows it, its verdict, and how often.
    """

    kind: str
    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    found: dict[tuple[str, str], tuple[Attack, Verdict, int]] = field(default_factory=dict)

    def add(self, attack: Attack, verdict: Verdict | None) -> None:
        self.counts[attack.case] += 1
        if verdict is None:
            return
        known, shown, times = self.found.get((verdict.what, verdict.place), (attack, verdict, 0))
        if len(attack.edits) < len(known.edits):
            known, shown = attack, verdict
        self.found[verdict.what, verdict.place] = known, shown, times + 1

    def summary(self) -> str:
        cases = ", ".join(f"{name} {count}" for name, count in sorted(self.counts.items()))
        return (
            f"{self.kind}, seed {self.seed}: {self.counts.total()} attacks ({cases}), "
            f"{sum(times for *_, times in self.found.values())} faults of {len(self.found)} kinds"
        )

    def text(self) -> str:
        """All faults, the most frequent first, each with an attack that shows it again."""
        lines = [self.summary()]
        for (what, place), (attack, verdict, times) in sorted(
            self.found.items(), key=lambda item: -item[1][2]
        ):
            lines += [f"{times} x {what} at {place}", f"    {attack}", f"    {verdict.detail}"]
        return "\n".join(lines)


def draw_attacks(edits: Mapping[str, list[str]]) -> st.SearchStrategy[Attack]:
    """One to three edits of one of the cases."""

    def draw_edits(case: str) -> st.SearchStrategy[Attack]:
        edit = st.builds(Edit, st.sampled_from(edits[case]), st.integers(0, 2**32 - 1))
        drawn = st.lists(edit, min_size=1, max_size=3).map(tuple)
        return st.builds(Attack, st.just(case), drawn)

    return st.sampled_from(sorted(edits)).flatmap(draw_edits)


def fuzz(kind: str, worker: Worker, first_seed: int, *, seconds: float, batches: int) -> Report:
    """Attack in so many batches of 100, as far as the seconds go; the seed decides on the attacks.

    A shorter time gives the beginning of what a longer one would give.
    """
    report = Report(kind, first_seed)
    end = time.monotonic() + seconds
    for batch in range(batches):

        @seed(first_seed * 1_000_000 + batch)
        @settings(
            max_examples=_BATCH, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(draw_attacks(worker.edits))
        def try_one(attack: Attack) -> None:
            if time.monotonic() < end:
                report.add(attack, worker.attack(attack))

        try_one()
        if time.monotonic() >= end:
            break
    return report
