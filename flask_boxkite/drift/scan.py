"""The scan for drift: has a variable drifted, and since when? Compares every stretch that ends now with training.

1. G of each stretch has its share of the false-alarm probability (`TESTS`).
2. Rows that recur count once: G is computed from the number of rows divided by their recurrence (`recurrence`).
3. Recurrence may be unknown (few different rows, one row again and again), or a few requests may have brought most
   rows. Then rows are divided by the dispersion between parts of the stretch, and by the uncertainty of that number
   from so few parts (the limit of F over the limit of χ²).
4. Rows that are alike without being equal make neighbouring minutes differ by more than chance. G must also pass with
   rows divided by that dispersion.
5. A request may bring a batch of rows that are alike. Before there are neighbouring minutes, rows in batches are judged
   by parts as short as ten seconds, which no request spans. If ten seconds differ as much as minutes do, requests are
   the reason, and nothing is unclear.
6. If G passes but one of these corrections stops it, the verdict is `unclear`, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.drift.dispersion import LEAST_TRANSITIONS, between_neighbours, between_parts, parts_of
from flask_boxkite.drift.recurrence import (
    NOTICEABLE,
    at_least,
    equal_rows,
    recurrence,
    recurrence_within,
    usual_recurrence,
)
from flask_boxkite.drift.statistics import chi_squared_limits, f_limit, g_statistics
from flask_boxkite.drift.tables import per_variable
from flask_boxkite.drift.timeline import HOUR, RowCounts, Timeline

__all__ = ["MINIMUM_ROWS", "TESTS", "Decision", "Scan", "State", "dispersions_by_reach", "requests_of", "scan"]

MINIMUM_ROWS = 30
"""Least number of rows, of training and live each, for a verdict; and of requests, for rows to be independent."""

TESTS = 40
"""Number of stretches among which the false-alarm probability is divided. There are up to 180, but they share most of
their rows: together they pass a limit 20 to 35 times as often as one of them alone."""

ABOUT_AS_PLAIN = 0.9
"""Share of the largest G over its limit from which a change is about as plain."""

BATCH = 1.5
"""Effective number of rows in a request from which rows come in batches."""

FINE_SLOTS = 10
"""Least number of slots of ten seconds that tell how much requests differ."""

AS_USUAL = 2.0
"""Recurrence up to this multiple of its usual value in the minutes of the last hour is usual."""

Floats = NDArray[np.float64]


class State(IntEnum):
    """The result of a stretch for a variable. From FEW_REQUESTS to UNSTEADY, repeats may explain G above its limit."""

    FEW_ROWS = 0
    WITHIN_LIMIT = 1
    FEW_REQUESTS = 2
    ONE_ROW = 3
    FEW_DIFFERENT_ROWS = 4
    UNSTEADY = 5
    CALLED = 6


class Statistic(Protocol):
    """Computes G of several variables in several samples; see `statistics.g_statistics`."""

    def __call__(
        self,
        trained: NDArray[np.int64],
        live: NDArray[np.int64],
        firsts: NDArray[np.intp],
        dispersion: NDArray[np.float64] | None,
        /,
    ) -> NDArray[np.float64]: ...


class Decision(NamedTuple):
    """The stretches that decide on each variable, arrays of shape (variables,).

    Attributes:
        stretch: Index of the stretch.
        state: Result of the stretch, a `State`.
        rows: Number of its live rows.
        g: G of the rows that count: rows / dispersion.
        dispersion: Number of rows that count as one, φ.
        limit: Value that G must exceed.
    """

    stretch: NDArray[np.intp]
    state: NDArray[np.int8]
    rows: NDArray[np.int64]
    g: Floats
    dispersion: Floats
    limit: Floats


class Scan(NamedTuple):
    """All stretches and variables; arrays have the shape (stretches, variables) unless stated.

    Attributes:
        recurrence: Recurrence of rows, shape (stretches,); NaN if unknown.
        rows: Number of live rows.
        plain: G if all rows count.
        g: G of the rows that count: rows / dispersion.
        dispersion: Number of rows that count as one, φ.
        limit: Value that G must exceed, shape (variables,).
        state: Result of the stretch, a `State`.
    """

    recurrence: Floats
    rows: NDArray[np.int64]
    plain: Floats
    g: Floats
    dispersion: Floats
    limit: Floats
    state: NDArray[np.int8]

    def decide(self, first: int = 0, ignored: NDArray[np.bool_] | None = None) -> Decision:
        """Return the stretch that decides on each variable: the one in which a called, or else unclear, G is plainest.

        If no G is called or unclear, the longest stretch with enough rows decides; of an ignored variable, the longest.

        Args:
            first: Index of the longest stretch to look at; there must be one.
            ignored: Whether each variable is ignored, shape (variables,); None for none.
        """
        state = self.state[first:]
        rank = np.where(state == State.CALLED, 3, np.where(state > State.WITHIN_LIMIT, 2, state))
        most = rank.max(axis=0)

        excess = np.where(most == 3, self.g[first:], np.where(most == 2, self.plain[first:], 0.0)) / self.limit
        excess = np.where(rank == most, excess, -1.0)
        # By chance, a change is about as plain in stretches that begin a little later or earlier. The longest of them
        # begins with the change.
        stretch = first + np.argmax(excess >= ABOUT_AS_PLAIN * excess.max(axis=0), axis=0)
        if ignored is not None:
            stretch = np.where(ignored, first, stretch)

        variables = np.arange(state.shape[1])
        state, rows, g, dispersion = (
            table[stretch, variables] for table in (self.state, self.rows, self.g, self.dispersion)
        )
        return Decision(stretch, state, rows, g, dispersion, self.limit)


def scan(
    trained: NDArray[np.int64],
    timeline: Timeline,
    firsts: NDArray[np.intp],
    degrees: NDArray[np.int64],
    *,
    alpha: Floats | float,
    collisions: float | None,
    least_recurrence: float = 1.0,
    statistic: Statistic = g_statistics,
) -> Scan:
    """Compare all stretches of all variables with training.

    Args:
        trained: Rows per group in training, one variable after the other, shape (groups,).
        timeline: Live counts by stretch.
        firsts: Index of each variable's first group.
        degrees: Degrees of freedom of each variable's G.
        alpha: False-alarm probability of each variable, shape (variables,), or one for all.
        collisions: Probability that two rows of training are equal; None if it is unknown.
        least_recurrence: Recurrence of the sample that takes the place of training.
        statistic: Function that computes G, as `g_statistics` does.
    """
    rows, plain = per_variable(timeline.groups, firsts), statistic(trained, timeline.groups, firsts, None)
    share = alpha if timeline.rows is None else alpha / TESTS
    limit = chi_squared_limits(share, degrees)
    enough = (rows >= MINIMUM_ROWS) & (per_variable(trained, firsts) >= MINIMUM_ROWS)
    if timeline.rows is None:
        sample = Scan(np.ones(1), rows, plain, plain, np.ones_like(plain), limit, _states(enough, plain > limit))
        sample.state[sample.state == State.UNSTEADY] = State.CALLED
        return sample

    recurring = recurrence(timeline.rows.buckets, collisions)
    # A fault, such as a lost column, may leave few different rows. They may be repeats too, unless rows always recur
    # as often.
    is_few = (recurring > NOTICEABLE) & (timeline.rows.buckets.sum(axis=1) / recurring < MINIMUM_ROWS)
    if is_few.any():
        usual = usual_recurrence(_differences(timeline.rows.buckets[timeline.minutes]))
        is_few &= recurring > AS_USUAL * usual
    recurring = np.where(is_few, np.nan, recurring)
    is_known = ~np.isnan(recurring)
    phi = np.maximum(at_least(recurring), least_recurrence)[:, np.newaxis].repeat(len(firsts), axis=1)
    g = _of_counting_rows(trained, timeline, firsts, phi, where=plain > limit, otherwise=plain, statistic=statistic)
    enough &= ~is_known[:, np.newaxis] | (rows / phi >= MINIMUM_ROWS)
    above = enough & (g > limit)
    enough &= above | ~is_few[:, np.newaxis]
    scanned = Scan(recurring, rows, plain, g, phi, limit, _states(enough, above))

    may_count = is_known & (requests_of(timeline.rows) >= MINIMUM_ROWS)
    by_rows = may_count & ~_are_new_batches(timeline)
    _call_by_rows(scanned, above & by_rows[:, np.newaxis], timeline, trained, firsts, statistic)
    for stretch in np.flatnonzero(above.any(axis=1) & ~by_rows).tolist():
        slots = timeline.slots_of(stretch, finest=bool(may_count[stretch]))
        _call_by_parts(scanned, stretch, slots, above[stretch], timeline, trained, firsts, degrees, share, statistic)
    scanned.state[(scanned.state == State.UNSTEADY) & (may_count & ~by_rows)[:, np.newaxis]] = State.FEW_REQUESTS
    _settle_batches(scanned, is_known & _are_batches(timeline.rows), phi, timeline, trained, firsts, statistic)
    return scanned


def _are_batches(rows: RowCounts) -> NDArray[np.bool_]:
    """Return whether rows of each stretch came in batches."""
    in_batches: NDArray[np.bool_] = rows.buckets.sum(axis=1) > BATCH * requests_of(rows)
    return in_batches


def _are_new_batches(timeline: Timeline) -> NDArray[np.bool_]:
    """Return whether rows of each stretch came in batches, and too few minutes show how much these differ.

    If all rows ever came within ten seconds, as in a job, requests are believed: there is no other witness.
    """
    assert timeline.rows is not None
    if len(timeline) == 1:
        return np.zeros(1, dtype=bool)
    marks = np.array([len(timeline.marks_of(stretch)) for stretch in range(len(timeline))])
    return np.logical_and(_are_batches(timeline.rows), marks <= LEAST_TRANSITIONS)


def _of_counting_rows(
    trained: NDArray[np.int64],
    timeline: Timeline,
    firsts: NDArray[np.intp],
    phi: Floats,
    *,
    where: NDArray[np.bool_],
    otherwise: Floats,
    statistic: Statistic,
) -> Floats:
    """Return G of rows / φ for stretches in which *where* holds and φ is above 1 for a variable; else *otherwise*."""
    stretches = np.flatnonzero((where & (phi > 1)).any(axis=1))
    g = otherwise.copy()
    if len(stretches):
        g[stretches] = statistic(trained, timeline.groups[stretches], firsts, phi[stretches])
    return g


def _states(enough: NDArray[np.bool_], above: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Return the states before the corrections for dependent rows; a G above its limit is UNSTEADY so far."""
    return np.where(enough, np.where(above, State.UNSTEADY, State.WITHIN_LIMIT), State.FEW_ROWS).astype(np.int8)


