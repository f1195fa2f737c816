"""The expressions of the dashboard, over the series of the rules and the metrics of apps.

``${name:raw}`` is the value chosen for a variable of the dashboard, ``${name:regex}`` a pattern of all chosen values.
Both stand in backquotes, where nothing must be escaped. Grafana inserts names without escaping them for a string of
PromQL, and its own escaping breaks quotes. A name with a backquote is not supported.

The overview calls features and outputs *variables*, so both have the label ``variable`` there, and ``side`` says which
of the two they are. Live numbers are summed over replicas, training numbers taken once: no number depends on the number
of replicas.
"""

from __future__ import annotations

from flask_boxkite.naming import UNSEEN
from flask_boxkite.promtext.family import label_text
from flask_boxkite.provision.performance import Z_LIMIT
from flask_boxkite.provision.recording import FEATURES, OUTPUTS, Side

__all__ = ["Queries"]


class Queries:
    """Writes expressions that are restricted to the visitor's choices.

    Attributes:
        labels: Target labels by which replicas belong together.
        targets: Selector of the chosen targets.
        of_model: Selector of the chosen model on these targets.
        of_version: Selector of the chosen versions of this model.
        model: Selector of the chosen baselines of these versions.

    Args:
        group_by: Labels, besides the labels of the metrics, by which replicas belong together.
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
            what: Part of the name after ``boxkite:feature:``.
            windowed: Whether it is recorded for each window.
            keep: Further labels to keep.
        """
        by = ", ".join([*self.labels, "model", "baseline", "side", "variable", *keep])
        parts = [self._named(side, self._recorded(side, what, windowed=windowed)) for side in (FEATURES, OUTPUTS)]
        return f"max by ({by}) (\n  {parts[0]}\n  or\n  {parts[1]}\n)"

    def every_outside(self) -> str:
        """Return the share of values unknown in training: out of range if continuous, else unseen."""
        return f"{self.every('out_of_range_share')}\nor\n{self.every('unseen_share')}"

    def significance(self) -> str:
        """Return G as a multiple of its limit."""
        return f"{self.every('g')}\n/\n{self.every('g_limit', windowed=False)}"

    def drifted(self) -> str:
        """Return the number of features and outputs that are drifted or major in any window."""
        return f"count({self.every('verdict_any', windowed=False)} >= 3) or vector(0)"

    def _recorded(self, side: Side, what: str, *, windowed: bool) -> str:
        window = ',window="$window"' if windowed else ""
        return f"boxkite:{side.name}:{what}{{{self.model}{window}}}"

    def _named(self, side: Side, series: str) -> str:
        named = f'label_replace({series}, "variable", "$1", "{side.label}", "((?s).*)")'
        return f'label_replace({named}, "side", "{side.label}", "", "")'

    # --- one variable ------------------------------------------------------------------------------------------------

    def of(self, side: Side, what: str, *, windowed: bool = True) -> str:
        """Return a recorded number of the chosen feature or output."""
        window = ',window="$window"' if windowed else ""
        return f"max(boxkite:{side.name}:{what}{{{self._one(side)}{window}}})"

    def outside(self, side: Side) -> str:
        """Return the share of values unknown in training: out of range if continuous, else unseen."""
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

    # --- performance -------------------------------------------------------------------------------------------------

    def metric(self, name: str, source: str) -> str:
        """Return a metric of performance, by its name and by ``outcomes`` or as ``expected``."""
        return f"max({self._performance(name, source)})"

    def validated(self, name: str) -> str:
        """Return a metric of the validation rows."""
        return f'max(boxkite:model:validated{{{self.model},metric="{name}"}})'

    def wrong_z(self) -> str:
        """Return the statistic of wrong rows."""
        return f'max(boxkite:model:wrong_z{{{self.model},window="$window"}})'

    def z_limit(self) -> str:
        """Return the limit of that statistic."""
        return f"vector({Z_LIMIT:g})"

    def outcomes(self) -> str:
        """Return the outcomes that came."""
        return f"sum({self._performance('outcomes', 'outcomes')})"

    def unseen_outcomes(self) -> str:
        """Return the outcomes of a class that validation never had, if there are any."""
        chosen = label_text(actual=UNSEEN)
        return f"sum(increase(boxkite_outcomes_total{{{self.model},{chosen}}}[$window])) > 0"

    def outcome_coverage(self) -> str:
        """Return outcomes by predicted rows, of which each is expected to have one."""
        return f"{self.outcomes()} / (sum({self._performance('outcomes', 'expected')}) > 0)"

    def rejected(self) -> str:
        """Return outcomes that were not counted in the time range on display."""
        return f"sum by (reason) (increase(boxkite_outcomes_rejected_total{{{self.model}}}[$__range])) > 0"

    def _performance(self, what: str, source: str) -> str:
        return f'boxkite:model:{what}{{{self.model},window="$window",source="{source}"}}'

    # --- requests ----------------------------------------------------------------------------------------------------

    def predictions(self, status: str = "") -> str:
        """Return predicted rows per second."""
        chosen = f',status="{status}"' if status else ""
        return f"sum by (status) (rate(boxkite_predictions_total{{{self.model}{chosen}}}[$__rate_interval]))"

    def error_share(self) -> str:
        """Return the share of rows whose view failed."""
        rate = f"rate(boxkite_predictions_total{{{self.model}%s}}[$__rate_interval])"
        failed = rate % ',status="error"'
        return f"sum({failed}) / (sum({rate % ''}) > 0)"

    def odd_in_failed(self) -> str:
        """Return the share of failed rows with an odd value of a feature, for features with any."""
        rate = f"rate(boxkite_feature_failed_total{{{self.model}%s}}[$__rate_interval])"
        odd = rate % ',state!="usual"'
        return f"sum by (feature, state) ({odd}) / on (feature) group_left () sum by (feature) ({rate % ''}) > 0"

    def latency(self, quantile: float) -> str:
        """Return a quantile of the seconds from request to response."""
        series = f"boxkite_prediction_duration_seconds_bucket{{{self.model}}}"
        return f"histogram_quantile({quantile:g}, sum by (le) (rate({series}[$__rate_interval])))"

    def capture_errors(self) -> str:
        """Return requests per second whose features or output were not found."""
        return f"sum by (reason) (rate(boxkite_capture_errors_total{{{self.model}}}[$__rate_interval]))"

    def baselines(self) -> str:
        """Return the baselines in service, with their versions and training rows."""
        by = ", ".join([*self.labels, "model", "version", "baseline", "created"])
        return f"max by ({by}) (boxkite_baseline_info{{{self.model}}})"

    # --- records and alerts ------------------------------------------------------------------------------------------

    def records(self) -> str:
        """Return records per second that sinks accepted and delivered."""
        return f"sum by (sink, outcome) (rate(boxkite_log_records_total{{{self.targets}}}[$__rate_interval]))"

    def dropped(self) -> str:
        """Return records lost in the time range on display."""
        return f"sum by (sink, reason) (increase(boxkite_log_dropped_total{{{self.targets}}}[$__range])) > 0"

    def lost(self) -> str:
        """Return the number of records lost in the time range on display."""
        return f"sum(increase(boxkite_log_dropped_total{{{self.targets}}}[$__range]))"

    def by_sink(self, metric: str, *, total: str = "sum") -> str:
        """Return a gauge by sink: the sum or the maximum of all replicas."""
        return f"{total} by (sink) ({metric}{{{self.targets}}})"

    def retries(self) -> str:
        """Return batches per second that were sent again."""
        return f"sum by (sink) (rate(boxkite_log_retries_total{{{self.targets}}}[$__rate_interval]))"

    def since_delivery(self) -> str:
        """Return seconds since a sink last took a batch; empty if it never did."""
        series = f"boxkite_log_last_delivery_timestamp_seconds{{{self.targets}}}"
        return f"time() - max by (sink) ({series} > 0)"

    def alerts(self) -> str:
        """Return the alerts that are pending or firing."""
        return f"ALERTS{{{self._alerts}}}"


def _chosen(label: str) -> str:
    """Return the matcher of the one chosen value."""
    return f"{label}=`${{{label}:raw}}`"


def _any_chosen(label: str) -> str:
    """Return the matcher of all chosen values."""
    return f"{label}=~`${{{label}:regex}}`"
