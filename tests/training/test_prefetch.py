from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch.utils._python_dispatch import TorchDispatchMode

from pixelwise.classes import VOID
from pixelwise.config import PatchConfig
from pixelwise.normalization import create_range
from pixelwise.patches.dataset import PatchDataset
from pixelwise.patches.decoded_images import DecodedImage
from pixelwise.training import prefetch as prefetch_module
from pixelwise.training.batches import Batch, BatchReader
from pixelwise.training.distributed import Ranks
from pixelwise.training.fit import fit
from pixelwise.training.loop import train_step
from pixelwise.training.prefetch import AHEAD, Prefetcher, iter_scored, make_resident
from pixelwise.training.setup import prepare
from pixelwise.training.state import TrainingState
from pixelwise.training.validation import validate
from tests.training.conftest import assert_same_result, create_config

CPU = torch.device("cpu")
ALONE = Ranks(Fabric(accelerator="cpu", devices=1))


def create_reader(dtype: type = np.uint16) -> BatchReader:
    rng = np.random.default_rng(0)
    planes = [
        DecodedImage("p", rng.integers(0, 250, (2, 40, 50 + x)).astype(dtype),
              rng.integers(0, 3, (40, 50 + x)).astype(np.uint8))
        for x in range(3)
    ]  # fmt: skip
    dataset = PatchDataset(
        planes, PatchConfig.create(size=16, step=12), create_range(planes[0].image.dtype, 2)
    )
    return BatchReader(dataset)


def create_prefetcher(reader: BatchReader, *, shift: bool = True) -> Prefetcher:
    return Prefetcher(reader, 4, seed=3, shift=shift, ranks=ALONE)


@pytest.mark.parametrize("steps", [2, 90])
def test_an_epoch_has_the_steps_asked_for(steps: int) -> None:
    reader = create_reader()
    few = create_prefetcher(reader)
    few.limit(steps)
    assert len(reader) < 90 * 4
    assert [len(numbers) for numbers in few.draw(0)] == [4] * steps
    usual = create_prefetcher(reader).draw(0)
    assert few.draw(0)[: len(usual)] == usual[:steps]


def assert_same(first: Batch, second: Batch) -> None:
    for name in ("image", "mask", "offset", "scale"):
        one, other = getattr(first, name), getattr(second, name)
        assert one.dtype == other.dtype
        assert torch.equal(one, other), name


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32], ids=["u1", "u2", "f4"])
def test_resident_patches_are_those_of_the_host(dtype: type) -> None:
    host, resident = create_reader(dtype), create_reader(dtype)
    resident.put_on(CPU)
    numbers = [0, 7, len(host) - 1]
    rngs = [np.random.default_rng(5) for _ in range(2)]
    assert_same(host.read(numbers), resident.read(numbers))
    assert_same(host.read(numbers, rng=rngs[0]), resident.read(numbers, rng=rngs[1]))
    assert_same(host.read_once(numbers), resident.read_once(numbers))
    assert_same(host.read(numbers), resident.read(numbers))  # void was marked in a copy


@pytest.mark.parametrize("shift", [True, False])
def test_a_batch_depends_on_its_step_alone(shift: bool) -> None:
    ahead, late, resident = (create_prefetcher(create_reader(), shift=shift) for _ in range(3))
    resident._reader.put_on(CPU)
    for epoch in range(2):
        drawn = ahead.draw(epoch)
        taken = [ahead.take(n, epoch=epoch, step=s) for s, n in enumerate(drawn)]
        for step in (len(drawn) - 1, 0, 1):
            assert_same(taken[step], late.take(late.draw(epoch)[step], epoch=epoch, step=step))
            assert_same(taken[step], resident.take(drawn[step], epoch=epoch, step=step))
    assert ahead.draw(0) != ahead.draw(1)


def test_a_step_again_or_with_other_patches_gets_what_it_asks_for() -> None:
    prefetcher = create_prefetcher(create_reader(), shift=False)
    first, second = prefetcher.draw(0)[:2]
    batch = prefetcher.take(first, epoch=0, step=0)
    assert_same(batch, prefetcher.take(first, epoch=0, step=0))
    half = prefetcher.take(second[:2], epoch=0, step=1)
    assert_same(half, prefetcher._reader.read(second[:2]))


def test_a_thread_cuts_the_next_batches_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, read = create_reader(), BatchReader.read
    asked, threads = [], set()

    def note(self: BatchReader, numbers: list[int], **options: object) -> Batch:
        if self is reader:  # threads of earlier tests may still be cutting theirs
            asked.append(numbers)
            threads.add(threading.current_thread())
        return read(self, numbers, **options)

    monkeypatch.setattr(BatchReader, "read", note)
    prefetcher = create_prefetcher(reader)
    drawn = prefetcher.draw(0)
    prefetcher.take(drawn[0], epoch=0, step=0)
    prefetcher._thread.shutdown(wait=True)
    assert asked == drawn[: AHEAD + 1]
    assert threading.main_thread() not in threads


