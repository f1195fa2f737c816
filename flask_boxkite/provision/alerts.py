"""The alerting rules: when a person is told, and what.

An alert's labels are those of a variable, a model or a sink, and never anything that may change while it fires, such
as the group that moved most or the version: a changed label would be a new alert. Its texts look those up.
"""

from __future__ import annotations

from flask_boxkite.drift.verdict import MINIMUM_ROWS
from flask_boxkite.naming import MISSING
from flask_boxkite.provision.options import RuleOptions
from flask_boxkite.provision.recording import Side, filled
from flask_boxkite.provision.rulefile import Alert

__all__ = ["drift_alert", "serving_alerts", "stopped_alert"]

ROLLOUT = "1h"
"""How long two baselines may serve one model."""

STALLED, STALLED_SECONDS = "10m", 600
"""How long a sink may take nothing while records wait."""

CAPTURE_ERROR_SHARE = 0.01
"""From which share of requests on features or output that are not found are an alert."""

# Texts are Prometheus' templates, in lines that become one. Here $name is filled in and $$ is a $ of theirs.

VERSION = """\
version{{ range query (printf `count by (version) (boxkite_baseline_info{%s})` $$of_model) | sortByLabel "version" }}
{{ .Labels.version }}{{ end }}"""

# --- variables -------------------------------------------------------------------------------------------------------

DRIFTED = """\
$size_now
and
$verdict_now >= 3"""

DRIFTED_SUMMARY = "$Thing {{ $$labels.$label }} of model {{ $$labels.model }} has drifted from training"

DRIFTED_DESCRIPTION = """\
{{ $$of_model := printf `$selector_of_model` $labels_of_model -}}
{{ $$of := printf `%s,$label=%q` $$of_model $$labels.$label -}}
$Thing {{ $$labels.$label }} of model {{ $$labels.model }} ($version, baseline {{ $$labels.baseline }})
over the last $window:
size {{ printf "%.2f" $$value }}, drift from $minimum_size on;
G {{ range query (printf `$g{window="$window",%[1]s} / $dispersion{window="$window",%[1]s}` $$of)
}}{{ printf "%.1f" .Value }}{{ end }},
its limit {{ range query (printf `$g_limit{%s}` $$of) }}{{ printf "%.1f" .Value }}{{ end }};
{{ range query (printf `$live_rows{window="$window",%s}` $$of) }}{{ printf "%.0f" .Value }}{{ end }} rows.
{{ range query (printf `$moved_most{window="$window",%s}` $$of) }}Group {{ .Labels.group }} moved most{{ end }},
from {{ range query (printf `$group_baseline{%[1]s} / ignoring (group) group_left () $baseline_rows{%[1]s}
and ignoring (window) $moved_most{window="$window",%[1]s}` $$of) }}{{ humanizePercentage .Value }}{{ end }}
to {{ range query (printf `$group_live{window="$window",%[1]s} / ignoring (group) group_left ()
$live_rows{window="$window",%[1]s} and $moved_most{window="$window",%[1]s}` $$of)
}}{{ humanizePercentage .Value }}{{ end }} of rows."""

# A feature that was mostly missing in training, too, has not stopped.
STOPPED = """\
$missing_share_now > 0.9
and
$live_rows_now >= $minimum_rows
unless ignoring (window)
sum without (group) ($group_baseline{group="$missing"}) / $baseline_rows > 0.5"""

STOPPED_SUMMARY = "Feature {{ $$labels.feature }} of model {{ $$labels.model }} no longer arrives"

STOPPED_DESCRIPTION = """\
{{ $$of_model := printf `$selector_of_model` $labels_of_model -}}
In {{ humanizePercentage $$value }} of the rows of the last $window, feature {{ $$labels.feature }} of model
{{ $$labels.model }} ($version, baseline {{ $$labels.baseline }}) is missing."""


def drift_alert(side: Side, options: RuleOptions, window: str) -> Alert:
    """Return the alert for variables that have drifted over *window*; its value is their size."""
    parts = _parts(side, options, window)
    return Alert(
        "BoxkiteFeatureDrift" if side.label == "feature" else "BoxkiteOutputDrift",
        filled(DRIFTED, parts),
        options.hold,
        {"severity": options.severity, "window": window},
        filled(DRIFTED_SUMMARY, parts),
        filled(DRIFTED_DESCRIPTION, parts),
    )


def stopped_alert(side: Side, options: RuleOptions, window: str) -> Alert:
    """Return the alert for features that are missing though training had them; its value is their missing share."""
    parts = _parts(side, options, window)
    return Alert(
        "BoxkiteFeatureStopped",
        filled(STOPPED, parts),
        options.hold,
        {"severity": options.severity, "window": window},
        filled(STOPPED_SUMMARY, parts),
        filled(STOPPED_DESCRIPTION, parts),
    )


