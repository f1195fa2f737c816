"""What the page shows: observations, sorted and filtered, with all that a template needs to say of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any
from urllib.parse import urlencode

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from flask_boxkite.baseline import Baseline
from flask_boxkite.baseline.distribution import Continuous
from flask_boxkite.delivery.counts import RecorderCounts
from flask_boxkite.drift import DriftReport, VariableDrift
from flask_boxkite.drift.tables import Trained
from flask_boxkite.drift.verdict import MOVED, WORST_FIRST, Verdict
from flask_boxkite.drift.wording import CHANGED, size_cell
from flask_boxkite.live.windows import LONGEST
from flask_boxkite.monitoring.findings import Finding
from flask_boxkite.monitoring.observation import CoursePoint, Observation
from flask_boxkite.page.chart_data import Histogram, Shape, shape_of
from flask_boxkite.page.charts import course_chart, cumulative_chart, large_chart, small_chart
from flask_boxkite.page.wording import MEANINGS, group_text, moment, percent, rows_text, since_text, window_text

__all__ = ["PAGE_VARIABLES", "App", "ModelView", "Query", "VariableView", "course_picture"]

PAGE_VARIABLES = 100
"""Variables of a model that the overview shows at once: each takes a millisecond and two kilobytes."""


@dataclass(frozen=True)
class Query:
    """What a visitor asks for.

    Attributes:
        window: ``"5m"``, ``"1h"`` or ``"24h"``; None for all since the start.
        name: Part of a variable's name; empty for all.
        verdict: One verdict; empty for all.
        page: Which part of the variables, from 1 on.
    """

    window: str | None = LONGEST
    name: str = ""
    verdict: str = ""
    page: int = 1

    def link(self, **changes: Any) -> str:
        """Return the query string of this with changes; without what is empty or usual."""
        page = self.page if self.page > 1 else ""
        values = {"window": self.window or "start", "name": self.name, "verdict": self.verdict, "page": page} | changes
        return "?" + urlencode({key: value for key, value in values.items() if value})


class VariableView:
    """One variable of a model.

    Args:
        drift: What is known of it.
        live: Returns its live counts, of the stretch that decided if they are known.
        today: Date that goes without saying, as ``"2026-01-31"``; None: there is none.
    """

    def __init__(
        self,
        drift: VariableDrift,
        live: Callable[[], NDArray[np.int64]],
        today: str | None = None,
    ) -> None:
        self.drift = drift
        self.trained = drift.item
        self._live = live
        self._today = today

    @cached_property
    def live(self) -> NDArray[np.int64]:
        """Its live counts by cell."""
        return self._live()

    @cached_property
    def row(self) -> dict[str, Any]:
        """All that is known of it, as `DriftReport.to_rows` has it."""
        return self.drift.to_row()

    @cached_property
    def since(self) -> str:
        """When the stretch of time began that decided; nothing where it is the whole window."""
        return since_text(self.row, self._today)

    @cached_property
    def shape(self) -> Shape:
        """What its charts draw."""
        return shape_of(self.trained, self.live)

    @property
    def size(self) -> str | None:
        """The size of the change; None where no change is certain."""
        return size_cell(self.row) if self.drift.verdict in CHANGED else None

    @property
    def meaning(self) -> str:
        """The verdict, as a sentence goes on after the name."""
        return MEANINGS[self.drift.verdict]

    @property
    def span(self) -> str:
        """When the stretch of time began that decided, and its rows; nothing where it is the whole window."""
        return f"{self.since} ({rows_text(self.drift.rows)})" if self.since else ""

    @property
    def because(self) -> str:
        """Why nothing is certain, as that sentence ends; nothing where it is."""
        if not self.drift.reason:
            return ""
        doubt = ", which cannot be told yet" if self.drift.verdict == "unclear" else ""
        return f"{doubt} ({self.drift.reason})"

    @property
    def moved(self) -> str:
        """Which group moved most."""
        return group_text(self.drift.moved_most, self.drift.kind)

    @property
    def small_chart(self) -> Markup:
        """A picture for a line of a table."""
        return small_chart(self.shape, self._label)

    @property
    def large_chart(self) -> Markup:
        """The same, large and with scales."""
        return large_chart(self.shape, self._label)

    @property
    def cumulative_chart(self) -> Markup | None:
        """Cumulative shares; None where values have no order."""
        if not isinstance(self.trained, Continuous) or not isinstance(self.shape, Histogram):
            return None
        label = f"Cumulative shares of {self.drift.name}, training and live"
        # Kolmogorov-Smirnov is of the whole window, which this need not be.
        return cumulative_chart(self.trained, self.live, self.shape, label, "apart by" if self.since else "K-S")

    @property
    def groups(self) -> list[tuple[str, float, float]]:
        """The groups that the verdict is about: name, share in training, share live."""
        names = [group_text(group.name, self.drift.kind) for group in self.trained.groups]
        shares = [[count / max(sum(counts), 1) for count in counts] for counts in (self.drift.before, self.drift.now)]
        return list(zip(names, *shares, strict=True))

    @property
    def _label(self) -> str:
        change = f"{percent(self.drift.share_before)} to {percent(self.drift.share_now)}"
        return f"Shares of {self.drift.name}, training and live; most moved: {self.moved}, {change}"


class ModelView:
    """One model, and what was counted of it.

    Args:
        name: Of the model.
        baseline: The variables that it is compared with; None if there is none.
        report: Its drift; None without a baseline.
        cells: The counts of features and outputs, in the baseline's order; more may follow.
        when: Completes "2 of 31 variables have drifted …".
        query: What to show of it.
        observation: What is known of its requests; None if it was not served.
        now: Time in Unix seconds, whose date goes without saying; None: every date is said.
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
        now: float | None = None,
    ) -> None:
        self.name = name
        self.baseline = baseline
        self.when = when
        self.query = query or Query()
        self.observation = observation
        self._report = report
        self._cells = cells
        self._today = None if now is None else moment(now)[:10]

    @classmethod
    def of(cls, seen: Observation, query: Query, now: float) -> ModelView:
        """Return the view of a model that is served."""
        return cls(
            seen.model,
            seen.baseline,
            seen.report,
            seen.cells,
            when=window_text(seen.window),
            query=query,
            observation=seen,
            now=now,
        )

    @property
    def fingerprint(self) -> str | None:
        """That of the baseline which was compared with, of which there may be only some variables here."""
        return self._report.baseline if self._report is not None else None

    @property
    def rows(self) -> int:
        """How many rows were answered, or, not served, had a value for some variable, or lacked it."""
        if self.observation is not None:
            return self.observation.rows["ok"]
        return max((view.drift.live_rows for view in self.variables), default=0)

    @cached_property
    def variables(self) -> list[VariableView]:
        """All variables, most worrying first."""
        return [self._view(drift) for drift in self._report or ()]

    def _view(self, drift: VariableDrift) -> VariableView:
        return VariableView(drift, partial(_part, self._since, drift.since, self._own[id(drift.item)]), self._today)

    @cached_property
    def _since(self) -> Callable[[float | None], NDArray[np.int64]]:
        """Returns the counts from a moment on."""
        return cache(self.observation.cells_since) if self.observation is not None else lambda time: self._cells

    @cached_property
    def _own(self) -> dict[int, slice]:
        """Which of the counts are of a variable, by its identity."""
        assert self.baseline is not None
        trained = self.observation and self.observation.trained
        trained = trained or Trained((*self.baseline.features, *self.baseline.outputs))
        return dict(zip(map(id, trained.variables), trained.cells, strict=True))

    @cached_property
    def asked_for(self) -> list[VariableView]:
        """Those that the query asks for, of all pages."""
        name, verdict = self.query.name.casefold(), self.query.verdict
        return [
            view
            for view in self.variables
            if name in view.drift.name.casefold() and verdict in ("", view.drift.verdict)
        ]

    @property
    def pages(self) -> int:
        """How many pages these take, at least one."""
        return max(-(-len(self.asked_for) // PAGE_VARIABLES), 1)

    @property
    def page(self) -> int:
        """Which of them is shown: the one that the query asks for, or the last."""
        return min(self.query.page, self.pages)

    @property
    def first(self) -> int:
        """How many stand on the pages before."""
        return (self.page - 1) * PAGE_VARIABLES

    @property
    def shown(self) -> list[VariableView]:
        """Those of this page."""
        return self.asked_for[self.first : self.first + PAGE_VARIABLES]

    @cached_property
    def moved(self) -> list[VariableView]:
        """Those that are drifted or major."""
        return [view for view in self.variables if view.drift.verdict in MOVED]

    @cached_property
    def unclear(self) -> list[VariableView]:
        """Those that may have changed, or not."""
        return [view for view in self.variables if view.drift.verdict == "unclear"]

    @cached_property
    def unknown(self) -> list[VariableView]:
        """Those with not enough data, those with most rows first."""
        found = [view for view in self.variables if view.drift.verdict == "not enough data"]
        return sorted(found, key=lambda view: -view.drift.rows)

    @property
    def state(self) -> str:
        """The verdict on the whole; what is shifted is not worth an alert."""
        verdicts = [view.drift.verdict for view in self.variables]
        if not self.rows or len(self.unknown) == len(verdicts):
            return "not enough data"
        return next((verdict for verdict in (*WORST_FIRST[:2], "unclear") if verdict in verdicts), "stable")

    def variable(self, side: str, name: str) -> VariableView | None:
        """Return one variable."""
        for drift in self._report or ():
            if (drift.side, drift.name) == (side, name):
                return self._view(drift)
        return None


def _part(since: Callable[[float | None], NDArray[np.int64]], moment: float | None, own: slice) -> NDArray[np.int64]:
    return since(moment)[own]


class App:
    """Everything that the page shows of an app.

    Args:
        name: Of the app.
        query: What is asked for.
        observations: Of its models.
        sinks: What became of records, by sink.
        findings: What the doctor says.
        now: Unix seconds.
        failures: What could not be read, as texts.
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
    ) -> None:
        self.name = name
        self.query = query
        self.models = [ModelView.of(observation, query, now) for observation in observations]
        self.sinks = sinks or {}
        self.findings = findings
        self.now = now
        self.failures = failures

    @property
    def verdicts(self) -> list[tuple[Verdict, int]]:
        """Each verdict and how many variables have it."""
        counts = Counter(view.drift.verdict for model in self.models for view in model.variables)
        return [(verdict, counts[verdict]) for verdict in WORST_FIRST]

    @property
    def problems(self) -> list[Finding]:
        """What needs somebody's attention."""
        return [finding for finding in self.findings if finding.level == "problem"]

    @property
    def hints(self) -> list[Finding]:
        """What could be turned on."""
        return [finding for finding in self.findings if finding.level != "problem"]


def course_picture(view: VariableView, points: Sequence[CoursePoint]) -> Markup | None:
    """Draw the day of a variable; None where no hour had enough rows."""
    label = f"Population stability index of {view.drift.name} over the last 24 hours, with its limit"
    return course_chart(points, label) if points else None
