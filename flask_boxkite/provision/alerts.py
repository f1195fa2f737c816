"""The alerting rules: the conditions under which a person is notified, and the texts of the notification.

An alert's labels name a variable, a model or a sink. A changed label would be a new alert, so labels never name a thing
that may change while the alert fires: the window, the group that moved most, the version. The texts query these.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from flask_boxkite.drift.verdict import MINIMUM_ROWS
from flask_boxkite.naming import MISSING
from flask_boxkite.provision.group_words import GROUP_WORDS
from flask_boxkite.provision.options import RuleOptions
from flask_boxkite.provision.recording import LOOKBACK, SIDES, Side, filled
from flask_boxkite.provision.rulefile import Alert

__all__ = [
    "CAPTURE_ERROR_SHARE",
    "STOPPED_SHARE",
    "USUALLY_MISSING_SHARE",
    "drift_alert",
    "pair_alert",
    "segment_alert",
    "serving_alerts",
    "stopped_alert",
]

ROLLOUT = "1h"
"""Time for which two baselines may serve one model."""

STALLED, STALLED_SECONDS = "10m", 600
"""Time for which a sink may take nothing while records wait."""

CAPTURE_ERROR_SHARE = 0.01
"""Share of requests without features or output above which there is an alert."""

STOPPED_SHARE, USUALLY_MISSING_SHARE = 0.9, 0.5
"""Share of rows above which a feature no longer arrives; and the one in training above which it never did."""

RECENT = "6m"
"""Time that reaches the last evaluation of the slowest rules, but not an older one with another group."""

# Texts are Prometheus' templates; their lines are joined. Here $name is filled in, and $$ becomes a $ of theirs.

VERSION = """\
version{{ range query (printf `count by (version) (boxkite_baseline_info{%s})` $$of_model) | sortByLabel "version" }}
{{ .Labels.version }}{{ end }}"""

# --- variables -------------------------------------------------------------------------------------------------------

DRIFTED = "$verdict_any >= 3"

DRIFTED_SUMMARY = "$Thing {{ $$labels.$label }} of model {{ $$labels.model }} has drifted from training"

# All numbers come from the window with the largest size. Slow groups record so seldom that their last samples may be
# too old for an instant query.
DRIFTED_DESCRIPTION = """\
{{ $$of_model := printf `$selector_of_model` $labels_of_model -}}
{{ $$of := printf `%s,$label=%q` $$of_model $$labels.$label -}}
{{ $$drifted := query (printf `sort_desc(last_over_time($size{%[1]s}[$lookback])
and last_over_time($verdict{%[1]s}[$lookback]) >= 3)` $$of) -}}
$Thing {{ $$labels.$label }} of model {{ $$labels.model }} ($version, baseline {{ $$labels.baseline }})
has drifted from training
{{- with $$drifted }}{{ with first . }}{{ $$now := printf `window=%q,%s` .Labels.window $$of }}
over the last {{ .Labels.window }}: size {{ printf "%.2f" .Value }},
drift from {{ range query (printf `$drifted_size{%s}` $$of) }}{{ printf "%g" .Value }}{{ end }} on;
G {{ range query (printf `last_over_time($g{%s}[$lookback])` $$now) }}{{ printf "%.1f" .Value }}{{ end }},
its limit {{ range query (printf `$g_limit{%s}` $$of) }}{{ printf "%.1f" .Value }}{{ end }};
{{ range query (printf `last_over_time($live_rows{%s}[$lookback])` $$now) }}{{ printf "%.0f" .Value }}{{ end }} rows.
{{- with query (printf `$moved_most{%[1]s} or ignoring (group) last_over_time($moved_most{%[1]s}[$recent])` $$now)
}}{{ with first . }}{{ $$group := printf `group=%q` .Labels.group }}
Moved most: $group_words,
from {{ range query (printf `$group_baseline{%[1]s,%[2]s} / ignoring (group) $baseline_rows{%[1]s}` $$of $$group)
}}{{ humanizePercentage .Value }}{{ end }}
to {{ range query (printf `last_over_time($group_live{%[1]s,%[2]s}[$lookback])
/ ignoring (group) last_over_time($live_rows{%[1]s}[$lookback])` $$now $$group)
}}{{ humanizePercentage .Value }}{{ end }} of rows.{{ end }}{{ end }}{{ end }}{{ else }}.{{ end }}
{{- if gt (len $$drifted) 1 }} It has also drifted over the last
{{ range $$i, $$one := $$drifted }}{{ if gt $$i 0 }}{{ if gt $$i 1 }}, {{ end -}}
{{ .Labels.window }} (size {{ printf "%.2f" .Value }}){{ end }}{{ end }}.{{ end }}"""

# A feature that was mostly missing in training, too, did not stop.
STOPPED = """\
max without (window) (
  $missing_share_now
) > $stopped_share
unless
sum without (group) ($group_baseline{group="$missing"}) / $baseline_rows > $usually_missing_share
unless
$weight == 0"""

# The shortest window with enough rows shows the present share.
MISSING_SHARE = """\
last_over_time($missing_share{window="$window"}[$lookback])
  and
  last_over_time($live_rows{window="$window"}[$lookback]) >= $minimum_rows"""

STOPPED_SUMMARY = "Feature {{ $$labels.feature }} of model {{ $$labels.model }} no longer arrives"

STOPPED_DESCRIPTION = """\
{{ $$of_model := printf `$selector_of_model` $labels_of_model -}}
{{ $$of := printf `%s,$label=%q` $$of_model $$labels.$label -}}
Feature {{ $$labels.feature }} of model {{ $$labels.model }} ($version, baseline {{ $$labels.baseline }})
is missing in {{ humanizePercentage $$value }} of rows; over the last
{{ range $$i, $$one := query (printf `sort_desc(last_over_time($missing_share{%s}[$lookback]))` $$of) -}}
{{ if $$i }}, {{ end }}{{ .Labels.window }} in {{ humanizePercentage .Value }}{{ end }}."""


# --- pairs -----------------------------------------------------------------------------------------------------------

# Each replica judges its own rows, since a rule cannot fit a model to the table of a pair.
PAIR_DRIFTED = "max by ($by, pair) (boxkite_pair_verdict) >= 3"

PAIR_SUMMARY = "{{ $$labels.pair }} of model {{ $$labels.model }} no longer go together as in training"

PAIR_DESCRIPTION = """\
{{ $$of_model := printf `$selector_of_model` $labels_of_model -}}
{{ $$of := printf `%s,pair=%q` $$of_model $$labels.pair -}}
{{ $$labels.pair }} of model {{ $$labels.model }} ($version, baseline {{ $$labels.baseline }})
no longer go together as in training, though each alone may be as it was: look for a join that failed or a column that
was shuffled. Size
{{ range $$i, $$one := query (printf `sort_desc(max by (window) (boxkite_pair_size{%s}))` $$of) -}}
{{ if $$i }}, {{ end }}{{ printf "%.2f" .Value }} over the last {{ .Labels.window }}{{ end }}."""


def pair_alert(options: RuleOptions) -> Alert:
    """Return the alert on pairs of variables that no longer go together, over any window."""
    texts = PAIR_DRIFTED, PAIR_SUMMARY, PAIR_DESCRIPTION
    return _alert("BoxkitePairDrift", texts, _parts_of_model(options), options)


# --- segments --------------------------------------------------------------------------------------------------------

# Each replica judges its own rows here, too. A variable that has drifted in all rows together has its own alert.
SEGMENT_DRIFTED = """\
max by ($by, segment) (
  max by ($by, segment, side, variable) (boxkite_segment_verdict) >= 3
  unless on ($by, side, variable)
  ($drifted)
)"""

AS_VARIABLE = """\
label_replace(label_replace($verdict_any >= 3, "side", "$side", "", ""), "variable", "$$1", "$label", "((?s).*)")"""

SEGMENT_SUMMARY = "Segment {{ $$labels.segment }} of model {{ $$labels.model }} has drifted from training"

SEGMENT_DESCRIPTION = """\
{{ $$of_model := printf `$selector_of_model` $labels_of_model -}}
{{ $$of := printf `%s,segment=%q` $$of_model $$labels.segment -}}
Rows with {{ $$labels.segment }} of model {{ $$labels.model }} ($version, baseline {{ $$labels.baseline }})
differ from the same rows in training, in variables in which all rows together do not. Largest sizes:
{{ range $$i, $$one := query (printf `sort_desc(topk(5, max by (variable) (boxkite_segment_size{%[1]s}
and boxkite_segment_verdict{%[1]s} >= 3)))` $$of) -}}
{{ if $$i }}, {{ end }}{{ printf "%.2f" .Value }} of {{ .Labels.variable }}{{ end }}."""


def segment_alert(options: RuleOptions) -> Alert:
    """Return the alert on segments in which a variable has drifted, over any window, but not in all rows together."""
    parts = _parts_of_model(options)
    sides = ({"verdict_any": side.series(":verdict_any"), "side": side.label, "label": side.label} for side in SIDES)
    parts["drifted"] = "\n  or\n  ".join(filled(AS_VARIABLE, own) for own in sides)
    return _alert("BoxkiteSegmentDrift", (SEGMENT_DRIFTED, SEGMENT_SUMMARY, SEGMENT_DESCRIPTION), parts, options)


def drift_alert(side: Side, options: RuleOptions) -> Alert:
    """Return the alert on variables that have drifted over any window."""
    name = "BoxkiteFeatureDrift" if side.label == "feature" else "BoxkiteOutputDrift"
    return _alert(name, (DRIFTED, DRIFTED_SUMMARY, DRIFTED_DESCRIPTION), _parts(side, options), options)


def stopped_alert(side: Side, options: RuleOptions) -> Alert:
    """Return the alert on features that are missing now but not in training; its value is their missing share."""
    parts = _parts(side, options)
    by_window = [filled(MISSING_SHARE, parts | {"window": window}) for window in options.windows]
    parts["missing_share_now"] = "\n  or ignoring (window)\n  ".join(by_window)
    return _alert("BoxkiteFeatureStopped", (STOPPED, STOPPED_SUMMARY, STOPPED_DESCRIPTION), parts, options)


def _alert(name: str, texts: tuple[str, str, str], parts: dict[str, str], options: RuleOptions) -> Alert:
    """Return an alert from the templates of its condition, summary and description."""
    condition, summary, description = (filled(text, parts) for text in texts)
    return Alert(name, condition, options.hold, {"severity": options.severity}, summary, description)


def _parts(side: Side, options: RuleOptions) -> dict[str, str]:
    names = ("size", "verdict", "verdict_any", "g", "g_limit", "live_rows", "baseline_rows", "weight", "drifted_size")

    return {
        **{name: side.series(f":{name}") for name in (*names, "missing_share", "moved_most")},
        "group_baseline": side.series("_group:baseline"),
        "group_live": side.series("_group:live"),
        "Thing": side.label.capitalize(),
        "group_words": GROUP_WORDS.replace("$$", "$"),
        "label": side.label,
        "lookback": LOOKBACK,
        "recent": RECENT,
        "missing": MISSING,
        "stopped_share": f"{STOPPED_SHARE:g}",
        "usually_missing_share": f"{USUALLY_MISSING_SHARE:g}",
        "minimum_rows": str(MINIMUM_ROWS),
        **_parts_of_model(options),
    }


def _parts_of_model(options: RuleOptions) -> dict[str, str]:
    labels = (*options.group_by, "model", "baseline")
    return {
        "by": ", ".join(labels),
        "selector_of_model": ",".join(f"{label}=%q" for label in labels),
        "labels_of_model": " ".join(f"$labels.{label}" for label in labels),
        "version": VERSION.replace("$$", "$"),
    }


# --- serving ---------------------------------------------------------------------------------------------------------

# The comparison with the day before ignores nights. It also covers a model whose replicas are all gone.
NO_TRAFFIC = """\
sum by ($by) (increase(boxkite_predictions_total[$window] offset 1d)) > 0
unless
sum by ($by) (increase(boxkite_predictions_total[$window])) > 0"""

# If a target label renamed the model's label, "exported_model" holds the name.
TWO_BASELINES = "count by ($by, exported_model) (count by ($by, exported_model, baseline) (boxkite_baseline_info)) > 1"

DROPPED = "sum by ($by, reason) (increase(boxkite_log_dropped_total[$window])) > 0"

# The condition holds for a replica whose queue was never seen empty while nothing left it. A sink that has never
# delivered counts only once it has been seen for that long.
STALLED_SINK = """\
sum by ($by) (
  boxkite_log_queue_records
  and
  boxkite_log_queue_records offset $stalled
  and
  min_over_time(boxkite_log_queue_records[$stalled]) > 0
  and
  time() - boxkite_log_last_delivery_timestamp_seconds > $stalled_seconds
)"""

STALLED_DESCRIPTION = """\
{{ $$of := printf `$selector` $labels -}}
{{ $$value }} records wait, and for $stalled sink {{ $$labels.sink }} has taken none of some replica.
{{- range query (printf `max(boxkite_log_backoff_seconds{%s})` $$of)
}} Pause between its attempts: {{ humanizeDuration .Value }}.{{ end }}"""

CAPTURE_ERRORS = """\
sum by ($by, reason) (increase(boxkite_capture_errors_total[$window]))
/ ignoring (reason) group_left ()
(sum by ($by) (increase(boxkite_prediction_duration_seconds_count[$window])) > 0)
> $capture_error_share"""

# A target label with the name of one of ours makes Prometheus rename ours, so that rules see the target's.
RENAMED = "count by ($by) (\n  $each\n)"
RENAMED_ONE = 'label_replace($series{exported_$label!=""}, "label", "$label", "", "")'

CLASHES = {
    "model": "boxkite_predictions_total",
    "baseline": "boxkite_predictions_total",
    "status": "boxkite_predictions_total",
    "feature": "boxkite_feature_group_total",
    "output": "boxkite_inference_group_total",
    "group": "boxkite_feature_group_total",
    "window": "boxkite_feature_dispersion",
    "reason": "boxkite_capture_errors_total",
    "sink": "boxkite_log_records_total",
}
"""Labels that the rules rely on, each with a metric that has it."""

RENAMED_DESCRIPTION = """\
Targets have a label {{ $$labels.label }} of their own, so Prometheus stores the label of the metrics as
exported_{{ $$labels.label }} ({{ printf "%.0f" $$value }} series), and rules and dashboards mix what it tells apart.
Set honor_labels: true in the scrape job (honorLabels: true in a ServiceMonitor or PodMonitor)."""


class _Template(NamedTuple):
    """An alert before its texts are filled in.

    Attributes:
        name: Name of the alert.
        expr: Its expression.
        summary: Its summary.
        description: Its description.
        subject: Subject of the alert: ``model``, ``sink`` or ``target``.
        hold: Time for which the expression must be true; None for the time in the options.
    """

    name: str
    expr: str
    summary: str
    description: str
    subject: str
    hold: str | None = None


SERVING = (
    _Template(
        "BoxkiteNoTraffic",
        NO_TRAFFIC,
        "Model {{ $$labels.model }} no longer gets requests",
        """\
