"""The rule file: its groups of rules, their order, and their evaluation intervals.

The rules are generic over models, baselines, features and outputs, so the file does not grow with any of them. A group
runs its rules one after the other, so each rule may use the series that earlier ones have recorded.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence

from flask_boxkite.drift.verdict import DOUBT, MINIMUM_ROWS
from flask_boxkite.provision.alerts import drift_alert, pair_alert, segment_alert, serving_alerts, stopped_alert
from flask_boxkite.provision.kubernetes import ObjectMeta
from flask_boxkite.provision.options import RuleOptions
from flask_boxkite.provision.performance import Z_LIMIT, performance_alerts, performance_rules, validation_rules
from flask_boxkite.provision.recording import (
    BINS,
    FEATURES,
    GROUPS,
    SIDES,
    Counter,
    Side,
    any_window_rule,
    bin_rules,
    piece_rules,
    training_rules,
    window_rules,
)
from flask_boxkite.provision.rulefile import Alert, Group, Recording, file_text, manifest_text

__all__ = ["rules_text"]

HEADER = """\
Recording and alerting rules of flask-boxkite, for all models, baselines, features and outputs. Made by
  {command}
To change them, run it with other options.

Per window and feature (outputs: "inference" in place of "feature"), recorded as boxkite:feature:…
  verdict             -1 ignored, 0 not enough data, 1 stable, 2 shifted (real, but small), 3 drifted, 4 major
  weight, drifted_size, major_size
                      the decisions of the app's settings or baseline: importance (0: ignored), and the sizes from which
                      a real change is drifted and major
  g, g_limit          the G statistic of live_rows / dispersion; its limit, above which it is more than chance
  dispersion          number of rows that count as one, since rows recur or are alike; 1 if not exported. A change
                      needs {minimum_rows} live_rows / dispersion
  psi, psi_noise      the population stability index; what sampling alone gives it on average
  size                psi less psi_noise, and less {doubt} standard errors of training; in windows longer than an
                      hour, of training and live rows
  ks, ks_limit        the Kolmogorov-Smirnov distance; not judged
  missing_share, invalid_share, out_of_range_share, unseen_share
                      of all rows
  moved_most          the group whose share of rows changed most, and its change
  live_rows, baseline_rows
                      numbers of rows
and boxkite:feature_group:live, boxkite:feature_group:baseline: rows per group.
boxkite:feature_group_total:increase5m, boxkite:feature_value_bucket:increase5m
                      pieces of five minutes of live rows, which add up to windows of five hours and more (ks: of half
                      an hour and more): these windows reach back no further than these rules have run
boxkite:feature:verdict_any is the highest verdict of all windows; alerts on drift use it.

Per window and model with actual values in its baseline, with the label source ("outcomes", or "expected" for the
outcomes that live outputs lead to expect):
  boxkite:model:outcomes      number of outcomes, or of predictions
  boxkite:model:accuracy, precision, recall, f1, auc, brier, log_loss, mae, rmse, bias
                      metrics, as far as the kind of model has them; boxkite:model:validated has the validation rows'
  boxkite:model:wrong_excess, wrong_z
                      share of wrong outcomes, less the share that validation rows with such outputs had; and that in
                      standard errors (Mantel-Haenszel), above {z_limit} more than chance explains
  boxkite:model:unread, wrong_least
                      number of outcomes that cannot be read, and the least that wrong_excess would be with them
  boxkite:model:outside
                      share of the outputs where validation had hardly any, of which no quality can be expected
Per model, when outcomes come: boxkite:model:outcomes_came_seconds, the Unix time, and outcomes_gap_seconds, the time
since outcomes came before.

