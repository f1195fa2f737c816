"""Models to judge: NannyML's bundled data sets, and two that are made up; rows with features, scores and outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BUNDLED", "MADE", "Data", "bundled", "made"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Data:
    """Rows of a model, in the order of time.

    Attributes:
        name: Name as it is printed.
        kind: ``binary``, ``classes`` or ``regression``.
        features: Columns by name: numbers or texts.
        score: Output for each row: a probability or a number, shape (rows,), or probabilities, (rows, classes).
        actual: Outcome of each row: 0 or 1, a number, or the index of a class.
        reference: Number of rows in the reference period, which are the first.
        threshold: Score from which a row is predicted to be positive.
    """

    name: str
    kind: str
    features: Mapping[str, NDArray[Any]]
    score: Floats
    actual: NDArray[Any]
    reference: int
    threshold: float = 0.5

    @property
    def predicted(self) -> NDArray[Any]:
        """The predicted class of each row, or the predicted number."""
        if self.kind == "binary":
            return (self.score >= self.threshold).astype(np.int64)
        return self.score.argmax(axis=1) if self.kind == "classes" else self.score


BUNDLED = {
    "employment": "binary",
    "california": "binary",
    "car loan": "binary",
    "cards": "classes",
    "car price": "regression",
}
"""NannyML's data sets, and their kinds."""


def bundled(name: str, folder: Path) -> Data:
    """Read a data set that NannyML's side has written to *folder*."""
    with np.load(folder / f"{name}.npz") as arrays:
        features = {key.partition(":")[2]: arrays[key] for key in arrays.files if key.startswith("feature:")}
        return Data(name, BUNDLED[name], features, arrays["score"], arrays["actual"], int(arrays["reference"]))


MADE = ("rare", "regions")
ROWS = 60_000
"""Rows of each period of a data set that is made up."""


def made(name: str) -> Data:
    """Make up a data set: the same one in each run."""
    return {"rare": _rare, "regions": _regions}[name](np.random.default_rng(7))


def _rare(rng: np.random.Generator) -> Data:
    """Return a model of 5 % positives that is too sure of itself; later, one feature has another mean."""
    columns = rng.normal(size=(2 * ROWS, 6))
    columns[ROWS:, 0] += np.linspace(0, 1, ROWS)
    log_odds = columns @ np.array([0.9, 0.7, -0.5, 0.4, 0.3, 0.0]) - 3.7
    actual = rng.random(2 * ROWS) < _shares(log_odds)
    features = {f"x{number}": column for number, column in enumerate(columns.T)}
    return Data("rare", "binary", features, _shares(1.2 * log_odds), actual.astype(np.int64), ROWS, threshold=0.25)


def _regions(rng: np.random.Generator) -> Data:
    """Return a model that does not know the region, which its error depends on; later, regions have other shares."""
    shares = np.array([[0.4, 0.2, 0.2, 0.1, 0.1], [0.1, 0.1, 0.2, 0.2, 0.4]])
    region = np.concatenate([rng.choice(5, ROWS, p=period) for period in shares])
    columns = rng.normal(size=(2 * ROWS, 4))
    log_odds = 1.5 * columns @ np.array([1.0, 0.8, -0.6, 0.0])
    slopes, constants = np.array([1.4, 1.0, 0.8, 0.5, 0.2])[region], np.array([-0.6, 0.0, 0.6, 0.0, 0.3])[region]
    actual = rng.random(2 * ROWS) < _shares(slopes * log_odds + constants + 0.5 * (np.abs(columns[:, 3]) > 1))
    names = np.array(["north", "east", "south", "west", "sea"])
    features = {"region": names[region], **{f"x{number}": column for number, column in enumerate(columns.T)}}
    return Data("regions", "binary", features, _shares(log_odds), actual.astype(np.int64), ROWS)


def _shares(log_odds: Floats) -> Floats:
    return 1 / (1 + np.exp(-log_odds))
