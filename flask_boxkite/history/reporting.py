"""The making of a report: the pasts of a model, by baseline, become days, courses, changes and weeks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Baseline
from flask_boxkite.baseline.variables import Variable
from flask_boxkite.drift.statistics import population_stability_index, population_stability_indices
from flask_boxkite.drift.tables import Trained, per_variable
from flask_boxkite.drift.timeline import RowCounts
from flask_boxkite.drift.verdict import DRIFTED_SIZE, MAJOR_SIZE, MINIMUM_ROWS, Verdict
from flask_boxkite.history.change import WEEK, Change, beginning, changes, compared
from flask_boxkite.history.coarse import coarse
from flask_boxkite.history.days import date_of, day_of, hour_text
from flask_boxkite.history.past import Past
from flask_boxkite.history.performance import HEADLINES, realised, validated
from flask_boxkite.history.report import DayTotals, HistoryReport, VariableDay, VariableHistory, WeekChange
from flask_boxkite.history.weights import weights_of
from flask_boxkite.history.window_report import window_report
from flask_boxkite.live.history_file import HOURS_A_DAY
from flask_boxkite.live.outcome_cells import OutcomeCells
from flask_boxkite.naming import STATUSES
from flask_boxkite.values.rowhash import ROW_BUCKETS

__all__ = ["Served", "history_report"]

_MOST_SEARCHED = 5
"""Most days whose hours are searched for the beginning of a change."""


@dataclass(frozen=True)
class Served:
    """The past of a model with one baseline.

    Attributes:
        baseline: The baseline; None if the model had none.
        past: Totals of its predictions.
        outcomes: Totals of its outcomes; None if there are none.
    """

    baseline: Baseline | None
    past: Past
    outcomes: Past | None = None

    @cached_property
    def coarse(self) -> Baseline | None:
        """The baseline with one cell for each group."""
        return None if self.baseline is None else coarse(self.baseline)

    @cached_property
    def trained(self) -> Trained | None:
        """Its training counts."""
        return None if self.coarse is None else Trained(self.coarse.variables)

    def counts(self, days: Sequence[int]) -> NDArray[np.int64]:
        """Return the rows per group of some days, shape (days, groups)."""
        groups = self.past.groups
        found = [self.past.days[day][:groups] for day in days]
        return np.array(found, dtype=np.int64).reshape(len(days), groups)

    def weighted(self, days: Sequence[int]) -> NDArray[np.float64]:
        """Return the same, with less weight for days whose rows are more alike than on most days."""
        assert self.baseline is not None
        groups = self.past.groups
        whole = np.array([self.past.days[day][groups : groups + ROW_BUCKETS + 1] for day in days], dtype=np.int64)
        whole = whole.reshape(len(days), ROW_BUCKETS + 1)
        weights = weights_of(RowCounts(whole[:, :-1], whole[:, -1]), self.baseline.row_collisions)
        return self.counts(days) * weights[:, np.newaxis]

    @cached_property
    def sizes(self) -> dict[int, _Sizes]:
        """The drift of each day, as far as it was asked for."""
        return {}

    def sizes_of(self, day: int) -> _Sizes | None:
        """Return the drift of a day with rows; None without a baseline."""
        if self.trained is None or not len(self.trained.variables):
            return None
        if day not in self.sizes:
            self.sizes[day] = _sizes(self.trained, self.past.days[day][: self.past.groups])
        return self.sizes[day]


def history_report(
    model: str, served: Sequence[Served], own: str | None, *, days: int, now: float, alpha: float
) -> HistoryReport:
    """Report on the last days of a model.

    Args:
        model: Name of the model.
        served: Its pasts, one for each baseline.
        own: Fingerprint of the baseline that is served now; None if there is none.
        days: Number of days, with today.
        now: Present Unix time.
        alpha: False-alarm probability of one check of the whole model.
    """
    today = day_of(now)
    span = range(today - days + 1, today + 1)
    present = next((item for item in served if item.baseline is not None and item.baseline.fingerprint == own), None)
    ahead = sum(_answered(item, numbers) for item in served for day, numbers in item.past.days.items() if day > today)
    layout = _outcome_layout(present)
    metric = None if layout is None else HEADLINES[layout.validation.kind]
    return HistoryReport(
        model,
        own,
        days,
        tuple(_days(served, span)),
        tuple(sorted(_variables(present, served, span, now, alpha), key=_most_first)) if present is not None else (),
        metric,
        None if layout is None or metric is None else validated(layout, metric),
        ahead,
    )


def _most_first(item: VariableHistory) -> tuple[bool, float]:
    return not item.has_moved, -max(item.training.size or 0.0, item.week.size or 0.0)


# --- days ------------------------------------------------------------------------------------------------------------


def _days(served: Sequence[Served], span: range) -> Iterator[DayTotals]:
    for day in span:
        own = [(item, item.past.days[day]) for item in served if day in item.past.days]
        come = [item for item in served if item.outcomes is not None and day in item.outcomes.days]
        if not own and not come:
            continue
        rows = np.sum([_statuses(item, numbers) for item, numbers in own] or [[0] * len(STATUSES)], axis=0)
        most = max(own, key=lambda pair: sum(_statuses(*pair)), default=None)
        baseline = None if most is None else most[0].baseline
        size = None if most is None else _overall(most[0].sizes_of(day))
        yield DayTotals(
            date_of(day),
            dict(zip(STATUSES, map(int, rows), strict=True)),
            "" if baseline is None else baseline.fingerprint,
            None if baseline is None else baseline.version,
            size,
            *_performance(come, day),
        )


def _statuses(item: Served, numbers: NDArray[np.int64]) -> list[int]:
    start = item.past.groups + ROW_BUCKETS + 1
    found: list[int] = numbers[start : start + len(STATUSES)].tolist()
    return found


def _answered(item: Served, numbers: NDArray[np.int64]) -> int:
    return sum(_statuses(item, numbers))


def _overall(sizes: _Sizes | None) -> float | None:
    """Return the mean size of all variables that have enough rows; None if none has."""
    if sizes is None or not (enough := sizes.rows >= MINIMUM_ROWS).any():
        return None
    return float(np.maximum(sizes.psi - sizes.noise, 0.0)[enough].mean())


class _Sizes(NamedTuple):
    """The drift of all variables on one day, arrays of shape (variables,).

    Attributes:
        psi: Population stability index against training.
        noise: Index that sampling alone gives.
        rows: Number of rows.
    """

    psi: NDArray[np.float64]
    noise: NDArray[np.float64]
    rows: NDArray[np.int64]


def _sizes(trained: Trained, groups: NDArray[np.int64]) -> _Sizes:
    firsts = trained.sums.firsts
    rows, known = per_variable(groups, firsts), per_variable(trained.counts, firsts)
    filled = per_variable((groups + trained.counts > 0).astype(np.int64), firsts)
    noise = np.maximum(filled - 1, 0) * (1 / np.maximum(known, 1) + 1 / np.maximum(rows, 1))
    return _Sizes(population_stability_indices(trained.counts, groups, firsts), noise, rows)


def _outcome_layout(item: Served | None) -> OutcomeCells | None:
    if item is None or item.baseline is None or item.baseline.validation is None:
        return None
    return OutcomeCells(item.baseline.validation)


def _performance(come: Sequence[Served], day: int) -> tuple[int, float | None, float | None, float | None]:
    """Return the number of outcomes of a day, and the headline metric of the baseline that most of them are for."""
    found = []
    for item in come:
        layout = _outcome_layout(item)
        assert item.outcomes is not None
        if layout is not None and len(cells := item.outcomes.days[day]) == layout.size:
            found.append((int(layout.counts(cells).sum()), layout, cells))
    if not found or not (total := sum(number for number, *_ in found)):
        return 0, None, None, None
    _, layout, cells = max(found, key=lambda each: each[0])
    return (total, *realised(layout, cells)[HEADLINES[layout.validation.kind]])


# --- variables -------------------------------------------------------------------------------------------------------


def _variables(
    present: Served, served: Sequence[Served], span: range, now: float, alpha: float
) -> Iterator[VariableHistory]:
    baseline, trained = present.coarse, present.trained
    assert baseline is not None
    assert trained is not None
    days = [day for day in span if day in present.past.days]
    slots, weighted = present.counts(days), present.weighted(days)
    alone = alpha / baseline.tests

    found = changes(weighted, trained.sums.firsts, alone, np.array(days, dtype=np.int64))
    since_training = _since_training(baseline, present.past, now, alpha)
    courses = _courses(served, span)
    weeks = [np.array([first <= span[-1] - day < first + WEEK for day in days], dtype=bool) for first in (0, WEEK)]
    for place, (variable, own) in enumerate(zip(trained.variables, trained.groups, strict=True)):
        this, before = (weighted[is_in, own] for is_in in weeks)
        rows = [int(slots[is_in, own].sum()) for is_in in weeks]
        began, first, last = _marks(present.past, days, slots[:, own], own, found[place])
        yield VariableHistory(
            variable.name,
            variable.side,
            tuple(courses.get((variable.side, variable.name), ())),
            began,
            first,
            last,
            _week(before, this, rows, alone),
            since_training[place],
        )


def _marks(
    past: Past, days: Sequence[int], slots: NDArray[np.int64], own: slice, change: Change | None
) -> tuple[str | None, str | None, str | None]:
    """Return the beginning of a change, and its first and last likely beginning: as hours if possible, else as days.

    All are None without a change. A change may begin in the course of a day, whose rows are then between the ones
    before and since. So the day before the first split is likely too.
    """
    if change is None:
        return None, None, None
    first = max(change.first - 1, 0)
    before, since = slots[:first].sum(axis=0), slots[change.last + 1 :].sum(axis=0)
    is_sharp = change.last - first < _MOST_SEARCHED and min(before.sum(), since.sum()) >= MINIMUM_ROWS
    if is_sharp and all(map(past.has_all_hours_of, days[first : change.last + 1])):
        hours = list(past.hours(days[first] * HOURS_A_DAY, (days[change.last] + 1) * HOURS_A_DAY - 1))
        if hours:
            found = beginning(np.array([rows[own] for _, rows in hours]), before, since)
            names = [hour for hour, _ in hours]
            names.append(names[-1] + 1)
            return hour_text(names[found.slot]), hour_text(names[found.first]), hour_text(names[found.last])
    return date_of(days[change.slot]), date_of(days[first]), date_of(days[change.last])


def _courses(served: Sequence[Served], span: range) -> dict[tuple[str, str], list[VariableDay]]:
    """Return the course of each variable: of days with several baselines, the one with most rows."""
    points: dict[tuple[str, str], dict[int, VariableDay]] = {}
    for item in served:
        for day in span:
            if item.trained is None or day not in item.past.days or (sizes := item.sizes_of(day)) is None:
                continue
            columns = (column.tolist() for column in sizes)
            for variable, psi, noise, rows in zip(item.trained.variables, *columns, strict=True):
                _note(points, variable, day, rows, psi, noise)
    return {key: [own[day] for day in sorted(own)] for key, own in points.items()}


def _note(
    points: dict[tuple[str, str], dict[int, VariableDay]],
    variable: Variable,
    day: int,
    rows: int,
    psi: float,
    noise: float,
) -> None:
    own = points.setdefault((variable.side, variable.name), {})
    if rows >= MINIMUM_ROWS and (day not in own or own[day].rows < rows):
        own[day] = VariableDay(date_of(day), rows, psi, noise + DRIFTED_SIZE)


def _week(before: NDArray[np.float64], this: NDArray[np.float64], rows: Sequence[int], alpha: float) -> WeekChange:
    """Compare the last seven days with the seven days before.

    Args:
        before: Weighted rows per group of the days before, shape (days, groups).
        this: The same of the last days.
        rows: Number of rows of this week, and of the week before.
        alpha: Probability of a false alarm.
    """
    found = compared(before, this, alpha) if len(before) and len(this) else None
    if found is None:
        return WeekChange("not enough data", None, *rows)
    sums = before.sum(axis=0), this.sum(axis=0)
    # The week before is as dispersed as this one, unlike training, a sample of independent rows.
    noise = (np.count_nonzero(sums[0] + sums[1]) - 1) * found.dispersion * (1 / before.sum() + 1 / this.sum())
    size = max(population_stability_index(*sums) - float(noise), 0.0)
    return WeekChange(_verdict(size, is_significant=found.is_significant), size, *rows)


def _since_training(baseline: Baseline, past: Past, now: float, alpha: float) -> list[WeekChange]:
    """Return the verdict on each variable, as of `drift("7d")`."""
    report = window_report(baseline, past, WEEK, now, alpha)
    by_name = {(item.side, item.name): item for item in report}
    return [
        WeekChange(item.verdict, item.judgement.size if item.rows else None, item.live_rows, item.baseline_rows)
        for item in (by_name[variable.side, variable.name] for variable in baseline.variables)
    ]


def _verdict(size: float, *, is_significant: bool) -> Verdict:
    if not is_significant:
        return "stable"
    return "shifted" if size < DRIFTED_SIZE else "drifted" if size < MAJOR_SIZE else "major"
