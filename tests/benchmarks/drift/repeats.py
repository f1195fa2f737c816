"""How often drift is called where there is none but rows come again: at once, in a minute, in a batch, at any time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.drift.scan import State, scan
from flask_boxkite.drift.timeline import MINUTE, REACHES, Timeline
from flask_boxkite.values.rowhash import ROW_BUCKETS

from .models import Model
from .rules import are_above

__all__ = ["ALPHA", "MANNERS", "MINUTES", "NOW", "REPEATS", "TRAINED", "Windows", "cells_of", "windows_of"]

ALPHA = 1e-3
TRAINED = 10_000
NOW = 1_800_000_000.0
"""The beginning of a quarter of an hour."""

MINUTES = (1, 2, 3, 5, 10, 60)
ROWS = {60: 40}
"""Rows a minute, by minutes; else 200."""

REPEATS = (1, 2, 4, 10)
MANNERS = ("at once", "within a minute", "in one batch", "over the whole")

FALSE_ALARMS, FALSE_ALARMS_WITH_REPEATS = 0.0025, 0.005

_BATCH = 4_000_000
"""Values of variables that are drawn at once."""

_FINEST, _FINE = REACHES[0][1], REACHES[0][0]


@dataclass(frozen=True)
class Windows:
    """Many windows of one model, side by side.

    Attributes:
        starts: When each slot begins, shape (slots,).
        groups: Rows per group, shape (windows, slots, groups).
        buckets: Rows per bucket, shape (windows, slots, ROW_BUCKETS).
        squares: Squared rows of requests, shape (windows, slots).
    """

    starts: NDArray[np.float64]
    groups: NDArray[np.int64]
    buckets: NDArray[np.int64]
    squares: NDArray[np.int64]

    def timeline(self, window: int) -> Timeline:
        """Return the timeline of one window."""
        return Timeline.of_slots(self.starts, self.groups[window], self.buckets[window], self.squares[window], NOW)


@dataclass(frozen=True)
class Cell:
    """How often something is said of a variable of which there is nothing to say.

    Attributes:
        model: The model's name.
        is_low: Whether its rows are equal by chance.
        minutes: For how many minutes rows came.
        repeats: How many times each came.
        manner: When they came again.
        called: Share of variables that are called.
        error: Standard error of that, from the differences between windows.
        unclear: Share of variables that are unclear.
        independent: Share that would be called if rows were known to be independent (φ = 1).
    """

    model: str
    is_low: bool
    minutes: int
    repeats: int
    manner: str
    called: float
    error: float
    unclear: float
    independent: float

    @property
    def bar(self) -> float:
        """How often it may be called."""
        return FALSE_ALARMS if self.repeats == 1 else FALSE_ALARMS_WITH_REPEATS

    @property
    def is_undecidable(self) -> bool:
        """Whether equal rows of several minutes are like the rows of a change in everything that is counted."""
        return self.is_low and self.repeats > 1 and self.manner == "over the whole" and self.minutes > 1

    def is_met(self, *, quick: bool) -> bool | None:
        """Say whether the bar is met, beyond what two standard errors leave open; None where it cannot be.

        Args:
            quick: Whether there are too few windows for that: then only a bar that is missed beyond doubt is.
        """
        is_met = self.called + 2 * self.error * (-1 if quick else 1) <= self.bar
        return None if self.is_undecidable and not is_met else is_met


def cells_of(model: Model, minutes: int, variables: int, seed: int) -> Iterator[Cell]:
    """Simulate all cells of a model and a number of minutes.

    Args:
        model: The model.
        minutes: For how many minutes rows came.
        variables: How many variables of how many windows to judge, in all.
        seed: Of random numbers.
    """
    rng = np.random.default_rng([seed, minutes, *model.name.encode()])
    collisions = [model.collisions(rng, TRAINED) for _ in range(10)]
    count = max(variables // len(model.variables), variables // 30)
    rows = ROWS.get(minutes, 200)
    for repeats in REPEATS:
        for manner in MANNERS if repeats > 1 else MANNERS[:1]:
            parts = []
            batch = max(_BATCH // (rows * minutes * len(model.variables)), 1)
            for begin in range(0, count, batch):
                windows = windows_of(model, rng, min(batch, count - begin), minutes, rows, repeats, manner)
                parts.append(_said(model, windows, rng, collisions))
            shares = np.concatenate(parts)
            called, unclear, independent = shares.mean(axis=0).tolist()
            between = float(shares[:, 0].std(ddof=1)) / count**0.5
            least = 1 / (count * len(model.variables))  # of none, as if there had been one
            yield Cell(
                model.name,
                model.entropy == "low",
                minutes,
                repeats,
                manner if repeats > 1 else "",
                called,
                max(between, least),
                unclear,
                independent,
            )


def windows_of(
    model: Model, rng: np.random.Generator, count: int, minutes: int, rows: int, repeats: int, manner: str
) -> Windows:
    """Draw windows in which rows come for some minutes, each so many times.

    Args:
        model: The model.
        rng: Of random numbers.
        count: How many windows.
        minutes: For how many minutes rows come, until now.
        rows: Rows a minute, on average; visits come at random.
        repeats: How many times each comes.
        manner: When it comes again.
    """
    seconds = minutes * MINUTE
    early = MINUTE if manner == "within a minute" else 0.0
    visits = rng.poisson(rows / MINUTE * (seconds + early) / repeats, size=count)
    window = np.repeat(np.arange(count), visits * repeats)
    when = np.repeat(rng.random(visits.sum()) * (seconds + early) - early, repeats)
    if manner == "within a minute":
        when += rng.random(len(when)) * MINUTE
    elif manner == "over the whole":
        when = rng.random(len(when)) * seconds
    drawn, bucket = model.draw(rng, int(visits.sum()))
    is_within = (when >= 0) & (when < seconds)
    starts = _starts(seconds)
    slots = len(starts)
    place = (window * slots + np.searchsorted(starts - (NOW - seconds), when, side="right") - 1)[is_within]
    groups = int(model.sizes.sum())
    table = np.zeros(count * slots * groups, dtype=np.int64)
    for of_visits in drawn:
        table += np.bincount(place * groups + np.repeat(of_visits, repeats)[is_within], minlength=len(table))
    own = np.repeat(bucket, repeats)[is_within]
    buckets = np.bincount(place * ROW_BUCKETS + own, minlength=count * slots * ROW_BUCKETS)
    squares = np.bincount(place, minlength=count * slots) * (repeats if manner == "in one batch" else 1)
    return Windows(
        starts,
        table.reshape(count, slots, groups),
        buckets.reshape(count, slots, ROW_BUCKETS).astype(np.int64),
        squares.reshape(count, slots).astype(np.int64),
    )


def _starts(seconds: float) -> NDArray[np.float64]:
    """Return where slots begin: every minute, and every 10 s of the last five."""
    ages = [*np.arange(seconds, _FINE, -MINUTE), *np.arange(min(seconds, _FINE), 0, -_FINEST)]
    return NOW - np.array(ages)


def _said(
    model: Model, windows: Windows, rng: np.random.Generator, collisions: list[float | None]
) -> NDArray[np.float64]:
    """Return the shares of variables called, unclear, and called if φ were 1, shape (windows, 3)."""
    count, variables = len(windows.groups), len(model.variables)
    trained = model.trained(rng, TRAINED, count)
    above = are_above(trained, windows.groups, model.firsts, model.degrees, ALPHA)
    found = np.zeros((count, 3))
    found[:, 2] = above.mean(axis=1)
    for window in np.flatnonzero(above.any(axis=1)).tolist():  # φ is at least 1, so nothing is said of the others
        state = (
            scan(
                trained[window],
                windows.timeline(window),
                model.firsts,
                model.degrees,
                alpha=ALPHA,
                collisions=collisions[window % len(collisions)],
            )
            .decide()
            .state
        )
        found[window, 0] = np.count_nonzero(state == State.CALLED) / variables
        found[window, 1] = np.count_nonzero((state > State.WITHIN_LIMIT) & (state < State.CALLED)) / variables
    return found
