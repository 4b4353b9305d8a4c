from __future__ import annotations

import threading
import time

import pytest
import torch

from pixelwise.prediction.tile_threads import TileThreads


def tiles(count: int) -> list[tuple[int, torch.Tensor]]:
    return [(n, torch.full((1, 1, 2, 2), float(n))) for n in range(count)]


def test_tiles_come_in_their_order_with_what_belongs_to_them() -> None:
    def slow_first(tile: torch.Tensor) -> torch.Tensor:
        time.sleep(0.05 if tile.max() == 0 else 0)
        return tile + 1

    found = list(TileThreads().iter_predicted(slow_first, tiles(9)))
    assert [item for item, _ in found] == [*range(9)]
    assert [float(tile.max()) for _, tile in found] == [float(n + 1) for n in range(9)]


def test_threads_work_in_parallel_and_no_more_than_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", lambda _count: None)
    under_way, most, lock = 0, 0, threading.Lock()

    def count(tile: torch.Tensor) -> torch.Tensor:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.02)
        with lock:
            under_way -= 1
        return tile

    list(TileThreads().iter_predicted(count, tiles(12)))
    assert most == 4
    most = 0
    list(TileThreads(2).iter_predicted(count, tiles(12)))
    assert most == 2


def test_threads_of_others_are_left_alone() -> None:
    before = torch.get_num_threads()
    inside: list[int] = []
    threads = TileThreads()
    list(threads.iter_predicted(lambda t: inside.append(torch.get_num_threads()) or t, tiles(4)))
    assert inside == [max(before // threads.count, 1)] * 4
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert [torch.get_num_threads(), *found] == [before, before]


def test_full_memory_lets_tiles_go_one_by_one() -> None:
    under_way, lock = 0, threading.Lock()

    def fail_with_company(tile: torch.Tensor) -> torch.Tensor:
        nonlocal under_way
        with lock:
            under_way += 1
            crowded = under_way > 1
        time.sleep(0.02)
        with lock:
            crowded = crowded or under_way > 1
            under_way -= 1
        if crowded:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")
        return tile

    threads = TileThreads()
    found = threads.iter_predicted(fail_with_company, tiles(6))
    assert [item for item, _ in found] == [*range(6)]
    assert threads.most == 1


def test_what_fails_alone_fails() -> None:
    def fail(tile: torch.Tensor) -> torch.Tensor:
        raise MemoryError

    with pytest.raises(MemoryError):
        list(TileThreads().iter_predicted(fail, tiles(3)))

    def fail_otherwise(tile: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        list(TileThreads().iter_predicted(fail_otherwise, tiles(3)))
