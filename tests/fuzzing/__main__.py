"""Repeat one attack by hand: ``python -m tests.fuzzing KIND "Attack(...)"``, as a report gives it.

Each door's traceback is printed, and the attacked folder is kept.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from pathlib import Path

from tests.fuzzing.cases import KINDS
from tests.fuzzing.edits import apply
from tests.fuzzing.stage import Attack, Edit, Stage


def main(kind: str, text: str) -> None:
    attack: Attack = eval(text, {"Attack": Attack, "Edit": Edit})
    case = KINDS[kind][attack.case]
    root = Path(tempfile.mkdtemp(prefix="attack-"))
    (root / "case").mkdir()
    case.write(root / "case")
    stage = Stage(root / "stage")
    stage.root.mkdir()
    for door in case.doors:
        stage.prepare(root / "case")
        for edit in attack.edits:
            apply(edit, stage, case.attacked)
        try:
            door(stage)
            print(f"{door}: no error")
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
    print(f"the attacked files are in {stage.input}")


if __name__ == "__main__":
    os.environ.setdefault("PIXELWISE_MEMORY_BUDGET", "256MB")
    main(*sys.argv[1:])
