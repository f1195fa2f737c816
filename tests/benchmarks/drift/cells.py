"""One cell of the table: a population, a shift, a window size; how often each rule calls drift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Distribution
from flask_boxkite.baseline.build import build_baseline
from flask_boxkite.drift.statistics import chi_squared_limit
from flask_boxkite.drift.tables import GroupSums, degrees_of_freedom
from flask_boxkite.drift.verdict import DRIFTED_SIZE

from .populations import NO_SHIFT, SHIFTS, Population, Shift
from .rules import cumulative_distances, dispersions, g_statistics, psis, sizes, smoothed_divergences

__all__ = ["ALPHA", "SIZES", "TRAINED", "Cell", "Plan", "cells_of", "trainings"]

ALPHA = 1e-3
TRAINED = 10_000
SIZES = (50, 200, 1000, 10_000)
REPEATS = (1, 2, 4)
SLOTS = 60
"""Of the 1 h window."""

PSI_LIMIT, FINE_PSI_LIMIT, KL_LIMIT, KS_LIMIT = 0.1, 0.25, 0.25, 0.1

FALSE_ALARMS, FALSE_ALARMS_WITH_REPEATS, POWER = 0.0025, 0.005, 0.95
POWER_CELLS = {("0.25 sd", 1000), ("0.5 sd", 200)}


@dataclass(frozen=True)
class Plan:
    """How much to simulate: trainings, and windows for each, without a shift and with one."""

    trainings: int
    windows: int
    shifted_trainings: int
    shifted_windows: int


@dataclass(frozen=True)
class Cell:
    """How often each rule called drift.

    Attributes:
        population: Its name.
        kind: Its kind.
        shift: What happened to live rows.
        rows: Live rows in a window.
        repeats: How many times in a row each came.
        called: Share of windows in which G/φ was above its limit.
        error: Standard error of that, from the differences between trainings.
        drifted: Share in which the size was at least 0.1 besides, the verdicts ``drifted`` and ``major``.
        others: The same share by the other rules, in the order of `OTHERS`.
    """

    population: str
    kind: str
    shift: Shift
    rows: int
    repeats: int
    called: float
    error: float
    drifted: float
    others: tuple[float, ...]

    @property
    def bar(self) -> str:
        """The bar as it is printed; empty without one."""
        if self.shift == NO_SHIFT:
            return f"≤ {self._most:.2%}"
        return f"≥ {POWER:.0%}" if self._needs_power else ""

    def is_met(self, *, quick: bool) -> bool | None:
        """Say whether the bar is met, beyond what two standard errors leave open; None without a bar.

        Args:
            quick: Whether there are too few windows for that: then only a bar that is missed beyond doubt is.
        """
        doubt = 2 * self.error * (-1 if quick else 1)
        if self.shift == NO_SHIFT:
            return self.called + doubt <= self._most
        return self.called - doubt >= POWER if self._needs_power else None

    @property
    def _most(self) -> float:
        return FALSE_ALARMS if self.repeats == 1 else FALSE_ALARMS_WITH_REPEATS

    @property
    def _needs_power(self) -> bool:
        return self.kind == "continuous" and (self.shift.name, self.rows) in POWER_CELLS


def trainings(population: Population, number: int, rows: int, rng: np.random.Generator) -> tuple[Distribution, ...]:
    """Return distributions of so many training samples, as `export_text` builds them."""
    found: list[Distribution] = []
    while len(found) < number:
        some = min(number - len(found), 100)
        columns = {str(at): population.draw(rng, rows) for at in range(some)}
        found += build_baseline(columns).features
    return tuple(found)


def cells_of(population: Population, plan: Plan, seed: int) -> list[Cell]:
    """Simulate all cells of a population."""
    rng = np.random.default_rng([seed, *population.name.encode()])
    trained = [_Training(item) for item in trainings(population, plan.trainings, TRAINED, rng)]
    found = []
    for repeats in REPEATS:
        found += [_cell(population, NO_SHIFT, trained, rows, repeats, plan.windows, rng) for rows in SIZES]
    for shift in SHIFTS:
        if shift.suits(population.kind):
            some = trained[: plan.shifted_trainings]
            found += [_cell(population, shift, some, rows, 1, plan.shifted_windows, rng) for rows in SIZES]
    return found


class _Training:
    """A training sample, and the rules that judge windows beside it."""

    def __init__(self, item: Distribution) -> None:
        self.item = item
        self._sums = GroupSums([item])
        self._cells = np.array(item.cells, dtype=float)
        self._groups = self._sums.of(item.cells).astype(float)
        self._limit = chi_squared_limit(ALPHA, degrees_of_freedom(item))

    def judge(self, rng: np.random.Generator, visits: NDArray[np.int64], repeats: int) -> NDArray[np.bool_]:
        """Say what each rule calls drift, shape (rules, windows)."""
        cells = visits * repeats
        groups = self._sums.of(cells)
        g = g_statistics(self._groups, groups)
        called = g > self._limit
        if called.any():  # φ is at least 1, so that it matters for no others
            phi = dispersions(rng, self._sums.of(visits[called]), repeats, SLOTS)
            called[called] = g[called] / phi > self._limit
        # The ancestor has missing values in its last bin.
        bins, trained = cells[:, :-2].copy(), self._cells[:-2].copy()
        bins[:, -1] += cells[:, -2:].sum(axis=1)
        trained[-1] += self._cells[-2:].sum()
        return np.array(
            [
                called,
                called & (sizes(self._groups, groups) >= DRIFTED_SIZE),
                psis(self._groups, groups) > PSI_LIMIT,
                psis(self._cells, cells) > FINE_PSI_LIMIT,
                smoothed_divergences(trained, bins) > KL_LIMIT,
                cumulative_distances(trained, bins) > KS_LIMIT,
            ]
        )


def _cell(
    population: Population,
    shift: Shift,
    trained: list[_Training],
    rows: int,
    repeats: int,
    windows: int,
    rng: np.random.Generator,
) -> Cell:
    shares = np.array(
        [
            training.judge(
                rng, rng.multinomial(rows // repeats, population.cell_shares(training.item, shift), windows), repeats
            ).mean(axis=1)
            for training in trained
        ]
    )
    called, drifted, *others = shares.mean(axis=0).tolist()
    between = float(shares[:, 0].std(ddof=1)) / len(trained) ** 0.5
    # Where all trainings agree, by chance, the error is not 0.
    least = (max(called * (1 - called), 1 / (len(trained) * windows)) / (len(trained) * windows)) ** 0.5
    return Cell(
        population.name,
        population.kind,
        shift,
        rows // repeats * repeats,
        repeats,
        called,
        max(between, least),
        drifted,
        tuple(others),
    )
