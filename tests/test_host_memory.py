"""Free memory under the limits of a job, on made-up control groups."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from pixelwise.host_memory import measure_host_memory

GB = 10**9


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 GB are free."""
    free = psutil.virtual_memory()._replace(available=100 * GB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)


def write_group(folder: Path, limit: object, use: int, cached: int) -> None:
    folder.mkdir(parents=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{use}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {cached}\nactive_file 7\n")


def write_own(root: Path, text: str) -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(text)


def test_the_limit_of_a_job_counts_and_its_cache_is_free(tmp_path: Path) -> None:
    groups = tmp_path / "sys/fs/cgroup"
    write_group(groups / "slurm/job_1", 8 * GB, 5 * GB, GB)
    write_group(groups / "slurm/job_1/step_0", "max", 5 * GB, GB)
    write_own(tmp_path, "0::/slurm/job_1/step_0\n")
    assert measure_host_memory(tmp_path) == 4 * GB


def test_older_control_groups_count_too(tmp_path: Path) -> None:
    folder = tmp_path / "sys/fs/cgroup/memory/job"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text(str(3 * GB))
    (folder / "memory.usage_in_bytes").write_text(str(2 * GB))
    (folder / "memory.stat").write_text("total_inactive_file 0\n")
    write_own(tmp_path, "5:cpu,cpuacct:/job\n4:memory:/job\n")
    assert measure_host_memory(tmp_path) == GB


@pytest.mark.parametrize("text", ["0::/\n", "1:name=systemd:/x\n0::/gone\n", ""])
def test_without_a_limit_the_machine_decides(tmp_path: Path, text: str) -> None:
    write_own(tmp_path, text)
    assert measure_host_memory(tmp_path) == 100 * GB
    assert measure_host_memory(tmp_path / "not Linux") == 100 * GB


def test_a_limit_that_is_passed_leaves_nothing(tmp_path: Path) -> None:
    write_group(tmp_path / "sys/fs/cgroup/job", GB, 2 * GB, 0)
    write_own(tmp_path, "0::/job\n")
    assert measure_host_memory(tmp_path) == 0
