"""The rule file: which groups of rules there are, in which order, and how often they are evaluated.

Generic over models, baselines, features and outputs: it does not grow with any of them. A rule group runs one rule
after the other, so each may use what the one before has just recorded.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from flask_boxkite.provision.alerts import drift_alert, serving_alerts, stopped_alert
from flask_boxkite.provision.kubernetes import ObjectMeta
from flask_boxkite.provision.options import RuleOptions
from flask_boxkite.provision.recording import FEATURES, OUTPUTS, bin_rules, training_rules, window_rules
from flask_boxkite.provision.rulefile import Alert, Group, Recording, file_text, manifest_text

__all__ = ["rules_text"]

SIDES = (FEATURES, OUTPUTS)

HEADER = """\
Recording and alerting rules of flask-boxkite, for all models, baselines, features and outputs. Made by
  {command}
and best changed by other options of that.

Per window and feature (outputs: "inference" in place of "feature"), recorded as boxkite:feature:…
  verdict             0 not enough data, 1 stable, 2 shifted (real, but small), 3 drifted, 4 major
  g, g_limit          the G statistic; what g / dispersion must exceed to be more than chance
  dispersion          by how much rows vary more than independent ones would; 1 where it is not exported
  psi, size           the population stability index; the same less what sampling alone gives it
  ks, ks_limit        the Kolmogorov-Smirnov distance; not judged
  missing_share, invalid_share, out_of_range_share, unseen_share
                      of all rows
  moved_most          the group whose share of rows changed most, and by how much
  live_rows, baseline_rows
                      how many there are
and boxkite:feature_group:live, boxkite:feature_group:baseline: rows per group."""


def rules_text(options: RuleOptions, *, kubernetes: ObjectMeta | None = None) -> str:
    """Return the rule file as YAML.

    Args:
        options: What it is to be like.
        kubernetes: The PrometheusRule that it is to be instead, for the Prometheus operator.
    """
    groups = list(_groups(options))
    words = ["flask boxkite rules", *_words(options)]
    if kubernetes is None:
        return file_text(HEADER.format(command=" ".join(words)), groups)
    return manifest_text(HEADER.format(command=" ".join([*words, *kubernetes.options()])), groups, kubernetes)


def _groups(options: RuleOptions) -> Iterator[Group]:
    training = [rule for side in SIDES for rule in training_rules(side, options)]
    yield Group(
        "boxkite-training", "What training was like, and what G must exceed.", options.common_interval, training
    )
    for window in options.windows:
        rules = list(_window_rules(options, window))
        yield Group(f"boxkite-{window}", f"The last {window}, beside training.", options.interval(window), rules)
    for window in options.windows:
        comment = f"Kolmogorov-Smirnov over the last {window}: of all bins, so less often."
        bins = [rule for side in SIDES for rule in bin_rules(side, options, window)]
        yield Group(f"boxkite-{window}-bins", comment, options.bins_interval(window), bins)
    yield Group("boxkite-serving", "Traffic, rollouts, records.", options.common_interval, serving_alerts(options))


def _window_rules(options: RuleOptions, window: str) -> Iterator[Recording | Alert]:
    for side in SIDES:
        yield from window_rules(side, options, window)
        yield drift_alert(side, options, window)
    if window == options.windows[0]:
        yield stopped_alert(FEATURES, options, window)


def _words(options: RuleOptions) -> Iterator[str]:
    """Yield all options, named as the command line has them."""
    yield from (f"--window {window}" for window in options.windows)
    yield f"--scrape-interval {options.scrape_interval} --minimum-size {options.minimum_size:g}"
    yield f"--for {options.hold} --severity {shlex.quote(options.severity)}"
    yield from (f"--group-by {label}" for label in options.group_by)
