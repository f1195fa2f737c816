"""The views of the drift page. Its content is in `flask_boxkite.page`, its addresses are in `web.dashboard`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, NoReturn

from flask import abort, current_app, request
from werkzeug.wrappers import Response

from flask_boxkite.delivery import RecorderCounts
from flask_boxkite.drift.segment_wording import unknown_segments
from flask_boxkite.errors import BoxkiteError, ConfigError
from flask_boxkite.history.report import HistoryReport
from flask_boxkite.history.window import HISTORY_DAYS, WINDOW_NAMES, check_days, is_window, seconds_of
from flask_boxkite.live.history_file import MOST_DAYS
from flask_boxkite.live.windows import LONGEST, WINDOWS
from flask_boxkite.monitoring.app import AppMonitor
from flask_boxkite.monitoring.model import ModelMonitor
from flask_boxkite.monitoring.observation import Course, Observation, SegmentObservation
from flask_boxkite.page.assets import ASSETS, asset
from flask_boxkite.page.content import App, Query
from flask_boxkite.page.render import (
    drift_json,
    history_json,
    overview_html,
    report_html,
    segments_html,
    segments_json,
    variable_html,
)
from flask_boxkite.page.segments import SegmentsView
from flask_boxkite.system.server import runs_several
from flask_boxkite.web.access import PageAccess
from flask_boxkite.web.http import POLICY, arguments, compressed, refused

__all__ = ["Pages"]

_SINCE_START = "start"

_LONGEST_REFUSAL = 500
"""Longest answer, in letters, that quotes a visitor's request."""

# The page loads only its own script and style, both separate files, so that an app may be as strict.
_PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


class Pages:
    """The views of one app."""

    def __init__(self, monitor: AppMonitor, access: PageAccess) -> None:
        self._monitor = monitor
        self._access = access

    def overview(self) -> Response:
        """Return the page of all variables of all models."""
        return self._show(overview_html)

    def json(self) -> Response:
        """Return the same as JSON, for programs."""
        return self._show(drift_json, "application/json", has_history=False)

    def report(self) -> Response:
        """Return the same as a file to keep."""
        response = self._show(report_html, policy=_REPORT_POLICY)
        response.headers["Content-Disposition"] = 'attachment; filename="drift.html"'
        return response

    def history(self) -> Response:
        """Return the last days of all models as JSON, for programs."""
        days = _days()
        reports, failures = _histories(self._monitor.models(), days)
        content = history_json(reports, self._monitor.clock(), failures)
        return _answer(content, "application/json", status=503 if failures else 200)

    def boxkite_css(self) -> Response:
        """Return the style sheet."""
        return _asset("boxkite.css")

    def boxkite_js(self) -> Response:
        """Return the script."""
        return _asset("boxkite.js")

    def variable(self) -> Response:
        """Return the page of one variable."""
        parameters = arguments(request)
        names = [parameters.get(key, "") for key in ("model", "side", "variable")]
        models = [model for model in self._monitor.models() if model.model == names[0]]
        query = _query()
        observations, failures = _observed(models, query)
        if failures:
            return _answer(overview_html(self._app(query, observations, failures)), status=503)

        histories = {report.model: report for report in _histories(models, HISTORY_DAYS, is_latest=False)[0]}
        app = App(current_app.name, query, observations, now=self._monitor.clock(), histories=histories)
        model = next(iter(app.models), None)
        view = model.variable(*names[1:]) if model else None
        if model is None or view is None:
            kind = names[1] if names[1] in ("feature", "output") else "variable"
            _refuse(f"There is no {kind} {names[2]!r} of a model {names[0]!r}.", 404)
        try:
            course = models[0].course(view.drift.side, view.drift.name)
        except BoxkiteError:  # the totals could be read, the snapshots not: the page is whole but for its last chart
            course = Course(0.0, [])
        return _answer(variable_html(app, model, view, course))

    def segments(self) -> Response:
        """Return the page of the segments of a model, with the variables of one."""
        model, query, named = self._segmented(), _query(has_days=False), arguments(request).get("segment", "")
        seen = _observed_segments(model, query)
        if isinstance(seen, str):
            return _answer(overview_html(self._app(query, [], [seen])), status=503)

        app = App(current_app.name, query, [], now=self._monitor.clock())
        assert model.baseline is not None
        try:
            view = SegmentsView(seen, model.baseline.segmented_by, query, chosen=named, now=app.now)
        except KeyError:
            _refuse(f"There is no segment {named!r} by {seen.report.by!r} of a model {model.model!r}.", 404)
        return _answer(segments_html(app, view, named))

    def segments_json(self) -> Response:
        """Return the same as JSON, for programs."""
        seen = _observed_segments(self._segmented(), _query(has_days=False))
        if isinstance(seen, str):
            _refuse(seen, 503)
        return _answer(segments_json(seen.report), "application/json")

    def _segmented(self) -> ModelMonitor:
        """Return the model whose segments are asked for; without a name, the only one that has them."""
        parameters = arguments(request)
        name, by = parameters.get("model"), parameters.get("by", "")
        known = {
            model: model.baseline.segmented_by
            for model in self._monitor.models()
            if name in (None, model.model) and model.baseline is not None
        }
        having = [model for model, names in known.items() if by in names]
        if not having:
            _refuse(unknown_segments(by, name, list(dict.fromkeys(chain(*known.values())))), 404)
        if len(having) > 1:
            names = ", ".join(repr(model.model) for model in having)
            _refuse(f"Several models have segments by {by!r}: {names}. Name one of them: 'model'.", 404)
        return having[0]

    def _show(
        self,
        render: Callable[[App], str],
        kind: str = "text/html; charset=utf-8",
        *,
        has_history: bool = True,
        **options: Any,
    ) -> Response:
        models, query = self._monitor.models(), _query()
        # Without a state directory there is no history; that its files cannot be read is said by history.json.
        histories = _histories(models, HISTORY_DAYS, is_latest=False)[0] if has_history else ()
        app = self._app(query, *_observed(models, query), histories)
        return _answer(render(app), kind, status=503 if app.failures else 200, **options)

    def _app(
        self,
        query: Query,
        observations: Sequence[Observation],
        failures: Sequence[str],
        histories: Sequence[HistoryReport] = (),
    ) -> App:
        """Return the content of the page, including sinks and set-up."""
        sinks: Mapping[str, RecorderCounts] = {}
        try:
            sinks = self._monitor.sinks()
        except OSError as error:
            failures = [*failures, f"The counts of records cannot be read: {error}. Are too many files open?"]

        return App(
            current_app.name,
            query,
            observations,
            sinks=sinks,
            findings=self._monitor.findings(
                observations,
                sinks,
                is_open=self._access.is_open and not current_app.debug,
                has_others=runs_several(request.environ),
                oldest_seconds=math.inf if query.window is None else seconds_of(query.window),
            ),
            now=self._monitor.clock(),
            failures=failures,
            histories={report.model: report for report in histories},
        )


