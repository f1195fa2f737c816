"""What importing the package adds to importing Flask, NumPy and prometheus_client."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from .bench import Bench
from .report import Row
from .side import SideError

__all__ = ["measure"]

MAX_MILLISECONDS = 50.0
ROUNDS = 12

TIMED_IMPORT = """
import time
import flask, numpy, prometheus_client
start = time.perf_counter()
import {module}
print((time.perf_counter() - start) * 1e3)
"""


def _milliseconds(python: str, module: str, environment: dict[str, str]) -> float:
    """Return what the import takes in a fresh process."""
    command = [python, "-c", TIMED_IMPORT.format(module=module)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SideError(done.stderr.rstrip())
    return float(done.stdout)


def measure(bench: Bench) -> Iterator[Row]:
    """Compare us with boxkite, in fresh processes; the first import of each only fills the bytecode cache."""
    commands = {
        "ours": (sys.executable, "flask_boxkite"),
        "boxkite": (bench.boxkite_python, "boxkite.monitoring.service"),
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(bench.rounds(ROUNDS) + 1):
            for name, (python, module) in commands.items():
                # A cache of our own: without one that can be written, each process would compile the sources.
                environment = bench.environment(name) | {"PYTHONPYCACHEPREFIX": f"{cache}/{name}"}
                environment.pop("PYTHONDONTWRITEBYTECODE", None)
                taken[name].append(_milliseconds(python, module, environment))
    yield Row(
        "import, added to Flask, NumPy and prometheus_client",
        statistics.median(taken["ours"][1:]),
        "ms",
        peer=statistics.median(taken["boxkite"][1:]),
        peer_name="boxkite",
        max_figure=MAX_MILLISECONDS,
    )