Model {{ $$labels.model }} predicted nothing in the last $window; at this time yesterday, it predicted
{{ printf "%.0f" $$value }} rows in as long.""",
        "model",
    ),
    _Template(
        "BoxkiteTwoBaselines",
        TWO_BASELINES,
        "Model {{ $$labels.model }} is served with {{ $$value }} baselines",
        """\
For more than $rollout, replicas of model {{ $$labels.model }} have had {{ $$value }} different baselines: a rollout
that is stuck, or a canary. Each is judged by itself.""",
        "model",
        hold=ROLLOUT,
    ),
    _Template(
        "BoxkiteLabelsRenamed",
        RENAMED,
        "Prometheus has renamed the label {{ $$labels.label }} of the metrics",
        RENAMED_DESCRIPTION,
        "target",
    ),
    _Template(
        "BoxkiteRecordsDropped",
        DROPPED,
        "Sink {{ $$labels.sink }} loses records",
        """\
About {{ printf "%.0f" $$value }} records for sink {{ $$labels.sink }} were lost in the last $window,
reason {{ $$labels.reason }}.""",
        "sink",
        hold="0s",
    ),
    _Template(
        "BoxkiteSinkStalled",
        STALLED_SINK,
        "Sink {{ $$labels.sink }} takes no records",
        STALLED_DESCRIPTION,
        "sink",
    ),
    _Template(
        "BoxkiteCaptureErrors",
        CAPTURE_ERRORS,
        "Requests to model {{ $$labels.model }} are not understood",
        """\
