"""Has a variable drifted, and since when? Every stretch of time that ends now is compared with training.

1. G of each stretch has its share of the false-alarm probability (`TESTS`).
2. Rows that recur count once: G is that of fewer rows, divided by how often they do (`recurrence`).
3. Where that cannot be told (few different rows, one row again and again), or where a few requests brought most rows,
   minutes are the witnesses instead: rows are divided by how much parts of the stretch differ, and by what so few parts
   leave unknown of that (the limit of F over that of χ²).
4. Rows that are alike without being equal show in neighbouring minutes, which differ by more than chance; G must pass
   with rows divided by that too.
5. Where G passes but one of these stops it, nothing is known yet: `unclear`, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.drift.dispersion import between_neighbours, between_parts, parts_of
from flask_boxkite.drift.recurrence import (
    NOTICEABLE,
    at_least,
    equal_rows,
    recurrence,
    recurrence_within,
    usual_recurrence,
)
from flask_boxkite.drift.statistics import chi_squared_limit, f_limit, g_statistics
from flask_boxkite.drift.tables import per_variable
from flask_boxkite.drift.timeline import HOUR, RowCounts, Timeline

__all__ = ["MINIMUM_ROWS", "TESTS", "Found", "Scan", "State", "dispersions_by_reach", "requests_of", "scan"]

MINIMUM_ROWS = 30
"""Rows, of training and live each, below which nothing is judged; and requests below which they are not independent."""

TESTS = 40
"""Stretches among which the false-alarm probability is divided. There are up to 180, most of whose rows are the same:
together they pass a limit 20 to 35 times as often as one of them alone."""

ABOUT_AS_PLAIN = 0.9
"""Of the largest G over its limit: stretches from there on say the same."""

AS_USUAL = 2.0
"""Up to so many times as often as rows recur in the minutes of the last hour, they do so as a rule."""

Floats = NDArray[np.float64]


class State(IntEnum):
    """What a stretch says of a variable; in those between, G is above its limit and may be so without a change."""

    FEW_ROWS = 0
    WITHIN_LIMIT = 1
    FEW_REQUESTS = 2
    ONE_ROW = 3
    FEW_DIFFERENT_ROWS = 4
    UNSTEADY = 5
    CALLED = 6


@dataclass(frozen=True)
class Found:
    """The stretches that decide on each variable, arrays of shape (variables,).

    Attributes:
        stretch: Which it is.
        state: What it says, a `State`.
        rows: Its live rows.
        g: G of those that count: rows / dispersion.
        dispersion: How many rows count as one, φ.
        limit: What G must exceed.
    """

    stretch: NDArray[np.intp]
    state: NDArray[np.int8]
    rows: NDArray[np.int64]
    g: Floats
    dispersion: Floats
    limit: Floats


@dataclass(frozen=True)
class Scan:
    """All stretches and variables, each array of shape (stretches, variables) but for the first.

    Attributes:
        recurrence: How often rows recur, shape (stretches,); NaN where that cannot be told.
        rows: Live rows.
        plain: G if all of them count.
        g: G of those that count: rows / dispersion.
        dispersion: How many rows count as one, φ.
        limit: What G must exceed, shape (variables,).
        state: What the stretch says, a `State`.
    """

    recurrence: Floats
    rows: NDArray[np.int64]
    plain: Floats
    g: Floats
    dispersion: Floats
    limit: Floats
    state: NDArray[np.int8]

    def decide(self, first: int = 0) -> Found:
        """Return the stretches that decide: where G is called, or else unclear, the one where it is plainest.

        Where neither is so, it is the longest that has enough rows.

        Args:
            first: The longest stretch to look at; there must be one.
        """
        state = self.state[first:]
        rank = np.where(state == State.CALLED, 3, np.where(state > State.WITHIN_LIMIT, 2, state))
        most = rank.max(axis=0)
        excess = np.where(most == 3, self.g[first:], np.where(most == 2, self.plain[first:], 0.0)) / self.limit
        excess = np.where(rank == most, excess, -1.0)
        # A change is about as plain in stretches that begin a little later or earlier by chance; the longest of them
        # begins with it.
        stretch = first + np.argmax(excess >= ABOUT_AS_PLAIN * excess.max(axis=0), axis=0)
        variables = np.arange(state.shape[1])
        state, rows, g, dispersion = (
            table[stretch, variables] for table in (self.state, self.rows, self.g, self.dispersion)
        )
        return Found(stretch, state, rows, g, dispersion, self.limit)


def scan(
    trained: NDArray[np.int64],
    timeline: Timeline,
    firsts: NDArray[np.intp],
    degrees: NDArray[np.int64],
    *,
    alpha: float,
    collisions: float | None,
    least_recurrence: float = 1.0,
) -> Scan:
    """Compare all stretches of all variables with training.

    Args:
        trained: Rows per group in training, one variable after the other, shape (groups,).
        timeline: What was counted.
        firsts: For each variable, which of the groups is its first.
        degrees: Degrees of freedom of each variable's G.
        alpha: False-alarm probability of one variable.
        collisions: The probability that two rows of training are equal; None if it is unknown.
        least_recurrence: How often rows recur in what takes the place of training.
    """
    rows, plain = per_variable(timeline.groups, firsts), g_statistics(trained, timeline.groups, firsts)
    share = alpha if timeline.rows is None else alpha / TESTS
    limit = np.array([chi_squared_limit(share, int(k)) for k in degrees])
    enough = (rows >= MINIMUM_ROWS) & (per_variable(trained, firsts) >= MINIMUM_ROWS)
    if timeline.rows is None:
        found = Scan(np.ones(1), rows, plain, plain, np.ones_like(plain), limit, _states(enough, plain > limit))
        found.state[found.state == State.UNSTEADY] = State.CALLED
        return found

    recurring = recurrence(timeline.rows.buckets, collisions)
    # A fault may leave few different rows, as a lost column does: then rows cannot be told from repeats either, unless
    # they always come as often.
    is_few = (recurring > NOTICEABLE) & (timeline.rows.buckets.sum(axis=1) / recurring < MINIMUM_ROWS)
    if is_few.any():
        usual = usual_recurrence(_differences(timeline.rows.buckets[timeline.minutes]))
        is_few &= recurring > AS_USUAL * usual
    recurring = np.where(is_few, np.nan, recurring)
    is_known = ~np.isnan(recurring)
    phi = np.maximum(at_least(recurring), least_recurrence)[:, np.newaxis].repeat(len(firsts), axis=1)
    g = _of_counting_rows(trained, timeline, firsts, phi, where=plain > limit, otherwise=plain)
    enough &= ~is_known[:, np.newaxis] | (rows / phi >= MINIMUM_ROWS)
    above = enough & (g > limit)
    enough &= above | ~is_few[:, np.newaxis]
    found = Scan(recurring, rows, plain, g, phi, limit, _states(enough, above))

    by_rows = is_known & (requests_of(timeline.rows) >= MINIMUM_ROWS)
    _call_by_rows(found, above & by_rows[:, np.newaxis], timeline, trained, firsts)
    for stretch in np.flatnonzero(above.any(axis=1) & ~by_rows).tolist():
        _call_by_parts(found, stretch, above[stretch], timeline, trained, firsts, degrees, share)
    return found


def _of_counting_rows(
    trained: NDArray[np.int64],
    timeline: Timeline,
    firsts: NDArray[np.intp],
    phi: Floats,
    *,
    where: NDArray[np.bool_],
    otherwise: Floats,
) -> Floats:
    """Return G of rows / φ, for stretches in which it is asked of some variable and φ is above 1; else *otherwise*."""
    asked = np.flatnonzero((where & (phi > 1)).any(axis=1))
    found = otherwise.copy()
    if len(asked):
        found[asked] = g_statistics(trained, timeline.groups[asked], firsts, phi[asked])
    return found


def _states(enough: NDArray[np.bool_], above: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Return the states before it is asked whether what is above its limit may be called."""
    return np.where(enough, np.where(above, State.UNSTEADY, State.WITHIN_LIMIT), State.FEW_ROWS).astype(np.int8)


