"""One cell of the table: a population, a shift, a window size; how often each rule calls drift."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Distribution
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.baseline.variables import variables_of
from flask_boxkite.drift.scan import State, scan
from flask_boxkite.drift.statistics import chi_squared_limit
from flask_boxkite.drift.tables import GroupSums, degrees_of_freedom
from flask_boxkite.drift.timeline import MINUTE, Timeline
from flask_boxkite.values.rowhash import ROW_BUCKETS

from .populations import NO_SHIFT, SHIFTS, Population, Shift
from .repeats import NOW
from .rules import are_above, cumulative_distances, g_of_windows, have_drifted, psis, smoothed_divergences

__all__ = ["ALPHA", "SIZES", "TRAINED", "Cell", "Plan", "cells_of", "trainings"]

ALPHA = 1e-3
TRAINED = 10_000
SIZES = (50, 200, 1000, 10_000)
REPEATS = (1, 2, 4)
SLOTS = 60
"""Minutes, of the hour."""

PSI_LIMIT, FINE_PSI_LIMIT, KL_LIMIT, KS_LIMIT = 0.1, 0.25, 0.25, 0.1

FALSE_ALARMS, FALSE_ALARMS_WITH_REPEATS, POWER = 0.0025, 0.005, 0.95
POWER_CELLS = {("0.25 sd", 1000), ("0.5 sd", 200)}

ONE = np.zeros(1, dtype=np.intp)


@dataclass(frozen=True)
class Plan:
    """How much to simulate.

    Attributes:
        trainings: Training samples, without a shift.
        windows: Windows beside each.
        shifted_trainings: Training samples, with a shift.
        shifted_windows: Windows beside each.
        scanned: How many of the training samples have windows that are scanned in the course of an hour, and how many.
        shifted_scanned: The same with a shift.
    """

    trainings: int
    windows: int
    shifted_trainings: int
    shifted_windows: int
    scanned: tuple[int, int]
    shifted_scanned: tuple[int, int]


@dataclass(frozen=True)
class Share:
    """How often something happened, and the standard error of that, from the differences between trainings."""

    of: float
    error: float


@dataclass(frozen=True)
class Cell:
    """How often each rule called drift.

    Attributes:
        population: Its name.
        kind: Its kind.
        shift: What happened to live rows.
        rows: Live rows in a window.
        repeats: How many times in a row each came.
        sample: Share of windows that are called as one sample of independent rows; None if rows are repeated.
        scanned: Share of windows that are called, of an hour in the course of which the same rows came.
        drifted: Share in which the verdict is ``drifted`` or ``major`` besides: of samples, or of hours if rows are
            repeated.
        others: The share by other rules, in the order of the head.
    """

    population: str
    kind: str
    shift: Shift
    rows: int
    repeats: int
    sample: Share | None
    scanned: Share
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
        doubt = -2 if quick else 2
        if self.shift == NO_SHIFT:
            found = [self.scanned] if self.sample is None else [self.sample, self.scanned]
            return all(share.of + doubt * share.error <= self._most for share in found)
        if self.sample is None or not self._needs_power:
            return None
        return self.sample.of - doubt * self.sample.error >= POWER

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
        for rows in SIZES:
            found.append(_cell(population, NO_SHIFT, trained, rows, repeats, plan.windows, plan.scanned, rng))
    some = trained[: plan.shifted_trainings]
    for shift in SHIFTS:
        if shift.suits(population.kind):
            for rows in SIZES:
                found.append(_cell(population, shift, some, rows, 1, plan.shifted_windows, plan.shifted_scanned, rng))
    return found


class _Training:
    """A training sample, and the rules that judge windows beside it."""

    def __init__(self, item: Distribution) -> None:
        self.item = item
        self._sums = GroupSums(variables_of([item]))
        self._cells = np.array(item.cells, dtype=float)
        self._groups = self._sums.of(item.cells)
        self._degrees = degrees_of_freedom(item)
        self._limit = chi_squared_limit(ALPHA, self._degrees)

    def judge(self, cells: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say what each rule calls drift of samples of rows per cell, shape (rules, windows): ours, drifted, others."""
        groups = self._sums.of(cells)
        g = g_of_windows(self._groups, groups)
        called = g > self._limit
        drifted = called.copy()
        number = np.count_nonzero(called)
        drifted[called] = have_drifted(self._groups, groups[called], g[called], np.ones(number), None)
        # The ancestor has missing values in its last bin.
        bins, trained = cells[:, :-2].copy(), self._cells[:-2].copy()
        bins[:, -1] += cells[:, -2:].sum(axis=1)
        trained[-1] += self._cells[-2:].sum()
        return np.array(
            [
                called,
                drifted,
                psis(self._groups, groups) > PSI_LIMIT,
                psis(self._cells, cells) > FINE_PSI_LIMIT,
                smoothed_divergences(trained, bins) > KL_LIMIT,
                cumulative_distances(trained, bins) > KS_LIMIT,
            ]
        )

    def scan(self, rng: np.random.Generator, visits: NDArray[np.int64], repeats: int) -> NDArray[np.bool_]:
        """Say which hours are called, and which have drifted, shape (2, windows).

        Visits come at any minute of the hour, and all their rows at once; rows of different visits differ, by other
        features.

        Args:
            rng: Of random numbers.
            visits: Visits per cell, shape (windows, cells).
            repeats: How many rows each visit has.
        """
        groups = self._sums.of(visits)
        slots = rng.multinomial(groups, np.full(SLOTS, 1 / SLOTS)).transpose(0, 2, 1)
        degrees, starts = np.array([self._degrees]), NOW - MINUTE * np.arange(SLOTS, 0, -1)
        trained = np.broadcast_to(self._groups, (len(groups), len(self._groups)))
        found = np.zeros((2, len(groups)), dtype=bool)
        is_above = are_above(trained, slots * repeats, ONE, degrees, ALPHA)
        for window in np.flatnonzero(is_above).tolist():
            buckets = rng.multinomial(slots[window].sum(axis=1), np.full(ROW_BUCKETS, 1 / ROW_BUCKETS)) * repeats
            timeline = Timeline.of_slots(starts, slots[window] * repeats, buckets, buckets.sum(axis=1), NOW)
            decided = scan(self._groups, timeline, ONE, degrees, alpha=ALPHA, collisions=0.0).decide()
            if decided.state[0] == State.CALLED:
                found[0, window] = True
                is_long = timeline.is_long[decided.stretch]
                live = timeline.groups[decided.stretch]
                found[1, window] = have_drifted(self._groups, live, decided.g, decided.dispersion, is_long)[0]
        return found


