"""Content of the page: observations, sorted and filtered, with the texts and charts that templates need."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from types import MappingProxyType
from typing import Any, TypeAlias
from urllib.parse import urlencode

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from flask_boxkite.baseline import Baseline
from flask_boxkite.baseline.distribution import Continuous
from flask_boxkite.delivery.counts import RecorderCounts
from flask_boxkite.drift.pairs import PairDrift
from flask_boxkite.drift.report import DriftReport
from flask_boxkite.drift.uncounted import Uncounted
from flask_boxkite.drift.variable import VariableDrift
from flask_boxkite.drift.verdict import IGNORED, MOVED, WORST_FIRST, Verdict
from flask_boxkite.drift.wording import (
    CHANGED,
    category_label,
    group_name,
    pair_change,
    pair_numbers,
    percents,
    policy_texts,
    share_of_weight,
    size_cell,
    unknown_pairs,
)
from flask_boxkite.history.report import HistoryReport
from flask_boxkite.live.failed import Failures
from flask_boxkite.live.windows import LONGEST
from flask_boxkite.monitoring.findings import Finding
from flask_boxkite.monitoring.observation import Course, Observation
from flask_boxkite.page.calibration import calibration_chart
from flask_boxkite.page.chart_data import ChartData, Histogram, chart_data_of, group_data_of, plain_ends
from flask_boxkite.page.charts import course_chart, cumulative_chart, large_chart, small_chart
from flask_boxkite.page.history_view import history_view
from flask_boxkite.page.pair_chart import pair_chart
from flask_boxkite.page.wording import MEANINGS, ago, bound_texts, moment, number, rows_text, since_text, window_text
from flask_boxkite.performance.report import PerformanceReport
from flask_boxkite.performance.wording import (
    BLIND,
    coverage_line,
    effect_lines,
    expectation_line,
    metric_texts,
    uncounted_lines,
    verdict_line,
)

__all__ = ["PAGE_VARIABLES", "App", "ModelView", "Query", "VariableView", "course_heading", "course_picture"]

STATES = {"much worse": "major", "worse": "drifted", "as validated": "stable", "not enough data": "not-enough-data"}
"""Class of each verdict on performance in the style sheet."""

WORSE = ("much worse", "worse")
"""Verdicts on performance that need attention."""

MOST_LABELS = 12
"""Most actual values for which the page shows a confusion matrix."""

MOST_LETTERS = 20
"""Most letters below a small chart."""

LATELY = 23 * 3600.0
"""Seconds up to which a server counts as started within the last day."""

Since: TypeAlias = "Callable[[float | None], NDArray[np.int64]]"
"""Function that returns the counts since a moment; with None, of the whole window."""

PAGE_VARIABLES = 100
"""Number of variables that the overview shows on one page: each takes a millisecond and two kilobytes."""


@dataclass(frozen=True)
class Query:
    """A visitor's choices.

    Attributes:
        window: ``"5m"``, ``"1h"``, ``"24h"`` or days, such as ``"30d"``; None for all since the start.
        name: Part of a variable's name; empty for all.
        verdict: One verdict; empty for all.
        page: Number of the page of variables, from 1 on.
    """

    window: str | None = LONGEST
    name: str = ""
    verdict: str = ""
    page: int = 1

    def link(self, **changes: Any) -> str:
        """Return the query string with these changes; it leaves out empty and default values."""
        page = self.page if self.page > 1 else ""
        values = {"window": self.window or "start", "name": self.name, "verdict": self.verdict, "page": page} | changes
        return "?" + urlencode({key: value for key, value in values.items() if value})


class VariableView:
    """One variable of a model.

    Args:
        drift: Drift of the variable.
        live: Function that returns its live counts, of the decisive stretch of time if known.
        today: Date to omit from times, as ``"2026-01-31"``; None to omit none.
        has_groups: Whether its bins are groups.
    """

    def __init__(
        self,
        drift: VariableDrift,
        live: Callable[[], NDArray[np.int64]],
        today: str | None = None,
        *,
        has_groups: bool = False,
    ) -> None:
        self.drift = drift
        self.trained = drift.item
        self._live = live
        self._today = today
        self._has_groups = has_groups

    @cached_property
    def live(self) -> NDArray[np.int64]:
        """Live counts by cell."""
        return self._live()

    @cached_property
    def row(self) -> dict[str, Any]:
        """All its numbers, as in `DriftReport.to_rows`."""
        return self.drift.to_row()

    @cached_property
    def since(self) -> str:
        """Start of the stretch of time that decided; empty if that is the whole window."""
        return since_text(self.row, self._today)

    @cached_property
    def chart_data(self) -> ChartData:
        """Data of its charts."""
        return (group_data_of if self._has_groups else chart_data_of)(self.trained, self.live)

    @property
    def size(self) -> str | None:
        """The size of the change; None where no change is certain."""
        return size_cell(self.row) if self.drift.verdict in CHANGED else None

    @property
    def meaning(self) -> str:
        """The verdict as the rest of a sentence that begins with the name."""
        return MEANINGS[self.drift.verdict]

    @property
    def span(self) -> str:
        """The stretch of time that decided, with its rows; empty if that is the whole window."""
        return f"{self.since} ({rows_text(self.drift.rows)})" if self.since else ""

    @property
    def all_rows(self) -> str:
        """The live rows of the charts, if they are other rows than the verdict's; empty if not."""
        rows = int(self.live.sum())
        return rows_text(rows) if rows != self.drift.rows else ""

    @property
    def policy(self) -> str:
        """The weight and the sizes of drift that the user set for the variable; empty if none."""
        return ", ".join(policy_texts(self.row))

    @property
    def because(self) -> str:
        """The reason for an uncertain verdict, as the end of that sentence; empty if the verdict is certain."""
        if not self.drift.reason:
            return ""
        doubt = ", which cannot be told yet" if self.drift.verdict == "unclear" else ""
        return f"{doubt} ({self.drift.reason})"

    @property
    def moved(self) -> str:
        """Name of the group that moved most."""
        return self.drift.moved_most_text

    @property
    def small_chart(self) -> Markup:
        """Chart for the row of a table."""
        return small_chart(self.chart_data, self._label)

    @property
    def ends(self) -> list[str]:
        """Both ends of that chart; empty for categories, and where there is no room for both."""
        data, item = self.chart_data, self.trained
        texts: list[str] = []
        if isinstance(data, Histogram):
            texts = bound_texts(data.ends, is_time=data.is_time)
        elif isinstance(item, Continuous) and math.isfinite(item.extremes[0]):  # a bar for each group
            texts = bound_texts(plain_ends(*item.extremes, is_time=item.is_time), is_time=item.is_time)
        return texts if sum(map(len, texts)) <= MOST_LETTERS else []

    @property
    def large_chart(self) -> Markup:
        """The same chart, large and with scales."""
        return large_chart(self.chart_data, self._label)

    @property
    def cumulative_chart(self) -> Markup | None:
        """Chart of cumulative shares; None if values have no order."""
        if not isinstance(self.trained, Continuous) or not isinstance(self.chart_data, Histogram):
            return None
        label = f"Cumulative shares of {self.drift.name}, training and live"
        # Kolmogorov-Smirnov covers the whole window, but this chart may cover a part of it.
        return cumulative_chart(self.trained, self.live, self.chart_data, label, "apart by" if self.since else "K-S")

    @property
    def groups(self) -> list[tuple[str, float, float]]:
        """The groups that the verdict is based on: name, share in training, share live."""
        names = [group_name(self.trained, group.name) for group in self.trained.groups]
        shares = [[count / max(sum(counts), 1) for count in counts] for counts in (self.drift.before, self.drift.now)]
        return list(zip(names, *shares, strict=True))

    @property
    def _label(self) -> str:
        change = " to ".join(percents(self.drift.share_before, self.drift.share_now))
        return f"Shares of {self.drift.name}, training and live; most moved: {self.moved}, {change}"


