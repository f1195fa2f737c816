"""How soon a change is called that begins while the server runs, beside a test that knows when it began."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

from flask_boxkite.drift.scan import MINIMUM_ROWS, TESTS, State, scan
from flask_boxkite.drift.statistics import chi_squared_limit, g_statistics
from flask_boxkite.drift.timeline import DAY, MINUTE, RowCounts, Timeline, begins_stretch
from flask_boxkite.values.rowhash import ROW_BUCKETS

from .models import Change, Model, Variable, all_missing, models, moved_deciles
from .repeats import NOW

__all__ = [
    "ALPHA",
    "BEFORE",
    "KINDS",
    "RATES",
    "SWING",
    "TRAINED",
    "Course",
    "Delays",
    "Kind",
    "cases",
    "delays_of",
    "seasonal_shares",
]

ALPHA = 1e-5
"""Of the whole model: the default."""

TRAINED = (400, 10_000)
RATES = (40, 200)
BEFORE = (1, 5, 60)
"""Minutes without a change, before it."""

SWING = 0.3
"""Of the daily season, in standard deviations."""

FIRST = 10
"""Checks of which is said how often they overlook what is plain."""

FALLS_BACK, OVERLOOKS, LATER = 0.01, 0.02, 1

Shares = Callable[[Variable, float], NDArray[np.float64]]


@dataclass(frozen=True)
class Kind:
    """A change.

    Attributes:
        name: As it is printed.
        now: Returns the shares of the variable that changes, so many minutes after the change began.
        needs: ``continuous`` or ``category``, if it cannot happen to other variables.
        is_of_all: Whether all variables are missing then.
        is_whole_day: Whether it holds for hours and is looked at for hours; there is nothing before it.
    """

    name: str
    now: Shares
    needs: str = ""
    is_of_all: bool = False
    is_whole_day: bool = False

    @property
    def checks(self) -> list[int]:
        """The minutes after the change began in which is checked until it is called."""
        return [*range(1, 61), *range(75, 361, 15)] if self.is_whole_day else list(range(1, 61))

    @property
    def later(self) -> set[int]:
        """The minutes in which is checked also after it was called."""
        return set(range(15, 361, 15) if self.is_whole_day else [*range(1, 11), *range(15, 61, 5)])


def _missing(variable: Variable, minute: float) -> NDArray[np.float64]:
    return np.array(variable.missing.shares)


def _category(variable: Variable, minute: float) -> NDArray[np.float64]:
    """Return shares after one category of 10 % has become one of 27 %."""
    shares = np.array(variable.shares)
    place = int(np.argmin(np.abs(shares - 0.1)))
    others = shares * (1 - 0.27) / (1 - shares[place])
    others[place] = 0.27
    return others


def _on_and_off(variable: Variable, minute: float) -> NDArray[np.float64]:
    return np.array(variable.shares if int(minute) // 5 % 2 else variable.missing.shares)


def seasonal_deciles(swing: float = SWING) -> NDArray[np.float64]:
    """Return where ten parts of training end that is of all hours, if the mean swings by so many deviations."""
    phases = swing * np.sin(2 * np.pi * (np.arange(96) + 0.5) / 96)

    def below(x: float) -> float:
        return float(stats.norm.cdf(x - phases).mean())

    return np.array(
        [optimize.brentq(lambda x, share=share: below(x) - share, -5, 5) for share in np.arange(1, 10) / 10]
    )


_SEASONAL = seasonal_deciles()


def seasonal_shares(minute: ArrayLike) -> NDArray[np.float64]:
    """Return the shares of a continuous variable so many minutes after its mean rose to the mean of all hours."""
    return moved_deciles(SWING * np.sin(2 * np.pi * np.asarray(minute, dtype=np.float64) * MINUTE / DAY), _SEASONAL)


def _moved(variable: Variable, minute: float) -> NDArray[np.float64]:
    return moved_deciles(1.0)


def _moving(variable: Variable, minute: float) -> NDArray[np.float64]:
    return moved_deciles((minute + 0.5) / 60)


def _season(variable: Variable, minute: float) -> NDArray[np.float64]:
    return seasonal_shares(minute + 0.5)


KINDS = (
    Kind("missing", _missing),
    Kind("+1 sd", _moved, needs="continuous"),
    Kind("category 10 -> 27 %", _category, needs="category"),
    Kind("all missing", _missing, is_of_all=True),
    Kind("+1 sd in an hour", _moving, needs="continuous"),
    Kind("missing on and off", _on_and_off),
    Kind("season of a day", _season, needs="continuous", is_whole_day=True),
)


@dataclass(frozen=True)
class Case:
    """What is simulated.

    Attributes:
        model: The model.
        variable: Which of its variables changes.
        kind: How.
        trained: Training rows.
        rate: Rows a minute; they come at random.
        before: Minutes without the change, before it.
    """

    model: Model
    variable: int
    kind: Kind
    trained: int
    rate: int
    before: int


@dataclass(frozen=True)
class Delays:
    """How long it takes, in minutes; infinite where it is not within the time that is looked at.

    Attributes:
        case: What was simulated.
        known: Median and 90 % of a test that knows when the change began, and that rows are independent (φ = 1).
        split: The same with the alpha of one of all stretches.
        called: Median and 90 % of the rule.
        unclear: Median and 90 % until it says ``unclear`` or calls.
        falls_back: Share of checks after the first call that do not call though the test at the same alpha does.
        overlooks: Share of the first checks that say ``stable``, of those in which the test at the same alpha calls.
    """

    case: Case
    known: tuple[float, float]
    split: tuple[float, float]
    called: tuple[float, float]
    unclear: tuple[float, float]
    falls_back: float
    overlooks: float

    @property
    def missed(self) -> list[str]:
        """What bars are missed."""
        names = []
        if self.case.model.entropy == "high" and self.called[0] > self.split[0] + LATER:
            names.append("late")
        if self.falls_back > FALLS_BACK:
            names.append("falls back")
        if self.overlooks > OVERLOOKS:
            names.append("stable")
        return names


def cases() -> Iterator[Case]:
    """Return all cases."""
    for model in models():
        if len(model.variables) > 20:
            continue
        for kind in KINDS:
            if kind.is_of_all and len(model.variables) == 1:
                continue  # the same as one
            if (variable := _variable_for(model, kind)) is None:
                continue
            for trained in TRAINED:
                for rate in RATES:
                    for before in (0,) if kind.is_whole_day else BEFORE:
                        yield Case(model, variable, kind, trained, rate, before)


def _variable_for(model: Model, kind: Kind) -> int | None:
    for number, variable in enumerate(model.variables):
        is_category = not variable.is_continuous and len(variable.shares) > 6
        if {"": True, "continuous": variable.is_continuous, "category": is_category}[kind.needs]:
            return number
    return None


class Course:
    """What was counted in so many runs of a case, minute by minute.

    Args:
        case: What is simulated.
        runs: How many runs.
        rng: Of random numbers.
    """

    def __init__(self, case: Case, runs: int, rng: np.random.Generator) -> None:
        self.case = case
        minutes = case.before + case.kind.checks[-1]
        variable = case.model.variables[case.variable]
        size = len(variable.shares)
        groups, buckets = (
            np.zeros((minutes + 1, runs, size), np.int64),
            np.zeros((minutes + 1, runs, ROW_BUCKETS), np.int64),
        )
        for minute in range(minutes):
            rows = rng.poisson(case.rate, runs)
            run = np.repeat(np.arange(runs), rows)
            drawn, bucket = case.model.draw(rng, len(run), self._variables(minute - case.before))
            group = drawn[case.variable] - case.model.firsts[case.variable]
            groups[minute + 1] = np.bincount(run * size + group, minlength=runs * size).reshape(runs, size)
            buckets[minute + 1] = np.bincount(run * ROW_BUCKETS + bucket, minlength=runs * ROW_BUCKETS).reshape(
                runs, -1
            )
        self._groups, self._buckets = np.cumsum(groups, axis=0), np.cumsum(buckets, axis=0)
        # Training that is of all hours has parts that are equally large too.
        self.trained = rng.multinomial(case.trained, variable.shares, size=runs)
        self._begin = NOW + MINUTE * rng.integers(0, 15, size=runs)
        self._collisions = [case.model.collisions(rng, case.trained) for _ in range(min(runs, 10))]

    def _variables(self, since: int) -> Change | None:
        """Return the variables so many minutes after the change began."""
        if since < 0:
            return None
        if self.case.kind.is_of_all:
            return all_missing(self.case.model)
        variables = list(self.case.model.variables)
        variables[self.case.variable] = variables[self.case.variable].changed(self._at(since))
        return tuple(variables)

    def _at(self, since: float) -> NDArray[np.float64]:
        return self.case.kind.now(self.case.model.variables[self.case.variable], since)

    @property
    def alpha(self) -> float:
        """Of one variable."""
        return ALPHA / len(self.case.model.variables)

    @property
    def degrees(self) -> int:
        """Of freedom, of G."""
        return int(self._groups.shape[2]) - 1

    @cached_property
    def known(self) -> NDArray[np.float64]:
        """G from the beginning of the change to each check, shape (checks, runs); 0 with too few rows."""
        begin = self.case.before
        live = self._groups[[begin + check for check in self.case.kind.checks]] - self._groups[begin]
        runs, size = self.trained.shape
        g = g_statistics(self.trained.ravel(), live.reshape(len(live), -1), np.arange(runs) * size)
        return np.where(live.sum(axis=2) >= MINIMUM_ROWS, g, 0.0)

    def state(self, run: int, check: int) -> State:
        """Return what is said of the variable so many minutes after the change began."""
        end = self.case.before + check
        starts = self._begin[run] + MINUTE * np.arange(end)
        now = self._begin[run] + MINUTE * end
        kept = np.flatnonzero(begins_stretch(starts, now))
        rows = self._buckets[end, run] - self._buckets[kept, run]
        timeline = Timeline(
            starts[kept], self._groups[end, run] - self._groups[kept, run], RowCounts(rows, rows.sum(axis=1)), now
        )
        found = scan(
            self.trained[run],
            timeline,
            np.zeros(1, dtype=np.intp),
            np.array([self.degrees]),
            alpha=self.alpha,
            collisions=self._collisions[run % len(self._collisions)],
        )
        return State(found.decide().state[0])


def delays_of(case: Case, runs: int, seed: int) -> Delays:
    """Simulate so many runs of a case."""
    rng = np.random.default_rng(
        [seed, case.trained, case.rate, case.before, *f"{case.model.name}{case.kind.name}".encode()]
    )
    course = Course(case, runs, rng)
    checks = case.kind.checks
    is_known, is_split = (
        course.known > chi_squared_limit(course.alpha / tests, course.degrees) for tests in (1, TESTS)
    )
    called, unclear = (np.full(runs, math.inf) for _ in range(2))
    later = fallen = plain = overlooked = 0
    for number, check in enumerate(checks):
        for run in range(runs):
            is_late = called[run] < math.inf
            if is_late and check not in case.kind.later:
                continue
            state = course.state(run, check)
            if state == State.CALLED:
                called[run] = min(called[run], check)
            if state > State.WITHIN_LIMIT:
                unclear[run] = min(unclear[run], check)
            if is_late:
                later += 1
                fallen += bool(state != State.CALLED and is_split[number, run])
            if number < FIRST and is_split[number, run]:
                plain += 1
                overlooked += state == State.WITHIN_LIMIT
    known, split = (
        np.where(is_above.any(axis=0), np.array(checks)[is_above.argmax(axis=0)], math.inf)
        for is_above in (is_known, is_split)
    )
    return Delays(
        case,
        known=_median_and_most(known),
        split=_median_and_most(split),
        called=_median_and_most(called),
        unclear=_median_and_most(unclear),
        falls_back=fallen / max(later, 1),
        overlooks=overlooked / max(plain, 1),
    )


def _median_and_most(delays: NDArray[np.float64]) -> tuple[float, float]:
    """Return the median and what 90 % are within; none of them between two runs."""
    ordered = np.sort(delays)
    return float(ordered[(len(ordered) - 1) // 2]), float(ordered[math.ceil(0.9 * len(ordered)) - 1])
