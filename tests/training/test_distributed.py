"""Trainings in two processes, as torchrun starts them, beside the same in one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy

from pixelwise.config import TrainConfig
from pixelwise.errors import ConfigError
from pixelwise.events import EpochEnded, RunEnded, RunStarted
from pixelwise.models.devices import choose_compute
from pixelwise.runs import RunFolder, iter_events, request_stop
from pixelwise.summaries import read_epochs, summarize_run
from pixelwise.training import distributed
from pixelwise.training.distributed import Ranks, count_processes, join_ranks
from pixelwise.training.fit import fit, resume
from pixelwise.training.state import TrainingState
from tests.conftest import LONG
from tests.training.conftest import create_config, read_state, write_discs

TOLERANCE = 1e-4
SEVERAL = """
import json, sys
from pathlib import Path
from pixelwise.config import TrainConfig
from pixelwise.errors import PixelwiseError
from pixelwise.events import EpochEnded
from pixelwise.runs import RunFolder, request_stop
from pixelwise.training import loop
from pixelwise.training.fit import fit, resume

validate = loop.validate

def stop_in_validation(run):
    def ask_and_validate(state, *arguments):
        if state.ranks.rank == 0:  # which decides; the other one may have begun by then
            request_stop(run)
        return validate(state, *arguments)

    loop.validate = ask_and_validate

for job in json.loads(Path(sys.argv[1]).read_text()):
    config = TrainConfig.from_yaml(job["config"])
    loop.validate = validate
    if job["stop_in_validation"]:
        stop_in_validation(RunFolder(config.run))
    try:
        for event in resume(config.run) if job["resume"] else fit(config):
            if isinstance(event, EpochEnded) and event.epoch == job["stop_after"]:
                request_stop(RunFolder(config.run))
            if isinstance(event, EpochEnded) and event.epoch == job["leave_after"]:
                break
    except PixelwiseError as error:
        print("ERROR", error, flush=True)
