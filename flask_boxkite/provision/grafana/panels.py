"""Panels of the dashboard, each with a sentence of explanation; thin layers over the builders of Grafana's SDK."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any, TypeAlias

from grafana_foundation_sdk.builders import (
    barchart,
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

__all__ = [
    "DATASOURCE",
    "Panel",
    "Series",
    "alerts_table",
    "baselines_table",
    "groups_chart",
    "lines",
    "overview_table",
    "value",
    "values_over_time",
]

Panel: TypeAlias = Any
"""A builder of any panel: the SDK has no common type for them."""

Series: TypeAlias = Sequence[tuple[str, str]]
"""Expressions, each with the text of its legend."""

DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")

GREY, GREEN, YELLOW, ORANGE, RED = "text", "green", "yellow", "orange", "red"

LOWER_BOUND = "/^[(](?<bound>[^,]+),/"

VERDICTS = (
    ("ignored", GREY),
    ("not enough data", GREY),
    ("stable", GREEN),
    ("shifted", YELLOW),
    ("drifted", ORANGE),
    ("major", RED),
)
"""Meanings of the recorded numbers -1 to 4."""


def _targets(panel: Panel, series: Series, *, is_table: bool = False, kind: PromQueryFormat | None = None) -> Panel:
    panel.datasource(DATASOURCE)
    for letter, (expression, legend) in zip(ascii_uppercase, series, strict=False):
        query = prometheus.Dataquery().ref_id(letter).expr(expression).legend_format(legend)
        if is_table:
            query.instant().format(PromQueryFormat.TABLE)
        else:
            query.range().format(kind or PromQueryFormat.TIME_SERIES)
        panel.with_target(query)
    return panel


def _thresholds(*steps: tuple[float | None, str]) -> Any:
    """Return colours, each from a value upwards."""
    made = [models.Threshold(value=value, color=color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(made)


def value(title: str, meaning: str, expression: str, unit: str, *, bad_from: float | None = None) -> Panel:
    """Return a panel with one number, red from *bad_from* upwards."""
    steps = [(None, GREEN), *([(bad_from, RED)] if bad_from is not None else [])]
    panel = stat.Panel().title(title).description(meaning).unit(unit).thresholds(_thresholds(*steps)).no_value("0")
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    return _targets(panel, [(expression, "")])


def lines(
    title: str,
    meaning: str,
    series: Series,
    unit: str,
    *,
    stacked: bool = False,
    top: float = 0,
) -> Panel:
    """Return a panel with numbers over time.

    Args:
        title: Title of the panel.
        meaning: Explanation, in a sentence.
        series: Expressions and legends; "limit", "drifted from" and "major from" are drawn dashed.
        unit: Unit of the numbers, in Grafana's name.
        stacked: Whether the numbers add up.
        top: Highest possible number; 0 for no bound.
    """
    panel = timeseries.Panel().title(title).description(meaning).unit(unit).min(0).line_width(2).fill_opacity(8)
    panel.tooltip(
        common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI).sort(common_models.SortOrder.DESCENDING)
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL)).fill_opacity(60).line_width(0)
    if top:
        panel.max(top)
    dash = {"fill": "dash", "dash": [8, 6]}
    for name, color in (("limit", RED), ("drifted from", ORANGE), ("major from", RED)):
        panel.override_by_name(name, [models.DynamicConfigValue("custom.lineStyle", dash), _color(color)])
    return _targets(panel, series)


def groups_chart(title: str, meaning: str, trained: str, live: str) -> Panel:
    """Return a panel with the shares of groups, training beside live; intervals follow the order of their bounds."""
    panel = barchart.Panel().title(title).description(meaning).unit("percentunit").min(0).x_field("group")
    panel.x_tick_label_rotation(-30).show_value(common_models.VisibilityMode.NEVER).group_width(0.8).bar_width(0.9)
    panel.override_by_name("training", [_color("#8e99a8")]).override_by_name("live", [_color("#3274d9")])
    panel.transformations(
        [
            _transformation("merge"),
            _transformation("extractFields", source="group", format="regexp", regExp=LOWER_BOUND),
            _transformation("convertFieldType", conversions=[{"targetField": "bound", "destinationType": "number"}]),
            _transformation("sortBy", sort=[{"field": "bound"}]),
            _organized({"Value #A": "training", "Value #B": "live"}, without=("Time", "bound")),
        ]
    )

    return _targets(panel, [(trained, ""), (live, "")], is_table=True)


def values_over_time(title: str, meaning: str, expression: str) -> Panel:
    """Return a heat map of values over time."""
    panel = heatmap.Panel().title(title).description(meaning).calculate(False)
    return _targets(panel, [(expression, "{{le}}")], kind=PromQueryFormat.HEATMAP)


def overview_table(title: str, meaning: str, columns: Series, labels: Sequence[str]) -> Panel:
    """Return a table of all variables with their numbers, the most moved first.

    Args:
        title: Title of the panel.
        meaning: Explanation, in a sentence.
        columns: Expressions, each with the name of its column.
        labels: Target labels by which replicas belong together.
    """
    letters = dict(zip((f"Value #{letter}" for letter in ascii_uppercase), (name for _, name in columns), strict=False))
    panel = table.Panel().title(title).description(meaning).filterable(True)
    panel.transformations(
        [
            _transformation("merge"),
            _organized(
                {**letters, "variable": "Variable", "group": "in group"}, without=("Time", "model", "baseline", *labels)
            ),
        ]
    )
    panel.sort_by([common.TableSortByFieldState().display_name(name).desc(True) for name in ("Verdict", "Size")])
    mapping = models.ValueMap(
        {
            str(number): models.ValueMappingResult(text=text, color=color)
            for number, (text, color) in enumerate(VERDICTS, -1)
        }
    )
    background = {"type": "color-background", "mode": "basic"}
    panel.override_by_regexp(
        "Verdict|In the window",
        [
            models.DynamicConfigValue("mappings", [mapping]),
            models.DynamicConfigValue("custom.cellOptions", background),
        ],
    )
    choices = ("datasource", *labels, "model", "version", "baseline", "window")
    links = [{"title": f"Show this {side}", "url": _link(side, choices)} for side in ("feature", "output")]
    panel.override_by_name("Variable", [models.DynamicConfigValue("links", links)])
    for name in ("Size", "PSI"):
        panel.override_by_name(name, [_unit("none"), models.DynamicConfigValue("decimals", 2)])

    panel.override_by_regexp("Missing|Outside training|Moved most", [_unit("percentunit")])
    panel.override_by_name("G of limit", [_unit("none"), models.DynamicConfigValue("decimals", 1)])
    panel.override_by_name("Rows", [_unit("short")])

    return _targets(panel, [(expression, "") for expression, _ in columns], is_table=True)


def _link(side: str, choices: Sequence[str]) -> str:
    """Return the address of this dashboard with a feature or output chosen, and the same *choices* as now."""
    others = "&".join(f"${{{name}:queryparam}}" for name in choices)
    return f"/d/${{__dashboard.uid}}?${{__url_time_range}}&{others}&var-{side}=${{__value.raw:percentencode}}"


def alerts_table(title: str, meaning: str, expression: str) -> Panel:
    """Return a table of the pending and firing alerts."""
    panel = table.Panel().title(title).description(meaning).no_value("No alert.")
    panel.transformations([_organized({"alertname": "Alert"}, without=("Time", "Value", "__name__"))])
    return _targets(panel, [(expression, "")], is_table=True)


def baselines_table(title: str, meaning: str, expression: str) -> Panel:
    """Return a table of the baselines in service."""
    panel = table.Panel().title(title).description(meaning)
    panel.transformations([_organized({"Value": "training rows"}, without=("Time",))])
    return _targets(panel, [(expression, "")], is_table=True)


def _transformation(name: str, **options: Any) -> models.DataTransformerConfig:
    return models.DataTransformerConfig(id_val=name, options=options)


def _organized(names: dict[str, str], *, without: Sequence[str]) -> models.DataTransformerConfig:
    return _transformation("organize", renameByName=names, excludeByName=dict.fromkeys(without, True), indexByName={})


def _color(name: str) -> models.DynamicConfigValue:
    return models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": name})


def _unit(name: str) -> models.DynamicConfigValue:
    return models.DynamicConfigValue("unit", name)