In Python, drift() compares every stretch of time that ends now with training; the page and the command line do so too.
Rules know only {windows}, so they see less:
- A change that began within a window is judged together with the rows before it, and needs longer to show.
- Each replica measures how often its own rows recur. Rows that recur across replicas count as independent.
- "unclear" in Python (more than chance only if rows are independent, which they may not be) is 1 here, as stable is.
- In a model with few different rows, a change within a window raises the dispersion of that window, and so holds its
  verdict back there until the window is full of the change."""


def rules_text(options: RuleOptions, *, kubernetes: ObjectMeta | None = None) -> str:
    """Return the rule file as YAML.

    Args:
        options: Options of the rules.
        kubernetes: Name and labels of a PrometheusRule for the Prometheus operator; None for a plain rule file.
    """
    groups = list(_groups(options))
    words = ["flask boxkite rules", *_words(options), *(kubernetes.options() if kubernetes else ())]
    header = HEADER.format(
        command=" ".join(words),
        windows=_window_words(options.windows),
        doubt=f"{DOUBT:g}",
        minimum_rows=MINIMUM_ROWS,
        z_limit=f"{Z_LIMIT:g}",
    )
    return file_text(header, groups) if kubernetes is None else manifest_text(header, groups, kubernetes)


def _groups(options: RuleOptions) -> Iterator[Group]:
    training = [rule for side in SIDES for rule in training_rules(side, options)]
    yield Group("boxkite-training", "Training counts, and the limits of G.", options.common_interval, training)
    for window, interval, rules in _by_window(options, GROUPS, window_rules):
        yield Group(f"boxkite-{window}", f"The last {window}, beside training.", interval, rules)

    for window, interval, rules in _by_window(options, BINS, bin_rules):
        comment = f"Kolmogorov-Smirnov over the last {window}: over all bins, so less often."
        yield Group(f"boxkite-{window}-bins", comment, interval, rules)
    comment = "Validation rows of models whose baseline has actual values."
    yield Group("boxkite-validation", comment, options.common_interval, list(validation_rules(options)))
    for window in options.windows:
        comment = f"Performance over the last {window}: by outcomes that came, and as live outputs lead to expect."
        rules = list(performance_rules(options, window))
        yield Group(f"boxkite-{window}-performance", comment, options.bins_interval(window), rules)
    comment = "Alerts on models that are worse than validated."
    yield Group("boxkite-performance", comment, options.common_interval, list(performance_alerts(options)))
    comment = "Alerts on drift and missing features, over any window."
    yield Group("boxkite-drift", comment, options.interval(options.windows[0]), list(_drift_rules(options)))
    yield Group("boxkite-serving", "Traffic, rollouts, records.", options.common_interval, serving_alerts(options))


def _by_window(
    options: RuleOptions, counter: Counter, rules_of: Callable[[Side, RuleOptions, str], Iterable[Recording]]
) -> Iterator[tuple[str, str, list[Recording]]]:
    """Yield each window with its evaluation interval and its rules."""
    pieces = piece_rules(counter, options)
    for window in options.windows:
        interval = counter.interval(options, window)
        rules = [rule for side in SIDES for rule in rules_of(side, options, window)]
        if options.is_added_up(interval):
            # The pieces come before the rules that add them up; one set serves all windows.
            rules, pieces = [*pieces, *rules], []
        yield window, interval, rules


def _drift_rules(options: RuleOptions) -> Iterator[Recording | Alert]:
    for side in SIDES:
        yield any_window_rule(side)
        yield drift_alert(side, options)
    yield pair_alert(options)
    yield segment_alert(options)
    yield stopped_alert(FEATURES, options)


def _window_words(windows: Sequence[str]) -> str:
    """Name the windows as part of a sentence.

    >>> _window_words(["5m", "1h", "24h"])
    'the last 5m, 1h and 24h'
    """
    *first, last = windows
    return f"the last {', '.join(first)} and {last}" if first else f"the last {last}"


def _words(options: RuleOptions) -> Iterator[str]:
    """Yield all options as the command line writes them."""
    yield from (f"--window {window}" for window in options.windows)
    yield f"--scrape-interval {options.scrape_interval} --minimum-size {options.minimum_size:g}"
    yield f"--for {options.hold} --severity {shlex.quote(options.severity)}"
    yield from (f"--group-by {label}" for label in options.group_by)