def _asset(name: str) -> Response:
    return _answer(asset(name), ASSETS[name], cache="private, max-age=300")


def _observed(models: Sequence[ModelMonitor], query: Query) -> tuple[Sequence[Observation], Sequence[str]]:
    """Return the observations of the models, and the reasons why other models' counts cannot be read."""
    observations, failures = [], []
    for model in models:
        try:
            observations.append(model.observe(query.window))
        except BoxkiteError as error:
            failures.append(str(error))
    return observations, failures


def _histories(
    models: Sequence[ModelMonitor], days: int, *, is_latest: bool = True
) -> tuple[Sequence[HistoryReport], Sequence[str]]:
    """Return the last days of the models, and the reasons why other models' files cannot be read."""
    reports, failures = [], []
    for model in models:
        try:
            reports.append(model.history(days, is_latest=is_latest))
        except BoxkiteError as error:
            failures.append(str(error))
    return reports, failures


def _days() -> int:
    text = arguments(request).get("days", str(HISTORY_DAYS))
    days = int(text) if text.isascii() and text.isdecimal() and len(text) < 4 else 0
    try:
        check_days(days)
    except ConfigError:
        _refuse(f"'days' must be a number from 1 to {MOST_DAYS}, got {text!r}.", 400)
    return days


def _observed_segments(model: ModelMonitor, query: Query) -> SegmentObservation | str:
    """Return the observation of segments that the model has, or the reason why its counts cannot be read."""
    try:
        return model.observe_segments(arguments(request).get("by", ""), query.window)
    except BoxkiteError as error:
        return str(error)


def _query(*, has_days: bool = True) -> Query:
    """Return the visitor's choices.

    Args:
        has_days: Whether the window may be days, of which there is no segment.
    """
    parameters = arguments(request)
    window = parameters.get("window", LONGEST)
    if window != _SINCE_START and not (is_window(window) if has_days else window in WINDOWS):
        names = WINDOW_NAMES if has_days else ", ".join(map(repr, WINDOWS))
        _refuse(f"'window' must be one of {names}, or '{_SINCE_START}', got {window!r}.", 400)
    page = parameters.get("page", "1")
    if not (page.isascii() and page.isdecimal() and len(page) < 10 and int(page)):
        _refuse(f"'page' must be a number from 1 on, got {page!r}.", 400)

    return Query(
        None if window == _SINCE_START else window,
        parameters.get("name", ""),
        parameters.get("verdict", ""),
        int(page),
    )


def _refuse(text: str, status: int) -> NoReturn:
    """End the request with our own answer, since an error page of the app would lack our headers."""
    abort(refused(text[:_LONGEST_REFUSAL], status))


def _answer(
    text: str,
    kind: str = "text/html; charset=utf-8",
    *,
    status: int = 200,
    policy: str = _PAGE_POLICY,
    cache: str = "no-store",
) -> Response:
    headers = {**POLICY, "Content-Type": kind, "Cache-Control": cache, "Content-Security-Policy": policy}
    return compressed(request, text.encode(), headers, status)