def _call_by_rows(
    scanned: Scan,
    is_above: NDArray[np.bool_],
    timeline: Timeline,
    trained: NDArray[np.int64],
    firsts: NDArray[np.intp],
    statistic: Statistic,
) -> None:
    """Call drift where G still passes with rows divided by the dispersion between neighbouring slots."""
    if is_above.any():
        phi = np.maximum(scanned.dispersion, _unsteadiness(timeline, trained, firsts))
        is_raised = is_above & (phi > scanned.dispersion)
        scanned.dispersion[is_above] = phi[is_above]
        of_fewer = _of_counting_rows(
            trained, timeline, firsts, phi, where=is_raised, otherwise=scanned.g, statistic=statistic
        )
        scanned.g[is_raised] = of_fewer[is_raised]
        scanned.state[is_above & (scanned.g > scanned.limit)] = State.CALLED


def _call_by_parts(
    scanned: Scan,
    stretch: int,
    slots: NDArray[np.intp],
    is_above: NDArray[np.bool_],
    timeline: Timeline,
    trained: NDArray[np.int64],
    firsts: NDArray[np.intp],
    degrees: NDArray[np.int64],
    alpha: Floats | float,
    statistic: Statistic,
) -> None:
    """Call drift where G still passes with rows divided by the dispersion between parts; else note the obstacle."""
    assert timeline.rows is not None
    parts = _parts(timeline, slots)
    if parts is None:
        scanned.state[stretch, is_above] = _obstacle(
            timeline.rows, stretch, is_known=not np.isnan(scanned.recurrence[stretch])
        )
        return

    differing, unknown = _by_parts(parts, trained, firsts, degrees, alpha)
    phi = np.maximum(np.maximum(differing, _recurrence_in_parts(timeline, slots)), scanned.dispersion[stretch])
    live = timeline.groups[stretch : stretch + 1]
    g, of_parts = (statistic(trained, live, firsts, by[np.newaxis])[0] for by in (phi * unknown, phi))
    is_called = (g > scanned.limit) & (scanned.rows[stretch] / phi >= MINIMUM_ROWS)

    g = np.where(is_called, g, of_parts)  # an unclear G is shown without the uncertainty of φ
    scanned.dispersion[stretch, is_above], scanned.g[stretch, is_above] = phi[is_above], g[is_above]
    scanned.state[stretch, is_above & is_called] = State.CALLED