def test_what_fails_in_the_thread_fails_in_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    prefetcher = create_prefetcher(create_reader())
    numbers = prefetcher.draw(0)[0]
    monkeypatch.setattr(BatchReader, "_cut", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        prefetcher.take(numbers, epoch=0, step=0)


def test_scored_batches_show_every_pixel_once() -> None:
    host, resident = create_reader(), create_reader()
    resident.put_on(CPU)
    pairs = list(zip(iter_scored(host, 5, ALONE), iter_scored(resident, 5, ALONE), strict=True))
    for first, second in pairs:
        assert_same(first, second)
    assert sum(int((batch.mask != VOID).sum()) for batch, _ in pairs) == 40 * (50 + 51 + 52)


@pytest.mark.parametrize(("spare", "fits"), [(0, True), (-1, False)])
def test_images_stay_on_the_device_when_they_take_no_more_than_their_share(
    monkeypatch: pytest.MonkeyPatch, spare: int, fits: bool
) -> None:
    readers = [create_reader(), create_reader()]
    needed = sum(reader.dataset.nbytes for reader in readers)
    monkeypatch.setattr(prefetch_module, "RESIDENT_SHARE", 0.5)
    monkeypatch.setattr(prefetch_module, "_measure_free", lambda _: 2 * (needed + spare))
    assert make_resident(readers, CPU) is fits
    assert [reader.is_resident for reader in readers] == [fits, fits]


def test_images_stay_on_the_host_when_a_gpu_that_others_use_is_full_after_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readers, put_on = [create_reader(), create_reader()], BatchReader.put_on

    def run_out(reader: BatchReader, device: torch.device) -> None:
        if reader is readers[1]:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        put_on(reader, device)

    monkeypatch.setattr(prefetch_module, "_measure_free", lambda _: 2**40)
    monkeypatch.setattr(BatchReader, "put_on", run_out)
    assert not make_resident(readers, CPU)
    assert [reader.is_resident for reader in readers] == [False, False]


def test_what_counts_of_a_gpu_is_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000, 10**9))
    for name in ("memory_reserved", "memory_allocated"):
        monkeypatch.setattr(torch.cuda, name, lambda _: 50)
    assert prefetch_module._measure_free(torch.device("cuda")) == 1000


def test_a_cpu_keeps_no_second_copy() -> None:
    reader = create_reader()
    assert not make_resident([reader], CPU)
    assert not reader.is_resident


def test_where_patches_are_cut_changes_no_weight(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = {"augmentation": {"preset": "microscopy"}, "patches": {"size": 32}}
    list(fit(create_config(discs, tmp_path / "host", **sections)))
    monkeypatch.setattr(prefetch_module, "_measure_free", lambda _: 2**40)
    list(fit(create_config(discs, tmp_path / "resident", **sections)))
    assert_same_result(tmp_path / "host", tmp_path / "resident")


class Waits(TorchDispatchMode):
    """Notes the operations for which the host would wait for a GPU."""

    NAMES = ("_local_scalar_dense", "item", "nonzero", "bincount", "masked_select", "is_nonzero")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        name = func.overloadpacket.__name__
        picks = name == "index" and any(
            i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1]
        )
        if picks or name in self.NAMES:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@pytest.fixture(params=["none", "light", "microscopy", "histology", "natural"])
def state(request: pytest.FixtureRequest, discs: Path, tmp_path: Path) -> TrainingState:
    augmentation = {"preset": request.param}
    sections = {"augmentation": augmentation, "training": {"class_weights": "balanced"}}
    return TrainingState(prepare(create_config(discs, tmp_path / "run", **sections)))


@pytest.mark.parametrize("resident", [True, False], ids=["resident", "ahead"])
def test_a_step_never_waits_for_the_device(state: TrainingState, resident: bool) -> None:
    if resident:
        state.setup.train.put_on(CPU)
    with Waits() as waits:
        for step, numbers in enumerate(state.batches_left()):
            state.progress.step = step
            train_step(state, numbers)
    assert waits.found == []


def test_a_validation_waits_once_at_its_end(discs: Path, tmp_path: Path) -> None:
    config = create_config(discs, tmp_path / "run", patches={"size": 32})
    state = TrainingState(prepare(config))
    with Waits() as waits:
        validate(state)
    assert waits.found == ["item"]