"""


def job(
    config: TrainConfig,
    *,
    resume: bool = False,
    stop_after: int = 0,
    leave_after: int = 0,
    stop_in_validation: bool = False,
) -> dict[str, Any]:
    return {
        "config": config.to_yaml(),
        "resume": resume,
        "stop_after": stop_after,
        "leave_after": leave_after,
        "stop_in_validation": stop_in_validation,
    }


def start_in_two(*arguments: str | Path) -> subprocess.Popen[str]:
    """Start two processes as users do; what they print comes as one text."""
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *arguments]
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def train_in_two(folder: Path, *jobs: dict[str, Any]) -> str:
    """Run trainings one after another in the same two processes; gives what they print."""
    script, todo = folder / "several.py", folder / "jobs.json"
    script.write_text(SEVERAL)
    todo.write_text(json.dumps(jobs))
    child = start_in_two(script, todo)
    printed, _ = child.communicate(timeout=LONG)
    assert child.returncode == 0, printed
    return printed


def assert_close(first: TrainConfig, second: TrainConfig) -> None:
    """Two runs have the same curves; a pixel on the border between classes may fall either way."""
    ours, theirs = (read_epochs(RunFolder(config.run)) for config in (first, second))
    assert len(ours) == len(theirs) == first.training.epochs
    for one, other in zip(ours, theirs, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, abs=TOLERANCE)
        assert one.validation_loss == pytest.approx(other.validation_loss, abs=TOLERANCE)
        assert one.scores == pytest.approx(other.scores, abs=1e-3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def make(folder: Path) -> Any:
    data = write_discs(folder / "data", images=9, void=True)

    def make_one(name: str, model: dict[str, Any] | None = None, **training: Any) -> TrainConfig:
        defaults = {
            "epochs": 4,
            "batch_size": 5,
            "sync_batch_norm": True,
            "learning_rate": 1e-3,
            "optimizer": "sgd",
        }
        return create_config(
            data,
            folder / name,
            data={"void": (128,)},
            model=model or {},
            augmentation={"preset": "microscopy"},
            training={"sync_batch_norm": True} | defaults | training,
        )

    return make_one


@pytest.fixture(scope="module")
def trained(folder: Path, make: Any) -> str:
    """All trainings that need two processes; gives what they printed."""
    begin_in_parts(make("divided"))
    jobs = [
        job(make("two")),
        job(make("adamw", optimizer="adamw", weight_average=0)),
        job(make("stopped"), stop_after=2),
        job(make("left"), leave_after=2),
        job(make("unused", {"encoder": "efficientnet-b0", "options": {}}, epochs=1)),
        job(make("heads", {"name": "unetplusplus", "options": {"deep_supervision": True},
            "encoder": "mobilenet_v2"}, epochs=1)),
        job(make("two")),
        job(make("few", batch_size=3)),
        job(make("divided"), resume=True),
        job(make("validating"), stop_in_validation=True),
    ]  # fmt: skip
    return train_in_two(folder, *jobs)


def begin_in_parts(config: TrainConfig) -> None:
    """Begin a training in one process whose memory holds half a batch only."""
    with pytest.MonkeyPatch.context() as patched:
        create = TrainingState.__init__

        def create_with_parts(self: TrainingState, *arguments: Any, **options: Any) -> None:
            create(self, *arguments, **options)
            self.progress.micro_batches = 2

        patched.setattr(TrainingState, "__init__", create_with_parts)
        for event in fit(config):
            if isinstance(event, EpochEnded) and event.epoch == 1:
                request_stop(RunFolder(config.run))
    assert read_state(config.run)["progress"]["parts"] == 2


@pytest.fixture(scope="module")
def alone(make: Any) -> TrainConfig:
    config: TrainConfig = make("one")
    list(fit(config))
    return config


@pytest.mark.longest
def test_two_processes_train_as_one_does(trained: str, make: Any, alone: TrainConfig) -> None:
    assert trained is not None
    assert_close(alone, make("two"))
    ours, theirs = (read_state(config.run)["parts"]["network"] for config in (alone, make("two")))
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], atol=2e-3, rtol=0, msg=name)


def test_so_they_do_with_adamw(trained: str, make: Any) -> None:
    assert trained is not None
    alone = make("adamw alone", optimizer="adamw", weight_average=0)
    list(fit(alone))
    assert_close(alone, make("adamw"))


def test_one_process_writes(trained: str, make: Any) -> None:
    assert trained is not None
    events = list(iter_events(RunFolder(make("two").run)))
    epochs = [event.epoch for event in events if isinstance(event, EpochEnded)]
    assert epochs == [1, 2, 3, 4]
    assert isinstance(events[0], RunStarted)
    assert events[0].processes == 2
    assert isinstance(events[-1], RunEnded)


@pytest.mark.parametrize("name", ["stopped", "left"])
def test_stopped_in_two_goes_on_in_one(
    trained: str, make: Any, alone: TrainConfig, name: str
) -> None:
    assert trained is not None
    config = make(name)
    assert summarize_run(RunFolder(config.run)).state == "stopped"
    assert [e.epoch for e in read_epochs(RunFolder(config.run))] == [1, 2]
    started = next(e for e in resume(config.run) if isinstance(e, RunStarted))
    assert (started.resumed, started.processes) == (True, 1)
    list(resume(config.run))
    assert_close(alone, config)


def test_stopped_within_a_validation_of_two_goes_on_in_one(
    trained: str, make: Any, alone: TrainConfig
) -> None:
    assert trained is not None
    config = make("validating")
    assert read_state(config.run)["progress"]["epoch"] == 0
    events = list(iter_events(RunFolder(config.run)))
    assert isinstance(events[-1], RunEnded)
    assert (events[-1].reason, events[-1].epochs_done) == ("stopped", 0)
    list(resume(config.run))
    assert_close(alone, config)


@pytest.mark.parametrize("name", ["unused", "heads"])
def test_networks_with_idle_weights_or_several_heads_train(
    trained: str, make: Any, name: str
) -> None:
    assert trained is not None
    assert len(read_epochs(RunFolder(make(name).run))) == 1


def test_begun_in_parts_goes_on_in_two_without(trained: str, make: Any) -> None:
    assert trained is not None
    config = make("divided")
    assert [e.epoch for e in read_epochs(RunFolder(config.run))] == [1, 2, 3, 4]
    assert read_state(config.run)["progress"]["parts"] == 1


def test_what_the_first_process_refuses_all_refuse(trained: str) -> None:
    assert trained.count("ERROR") == 4
    assert trained.count("is a run already") + trained.count("holds a run") == 2, trained
    assert trained.count("3 patches a step are too few for 2 processes: each needs 2") == 2


def start_long(config: TrainConfig) -> subprocess.Popen[str]:
    """Start a long training by the command, and wait for its first epoch."""
    run = RunFolder(config.run)
    path = run.path.with_suffix(".yaml")
    path.write_text(config.to_yaml())
    child = start_in_two("-m", "pixelwise", "train", path)
    deadline = time.monotonic() + LONG
    while not run.events.exists() or "epoch_ended" not in run.events.read_text():
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return child


def test_sigterm_to_all_saves_and_stops(make: Any) -> None:
    config = make("terminated", epochs=400)
    child = start_long(config)
    child.send_signal(signal.SIGTERM)
    printed, _ = child.communicate(timeout=LONG)
    ended = list(iter_events(RunFolder(config.run)))[-1]
    assert isinstance(ended, RunEnded), printed
    assert ended.reason == "stopped"
    assert 0 < ended.epochs_done < 400
    assert printed.count("epoch 1/400") == 1, "only one process tells"


@pytest.mark.parametrize("victim", [0, 1])
def test_one_killed_ends_all_and_one_goes_on(make: Any, victim: int) -> None:
    config = make(f"killed-{victim}", epochs=400)
    child, run = start_long(config), RunFolder(config.run)
    workers = sorted(psutil.Process(child.pid).children(), key=lambda worker: worker.pid)
    workers[victim].kill()
    child.communicate(timeout=LONG)
    assert child.returncode != 0
    assert summarize_run(run).state in ("interrupted", "failed")
    done = read_epochs(run)[-1].epoch
    request_stop(run)
    events = list(resume(config.run, since=0))
    assert isinstance(events[-1], RunEnded)
    assert events[-1].epochs_done >= done - 1


@pytest.fixture
def ranks() -> Ranks:
    return join_ranks(choose_compute("cpu"), deterministic=False)


def test_one_process_is_all(ranks: Ranks) -> None:
    assert (ranks.rank, ranks.size, ranks.is_first) == (0, 1, True)
    assert ranks.part(5) == slice(0, 5)
    assert ranks.broadcast(lambda: "made") == "made"
    assert ranks.decide(True) is True
    assert ranks.least(3) == 3
    tensor = torch.ones(2)
    assert ranks.total(tensor) is tensor


@pytest.mark.parametrize("count", [2, 5, 8])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_parts_make_the_whole(count: int, size: int) -> None:
    places: list[int] = []
    for rank in range(size):
        ranks = Ranks(Fabric(accelerator="cpu", devices=1))
        ranks.rank, ranks.size = rank, size
        places += range(count)[ranks.part(count)]
    assert places == list(range(count))


TORCHRUN = {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}
SRUN = {"SLURM_STEP_ID": "0", "SLURM_NTASKS": "6", "SLURM_NNODES": "3"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (1, 1)),
        (TORCHRUN, (8, 2)),
        (SRUN, (6, 3)),
        ({"SLURM_NTASKS": "6"}, (1, 1)),
        (SRUN | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_NUM_NODES": "1"}, (1, 1)),
    ],
    ids=["alone", "torchrun", "srun", "sbatch without srun", "a shell in an allocation"],
)
def test_processes_are_counted(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: tuple[int, int]
) -> None:
    for name in [*TORCHRUN, *SRUN, "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NUM_NODES"]:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert count_processes() == expected


SALLOC = SRUN | {"SLURM_JOB_NAME": "interactive", "SLURM_NTASKS_PER_NODE": "2"}
PLACE = {"SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NODEID": "1", "RANK": "3"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (TORCHRUN | {"LOCAL_RANK": "1", "GROUP_RANK": "1"}, TorchElasticEnvironment),
        (SRUN | TORCHRUN | {"LOCAL_RANK": "1", "GROUP_RANK": "1"}, TorchElasticEnvironment),
        (SRUN | {"SLURM_JOB_NAME": "train", "SLURM_NTASKS_PER_NODE": "2"}, SLURMEnvironment),
        (SALLOC, SLURMEnvironment),
        (SALLOC | {"SLURM_JOB_NAME": "bash"}, SLURMEnvironment),
        (SRUN, SLURMEnvironment),
        (SALLOC | {"SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "2"}, SLURMEnvironment),
    ],
    ids=["torchrun", "srun torchrun", "srun", "salloc", "a shell", "--ntasks alone", "a part"],
)
def test_what_was_counted_is_what_is_joined(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: type
) -> None:
    for name in [*TORCHRUN, *SALLOC, "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NUM_NODES", "LOCAL_RANK"]:
        monkeypatch.delenv(name, raising=False)
    for name, value in (environment | PLACE).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Fabric, "launch", lambda _: None)
    size, nodes = count_processes()
    fabric = distributed._join(choose_compute("cpu"), size, nodes)
    assert isinstance(fabric.strategy, DDPStrategy)
    joined = fabric.strategy.cluster_environment
    assert isinstance(joined, expected)
    assert joined.creates_processes_externally, "no process starts others"
    joined.validate_settings(num_devices=size // nodes, num_nodes=nodes)
    assert (fabric.world_size, fabric.global_rank, fabric.local_rank) == (size, 3, 1)


def test_machines_with_unequal_numbers_of_processes_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Fabric, "launch", lambda _: None)
    monkeypatch.setenv("SLURM_STEP_TASKS_PER_NODE", "3,2")
    with pytest.raises(ConfigError, match="--ntasks-per-node"):
        distributed._join(choose_compute("cpu"), 5, 2)


STEP = """
import torch
from pixelwise.models.devices import choose_compute
from pixelwise.training.distributed import join_ranks

ranks = join_ranks(choose_compute("cpu"), deterministic=False)
print(ranks.size, ranks.neighbours, int(ranks.total(torch.ones(1) + ranks.rank)))
"""


def test_srun_in_an_interactive_job_joins_its_processes(tmp_path: Path) -> None:
    script = tmp_path / "step.py"
    script.write_text(STEP)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    step = os.environ | {
        "SLURM_STEP_ID": "0", "SLURM_JOB_NAME": "interactive", "SLURM_NODEID": "0",
        "SLURM_NTASKS": "2", "SLURM_NNODES": "1", "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    tasks = [
        subprocess.Popen(
            [sys.executable, script],
            env=step | {"SLURM_PROCID": str(number), "SLURM_LOCALID": str(number)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    assert [task.communicate(timeout=LONG)[0].strip() for task in tasks] == ["2 2 3"] * 2


def test_several_processes_need_a_device_each(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    compute = choose_compute("cpu")
    object.__setattr__(compute, "device", torch.device("mps"))
    with pytest.raises(ConfigError, match="mps"):
        join_ranks(compute, deterministic=False)