def _settle_batches(
    scanned: Scan,
    are_batches: NDArray[np.bool_],
    phi: Floats,
    timeline: Timeline,
    trained: NDArray[np.int64],
    firsts: NDArray[np.intp],
    statistic: Statistic,
) -> None:
    """Call nothing unclear that the rows of one request explain, because these are alike.

    Then neighbouring slots of ten seconds differ by as much as longer ones; changes that come and go are longer.
    """
    unsettled = are_batches[:, np.newaxis] & np.isin(scanned.state, (State.UNSTEADY, State.FEW_REQUESTS))
    if len(timeline.finest) < FINE_SLOTS or not unsettled.any():
        return
    differing = between_neighbours(_differences(timeline.groups[timeline.finest]), trained, firsts)
    phi = np.maximum(phi, differing)
    g = _of_counting_rows(trained, timeline, firsts, phi, where=unsettled, otherwise=scanned.g, statistic=statistic)
    settled = unsettled & (g <= scanned.limit)
    scanned.g[settled], scanned.dispersion[settled] = g[settled], phi[settled]
    scanned.state[settled] = _states(scanned.rows >= MINIMUM_ROWS * phi, np.zeros_like(settled))[settled]


def dispersions_by_reach(
    trained: NDArray[np.int64],
    timeline: Timeline,
    firsts: NDArray[np.intp],
    degrees: NDArray[np.int64],
    reaches: Sequence[float],
    *,
    alpha: Floats | float,
    collisions: float | None,
) -> Floats:
    """Return the number by which G is divided where only whole windows are known, shape (reaches, variables).

    It is the divisor of rows in `scan`, for the longest stretch within each reach; for rows within one slot, it is the
    upper bound of that divisor.

    Args:
        trained: Rows per group in training, one variable after the other, shape (groups,).
        timeline: Live counts by stretch.
        firsts: Index of each variable's first group.
        degrees: Degrees of freedom.
        reaches: Seconds that each window reaches back.
        alpha: False-alarm probability of each variable, shape (variables,), or one for all.
        collisions: Probability that two rows of training are equal; None if it is unknown.
    """
    assert timeline.rows is not None
    dispersions = np.ones((len(reaches), len(firsts)))
    recurring, most = recurrence(timeline.rows.buckets, collisions), equal_rows(timeline.rows.buckets)
    requests, unsteadiness = requests_of(timeline.rows), _unsteadiness(timeline, trained, firsts)
    are_new_batches = _are_new_batches(timeline)

    for number, reach in enumerate(reaches):
        if (stretch := timeline.first_within(reach)) == len(timeline):
            continue
        is_known, has_requests = not np.isnan(recurring[stretch]), requests[stretch] >= MINIMUM_ROWS
        slots = timeline.slots_of(stretch, finest=bool(is_known and has_requests))
        if is_known and has_requests and not are_new_batches[stretch]:
            dispersions[number] = np.maximum(at_least(recurring[stretch]), unsteadiness[stretch])
        elif (parts := _parts(timeline, slots)) is not None:
            differing, unknown = _by_parts(parts, trained, firsts, degrees, alpha)
            differing = np.maximum(differing, _recurrence_in_parts(timeline, slots))
            dispersions[number] = np.where(np.isfinite(unknown), differing * unknown, most[stretch])
        else:
            rows = timeline.rows.buckets[stretch].sum()
            is_safe = has_requests and not are_new_batches[stretch]
            dispersions[number] = max(float(most[stretch]), 1.0 if is_safe else float(rows / requests[stretch]))

    return dispersions