class PairView:
    """Two variables of a model that go together in training.

    Args:
        drift: Drift of the pair.
    """

    def __init__(self, drift: PairDrift) -> None:
        self.drift = drift

    @cached_property
    def row(self) -> dict[str, Any]:
        """All its numbers, as in `PairDrift.to_row`."""
        return self.drift.to_row()

    @property
    def text(self) -> str:
        """A sentence about both, without the verdict."""
        return pair_change(self.row)

    @property
    def numbers(self) -> str:
        """Its numbers; empty where no change is certain."""
        return pair_numbers(self.row, "→") if self.drift.verdict in CHANGED else ""

    @property
    def axes(self) -> str:
        """The directions of both variables in the charts."""
        return f"{self.drift.second.name} ↑ by {self.drift.first.name} →"

    @property
    def charts(self) -> tuple[Markup, Markup]:
        """The tables of training and of live rows."""
        first, second = self.drift.first, self.drift.second
        items = first.distribution, second.distribution
        names = f"{second.name} (upwards) by {first.name}"
        return (
            pair_chart(items, self.drift.before, f"Shares of rows in training: {names}"),
            pair_chart(items, self.drift.now, f"Shares of rows live: {names}"),
        )


class PerformanceView:
    """The performance of a model.

    Args:
        report: Report on the model.
    """

    def __init__(self, report: PerformanceReport) -> None:
        self.report = report
        self._content = report.to_dict()

    @property
    def state(self) -> str:
        """Class of the verdict: a model as validated is shown as a stable variable is."""
        return STATES[self.report.verdict]

    @property
    def verdict(self) -> str:
        """The verdict on the outcomes, as a sentence."""
        return verdict_line(self._content)

    @property
    def lines(self) -> list[str]:
        """Further sentences: coverage, expectation, effects of features, rows and outcomes that were not counted."""
        content = self._content
        texts = (coverage_line(content), expectation_line(content), *effect_lines(content), *uncounted_lines(content))
        return list(filter(None, texts))

    @property
    def metrics(self) -> list[tuple[str, str, str, str, str]]:
        """Name of each metric, then its validated, expected and realised value, and the value of all rows."""
        return list(metric_texts(self._content))

    @property
    def chart(self) -> Markup | None:
        """Chart of the calibration; None if the outputs have no bins."""
        subject = "positive" if self.report.kind == "binary" else "right"
        return calibration_chart(self.report.bins, f"Share of {subject} rows by the output, validation and outcomes")

    @property
    def confusion(self) -> list[tuple[str, tuple[int, ...]]]:
        """Outcomes by predicted and actual value; empty if there are none, or too many values."""
        report = self.report
        is_shown = report.outcomes and 0 < len(report.labels) <= MOST_LABELS
        return list(zip(map(category_label, report.labels), report.confusion, strict=True)) if is_shown else []

    @property
    def actual_values(self) -> list[str]:
        """Names of the columns of `confusion`: the labels and, if it has outcomes, the class of no validation row."""
        return [*map(category_label, self.report.labels), *(["unseen"] if self.report.coverage.unseen else [])]

    @property
    def limit(self) -> str:
        """The limit of every expectation."""
        return BLIND


