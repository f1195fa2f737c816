"""The page's content rendered as HTML and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from flask_boxkite.delivery.counts import RecorderCounts
from flask_boxkite.drift.failures import failed_text
from flask_boxkite.drift.segments import SegmentReport
from flask_boxkite.drift.verdict import MINIMUM_ROWS
from flask_boxkite.history.report import HistoryReport
from flask_boxkite.monitoring.observation import Course
from flask_boxkite.page.assets import asset
from flask_boxkite.page.content import STATES, App, ModelView, VariableView, course_heading, course_picture
from flask_boxkite.page.overall import Overall
from flask_boxkite.page.segments import SegmentsView
from flask_boxkite.page.wording import (
    ago,
    breakable,
    decision_statistics,
    distance_statistics,
    moment,
    number,
    percents,
    rows_text,
    seconds,
)

__all__ = [
    "comparison_html",
    "drift_content",
    "drift_json",
    "history_json",
    "overview_html",
    "report_html",
    "segments_html",
    "segments_json",
    "variable_html",
]

FORMAT = 1
"""Format number of the JSON; it increases when a key is removed or changes its meaning."""


@lru_cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("flask_boxkite.page"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(number=number, seconds=seconds, moment=moment, ago=ago, rows=rows_text)
    environment.filters.update(failed=failed_text, breakable=breakable)
    environment.globals.update(minimum_rows=MINIMUM_ROWS, percents=percents, states=STATES)
    return environment


def overview_html(app: App) -> str:
    """Return the page of all variables."""
    return _environment().get_template("overview.html").render(app=app, query=app.query, overall=Overall(app.models))


def variable_html(app: App, model: ModelView, view: VariableView, course: Course) -> str:
    """Return the page of one variable.

    Args:
        app: App with the model.
        model: Model with the variable.
        view: The variable.
        course: Course of the variable over the day.
    """
    return (
        _environment()
        .get_template("variable.html")
        .render(
            app=app,
            query=app.query,
            model=model,
            view=view,
            course=course_picture(view, course),
            points=course.points,
            weeks=model.history.variable(view.drift.side, view.drift.name) if model.history else None,
            course_heading=course_heading(course, app.now),
            decision=list(decision_statistics(view.row)),
            distances=list(distance_statistics(view.row)),
        )
    )


def segments_html(app: App, seen: SegmentsView, named: str) -> str:
    """Return the page of a model's segments.

    Args:
        app: App with the model.
        seen: The segments.
        named: Name of the segment that the address names; empty for none.
    """
    return _environment().get_template("segments.html").render(app=app, query=app.query, seen=seen, named=named)


def segments_json(report: SegmentReport) -> str:
    """Return the same as JSON, for programs: ``format`` (1), and the keys of `SegmentReport.to_dict`."""
    return json.dumps({"format": FORMAT, **report.to_dict()}, indent=2, allow_nan=False) + "\n"


def report_html(app: App) -> str:
    """Return a page to be kept or sent as one file: every variable, with its style and without links."""
    return _report(app.name, app.models, app.now, app.failures)


def comparison_html(source: str, model: ModelView, now: float) -> str:
    """Return the same page for counts that are not a server's.

    Args:
        source: Source of the counts, such as the name of a file.
        model: The counts, compared.
        now: Time in Unix seconds.
    """
    return _report(source, [model], now)


def _report(name: str, models: Sequence[ModelView], now: float, failures: Sequence[str] = ()) -> str:
    style = Markup(asset("boxkite.css"))
    template = _environment().get_template("report.html")
    return template.render(name=name, models=models, overall=Overall(models), now=now, failures=failures, style=style)


def history_json(reports: Sequence[HistoryReport], now: float, failures: Sequence[str] = ()) -> str:
    """Return the last days of models as JSON, for programs.

    Keys: ``format`` (1), ``time`` (ISO 8601, UTC), ``models``, each as `HistoryReport.to_dict` has it, and ``failures``
    (texts). Later releases may add keys.

    Args:
        reports: Reports on the models.
        now: Time in Unix seconds.
        failures: Descriptions of models that could not be read.
    """
    models = [report.to_dict() for report in reports]
    content = {"format": FORMAT, "time": moment(now), "models": models, "failures": list(failures)}
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def drift_json(app: App) -> str:
    """Return the page as JSON, for programs; see `drift_content`."""
    return json.dumps(drift_content(app), indent=2, allow_nan=False) + "\n"


def drift_content(app: App) -> dict[str, Any]:
    """Return the page as JSON values.

    Keys: ``format`` (1), ``time`` (ISO 8601, UTC), ``window`` (null: since the start), ``models``, ``sinks``,
    ``findings`` and ``failures`` (texts). Later releases may add keys.

    - A model has ``model``, ``baseline``, ``version``, ``rows`` by status, ``latency_seconds``, ``failed``, ``drift``,
      as `DriftReport.to_dict` has it (null without a baseline), and ``performance``, as `PerformanceReport.to_dict` has
      it (null if the baseline has no actual values).
    - ``latency_seconds`` has ``p50``, ``p95`` and ``p99`` (null where nothing was timed).
    - ``failed`` is about requests that ended in 5xx: their ``rows``, how many are ``unread``, and the ``features`` that
      were odd in them more often than in answered ones. Each of these has ``feature``, ``state``, ``rows``, ``share``
      and ``share_answered``.
    - A sink has ``name``, ``accepted``, ``delivered``, ``waiting``, ``dropped`` by reason, ``last_delivery`` (null:
      never, or unknown since the clock was ahead) and ``backoff_seconds``.
    - A finding has ``level`` (``problem`` or ``hint``), ``what`` and ``remedy``.
    """
    return {
        "format": FORMAT,
        "time": moment(app.now),
        "window": app.query.window,
        "models": [_model_dict(model) for model in app.models],
        "sinks": [{"name": name, **_sink_dict(counts)} for name, counts in app.sinks.items()],
        "findings": [finding._asdict() for finding in app.findings],
        "failures": list(app.failures),
    }


def _model_dict(model: ModelView) -> dict[str, Any]:
    seen = model.observation
    assert seen is not None

    return {
        "model": model.name,
        "baseline": model.baseline.fingerprint if model.baseline else None,
        "version": model.baseline.version if model.baseline else None,
        "rows": seen.rows,
        "latency_seconds": {f"p{part}": seen.latency(part / 100) for part in (50, 95, 99)},
        "failed": seen.failures.to_dict(),
        "drift": seen.report.to_dict() if seen.report else None,
        "performance": seen.performance.to_dict() if seen.performance else None,
    }


def _sink_dict(counts: RecorderCounts) -> dict[str, Any]:
    return {
        "accepted": counts.accepted,
        "delivered": counts.delivered,
        "waiting": counts.waiting,
        "dropped": counts.dropped,
        "last_delivery": moment(counts.last_delivery) if counts.last_delivery else None,
        "backoff_seconds": counts.backoff,
    }
