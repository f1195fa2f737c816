"""Print how often a change of vectors is called, and how often one where there is none, beside other libraries.

    python -m tests.benchmarks.vectors           # some 30 minutes
    python -m tests.benchmarks.vectors --quick   # rough, some minutes

Vectors of 64 components, as a network gives them: ten clusters, and a spectrum that falls off. Each window of live rows
is judged at a significance of 0.001 by this project (`derived.Vector`, ten variables), by evidently and by
alibi-detect, which get an environment of their own. Methods that have no significance are run with their defaults. The
rows of a window may come several times, one after the other, as retries and returning users send them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.config import Settings
from flask_boxkite.derived import Vector
from flask_boxkite.live.store import Store
from flask_boxkite.monitoring.app import AppMonitor

from .environments import profiler_python

__all__ = ["ALPHA", "CHANGES", "Change", "Vectors", "called", "main"]

ALPHA = 1e-3
SIZE, CLUSTERS, TRAINED = 64, 10, 1000
WINDOWS = {False: 40, True: 10}
"""Windows of each change, by whether it must be quick."""
SEED = 7

SIDE = Path(__file__).parent / "sides" / "peer_vectors.py"


class Change(NamedTuple):
    """A change of live vectors.

    Attributes:
        name: Name of it.
        rows: Number of different rows in a window.
        repeats: How many times each row comes.
        mixed: Share of rows from the first cluster, beside its usual tenth.
        shift: Length of a shift along a random direction, in standard deviations of the whole.
        scale: Factor of each vector.
        noise: Standard deviation of noise that is added to each component, in standard deviations of the whole.
        strange: Share of rows from a cluster that training did not have.
    """

    name: str
    rows: int = 200
    repeats: int = 1
    mixed: float = 0.0
    shift: float = 0.0
    scale: float = 1.0
    noise: float = 0.0
    strange: float = 0.0


CHANGES = (
    Change("none"),
    Change("none, each row 4 times", repeats=4),
    Change("another mix of clusters", mixed=0.3),
    Change("a shift", shift=2.0),
    Change("vectors 10 % longer", scale=1.1),
    Change("noise", noise=0.5),
    Change("30 % of a new kind", strange=0.3),
)


class Vectors:
    """Vectors in clusters.

    Args:
        rng: Random numbers, which choose the clusters.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._turn = np.linalg.qr(rng.normal(size=(SIZE, SIZE)))[0]
        self._spread = 1.0 / np.sqrt(np.arange(1, SIZE + 1))
        self._centers = rng.normal(size=(CLUSTERS + 1, SIZE)) * self._spread
        self._deviation = float(np.sqrt((self._spread**2).mean() * 2))

    def draw(self, rng: np.random.Generator, rows: int, change: Change = CHANGES[0]) -> NDArray[np.float64]:
        """Return vectors, shape (rows, SIZE)."""
        clusters = rng.integers(0, CLUSTERS, rows)
        clusters[rng.random(rows) < change.mixed] = 0
        clusters[rng.random(rows) < change.strange] = CLUSTERS
        vectors = (self._centers[clusters] + rng.normal(size=(rows, SIZE)) * self._spread) @ self._turn
        direction = rng.normal(size=SIZE)
        vectors += direction / np.linalg.norm(direction) * change.shift * self._deviation
        vectors += rng.normal(size=vectors.shape) * change.noise * self._deviation
        return np.asarray(vectors * change.scale)


def called(trained: NDArray[np.float64], window: NDArray[np.float64]) -> bool:
    """Return whether this project calls a change of any variable of the vectors."""
    baseline = build_baseline({"vector": trained}, derive={"vector": Vector("vector")})
    settings = Settings.from_mapping({"BOXKITE_DRIFT_ALPHA": ALPHA, "BOXKITE_SINK": "none"})
    model = AppMonitor(settings, "vectors", {None: baseline}, store=Store(None)).model(None)
    for row in window.tolist():
        model.log_prediction(features=row)
    return any(variable.verdict in ("shifted", "drifted", "major") for variable in model.drift())


def main() -> int:
    """Run what was asked for; return the exit status: 1 if a bar is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.vectors", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="fewer windows; rougher figures")
    windows = WINDOWS[parser.parse_args().quick]

    rng = np.random.default_rng(SEED)
    population = Vectors(rng)
    cases: dict[str, NDArray[Any]] = {}
    for number, change in enumerate(CHANGES):
        for window in range(windows):
            cases[f"{number}/{window}/trained"] = population.draw(rng, TRAINED)
            rows = population.draw(rng, change.rows, change)
            cases[f"{number}/{window}/window"] = np.repeat(rows, change.repeats, axis=0)
    found = {"ours": _ours(windows, cases), **_peers(windows, cases)}

    print(
        f"VECTORS of {SIZE} components, {TRAINED:,} of training; {windows} windows of 200 rows; significance {ALPHA}."
    )
    print(f"{'share of windows called':<26}" + "".join(f"{name:>20}" for name in found))
    for number, change in enumerate(CHANGES):
        print(f"{change.name:<26}" + "".join(f"{shares[number]:>20.0%}" for shares in found.values()))
    return 0 if max(found["ours"][:2]) <= ALPHA + 3 * np.sqrt(ALPHA / windows) else 1


def _ours(windows: int, cases: dict[str, NDArray[Any]]) -> list[float]:
    return [
        float(np.mean([called(cases[f"{number}/{w}/trained"], cases[f"{number}/{w}/window"]) for w in range(windows)]))
        for number in range(len(CHANGES))
    ]


def _peers(windows: int, cases: dict[str, NDArray[Any]]) -> dict[str, list[float]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "cases.npz")
        np.savez(path, **cases)
        command = [profiler_python("vectors"), str(SIDE), str(path), str(len(CHANGES)), str(windows), str(ALPHA)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": ""}
        )
    if done.returncode:
        sys.exit(done.stderr)
    shares: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return shares


if __name__ == "__main__":
    sys.exit(main())