def _call_by_rows(
    found: Scan,
    asked: NDArray[np.bool_],
    timeline: Timeline,
    trained: NDArray[np.int64],
    firsts: NDArray[np.intp],
) -> None:
    """Call where G passes in spite of neighbouring slots that differ."""
    if asked.any():
        phi = np.maximum(found.dispersion, _unsteadiness(timeline, trained, firsts))
        is_raised = asked & (phi > found.dispersion)
        found.dispersion[asked] = phi[asked]
        of_fewer = _of_counting_rows(trained, timeline, firsts, phi, where=is_raised, otherwise=found.g)
        found.g[is_raised] = of_fewer[is_raised]
        found.state[asked & (found.g > found.limit)] = State.CALLED


def _call_by_parts(
    found: Scan,
    stretch: int,
    asked: NDArray[np.bool_],
    timeline: Timeline,
    trained: NDArray[np.int64],
    firsts: NDArray[np.intp],
    degrees: NDArray[np.int64],
    alpha: float,
) -> None:
    """Call the variables of a stretch that pass though its parts differ; where there is one part, say why not."""
    assert timeline.rows is not None
    parts = _parts(timeline, stretch)
    if parts is None:
        found.state[stretch, asked] = _obstacle(
            timeline.rows, stretch, is_known=not np.isnan(found.recurrence[stretch])
        )
        return
    differing, unknown = _by_parts(parts, trained, firsts, degrees, alpha)
    phi = np.maximum(np.maximum(differing, _recurrence_in_parts(timeline, stretch)), found.dispersion[stretch])
    live = timeline.groups[stretch : stretch + 1]
    g, of_parts = (g_statistics(trained, live, firsts, by[np.newaxis])[0] for by in (phi * unknown, phi))
    is_called = (g > found.limit) & (found.rows[stretch] / phi >= MINIMUM_ROWS)
    g = np.where(is_called, g, of_parts)  # that it may be more is not to be read from a number
    found.dispersion[stretch, asked], found.g[stretch, asked] = phi[asked], g[asked]
    found.state[stretch, asked & is_called] = State.CALLED


