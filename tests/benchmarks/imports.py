"""What importing the package adds to importing Flask, NumPy and prometheus_client."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from operator import methodcaller

from .bench import Bench, Rounds, compared
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


def _milliseconds(bench: Bench, name: str, cache: str) -> float:
    """Return what the import takes in a fresh process, which keeps its bytecode in the folder *cache*."""
    # A cache of our own: without one that can be written, each process would compile the sources.
    environment = bench.environment(name) | {"PYTHONPYCACHEPREFIX": cache}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    python = bench.boxkite_python if name == "boxkite" else sys.executable
    module = "boxkite.monitoring.service" if name == "boxkite" else "flask_boxkite"
    command = [python, "-c", TIMED_IMPORT.format(module=module)]
    # In an empty folder: Python looks for modules in the current one first, which is today's checkout.
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(command, cwd=empty, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SideError(done.stderr.rstrip())
    return float(done.stdout)


def measure(bench: Bench) -> Iterator[Row]:
    """Compare us with boxkite, in fresh processes; the first import of each only fills the bytecode cache."""
    taken = {name: Rounds() for name in bench.names("ours", "boxkite")}
    with tempfile.TemporaryDirectory() as cache:
        for number in range(bench.rounds(ROUNDS) + 1):
            for name, rounds in taken.items():
                milliseconds = _milliseconds(bench, name, f"{cache}/{name}")
                if number:
                    rounds.add({"milliseconds": milliseconds})
    what = "import, added to Flask, NumPy and prometheus_client"
    yield compared(what, taken, methodcaller("median", "milliseconds"), "ms", "boxkite", max_figure=MAX_MILLISECONDS)
