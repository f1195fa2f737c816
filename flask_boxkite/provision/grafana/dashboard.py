"""The dashboard: its panels, its rows, and the choices of a visitor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from flask_boxkite.drift.verdict import MAJOR_SIZE
from flask_boxkite.drift.wording import SIZE_MEANING
from flask_boxkite.provision.grafana.panels import (
    DATASOURCE,
    Panel,
    alerts_table,
    baselines_table,
    groups_chart,
    lines,
    overview_table,
    value,
    values_over_time,
)
from flask_boxkite.provision.grafana.queries import Queries
from flask_boxkite.provision.options import RuleOptions
from flask_boxkite.provision.recording import FEATURES, OUTPUTS, Side

__all__ = ["dashboard_text"]

UID = "flask-boxkite"
WIDTH = 24
"""Columns of Grafana's grid."""


@dataclass(frozen=True)
class _Row:
    """Panels side by side, each with its width.

    Attributes:
        title: Heading above; empty for none.
        height: Height of the panels, in units of the grid.
        panels: Width and panel, from left to right.
    """

    title: str
    height: int
    panels: Sequence[tuple[int, Panel]]


def dashboard_text(options: RuleOptions, *, title: str) -> str:
    """Return the dashboard as JSON.

    Args:
        options: Options of the rules whose series the dashboard shows.
        title: Title of the dashboard.
    """
    board = dashboard.Dashboard(title).uid(UID).tags(["flask-boxkite", "drift"]).refresh("1m").time("now-6h", "now")
    board.timezone("browser").tooltip(models.DashboardCursorSync.CROSSHAIR).editable()
    board.description("What models see and say in production, beside training. Made by flask boxkite grafana.")
    board.link(_link("Alerts", "/alerting/list?search=Boxkite"))
    queries = Queries(options.group_by)
    for variable in _variables(options, queries):
        board.with_variable(variable)

    top, numbers = 0, count(1)
    for row in _rows(queries, options.minimum_size):
        if row.title:
            heading = dashboard.Row(row.title).id(next(numbers))
            board.with_row(heading.grid_pos(models.GridPos(h=1, w=WIDTH, x=0, y=top)))
            top += 1
        left = 0
        for width, panel in row.panels:
            board.with_panel(panel.id(next(numbers)).grid_pos(models.GridPos(h=row.height, w=width, x=left, y=top)))
            left += width
        top += row.height
    return JSONEncoder(sort_keys=True, indent=2).encode(board.build()) + "\n"


def _link(title: str, url: str) -> dashboard.DashboardLink:
    return dashboard.DashboardLink(title).type(models.DashboardLinkType.LINK).url(url).icon("bell")


# --- choices ---------------------------------------------------------------------------------------------------------


def _variables(options: RuleOptions, queries: Queries) -> Iterator[Any]:
    yield dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    for label in options.group_by:
        yield _choice(label, queries.known("boxkite_baseline_info", label, ""), several=True)
    yield _choice("model", queries.known("boxkite_baseline_info", "model", queries.targets))
    yield _choice("version", queries.known("boxkite_baseline_info", "version", queries.of_model), several=True)
    yield _choice("baseline", queries.known("boxkite_baseline_info", "baseline", queries.of_version), several=True)
    for side in (FEATURES, OUTPUTS):
        yield _choice(side.label, queries.known(f"boxkite:{side.name}:verdict", side.label, queries.model))
    windows = dashboard.CustomVariable("window").label("Window").values(",".join(options.windows))
    first = options.windows[0]
    yield windows.current(models.VariableOption(selected=True, text=first, value=first))


def _choice(name: str, query: str, *, several: bool = False) -> dashboard.QueryVariable:
    """Return a variable with values from Prometheus; *several*: the visitor may choose several, and all at first."""
    variable = dashboard.QueryVariable(name).label(name.capitalize()).query(query).datasource(DATASOURCE)
    variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.NATURAL_ASC)
    if several:
        # "All" matches any value, and also a missing label.
        variable.multi(True).include_all(True).all_value(".*")
        variable.current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))
    return variable


# --- panels ----------------------------------------------------------------------------------------------------------


def _rows(queries: Queries, minimum_size: float) -> Iterator[_Row]:
    yield _Row("", 4, list(_headlines(queries)))
    yield _Row("", 11, [(WIDTH, _overview(queries, minimum_size))])
    yield _Row("", 6, [(14, _alerts(queries)), (10, _baselines(queries))])
    for side in (FEATURES, OUTPUTS):
        yield from _variable_rows(side, queries)
    yield from _performance_rows(queries)
    yield from _serving_rows(queries)
    yield from _record_rows(queries)