def _parts(timeline: Timeline, slots: NDArray[np.intp]) -> Floats | None:
    """Return the counts of the parts of a stretch, shape (parts, groups); None if it lies within one slot."""
    return _differences(timeline.groups[parts_of(slots)]) if len(slots) > 1 else None


def _recurrence_in_parts(timeline: Timeline, slots: NDArray[np.intp]) -> float:
    """Return how many times rows come within a part of a stretch, beyond their rate in all of it."""
    assert timeline.rows is not None
    return float(recurrence_within(_differences(timeline.rows.buckets[parts_of(slots)])))


def _by_parts(
    parts: Floats,
    trained: NDArray[np.int64],
    firsts: NDArray[np.intp],
    degrees: NDArray[np.int64],
    alpha: Floats | float,
) -> tuple[Floats, Floats]:
    """Return the dispersion between parts, and the factor by which it may be larger, for each variable.

    The factor is the limit of F over the limit of χ², infinite where no degrees of freedom are left.
    """
    differing, of_divisor = between_parts(parts, trained, firsts)
    limits, alphas = chi_squared_limits(alpha, degrees), np.broadcast_to(alpha, degrees.shape)
    tables = (table.tolist() for table in (alphas, degrees, of_divisor, limits))
    unknown = [
        k * f_limit(a, k, divisor) / limit if divisor else np.inf for a, k, divisor, limit in zip(*tables, strict=True)
    ]
    return np.maximum(differing, 1.0), np.array(unknown)