In {{ humanizePercentage $$value }} of the requests to model {{ $$labels.model }} in the last $window, something was
not captured: {{ $$labels.reason }}.""",
        "model",
    ),
)


def serving_alerts(options: RuleOptions) -> tuple[Alert, ...]:
    """Return the alerts on traffic, baselines, records and capture; each looks at one window."""
    sink_labels = (*options.group_by, "sink")
    common = {
        "window": options.serving_window,
        "selector": ",".join(f"{label}=%q" for label in sink_labels),
        "labels": " ".join(f"$labels.{label}" for label in sink_labels),
        "rollout": ROLLOUT,
        "stalled": STALLED,
        "stalled_seconds": str(STALLED_SECONDS),
        "capture_error_share": f"{CAPTURE_ERROR_SHARE:g}",
    }

    parts = {
        "model": common | {"by": ", ".join((*options.group_by, "model"))},
        "sink": common | {"by": ", ".join(sink_labels)},
        "target": common | {"by": ", ".join((*options.group_by, "label")), "each": "\n  or\n  ".join(_clashes())},
    }
    return tuple(_serving_alert(template, parts[template.subject], options) for template in SERVING)


def _serving_alert(template: _Template, parts: dict[str, str], options: RuleOptions) -> Alert:
    return Alert(
        template.name,
        filled(template.expr, parts),
        options.hold if template.hold is None else template.hold,
        {"severity": options.severity},
        filled(template.summary, parts),
        filled(template.description, parts),
    )


def _clashes() -> Iterator[str]:
    for label, series in CLASHES.items():
        yield filled(RENAMED_ONE, {"label": label, "series": series})