def _parts(side: Side, options: RuleOptions, window: str) -> dict[str, str]:
    labels = (*options.group_by, "model", "baseline")
    names = ("size", "verdict", "g", "g_limit", "dispersion", "live_rows", "missing_share", "moved_most")
    return {
        **{name: side.series(f":{name}") for name in (*names, "baseline_rows")},
        **{f"{name}_now": side.series(f":{name}", window) for name in names},
        "group_baseline": side.series("_group:baseline"),
        "group_live": side.series("_group:live"),
        "Thing": side.label.capitalize(),
        "label": side.label,
        "window": window,
        "missing": MISSING,
        "minimum_rows": str(MINIMUM_ROWS),
        "minimum_size": f"{options.minimum_size:g}",
        "selector_of_model": ",".join(f"{label}=%q" for label in labels),
        "labels_of_model": " ".join(f"$labels.{label}" for label in labels),
        "version": VERSION.replace("$$", "$"),
    }


# --- serving ---------------------------------------------------------------------------------------------------------

# Compared with the same time of the day before: nights are no news. A model whose replicas are all gone counts too.
NO_TRAFFIC = """\
sum by ($by) (increase(boxkite_predictions_total[$window] offset 1d)) > 0
unless
sum by ($by) (increase(boxkite_predictions_total[$window])) > 0"""

TWO_BASELINES = "count by ($by) (count by ($by, baseline) (boxkite_baseline_info)) > 1"

DROPPED = "sum by ($by, reason) (increase(boxkite_log_dropped_total[$window])) > 0"

# Of each replica: the queue was never seen empty, and nothing has left it. A sink that has never delivered has had its
# chance only when it has been seen for that long.
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


def serving_alerts(options: RuleOptions) -> tuple[Alert, ...]:
    """Return the alerts on what is no variable: traffic, baselines, records, capture. They look at one window."""
    sink_labels = (*options.group_by, "sink")
    parts = {
        "window": options.windows[0],
        "selector": ",".join(f"{label}=%q" for label in sink_labels),
        "labels": " ".join(f"$labels.{label}" for label in sink_labels),
        "rollout": ROLLOUT,
        "stalled": STALLED,
        "stalled_seconds": str(STALLED_SECONDS),
        "capture_error_share": f"{CAPTURE_ERROR_SHARE:g}",
    }
    of_model = parts | {"by": ", ".join((*options.group_by, "model"))}
    of_sink = parts | {"by": ", ".join(sink_labels)}

    def alert(
        name: str, expr: str, summary: str, description: str, parts: dict[str, str], hold: str = options.hold
    ) -> Alert:
        labels = {"severity": options.severity}
        return Alert(name, filled(expr, parts), hold, labels, filled(summary, parts), filled(description, parts))

    return (
        alert(
            "BoxkiteNoTraffic",
            NO_TRAFFIC,
            "Model {{ $$labels.model }} no longer gets requests",
            """\
Model {{ $$labels.model }} predicted nothing in the last $window; at this time yesterday, it predicted
{{ printf "%.0f" $$value }} rows in as long.""",
            of_model,
        ),
        alert(
            "BoxkiteTwoBaselines",
            TWO_BASELINES,
            "Model {{ $$labels.model }} is served with {{ $$value }} baselines",
            """\
For more than $rollout, replicas of model {{ $$labels.model }} have had {{ $$value }} different baselines: a rollout
that is stuck, or a canary. Each is judged by itself.""",
            of_model,
            hold=ROLLOUT,
        ),
        alert(
            "BoxkiteRecordsDropped",
            DROPPED,
            "Sink {{ $$labels.sink }} loses records",
            """\
About {{ printf "%.0f" $$value }} records for sink {{ $$labels.sink }} were lost in the last $window,
reason {{ $$labels.reason }}.""",
            of_sink,
            hold="0s",
        ),
        alert(
            "BoxkiteSinkStalled",
            STALLED_SINK,
            "Sink {{ $$labels.sink }} takes no records",
            STALLED_DESCRIPTION,
            of_sink,
        ),
        alert(
            "BoxkiteCaptureErrors",
            CAPTURE_ERRORS,
            "Requests to model {{ $$labels.model }} are not understood",
            """\
In {{ humanizePercentage $$value }} of the requests to model {{ $$labels.model }} in the last $window, something was
not captured: {{ $$labels.reason }}.""",
            of_model,
        ),
    )
