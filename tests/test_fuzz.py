"""Damaged and hostile files of every kind: a result or one message, nothing else.

``PIXELWISE_FUZZ_SECONDS`` is how long all kinds take together, in place of a short form, and
``PIXELWISE_FUZZ_SEED`` another number than 1 gives other attacks. A failure prints the attack;
``python -m tests.fuzzing KIND "Attack(...)"`` repeats it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("memory and open files are asked of Linux's /proc", allow_module_level=True)

from tests.fuzzing.attacks import Worker, fuzz
from tests.fuzzing.cases import KINDS
from tests.fuzzing.planted import CASES, FAULTS
from tests.fuzzing.stage import Attack, Edit

SECONDS = float(os.environ.get("PIXELWISE_FUZZ_SECONDS", "0"))
SEED = int(os.environ.get("PIXELWISE_FUZZ_SEED", "1"))
_SHORT = 1.5  # seconds a kind; to write the case and to open it as it is takes longer


@pytest.mark.timeout(SECONDS + 600)
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_opened_ends_in_a_result_or_a_message(kind: str, tmp_path: Path) -> None:
    seconds, batches = (SECONDS / len(KINDS), 10**6) if SECONDS else (_SHORT, 1)
    with Worker(KINDS[kind], tmp_path) as worker:
        report = fuzz(kind, worker, SEED, seconds=seconds, batches=batches)
    print(report.summary())
    assert report.counts.total() > 0
    if report.found:
        pytest.fail(report.text(), pytrace=False)


@pytest.mark.longest
def test_the_judge_sees_every_planted_fault(tmp_path: Path) -> None:
    with Worker(CASES, tmp_path, longest=15) as worker:
        seen = {}
        for name in FAULTS:
            assert worker.attack(Attack(name, ())) is None, name
            verdict = worker.attack(Attack(name, (Edit("bytes", 1),)))
            seen[name] = verdict and verdict.what
    assert seen == {name: what for name, (_, what) in FAULTS.items()}