def dispersions_by_reach(
    trained: NDArray[np.int64],
    timeline: Timeline,
    firsts: NDArray[np.intp],
    degrees: NDArray[np.int64],
    reaches: Sequence[float],
    *,
    alpha: float,
    collisions: float | None,
) -> Floats:
    """Return what G is to be divided by where only whole windows are known, shape (reaches, variables).

    It is what `scan` divides the rows of the longest stretch within each reach by; and of what comes within one slot,
    what it is at most.

    Args:
        trained: As in `scan`, like the arguments that follow.
        timeline: What was counted.
        firsts: For each variable, which of the groups is its first.
        degrees: Degrees of freedom.
        reaches: How many seconds each window reaches back.
        alpha: False-alarm probability of one variable.
        collisions: The probability that two rows of training are equal.
    """
    assert timeline.rows is not None
    found = np.ones((len(reaches), len(firsts)))
    recurring, most = recurrence(timeline.rows.buckets, collisions), equal_rows(timeline.rows.buckets)
    requests, unsteadiness = requests_of(timeline.rows), _unsteadiness(timeline, trained, firsts)
    for number, reach in enumerate(reaches):
        if (stretch := timeline.first_within(reach)) == len(timeline):
            continue
        is_known, has_requests = not np.isnan(recurring[stretch]), requests[stretch] >= MINIMUM_ROWS
        if is_known and has_requests:
            found[number] = np.maximum(at_least(recurring[stretch]), unsteadiness[stretch])
        elif (parts := _parts(timeline, stretch)) is not None:
            differing, unknown = _by_parts(parts, trained, firsts, degrees, alpha)
            differing = np.maximum(differing, _recurrence_in_parts(timeline, stretch))
            found[number] = np.where(np.isfinite(unknown), differing * unknown, most[stretch])
        else:
            rows = timeline.rows.buckets[stretch].sum()
            found[number] = max(float(most[stretch]), 1.0 if has_requests else float(rows / requests[stretch]))
    return found


def _parts(timeline: Timeline, stretch: int) -> Floats | None:
    """Return the counts of the parts of a stretch, shape (parts, groups); None if it lies within one slot."""
    slots = timeline.slots_of(stretch)
    return _differences(timeline.groups[parts_of(slots)]) if len(slots) > 1 else None


def _recurrence_in_parts(timeline: Timeline, stretch: int) -> float:
    """Return how many times rows come within a part of a stretch, beyond what is so in all of it."""
    assert timeline.rows is not None
    parts = timeline.rows.buckets[parts_of(timeline.slots_of(stretch))]
    return float(recurrence_within(_differences(parts)))


def _by_parts(
    parts: Floats, trained: NDArray[np.int64], firsts: NDArray[np.intp], degrees: NDArray[np.int64], alpha: float
) -> tuple[Floats, Floats]:
    """Return by how much more than chance parts differ, and how much larger than that it may be, for each variable.

    The latter is the limit of F over that of χ², infinite where no degrees of freedom are left.
    """
    differing, of_divisor = between_parts(parts, trained, firsts)
    unknown = [
        k * f_limit(alpha, k, divisor) / chi_squared_limit(alpha, k) if divisor else np.inf
        for k, divisor in zip(degrees.tolist(), of_divisor.tolist(), strict=True)
    ]
    return np.maximum(differing, 1.0), np.array(unknown)


def requests_of(rows: RowCounts) -> Floats:
    """Return in how many requests rows came, those with many rows counting for more: (Σ rows)² / Σ rows²."""
    total: Floats = rows.buckets.sum(axis=1).astype(np.float64)
    return np.where(rows.squares > 0, np.maximum(total * total / np.maximum(rows.squares, 1), 1.0), np.inf)


def _unsteadiness(timeline: Timeline, trained: NDArray[np.int64], firsts: NDArray[np.intp]) -> Floats:
    """Return by how much more than chance neighbouring slots differ around each stretch, shape (stretches, variables).

    Of stretches within the last hour it is that of its minutes, of longer ones that of the day's quarters of an hour.
    """
    of_minutes, of_quarters = (
        between_neighbours(_differences(timeline.groups[marks]), trained, firsts)
        for marks in (timeline.minutes, timeline.quarters)
    )
    is_short = (timeline.starts >= timeline.now - HOUR)[:, np.newaxis]
    return np.where(is_short, of_minutes, of_quarters)


def _differences(groups: NDArray[np.int64]) -> Floats:
    """Return what was counted from each moment to the next, and from the last until now."""
    return np.diff(groups, axis=0, append=0) * -1.0


def _obstacle(rows: RowCounts, stretch: int, *, is_known: bool) -> State:
    """Return why rows within one slot say nothing."""
    if is_known:
        return State.FEW_REQUESTS
    buckets = rows.buckets[stretch].astype(np.float64)
    is_one = 2 * buckets.max() ** 2 > (buckets**2).sum()
    return State.ONE_ROW if is_one else State.FEW_DIFFERENT_ROWS
