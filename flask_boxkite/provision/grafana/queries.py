"""The expressions of the dashboard, on what the rules record and what apps export.

``${name:raw}`` stands for what is chosen for a variable of the dashboard, ``${name:regex}`` for a pattern of all that
is. Both stand in backquotes: Grafana fills in what the names are, without escaping them for a string of PromQL (what it
would do by itself breaks quotes), and only there is nothing to be escaped. A name with a backquote is beyond that.

A feature and an output are both a *variable* to the overview, so there both have the label ``variable``, and ``side``
says which of the two they are. Live numbers are summed over replicas, training taken once: nothing depends on how many
replicas there are.
"""

from __future__ import annotations

from flask_boxkite.provision.recording import FEATURES, OUTPUTS, Side

__all__ = ["Queries"]


class Queries:
    """Writes expressions that are restricted to what the visitor has chosen.

    Attributes:
        labels: Those of targets, by which replicas belong together.
        targets: Selects the targets that are chosen.
        of_model: Of these, the chosen model.
        of_version: Of that, the chosen versions.
        model: Of that, the chosen baselines.

    Args:
        group_by: Labels, beside those of the metrics, by which replicas belong together.
    """

    def __init__(self, group_by: tuple[str, ...]) -> None:
        self.labels = group_by
        chosen = list(map(_any_chosen, group_by))
        self.targets = ",".join(chosen)
        self.of_model = ",".join([*chosen, _chosen("model")])
        self.of_version = ",".join([self.of_model, _any_chosen("version")])
        self.model = ",".join([self.of_model, _any_chosen("baseline")])
        self._alerts = ",".join([*chosen, 'alertname=~"Boxkite.*"'])

    def known(self, metric: str, label: str, selector: str) -> str:
        """Return the values of a label, for a variable of the dashboard."""
        return f"label_values({metric}{{{selector}}}, {label})"

    # --- all variables -----------------------------------------------------------------------------------------------

    def every(self, what: str, *, windowed: bool = True, keep: tuple[str, ...] = ()) -> str:
        """Return a recorded number of every feature and output.

        Args:
            what: The name after ``boxkite:feature:``.
            windowed: Whether it is recorded for each window.
            keep: Further labels to keep.
        """
        by = ", ".join([*self.labels, "model", "baseline", "side", "variable", *keep])
        parts = [self._named(side, self._recorded(side, what, windowed=windowed)) for side in (FEATURES, OUTPUTS)]
        return f"max by ({by}) (\n  {parts[0]}\n  or\n  {parts[1]}\n)"

    def every_outside(self) -> str:
        """Return the share of values that training never saw: out of range if continuous, else unseen."""
        return f"{self.every('out_of_range_share')}\nor\n{self.every('unseen_share')}"

    def significance(self) -> str:
        """Return G as a multiple of its limit."""
        return f"{self.every('g')}\n/\n{self.every('g_limit', windowed=False)}"

    def drifted(self) -> str:
        """Return how many features and outputs are drifted or major in any window."""
        return f"count({self.every('verdict_any', windowed=False)} >= 3) or vector(0)"

    def _recorded(self, side: Side, what: str, *, windowed: bool) -> str:
        window = ',window="$window"' if windowed else ""
        return f"boxkite:{side.name}:{what}{{{self.model}{window}}}"

    def _named(self, side: Side, series: str) -> str:
        named = f'label_replace({series}, "variable", "$1", "{side.label}", "((?s).*)")'
        return f'label_replace({named}, "side", "{side.label}", "", "")'

    # --- one variable ------------------------------------------------------------------------------------------------

    def of(self, side: Side, what: str, *, windowed: bool = True) -> str:
        """Return a recorded number of the feature or output that is chosen."""
        window = ',window="$window"' if windowed else ""
        return f"max(boxkite:{side.name}:{what}{{{self._one(side)}{window}}})"

    def outside(self, side: Side) -> str:
        """Return the share of values that training never saw: out of range if continuous, else unseen."""
        return f"{self.of(side, 'out_of_range_share')} or {self.of(side, 'unseen_share')}"

    def trained_shares(self, side: Side) -> str:
        """Return the share of training rows in each group."""
        return self._shares(f"boxkite:{side.name}_group:baseline{{{self._one(side)}}}")

    def live_shares(self, side: Side) -> str:
        """Return the share of live rows in each group."""
        return self._shares(f'boxkite:{side.name}_group:live{{{self._one(side)},window="$window"}}')

    def bins(self, side: Side) -> str:
        """Return rows by bin, cumulative as a heat map takes them."""
        return f"sum by (le) (increase(boxkite_{side.name}_value_bucket{{{self._one(side)}}}[$__rate_interval]))"

    def mean(self, side: Side) -> str:
        """Return the mean of the chosen output."""
        total = " - ".join(
            f'sum(rate(boxkite_{side.name}_sum_total{{{self._one(side)},sign="{sign}"}}[$__rate_interval]))'
            for sign in ("positive", "negative")
        )
        rows = f"sum(rate(boxkite_{side.name}_group_total{{{self._one(side)}}}[$__rate_interval]))"
        return f"({total}) / ({rows} > 0)"

    def _one(self, side: Side) -> str:
        return f"{self.model},{_chosen(side.label)}"

    def _shares(self, series: str) -> str:
        return f"sum by (group) ({series}) / scalar(sum({series}))"

    # --- requests ----------------------------------------------------------------------------------------------------

    def predictions(self, status: str = "") -> str:
        """Return predicted rows a second."""
        chosen = f',status="{status}"' if status else ""
        return f"sum by (status) (rate(boxkite_predictions_total{{{self.model}{chosen}}}[$__rate_interval]))"

    def error_share(self) -> str:
        """Return the share of rows whose view failed."""
        rate = f"rate(boxkite_predictions_total{{{self.model}%s}}[$__rate_interval])"
        failed = rate % ',status="error"'
        return f"sum({failed}) / (sum({rate % ''}) > 0)"

    def odd_in_failed(self) -> str:
        """Return the share of failed rows in which the value of a feature was odd, where it was in any."""
        rate = f"rate(boxkite_feature_failed_total{{{self.model}%s}}[$__rate_interval])"
        odd = rate % ',state!="usual"'
        return f"sum by (feature, state) ({odd}) / on (feature) group_left () sum by (feature) ({rate % ''}) > 0"

    def latency(self, quantile: float) -> str:
        """Return a quantile of the seconds from request to response."""
        series = f"boxkite_prediction_duration_seconds_bucket{{{self.model}}}"
        return f"histogram_quantile({quantile:g}, sum by (le) (rate({series}[$__rate_interval])))"

    def capture_errors(self) -> str:
        """Return requests a second in which something was not found."""
        return f"sum by (reason) (rate(boxkite_capture_errors_total{{{self.model}}}[$__rate_interval]))"

    def baselines(self) -> str:
        """Return the baselines in service, with their versions and training rows."""
        by = ", ".join([*self.labels, "model", "version", "baseline", "created"])
        return f"max by ({by}) (boxkite_baseline_info{{{self.model}}})"

    # --- records and alerts ------------------------------------------------------------------------------------------

    def records(self) -> str:
        """Return records a second that sinks were given, and have."""
        return f"sum by (sink, outcome) (rate(boxkite_log_records_total{{{self.targets}}}[$__rate_interval]))"

    def dropped(self) -> str:
        """Return records that were lost in the span of time shown."""
        return f"sum by (sink, reason) (increase(boxkite_log_dropped_total{{{self.targets}}}[$__range])) > 0"

    def lost(self) -> str:
        """Return how many records were lost in the span of time shown."""
        return f"sum(increase(boxkite_log_dropped_total{{{self.targets}}}[$__range]))"

    def by_sink(self, metric: str, *, total: str = "sum") -> str:
        """Return a gauge by sink: the sum or the maximum of all replicas."""
        return f"{total} by (sink) ({metric}{{{self.targets}}})"

    def retries(self) -> str:
        """Return batches a second that were sent again."""
        return f"sum by (sink) (rate(boxkite_log_retries_total{{{self.targets}}}[$__rate_interval]))"

    def since_delivery(self) -> str:
        """Return seconds since a sink took something last; none if it never did."""
        series = f"boxkite_log_last_delivery_timestamp_seconds{{{self.targets}}}"
        return f"time() - max by (sink) ({series} > 0)"

    def alerts(self) -> str:
        """Return the alerts that are pending or firing."""
        return f"ALERTS{{{self._alerts}}}"


def _chosen(label: str) -> str:
    """Return the matcher of the one value that is chosen."""
    return f"{label}=`${{{label}:raw}}`"


def _any_chosen(label: str) -> str:
    """Return the matcher of all values that are chosen."""
    return f"{label}=~`${{{label}:regex}}`"
