"""What all tests share: slow tests on request, one screen, the real data, fixed seeds.

Nothing here loads torch or Qt, so that the torch-free tests stay quick.
"""

from __future__ import annotations

import gc
import os
import random
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from hypothesis import settings


def is_set(name: str) -> bool:
    """Return whether an environment variable says yes."""
    return os.environ.get(name, "").lower() not in ("", "0", "false")


IN_CI = is_set("CI")
REPOSITORY = Path(__file__).resolve().parents[1]
LONG = 300.0  # seconds until a test gives up: enough on a busy machine, and nobody waits for it
QT_FIXTURES = {"make_napari_viewer", "make_napari_viewer_proxy", "qapp", "qtbot", "qtmodeltester"}

# Set before anything is loaded; child processes inherit them.
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("QT_API", "pyside6")
_SETTINGS = tempfile.TemporaryDirectory(prefix="napari-settings-")  # not those of this user
os.environ["NAPARI_CONFIG"] = str(Path(_SETTINGS.name) / "settings.yaml")
os.environ["PYTEST_QT_API"] = os.environ["QT_API"]  # two bindings in one process crash

settings.register_profile("developer", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if IN_CI else "developer")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the long drills too")


def pytest_xdist_auto_num_workers() -> int:
    """Half as many workers again as cores: a fifth of the time they wait for processes."""
    return (os.cpu_count() or 1) * 3 // 2


def pytest_configure(config: pytest.Config) -> None:
    """Prepare what the processes that tests start inherit."""
    workers = getattr(config.option, "numprocesses", None)
    if not workers:  # else this process starts no other than those
        prepend_path(REPOSITORY / "tests" / "children")
    workers = workers or int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    # the processes of xdist share the cores: threads that wait for a core only spin
    threads = min(4, max(1, (os.cpu_count() or 1) // workers))
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))


def prepend_path(folder: Path) -> None:
    """Let child processes look for modules in a folder first."""
    known = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *([known] if known else [])])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip slow tests unless asked for, mark those that show a window, begin with the longest.

    If one of those came last, one process would work on it when the others have ended.
    """
    for item in items:
        if item.get_closest_marker("slow") and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="a long drill: run with --slow"))
        if not QT_FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker("display")
    items.sort(key=lambda item: item.get_closest_marker("longest") is None)


def pytest_collection_finish() -> None:
    set_aside()


def set_aside() -> None:
    """Let Python's cycle collector walk no more through what is loaded now.

    napari collects whenever a layer goes, which took half a second beside torch.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Seed the generators, and see that a display test finds a screen before Qt starts."""
    seed_generators(20)
    if item.get_closest_marker("display"):
        require_screen(item.config)


def seed_generators(seed: int) -> None:
    """Seed the global generators of Python, NumPy and, where it is loaded, torch."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  libraries under test draw from it
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


def skip_or_fail(reason: str, *, required: bool) -> NoReturn:
    """Skip what cannot be tested here; fail where it must be."""
    if required:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def require_screen(config: pytest.Config) -> None:
    """Give this process a screen: the one it has, or a virtual one until pytest ends."""
    if sys.platform != "linux" or os.environ.get("DISPLAY"):
        return
    if shutil.which("Xvfb") is None:
        skip_or_fail(
            "no screen: type `python .ci/system_packages.py`, which brings Xvfb", required=IN_CI
        )
    display = start_xvfb(config)
    # Qt would prefer Wayland; Mesa's software renderer draws the same pixels on every machine.
    os.environ.pop("WAYLAND_DISPLAY", None)
    os.environ.update(DISPLAY=display, QT_QPA_PLATFORM="xcb", LIBGL_ALWAYS_SOFTWARE="1")


def start_xvfb(config: pytest.Config) -> str:
    """Start an X server on a free display, to be ended with pytest; return the display's name.

    The server picks the number itself (`-displayfd`), so that parallel runs never meet.
    `setpriv` has the kernel end it even when pytest is killed.
    """
    reading, writing = os.pipe()
    guard = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
    server = subprocess.Popen(
        [*guard, "Xvfb", "-displayfd", str(writing), "-noreset", "-screen", "0", "1600x1200x24"],
        pass_fds=[writing],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    config.add_cleanup(lambda: end(server))
    os.close(writing)
    with os.fdopen(reading) as answer:
        number = answer.readline().strip() if select.select([answer], [], [], 60)[0] else ""
    if not number:
        pytest.fail("Xvfb did not start: try `Xvfb -displayfd 1` by hand", pytrace=False)
    return f":{number}"


def end(server: subprocess.Popen[bytes]) -> None:
    """End a child process and wait until it is gone."""
    server.terminate()
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def find_data() -> Path:
    """Return the folder of real data: PIXELWISE_DATA, or `shared/data` beside the repository.

    Without it a test is skipped, also in CI: other people's services do not have the data. Where
    they must be there, PIXELWISE_REQUIRE_DATA=1 makes it fail.
    """
    folder = Path(os.environ.get("PIXELWISE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        reason = f"no real data in {folder}: set PIXELWISE_DATA to the folder that has it"
        skip_or_fail(reason, required=is_set("PIXELWISE_REQUIRE_DATA"))
    return folder


@pytest.fixture(scope="session")
def data_dir() -> Path:
    return find_data()
