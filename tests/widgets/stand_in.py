"""Stands for a training where the window is tested and not the training: ``run -`` without torch.

The run folder is all that the window sees of a training. This process has the same folder, lock and
events, answers a request to stop, and is there in a tenth of the time. Real trainings are in
`test_train` too, one for each thing that only they can show.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from pixelwise.jobs import TrainJob, parse_job
from pixelwise.runs import create_run, lock_run, require_new_run
from tests.test_events import EVENTS

SECONDS = 0.05  # of an epoch
WILD = 1.0  # learning rate that would destroy a model to start from, which stays


def main() -> None:
    job = parse_job(sys.stdin.read())
    assert isinstance(job, TrainJob)
    run = require_new_run(job.config.run)
    run.path.mkdir(parents=True, exist_ok=True)
    with lock_run(run):
        create_run(job.config)
        run.append(EVENTS["run_started"])
        start = job.config.model.start_from
        run.model.touch() if start is None else shutil.copy(start, run.model)
        epochs = job.config.training.epochs
        for epoch in range(1, epochs + 1):
            time.sleep(SECONDS)
            run.append(EVENTS["epoch_ended"].model_copy(update={"epoch": epoch, "epochs": epochs}))
            if run.stop_request.exists():
                break
        reason = "stopped" if run.stop_request.exists() else "finished"
        best = 0 if job.config.training.learning_rate >= WILD else 1
        run.append(EVENTS["run_ended"].model_copy(update={"reason": reason, "best_epoch": best}))


if __name__ == "__main__":
    main()