def _cell(
    population: Population,
    shift: Shift,
    trained: list[_Training],
    rows: int,
    repeats: int,
    windows: int,
    scanned: tuple[int, int],
    rng: np.random.Generator,
) -> Cell:
    samples, hours = [], []
    for number, training in enumerate(trained):
        visits = rng.multinomial(rows // repeats, population.cell_shares(training.item, shift), windows)
        samples.append(training.judge(visits * repeats).mean(axis=1))
        if number < scanned[0]:
            hours.append(training.scan(rng, visits[: scanned[1]], repeats).mean(axis=1))
    _, drifted, *others = np.mean(samples, axis=0).tolist()
    if repeats > 1:
        drifted = float(np.mean(hours, axis=0)[1])
    return Cell(
        population.name,
        population.kind,
        shift,
        rows // repeats * repeats,
        repeats,
        _share(np.array(samples)[:, 0], windows) if repeats == 1 else None,
        _share(np.array(hours)[:, 0], scanned[1]),
        drifted,
        tuple(others),
    )


def _share(found: NDArray[np.float64], windows: int) -> Share:
    """Return the mean of the shares of several trainings, each of so many windows, and its error."""
    called, number = float(found.mean()), len(found) * windows
    between = float(found.std(ddof=1)) / len(found) ** 0.5
    # Where all trainings agree, by chance, the error is not 0.
    return Share(called, max(between, math.sqrt(max(called * (1 - called), 1 / number) / number)))
