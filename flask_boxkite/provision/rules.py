"""The rule file: which groups of rules there are, in which order, and how often they are evaluated.

Generic over models, baselines, features and outputs: it does not grow with any of them. A rule group runs one rule
after the other, so each may use what the one before has just recorded.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from flask_boxkite.errors import ConfigError
from flask_boxkite.provision.alerts import drift_alert, serving_alerts, stopped_alert
from flask_boxkite.provision.options import RuleOptions
from flask_boxkite.provision.recording import FEATURES, OUTPUTS, bin_rules, training_rules, window_rules
from flask_boxkite.provision.rulefile import Alert, Group, Recording, file_text, manifest_text

__all__ = ["rules_text"]

SIDES = (FEATURES, OUTPUTS)

_OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")

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


def rules_text(options: RuleOptions, *, kubernetes: str | None = None) -> str:
    """Return the rule file as YAML.

    Args:
        options: What it is to be like.
        kubernetes: Name of the PrometheusRule that it is to be instead, for the Prometheus operator.

    Raises:
        ConfigError: That is no name for an object of Kubernetes.
    """
    groups = list(_groups(options))
    if kubernetes is None:
        return file_text(HEADER.format(command=_command(options)), groups)
    if not _OBJECT_NAME.fullmatch(kubernetes):
        msg = f"{kubernetes!r} is no name for an object of Kubernetes. Use small letters, digits, '-' and '.'."
        raise ConfigError(msg)
    command = f"{_command(options)} --kubernetes {kubernetes}"
    return manifest_text(HEADER.format(command=command), groups, name=kubernetes)


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


def _command(options: RuleOptions) -> str:
    """Return the command that makes this file, all options named."""
    words = [f"--window {window}" for window in options.windows]
    words += [f"--scrape-interval {options.scrape_interval}", f"--minimum-size {options.minimum_size:g}"]
    words += [f"--for {options.hold}", f"--severity {shlex.quote(options.severity)}"]
    words += [f"--group-by {label}" for label in options.group_by]
    return " ".join(["flask boxkite rules", *words])