class ModelView:
    """One model and its counts.

    Args:
        name: Name of the model.
        baseline: Baseline with the variables to compare; None if there is none.
        report: Drift of the model; None without a baseline.
        cells: Counts of features and outputs, in the baseline's order; more may follow.
        when: End of the sentence "2 of 31 variables have drifted …".
        query: The visitor's choices.
        observation: Observation of its requests; None if the counts are not a server's.
        since: Function that returns the counts since a moment; None for the observation's.
        has_groups: Whether bins are groups, which charts then show.
        now: Time in Unix seconds, whose date is omitted from times; None to omit none.
        history: Last weeks of the model; None if they are unknown.
        failures: Failed requests; None for the ones that the observation has, if there is one.
    """

    def __init__(
        self,
        name: str,
        baseline: Baseline | None,
        report: DriftReport | None,
        cells: NDArray[np.int64],
        *,
        when: str,
        query: Query | None = None,
        observation: Observation | None = None,
        since: Since | None = None,
        has_groups: bool = False,
        now: float | None = None,
        history: HistoryReport | None = None,
        failures: Failures | None = None,
    ) -> None:
        self.name = name
        self.baseline = baseline
        self.when = when
        self.query = query or Query()
        self.observation = observation
        self.failures = failures or (observation.failures if observation is not None else None)
        self._report = report
        self._cells = cells
        self._given_since = since
        self._has_groups = has_groups
        self._today = None if now is None else moment(now)[:10]
        self.history = None if history is None or now is None else history_view(history, moment(now)[:10])

    @classmethod
    def of(cls, seen: Observation, query: Query, now: float, history: HistoryReport | None = None) -> ModelView:
        """Return the view of a served model."""
        return cls(
            seen.model,
            seen.baseline,
            seen.report,
            seen.cells,
            when=window_text(seen.window),
            query=query,
            observation=seen,
            now=now,
            history=history,
        )

    @property
    def note(self) -> str:
        """Note on rows that were not counted; empty if there is none."""
        return self._report.note if self._report is not None else ""

    @property
    def uncounted(self) -> Uncounted | None:
        """Answered rows that were not counted; None if they are not known."""
        return self._report.uncounted if self._report is not None else None

    @property
    def fingerprint(self) -> str | None:
        """Fingerprint of the whole baseline of the comparison; this view may have only some of its variables."""
        return self._report.baseline if self._report is not None else None

    @property
    def rows(self) -> int:
        """Number of answered rows; for counts that are not a server's, the most rows that any variable has."""
        if self.observation is not None:
            return self.observation.rows["ok"]
        return max((view.drift.live_rows for view in self.variables), default=0)

    @cached_property
    def variables(self) -> list[VariableView]:
        """All variables, worst verdict first."""
        return [self._view(drift) for drift in self._report or ()]

    def _view(self, drift: VariableDrift) -> VariableView:
        live = partial(_part, self._since, drift.since, self._own[id(drift.item)])
        return VariableView(drift, live, self._today, has_groups=self._has_groups)

    @cached_property
    def _since(self) -> Since:
        """Function that returns the counts since a moment."""
        since = self._given_since or (self.observation.cells_since if self.observation is not None else None)
        return cache(since) if since is not None else lambda time: self._cells

    @cached_property
    def _own(self) -> dict[int, slice]:
        """Slice of the counts for each variable, by the variable's identity."""
        assert self.baseline is not None
        return {id(variable.distribution): variable.cells for variable in self.baseline.variables}

    @cached_property
    def matching(self) -> list[VariableView]:
        """Variables that match the query, on all pages."""
        name, verdict = self.query.name.casefold(), self.query.verdict
        return [
            view
            for view in self.variables
            if name in view.drift.name.casefold() and verdict in ("", view.drift.verdict)
        ]

    @property
    def pages(self) -> int:
        """Number of pages for these, at least one."""
        return max(-(-len(self.matching) // PAGE_VARIABLES), 1)

    @property
    def page(self) -> int:
        """Number of the page on display: the chosen page, or the last."""
        return min(self.query.page, self.pages)

    @property
    def first(self) -> int:
        """Number of variables on the pages before."""
        return (self.page - 1) * PAGE_VARIABLES

    @property
    def shown(self) -> list[VariableView]:
        """Variables on this page."""
        return self.matching[self.first : self.first + PAGE_VARIABLES]

    @cached_property
    def moved(self) -> list[VariableView]:
        """Variables that are drifted or major."""
        return [view for view in self.variables if view.drift.verdict in MOVED]

    @property
    def judged(self) -> list[VariableView]:
        """Variables that are not ignored."""
        return [view for view in self.variables if view.drift.verdict != IGNORED]

    @property
    def moved_share(self) -> str:
        """The share of the weight that has drifted, in brackets; empty if it says no more than the number does."""
        return share_of_weight([{"verdict": item.verdict, "weight": item.weight} for item in self._report or ()])

    @cached_property
    def unclear(self) -> list[VariableView]:
        """Variables that may have changed."""
        return [view for view in self.variables if view.drift.verdict == "unclear"]

    @cached_property
    def unknown(self) -> list[VariableView]:
        """Variables without enough data, most rows first."""
        views = [view for view in self.variables if view.drift.verdict == "not enough data"]
        return sorted(views, key=lambda view: -view.drift.rows)

    @cached_property
    def state(self) -> str:
        """The worst verdict of all variables and pairs; "shifted" is not worth an alert."""
        verdicts = [view.drift.verdict for view in self.judged]
        if not self.rows or len(self.unknown) == len(verdicts):
            return "not enough data"
        verdicts += [view.drift.verdict for view in self.pairs]
        return next((verdict for verdict in (*WORST_FIRST[:2], "unclear") if verdict in verdicts), "stable")

    @cached_property
    def pairs(self) -> list[PairView]:
        """Pairs of variables that are judged, worst verdict first."""
        pairs = self._report.pairs if self._report is not None else ()
        return [PairView(drift) for drift in pairs if drift.verdict != IGNORED]

    @property
    def changed_pairs(self) -> list[PairView]:
        """Pairs that are not, or may not be, as in training."""
        return [view for view in self.pairs if view.drift.verdict not in ("stable", "not enough data", IGNORED)]

    @property
    def unknown_pairs(self) -> list[str]:
        """Sentences about pairs of which many rows tell nothing."""
        return list(unknown_pairs([view.row for view in self.pairs]))

    @property
    def moved_pairs(self) -> list[PairView]:
        """Pairs that are drifted or major."""
        return [view for view in self.pairs if view.drift.verdict in MOVED]

    @property
    def stable_pairs(self) -> int:
        """Number of pairs that are as in training."""
        return sum(view.drift.verdict == "stable" for view in self.pairs)

    @property
    def performance(self) -> PerformanceView | None:
        """Performance of the model; None if its baseline has no actual values."""
        report = self.observation.performance if self.observation is not None else None
        return None if report is None else PerformanceView(report)

    @property
    def worse(self) -> str:
        """The verdict on the outcomes if they show that the model is worse than validated; else empty."""
        report = self.observation.performance if self.observation is not None else None
        return report.verdict if report is not None and report.verdict in WORSE else ""

    def variable(self, side: str, name: str) -> VariableView | None:
        """Return one variable; None if there is none of this name."""
        for drift in self._report or ():
            if (drift.side, drift.name) == (side, name):
                return self._view(drift)
        return None


def _part(since: Since, moment: float | None, own: slice) -> NDArray[np.int64]:
    return since(moment)[own]


class App:
    """Everything on the page of an app.

    Args:
        name: Name of the app.
        query: The visitor's choices.
        observations: Observations of its models.
        sinks: Counts of accepted, delivered and lost records, by sink.
        findings: Problems and hints about the deployment.
        now: Time in Unix seconds.
        failures: Descriptions of counts that could not be read.
        histories: Last weeks of the models, by name, as far as they are known.
    """

    def __init__(
        self,
        name: str,
        query: Query,
        observations: Sequence[Observation],
        *,
        sinks: Mapping[str, RecorderCounts] | None = None,
        findings: Sequence[Finding] = (),
        now: float,
        failures: Sequence[str] = (),
        histories: Mapping[str, HistoryReport] = MappingProxyType({}),
    ) -> None:
        self.name = name
        self.query = query
        self.models = [ModelView.of(seen, query, now, histories.get(seen.model)) for seen in observations]
        self.sinks = sinks or {}
        self.findings = findings
        self.now = now
        self.failures = failures

    @property
    def verdicts(self) -> list[tuple[Verdict, int]]:
        """Each verdict with its number of variables."""
        counts = Counter(view.drift.verdict for model in self.models for view in model.variables)
        return [(verdict, counts[verdict]) for verdict in WORST_FIRST]

    @property
    def problems(self) -> list[Finding]:
        """Findings that need attention."""
        return [finding for finding in self.findings if finding.level == "problem"]

    @property
    def hints(self) -> list[Finding]:
        """Findings that are worth turning on."""
        return [finding for finding in self.findings if finding.level != "problem"]


def course_picture(view: VariableView, course: Course) -> Markup | None:
    """Draw the last 24 hours of a variable, or the known part of them; None unless two points can be joined."""
    if len(course.points) < 2:
        return None
    first, last = course.points[0], course.points[-1]
    label = (
        f"Population stability index of {view.drift.name} over time, with its limit: {number(first.psi)} "
        f"{ago(first.age)}, {number(last.psi)} {ago(last.age)}, at most {number(max(p.psi for p in course.points))}; "
        f"limit {number(last.limit)}"
    )
    return course_chart(course, label)


def course_heading(course: Course, now: float) -> str:
    """Return the time that a course covers: the last 24 hours, or since when something was counted."""
    if course.seconds > LATELY:
        return "The last 24 hours"
    start, today = moment(now - course.seconds), moment(now)[:10]
    return f"Since {start[11:16]} UTC" if start[:10] == today else f"Since {start[:10]} {start[11:16]} UTC"