def _headlines(queries: Queries) -> Iterator[tuple[int, Panel]]:
    drifted = "Features and outputs whose verdict is drifted or major in any window."
    yield 5, value("Drifted", drifted, queries.drifted(), "none", bad_from=1)
    yield 5, value("Predictions", "Answered rows per second.", queries.predictions("ok"), "reqps")
    yield 5, value("Errors", "Share of rows whose view failed.", queries.error_share(), "percentunit", bad_from=0.01)
    yield 5, value("Latency", "Time within which 99 of 100 requests are answered.", queries.latency(0.99), "s")
    yield 4, value("Records lost", "In the time range on display, over all sinks.", queries.lost(), "short", bad_from=1)


def _overview(queries: Queries, minimum_size: float) -> Panel:
    columns = [
        (queries.every("verdict_any", windowed=False), "Verdict"),
        (queries.every("verdict"), "In the window"),
        (queries.every("size"), "Size"),
        (queries.every("psi"), "PSI"),
        (queries.significance(), "G of limit"),
        (queries.every("moved_most", keep=("group",)), "Moved most"),
        (queries.every("missing_share"), "Missing"),
        (queries.every_outside(), "Outside training"),
        (queries.every("live_rows"), "Rows"),
    ]

    meaning = (
        "All features and outputs. The verdict is the worst of all windows; all else is of the chosen window. "
        f"Shifted: real, but small; drifted and major: real, and size at least {minimum_size:g} and {MAJOR_SIZE:g}, "
        "unless the app sets other sizes. "
        "Above 1, G is beyond its limit: more than chance explains."
    )
    return overview_table("All variables", meaning, columns, queries.labels)


def _alerts(queries: Queries) -> Panel:
    return alerts_table("Alerts", "Pending and firing alerts of flask-boxkite.", queries.alerts())


def _baselines(queries: Queries) -> Panel:
    meaning = "The baselines in service; a model has several only during a rollout."
    return baselines_table("Baselines", meaning, queries.baselines())


def _variable_rows(side: Side, queries: Queries) -> Iterator[_Row]:
    what = f"${side.label}"
    charts = [
        (
            12,
            groups_chart(
                f"{what}: training and live",
                "Share of rows in each group that drift is judged by.",
                queries.trained_shares(side),
                queries.live_shares(side),
            ),
        ),
        (
            12,
            values_over_time(
                f"{what}: values over time",
                "Rows by bin, for continuous variables whose bins are exported.",
                queries.bins(side),
            ),
        ),
    ]
    yield _Row(f"{side.label.capitalize()} {what}", 9, charts)
    yield _Row("", 8, list(_statistics(side, queries)))
    shares = [
        (queries.of(side, "missing_share"), "missing"),
        (queries.of(side, "invalid_share"), "invalid"),
        (queries.outside(side), "outside training"),
    ]
    special = "Shares of rows. Outside training are values out of its range, and categories that it never had."
    panels = [(12, lines("Missing, invalid, outside training", special, shares, "percentunit"))]
    if side is OUTPUTS:
        mean = [(queries.mean(side), "mean")]
        panels.append((12, lines(f"{what}: mean", "Mean of the output; empty if it is a label.", mean, "short")))
    else:
        live = [(queries.live_shares(side), "{{group}}")]
        panels.append(
            (12, lines(f"{what}: groups", "Live shares of groups.", live, "percentunit", stacked=True, top=1))
        )

    yield _Row("", 8, panels)


def _statistics(side: Side, queries: Queries) -> Iterator[tuple[int, Panel]]:
    sizes = [
        (queries.of(side, "size"), "size"),
        (queries.of(side, "psi"), "PSI"),
        (queries.of(side, "drifted_size", windowed=False), "drifted from"),
        (queries.of(side, "major_size", windowed=False), "major from"),
    ]
    yield 8, lines("Is it big?", SIZE_MEANING, sizes, "short")
    real = [(queries.of(side, "g"), "G"), (queries.of(side, "g_limit", windowed=False), "limit")]
    yield 8, lines("Is it real?", "Above the limit, the change is more than chance explains.", real, "short")
    distance = [(queries.of(side, "ks"), "K-S"), (queries.of(side, "ks_limit"), "limit")]
    meaning = "Largest distance of cumulative shares; not judged, and only for continuous variables."
    yield 8, lines("Kolmogorov-Smirnov", meaning, distance, "short", top=1)


