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
from pixelwise.patches.decoded_images import DecodedImage
from pixelwise.training import batches as batches_module
from pixelwise.training.batches import AHEAD, Feeder, iter_scored, make_resident
from pixelwise.training.distributed import Ranks
from pixelwise.training.fit import fit
from pixelwise.training.setup import prepare
from pixelwise.training.stepper import Stepper
from pixelwise.training.store import Batch, PatchStore
from tests.training.conftest import assert_same_result, create_config

CPU = torch.device("cpu")
ALONE = Ranks(Fabric(accelerator="cpu", devices=1))


def create_store(dtype: type = np.uint16) -> PatchStore:
    rng = np.random.default_rng(0)
    planes = [
        DecodedImage("p", rng.integers(0, 250, (2, 40, 50 + x)).astype(dtype),
              rng.integers(0, 3, (40, 50 + x)).astype(np.uint8))
        for x in range(3)
    ]  # fmt: skip
    return PatchStore(
        planes, PatchConfig.create(size=16, step=12), create_range(planes[0].image.dtype, 2)
    )


def create_feeder(store: PatchStore, *, shift: bool = True) -> Feeder:
    return Feeder(store, 4, seed=3, shift=shift, ranks=ALONE)


def assert_same(first: Batch, second: Batch) -> None:
    for name in ("image", "mask", "offset", "scale"):
        one, other = getattr(first, name), getattr(second, name)
        assert one.dtype == other.dtype
        assert torch.equal(one, other), name


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32], ids=["u1", "u2", "f4"])
def test_resident_patches_are_those_of_the_host(dtype: type) -> None:
    host, resident = create_store(dtype), create_store(dtype)
    resident.put_on(CPU)
    numbers = [0, 7, len(host) - 1]
    rngs = [np.random.default_rng(5) for _ in range(2)]
    assert_same(host.read(numbers), resident.read(numbers))
    assert_same(host.read(numbers, rng=rngs[0]), resident.read(numbers, rng=rngs[1]))
    assert_same(host.read_once(numbers), resident.read_once(numbers))
    assert_same(host.read(numbers), resident.read(numbers))  # void was marked in a copy


@pytest.mark.parametrize("shift", [True, False])
def test_a_batch_depends_on_its_step_alone(shift: bool) -> None:
    ahead, late, resident = (create_feeder(create_store(), shift=shift) for _ in range(3))
    resident._store.put_on(CPU)
    for epoch in range(2):
        drawn = ahead.draw(epoch)
        taken = [ahead.take(n, epoch=epoch, step=s) for s, n in enumerate(drawn)]
        for step in (len(drawn) - 1, 0, 1):
            assert_same(taken[step], late.take(late.draw(epoch)[step], epoch=epoch, step=step))
            assert_same(taken[step], resident.take(drawn[step], epoch=epoch, step=step))
    assert ahead.draw(0) != ahead.draw(1)


def test_a_step_again_or_with_other_patches_gets_what_it_asks_for() -> None:
    feeder = create_feeder(create_store(), shift=False)
    first, second = feeder.draw(0)[:2]
    batch = feeder.take(first, epoch=0, step=0)
    assert_same(batch, feeder.take(first, epoch=0, step=0))
    half = feeder.take(second[:2], epoch=0, step=1)
    assert_same(half, feeder._store.read(second[:2]))


def test_a_thread_cuts_the_next_batches_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    store, read = create_store(), PatchStore.read
    asked, threads = [], set()

    def note(self: PatchStore, numbers: list[int], **options: object) -> Batch:
        if self is store:  # threads of earlier tests may still be cutting theirs
            asked.append(numbers)
            threads.add(threading.current_thread())
        return read(self, numbers, **options)

    monkeypatch.setattr(PatchStore, "read", note)
    feeder = create_feeder(store)
    drawn = feeder.draw(0)
    feeder.take(drawn[0], epoch=0, step=0)
    feeder._thread.shutdown(wait=True)
    assert asked == drawn[: AHEAD + 1]
    assert threading.main_thread() not in threads


def test_what_fails_in_the_thread_fails_in_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    feeder = create_feeder(create_store())
    numbers = feeder.draw(0)[0]
    monkeypatch.setattr(PatchStore, "_cut", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        feeder.take(numbers, epoch=0, step=0)


def test_scored_batches_show_every_pixel_once() -> None:
    host, resident = create_store(), create_store()
    resident.put_on(CPU)
    pairs = list(zip(iter_scored(host, 5, ALONE), iter_scored(resident, 5, ALONE), strict=True))
    for first, second in pairs:
        assert_same(first, second)
    assert sum(int((batch.mask != VOID).sum()) for batch, _ in pairs) == 40 * (50 + 51 + 52)


@pytest.mark.parametrize(("spare", "fits"), [(0, True), (-1, False)])
def test_images_stay_on_the_device_when_they_take_no_more_than_their_share(
    monkeypatch: pytest.MonkeyPatch, spare: int, fits: bool
) -> None:
    stores = [create_store(), create_store()]
    needed = sum(store.nbytes for store in stores)
    monkeypatch.setattr(batches_module, "RESIDENT_SHARE", 0.5)
    monkeypatch.setattr(batches_module, "_measure_free", lambda _: 2 * (needed + spare))
    assert make_resident(stores, CPU) is fits
    assert [store.is_resident for store in stores] == [fits, fits]


def test_images_stay_on_the_host_when_a_gpu_that_others_use_is_full_after_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stores, put_on = [create_store(), create_store()], PatchStore.put_on

    def run_out(store: PatchStore, device: torch.device) -> None:
        if store is stores[1]:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        put_on(store, device)

    monkeypatch.setattr(batches_module, "_measure_free", lambda _: 2**40)
    monkeypatch.setattr(PatchStore, "put_on", run_out)
    assert not make_resident(stores, CPU)
    assert [store.is_resident for store in stores] == [False, False]


def test_what_counts_of_a_gpu_is_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000, 10**9))
    for name in ("memory_reserved", "memory_allocated"):
        monkeypatch.setattr(torch.cuda, name, lambda _: 50)
    assert batches_module._measure_free(torch.device("cuda")) == 1000


def test_a_cpu_keeps_no_second_copy() -> None:
    store = create_store()
    assert not make_resident([store], CPU)
    assert not store.is_resident


def test_where_patches_are_cut_changes_no_weight(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = {"augmentation": {"preset": "microscopy"}, "patches": {"size": 32}}
    list(fit(create_config(discs, tmp_path / "host", **sections)))
    monkeypatch.setattr(batches_module, "_measure_free", lambda _: 2**40)
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
def stepper(request: pytest.FixtureRequest, discs: Path, tmp_path: Path) -> Stepper:
    augmentation = {"preset": request.param}
    sections = {"augmentation": augmentation, "training": {"class_weights": "balanced"}}
    return Stepper(prepare(create_config(discs, tmp_path / "run", **sections)))


@pytest.mark.parametrize("resident", [True, False], ids=["resident", "ahead"])
def test_a_step_never_waits_for_the_device(stepper: Stepper, resident: bool) -> None:
    if resident:
        stepper.setup.train.put_on(CPU)
    with Waits() as waits:
        for step, numbers in enumerate(stepper.draw_batches(0)):
            stepper.train(numbers, epoch=0, step=step, factor=1.0)
    assert waits.found == []


def test_a_validation_waits_once_at_its_end(discs: Path, tmp_path: Path) -> None:
    config = create_config(discs, tmp_path / "run", patches={"size": 32})
    stepper = Stepper(prepare(config))
    with Waits() as waits:
        stepper.validate()
    assert waits.found == ["item"]
