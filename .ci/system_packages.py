"""Install, or name, the Debian packages that the display tests need.

Qt and OpenGL come from wheels, but the libraries they load come from the system. This script looks
for those libraries and for Xvfb. What is missing it installs when it may (as root, with apt-get);
otherwise it prints the one command to type and ends with status 1. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

LIBRARIES = {
    "libgl1": "libGL.so.1",
    "libegl1": "libEGL.so.1",
    "libopengl0": "libOpenGL.so.0",
    "libglib2.0-0": "libgthread-2.0.so.0",
    "libxkbcommon-x11-0": "libxkbcommon-x11.so.0",
    "libxcb-cursor0": "libxcb-cursor.so.0",
    "libxcb-icccm4": "libxcb-icccm.so.4",
    "libxcb-image0": "libxcb-image.so.0",
    "libxcb-keysyms1": "libxcb-keysyms.so.1",
    "libxcb-randr0": "libxcb-randr.so.0",
    "libxcb-render-util0": "libxcb-render-util.so.0",
    "libxcb-shape0": "libxcb-shape.so.0",
    "libxcb-xinerama0": "libxcb-xinerama.so.0",
    "libxcb-xfixes0": "libxcb-xfixes.so.0",
    "libdbus-1-3": "libdbus-1.so.3",
    "libfontconfig1": "libfontconfig.so.1",
}
DRIVERS = "lib*/**/dri/swrast_dri.so"  # Mesa's software renderer: no library links to it


def has_library(soname: str) -> bool:
    """Return whether the loader finds `soname`, with everything that it needs itself."""
    try:
        ctypes.CDLL(soname)
    except OSError:
        return False
    return True


def missing_packages() -> list[str]:
    """Return the names of the Debian packages whose content is not on this machine."""
    missing = [package for package, soname in LIBRARIES.items() if not has_library(soname)]
    if next(Path("/usr").glob(DRIVERS), None) is None:
        missing.append("libgl1-mesa-dri")
    if "DISPLAY" not in os.environ and shutil.which("Xvfb") is None:
        missing.append("xvfb")
    return missing


def install(packages: list[str]) -> None:
    """Install Debian packages without asking; wait while another apt holds the lock."""
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for step in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        subprocess.run([*apt, *step], check=True, env=environment, stdout=sys.stderr)


def may_install() -> bool:
    """Return whether this process is root on a machine with apt-get."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def main() -> int:
    """Bring what is missing, or name it; return the exit status."""
    if sys.platform != "linux":
        return 0  # Windows and macOS bring all of it
    missing = missing_packages()
    if missing and may_install():
        print(f"Installing for the display tests: {' '.join(missing)}", flush=True)
        install(missing)
        missing = missing_packages()
    if missing:
        print(
            "The display tests need system packages that are not here. On Debian or Ubuntu, type\n"
            f"    sudo apt-get install --no-install-recommends {' '.join(missing)}",
            file=sys.stderr,
        )
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