def _performance_rows(queries: Queries) -> Iterator[_Row]:
    def metric(name: str, title: str, meaning: str, unit: str, *, top: float = 0) -> tuple[int, Panel]:
        series = [(queries.metric(name, source), source) for source in ("outcomes", "expected")]
        return 8, lines(title, meaning, [*series, (queries.validated(name), "validated")], unit, top=top)

    right = "Share of rows that are right: by their outcomes, as live outputs lead to expect, and as validated."
    harmonic = "Harmonic mean of precision and recall; of classes, only the validated average."
    yield _Row(
        "Performance",
        8,
        [
            metric("accuracy", "Accuracy", right, "percentunit", top=1),
            metric("f1", "F1", harmonic, "percentunit", top=1),
            metric(
                "auc", "AUC", "Share of pairs in which the positive row has the higher score.", "percentunit", top=1
            ),
        ],
    )

    real = [(queries.wrong_z(), "z"), (queries.z_limit(), "limit")]
    meaning = "Above the limit, more rows are wrong than validation rows with the same outputs, beyond chance."
    yield _Row(
        "",
        8,
        [
            metric("mae", "Mean absolute error", "Of outputs that are numbers.", "short"),
            metric("rmse", "Root mean squared error", "Of outputs that are numbers; large errors weigh more.", "short"),
            (8, lines("Is it worse than validated?", meaning, real, "short")),
        ],
    )
    came = "Outcomes that came in the window; of classes, also how many were of one that validation never had."
    own = [(queries.outcomes(), "outcomes"), (queries.unseen_outcomes(), "unseen class")]
    coverage = "Outcomes by predictions in the window; of slow outcomes, some belong to earlier predictions."
    rejected = "Outcomes that were not counted, by reason."
    yield _Row(
        "",
        8,
        [
            (8, lines("Outcomes", came, own, "short")),
            (8, lines("Coverage", coverage, [(queries.outcome_coverage(), "coverage")], "percentunit")),
            (8, lines("Rejected outcomes", rejected, [(queries.rejected(), "{{reason}}")], "short")),
        ],
    )


def _serving_rows(queries: Queries) -> Iterator[_Row]:
    latencies = [(queries.latency(part), f"p{part * 100:g}") for part in (0.5, 0.95, 0.99)]
    traffic = [(queries.predictions(), "{{status}}")]
    errors = [(queries.capture_errors(), "{{reason}}")]
    odd = [(queries.odd_in_failed(), "{{feature}}: {{state}}")]

    of_failed = "Share of failed rows in which a feature was missing, invalid, unseen or out of range."
    yield _Row(
        "Traffic",
        8,
        [
            (6, lines("Predictions by status", "Rows per second.", traffic, "reqps", stacked=True)),
            (6, lines("Latency", "From request to response.", latencies, "s")),
            (6, lines("Not understood", "Requests per second without features or output.", errors, "reqps")),
            (6, lines("Odd in failed requests", of_failed, odd, "percentunit", top=1)),
        ],
    )


def _record_rows(queries: Queries) -> Iterator[_Row]:
    def gauge(title: str, meaning: str, metric: str, unit: str, *, total: str = "sum") -> tuple[int, Panel]:
        series = [(queries.by_sink(f"boxkite_log_{metric}", total=total), "{{sink}}")]
        return 8, lines(title, meaning, series, unit)

    yield _Row(
        "Records",
        8,
        [
            (
                8,
                lines(
                    "Accepted, delivered", "Records per second.", [(queries.records(), "{{sink}}: {{outcome}}")], "wps"
                ),
            ),
            gauge("Waiting", "Records in memory or on disk.", "queue_records", "short"),
            (8, lines("Dropped", "Lost records, by reason.", [(queries.dropped(), "{{sink}}: {{reason}}")], "short")),
        ],
    )
    yield _Row(
        "",
        8,
        [
            (8, lines("Since the last delivery", "By sink.", [(queries.since_delivery(), "{{sink}}")], "s")),
            gauge("Back-off", "Longest pause before the next attempt.", "backoff_seconds", "s", total="max"),
            gauge("Spool", "Bytes on disk.", "spool_bytes", "bytes", total="max"),
        ],
    )
