"""False alarms and power: how often each test calls simulated windows worse, at a nominal probability."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.validation import BinaryValidation, MeanLosses
from flask_boxkite.drift.statistics import chi_squared_limit
from flask_boxkite.performance import comparisons
from flask_boxkite.performance.ranking import Ranking, ranking
from flask_boxkite.performance.significance import auc_fall, mantel_haenszel, ranking_fall, signed_root
from flask_boxkite.performance.verdict import judge

from . import naive
from .scores import CHANGES, NO_CHANGE, SELECTIONS, Change, Population, Selection

__all__ = ["ALPHA", "FIT_FOR_SELECTIONS", "OURS", "ROWS", "TESTS", "Called", "Sample", "false_alarms", "limit", "power"]

Floats = NDArray[np.float64]

ALPHA = 1e-3
ROWS = (30, 100, 300, 1000, 10_000)
"""Rows with an outcome in a window."""


def limit(alpha: float) -> float:
    """Return the value that a standard normal one exceeds with this probability."""
    return float(chi_squared_limit(2 * alpha, 1) ** 0.5)


@dataclass(frozen=True)
class Sample:
    """Windows of rows with an outcome.

    Attributes:
        cells: Rows per window, bin and actual class, shape (windows, bins, 2).
        wrong: Wrong rows per window and bin.
        rows: Rows per window and bin.
        ranked: Their rankings.
    """

    cells: NDArray[np.int64]
    wrong: NDArray[np.int64]
    rows: NDArray[np.int64]
    ranked: Ranking

    @classmethod
    def of(cls, cells: NDArray[np.int64], first_positive: int) -> Sample:
        """Return windows, given their cells and the first bin that is predicted to be positive."""
        wrong = cells[:, :, 1].copy()
        wrong[:, first_positive:] = cells[:, first_positive:, 0]
        return cls(cells, wrong, cells.sum(axis=2), ranking(cells[:, :, 0], cells[:, :, 1]))


Test: TypeAlias = Callable[[Sample, Sample], Floats]


def _totals(live: Sample, trained: Sample) -> tuple[Floats, Floats, Floats, Floats]:
    return tuple(  # type: ignore[return-value]
        counts.sum(axis=1).astype(np.float64) for counts in (live.wrong, live.rows, trained.wrong, trained.rows)
    )


TESTS: dict[str, Test] = {
    "G": lambda live, trained: signed_root(*_totals(live, trained)),
    "MH": lambda live, trained: mantel_haenszel(live.wrong, live.rows, trained.wrong, trained.rows),
    "positives": lambda live, trained: mantel_haenszel(
        live.cells[..., 1], live.rows, trained.cells[..., 1], trained.rows
    ),
    "AUC": lambda live, trained: auc_fall(live.ranked, trained.ranked),
    "AUC bins": lambda live, trained: ranking_fall(
        live.cells[..., 0], live.cells[..., 1], trained.cells[..., 0], trained.cells[..., 1]
    ),
    "Wald": lambda live, trained: naive.wald(*_totals(live, trained)),
    "score": lambda live, trained: naive.score_test(*_totals(live, trained)),
    "DeLong": lambda live, trained: naive.delong(live.ranked, trained.ranked),
}
OURS = ("G", "MH", "positives", "AUC", "AUC bins", "verdict")
FIT_FOR_SELECTIONS = ("MH", "positives", "AUC bins", "verdict")
TWO_SIDED = {"positives"}


@dataclass(frozen=True)
class Called:
    """How often windows were called worse.

    Attributes:
        population: Its name.
        trained: Validation rows.
        rows: Rows with an outcome in a window.
        selection: Name of the rule by which rows got an outcome.
        change: Name of the change.
        shares: Share of windows by the name of the test, and of those with a verdict that the model is worse.
    """

    population: str
    trained: int
    rows: int
    selection: str
    change: str
    shares: dict[str, float]

    @property
    def judged(self) -> tuple[str, ...]:
        """The names of the tests that hold, without a change, at the nominal probability."""
        return FIT_FOR_SELECTIONS if self.is_selection else OURS

    @property
    def is_selection(self) -> bool:
        """Whether outcomes came by the score."""
        return self.selection != SELECTIONS[0].name


def false_alarms(population: Population, trained: int, windows: int, seed: int) -> Iterator[Called]:
    """Yield how often windows without a change are called, for each size and selection."""
    rng = np.random.default_rng([seed, trained, *population.name.encode()])
    before = _drawn(population, NO_CHANGE, SELECTIONS[0], trained, windows, rng)
    for selection in SELECTIONS:
        for rows in ROWS:
            yield _called(population, before, trained, rows, selection, NO_CHANGE, windows, rng)


def power(population: Population, trained: int, windows: int, seed: int) -> Iterator[Called]:
    """Yield how often windows after a change are called, for each size; outcomes come at random."""
    rng = np.random.default_rng([seed, 1, trained, *population.name.encode()])
    before = _drawn(population, NO_CHANGE, SELECTIONS[0], trained, windows, rng)
    for change in CHANGES:
        for rows in ROWS:
            yield _called(population, before, trained, rows, SELECTIONS[0], change, windows, rng)


def _drawn(
    population: Population, change: Change, selection: Selection, rows: int, windows: int, rng: np.random.Generator
) -> Sample:
    shares = population.cells(change, selection)
    cells = rng.multinomial(rows, shares.ravel() / shares.sum(), windows).reshape(windows, *shares.shape)
    return Sample.of(cells, population.first_positive)


def _called(
    population: Population,
    before: Sample,
    trained: int,
    rows: int,
    selection: Selection,
    change: Change,
    windows: int,
    rng: np.random.Generator,
) -> Called:
    live = _drawn(population, change, selection, rows, windows, rng)
    shares, suspects = {}, np.zeros(windows, dtype=bool)
    for name, test in TESTS.items():
        z = test(live, before)
        above = np.abs(z) > limit(ALPHA / 2) if name in TWO_SIDED else z > limit(ALPHA)
        shares[name] = float(above.mean())
        if name in FIT_FOR_SELECTIONS:
            suspects |= above
    shares["verdict"] = _worse(population, before, live, suspects)
    return Called(population.name, trained, rows, selection.name, change.name, shares)


MOST_JUDGED = 500
"""Most windows that are judged in full."""


def _worse(population: Population, before: Sample, live: Sample, suspects: NDArray[np.bool_]) -> float:
    """Return the share of windows with a verdict that the model is worse; only *suspects* can have one."""
    judged = np.flatnonzero(suspects)
    some = judged[:MOST_JUDGED]
    worse = [_is_worse(population, before.cells[window], live.cells[window]) for window in some.tolist()]
    return sum(worse) / max(len(some), 1) * len(judged) / len(suspects)


def _is_worse(population: Population, trained: NDArray[np.int64], live: NDArray[np.int64]) -> bool:
    negatives, positives = (tuple(column) for column in trained.T.tolist())
    bounds = tuple(population.bounds.tolist())
    nothing = (0.0,) * len(negatives)  # verdicts take no losses, but need to know that there are some
    losses = MeanLosses(*[(nothing, nothing)] * len(MeanLosses._fields))
    validation = BinaryValidation("p", population.threshold, "1", "0", bounds, negatives, positives, losses)
    found = judge(comparisons.of_binary(validation, live), int(live.sum()), alpha=ALPHA)
    return found.verdict in ("worse", "much worse")
