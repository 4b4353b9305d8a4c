"""How long napari takes to start with the plugin installed and without, side by side.

python benchmarks/napari_start.py --rounds 10

Each start is a process of its own that makes a viewer, lets Qt work once, and ends. Without the
plugin, its distribution is hidden from the search for plugins. Both kinds take turns.
"""

import argparse
import statistics
import subprocess
import sys

_START = """
import sys, time
if sys.argv[1] == "without":
    from importlib import metadata
    found = metadata.distributions
    metadata.distributions = lambda *a, **k: (
        d for d in found(*a, **k) if d.name != "napari-pixelwise")
begun, cpu = time.perf_counter(), time.process_time()
import napari
from qtpy.QtWidgets import QApplication
viewer = napari.Viewer(show=True)
QApplication.processEvents()
seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
from npe2 import PluginManager
known = "napari-pixelwise" in PluginManager.instance()
loaded = any(name.startswith("pixelwise.") or name == "torch" for name in sys.modules)
assert known == (sys.argv[1] == "with"), "the plugin was not hidden, or is not installed"
print(seconds, cpu, loaded)
viewer.close()
"""


def start(kind: str) -> tuple[float, float]:
    """Start napari once; seconds on the clock and of the processor."""
    command = [sys.executable, "-c", _START, kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, cpu, loaded = done.stdout.split()[-3:]
    if loaded == "True":
        sys.exit("A module of the plugin was loaded when napari started.")
    return float(seconds), float(cpu)


def main(rounds: int) -> None:
    """Print the medians and their ratios."""
    found: dict[str, list[tuple[float, float]]] = {"with": [], "without": []}
    for kind in found:
        start(kind)  # fills the caches of the system
    for number in range(rounds):
        for kind in ("with", "without") if number % 2 else ("without", "with"):
            found[kind].append(start(kind))
    for column, name in enumerate(("clock", "processor")):
        times = {kind: [item[column] for item in items] for kind, items in found.items()}
        medians = {kind: statistics.median(values) for kind, values in times.items()}
        ratio = medians["with"] / medians["without"]
        spread = statistics.stdev(times["without"]) / medians["without"]
        print(
            f"{name:9}: with {medians['with']:.2f} s, without {medians['without']:.2f} s, "
            f"ratio {ratio:.3f}; one start without it varies by {spread:.3f} (standard deviation)"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    main(parser.parse_args().rounds)