def requests_of(rows: RowCounts) -> Floats:
    """Return the effective number of requests in which rows came: (Σ rows)² / Σ rows²."""
    total: Floats = rows.buckets.sum(axis=1).astype(np.float64)
    return np.where(rows.squares > 0, np.maximum(total * total / np.maximum(rows.squares, 1), 1.0), np.inf)


def _unsteadiness(timeline: Timeline, trained: NDArray[np.int64], firsts: NDArray[np.intp]) -> Floats:
    """Return the dispersion between neighbouring slots around each stretch, shape (stretches, variables).

    Slots are minutes for stretches within the last hour, and quarters of an hour for longer ones.
    """
    of_minutes, of_quarters = (
        between_neighbours(_differences(timeline.groups[marks]), trained, firsts)
        for marks in (timeline.minutes, timeline.quarters)
    )
    is_short = (timeline.starts >= timeline.now - HOUR)[:, np.newaxis]
    return np.where(is_short, of_minutes, of_quarters)


def _differences(groups: NDArray[np.int64]) -> Floats:
    """Return the counts from each moment to the next, and from the last until now."""
    return np.diff(groups, axis=0, append=0) * -1.0


def _obstacle(rows: RowCounts, stretch: int, *, is_known: bool) -> State:
    """Return the state that says why rows within one slot cannot be judged."""
    if is_known:
        return State.FEW_REQUESTS
    buckets = rows.buckets[stretch].astype(np.float64)
    is_one = 2 * buckets.max() ** 2 > (buckets**2).sum()
    return State.ONE_ROW if is_one else State.FEW_DIFFERENT_ROWS
