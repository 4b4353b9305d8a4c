"""Distributed training: this process alone, or all that torchrun or SLURM has started.

All processes take the same steps. Each computes its part of every batch, and sums over the batch
are sums over the parts, so loss and gradient are those of one process with the whole batch. Rank 0
decides whatever depends on clocks, files or signals; it alone writes files and reports.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor

from pixelwise.errors import ConfigError
from pixelwise.models.devices import Compute
from pixelwise.training.determinism import choose_algorithms

T = TypeVar("T")
_TORCHRUN = "TORCHELASTIC_RUN_ID"  # torchrun may be what srun starts, so it comes first


class Ranks:
    """The processes of a training run and the communication between them.

    Parameters
    ----------
    fabric : Fabric
        Launched, if there are several processes.

    Attributes
    ----------
    rank, size : int
        Number of this process, and of all.
    neighbours : int
        Number of the processes on this machine.
    is_first : bool
        Whether this is the process that decides and writes.
    """

    def __init__(self, fabric: Fabric, neighbours: int = 1) -> None:
        self.fabric, self.neighbours = fabric, neighbours
        self.rank, self.size = fabric.global_rank, fabric.world_size
        self.is_first = self.rank == 0
        # Decisions are sent between hosts, so that they do not wait for a GPU.
        self._hosts = cast("dist.ProcessGroup | None", None)
        if self.size > 1:
            self._hosts = cast("Any", dist.new_group(backend="gloo"))

    def part(self, count: int) -> slice:
        """Which of `count` patches of a batch this process computes."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def broadcast(self, make: Callable[[], T]) -> T:
        """Give all processes what rank 0 makes, or the error it raises."""
        if self.size == 1:
            return make()
        box: list[Any] = [None, None]
        if self.is_first:
            try:
                box[0] = make()
            except Exception as error:  # noqa: BLE001  raised below, in every process
                box[1] = error
        dist.broadcast_object_list(box, src=0, group=self._hosts)
        made, refusal = box
        if refusal is not None:
            raise refusal
        return cast("T", made)

    def decide(self, wish: bool) -> bool:
        """Give all processes the decision of rank 0."""
        if self.size == 1:
            return wish
        flag = torch.tensor([wish])
        dist.broadcast(flag, src=0, group=self._hosts)
        return bool(flag)

    def least(self, number: int) -> int:
        """Smallest of all processes' numbers."""
        if self.size == 1:
            return number
        smallest = torch.tensor([number])
        dist.all_reduce(smallest, dist.ReduceOp.MIN, group=self._hosts)
        return int(smallest)

    def total(self, tensor: Tensor) -> Tensor:
        """Sum of all processes' tensors; its gradient is right after DDP has taken the mean."""
        return tensor if self.size == 1 else cast("Tensor", _Total.apply(tensor))

    def align(self, tensors: list[Tensor]) -> None:
        """Overwrite tensors with those of the first process."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)


class _Total(torch.autograd.Function):
    """Sum over processes.

    Every process derives the same loss from the sum, so the gradients of all are added: as many
    times the gradient of one as there are processes, which DDP divides by.
    """

    @staticmethod
    def forward(_context: Any, tensor: Tensor) -> Tensor:
        summed = tensor.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        summed = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed)
        return summed


def join_ranks(compute: Compute, *, deterministic: bool) -> Ranks:
    """Join the other processes of this training, if it was started with several.

    Parameters
    ----------
    compute : Compute
        Several processes on GPUs take one each, whatever its index.
    deterministic : bool
        Whether torch takes only algorithms that give the same bits every time.

    Raises
    ------
    ConfigError
        They cannot work together on this device.
    """
    choose_algorithms(deterministic=deterministic)
    size, nodes = count_processes()
    with _silencing_fabric():
        if size == 1:
            return Ranks(_create_alone(compute))
        return Ranks(_join(compute, size, nodes), size // nodes)


@contextmanager
def _silencing_fabric() -> Iterator[None]:
    """Keep Fabric from printing what `RunStarted` says in the words of this project."""
    logger = logging.getLogger("lightning_fabric")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def count_processes() -> tuple[int, int]:
    """Count the processes that torchrun or SLURM's srun has started, and their machines."""
    environment = os.environ
    if _TORCHRUN in environment:
        size = int(environment["WORLD_SIZE"])
        return size, size // int(environment["LOCAL_WORLD_SIZE"])
    if "SLURM_STEP_ID" in environment:  # a batch script without srun is one process
        tasks = environment.get("SLURM_STEP_NUM_TASKS") or environment.get("SLURM_NTASKS", "1")
        nodes = environment.get("SLURM_STEP_NUM_NODES") or environment.get("SLURM_NNODES", "1")
        return int(tasks), int(nodes)
    return 1, 1


def _create_alone(compute: Compute) -> Fabric:
    """Fabric on one device."""
    cuda = compute.device.type == "cuda"
    return Fabric(
        accelerator=compute.device.type,
        devices=[compute.device.index or 0] if cuda else 1,
        precision=compute.fabric_precision,
        plugins=[LightningEnvironment()],  # whatever cluster this one process runs on
    )


def _join(compute: Compute, size: int, nodes: int) -> Fabric:
    """Fabric on one device of each process, with the processes connected."""
    if compute.device.type == "mps":
        raise ConfigError("Several processes cannot train on 'mps': start one, or use 'cpu'.")
    here = size // nodes
    if "," in os.environ.get("SLURM_STEP_TASKS_PER_NODE", "") and _TORCHRUN not in os.environ:
        raise ConfigError(
            f"{size} processes are shared out unevenly among {nodes} machines: ask SLURM for "
            "--ntasks-per-node, so that each machine has as many."
        )
    if compute.device.type == "cuda" and torch.cuda.device_count() < here:
        raise ConfigError(
            f"{here} processes on this machine see {torch.cuda.device_count()} GPUs: each needs "
            "one, and sees all. With SLURM ask for --gpus-per-node, not --gpus-per-task."
        )
    fabric = Fabric(
        accelerator=compute.device.type,
        devices=here,
        num_nodes=nodes,
        # Parameters that never get a gradient are found in the first step.
        strategy=DDPStrategy(static_graph=True, gradient_as_bucket_view=True),
        precision=compute.fabric_precision,
        plugins=[TorchElasticEnvironment() if _TORCHRUN in os.environ else _SlurmStep(size)],
    )
    fabric.launch()
    return fabric


class _SlurmStep(SLURMEnvironment):
    """The processes of one srun, however the job is called and their number was asked for.

    Fabric's own class ignores jobs called "bash" or "interactive", which salloc uses, and refuses
    --ntasks without --ntasks-per-node.
    """

    def __init__(self, size: int) -> None:
        ClusterEnvironment.__init__(self)  # without SLURMEnvironment's checks of the job
        self._size = size

    def world_size(self) -> int:
        return self._size

    def validate_settings(self, num_devices: int, num_nodes: int) -> None:
        """Both were counted from the variables of the step."""
