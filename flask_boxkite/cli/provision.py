"""Commands that print configuration for the monitoring around an app: rules, dashboard, scrape job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from flask import current_app
from flask.cli import with_appcontext

from flask_boxkite.cli.group import boxkite, output_option, write
from flask_boxkite.drift.verdict import MAJOR_SIZE
from flask_boxkite.errors import BoxkiteError, ConfigError
from flask_boxkite.extras import install_command
from flask_boxkite.provision import ObjectMeta, RuleOptions, rules_text, scrape_config_text
from flask_boxkite.provision.options import LEAST_SCRAPES
from flask_boxkite.web.monitored_app import monitored_app

__all__ = ["grafana", "rules", "scrape_config"]

_DEFAULTS = RuleOptions()


@boxkite.command()
@click.option(
    "--window",
    "windows",
    multiple=True,
    help=f"Span of time over which live rows are judged, at least {LEAST_SCRAPES} scrapes long; repeatable, shortest "
    "first. [default: 5m, 1h and 24h, without any that are too short]",
)
@click.option(
    "--scrape-interval",
    default=_DEFAULTS.scrape_interval,
    help="Time between two scrapes of the app.",
)
@click.option(
    "--minimum-size",
    type=float,
    default=_DEFAULTS.minimum_size,
    help="Size from which on a change that is more than chance is drift, of variables without a size of their own; at "
    f"most {MAJOR_SIZE:g}.",
)
@click.option(
    "--for",
    "hold",
    default=_DEFAULTS.hold,
    help="Time that a condition must last before there is an alert.",
)
@click.option("--severity", default=_DEFAULTS.severity, help="Label 'severity' of the alerts.")
@click.option(
    "--group-by",
    multiple=True,
    default=_DEFAULTS.group_by,
    help="Label of the targets by which replicas belong together; repeatable.",
)
@click.option("--kubernetes", metavar="NAME", help="Write a PrometheusRule of this name, for the Prometheus operator.")
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="NAME=VALUE",
    help="Label of the PrometheusRule, by which an operator may select it; repeatable.",
)
@output_option
def rules(output: Path | None, kubernetes: str | None, labels: tuple[str, ...], **options: Any) -> None:
    """Write recording and alerting rules for Prometheus.

    They cover all models, baselines, features and outputs that Prometheus scrapes, now or later; no app is needed.

    \b
    Examples:
      flask boxkite rules --output boxkite-rules.yml
      flask boxkite rules --window 1h --scrape-interval 30s --group-by job --group-by cluster
      flask boxkite rules --kubernetes flask-boxkite --label release=prometheus | kubectl apply --filename -
      promtool check rules boxkite-rules.yml
    """
    if labels and kubernetes is None:
        msg = "'--label' needs a PrometheusRule. Name it with '--kubernetes'."
        raise click.UsageError(msg)
    meta = None if kubernetes is None else ObjectMeta.of(kubernetes, labels)
    write(rules_text(RuleOptions(**options), kubernetes=meta), output)


@boxkite.command()
@click.option("--title", default="Model drift", help="Title of the dashboard.")
@click.option(
    "--window",
    "windows",
    multiple=True,
    help="Window to choose from, one of the rules' windows; repeatable. [default: as for the rules]",
)
@click.option("--scrape-interval", default=_DEFAULTS.scrape_interval, help="As for the rules.")
@click.option("--minimum-size", type=float, default=_DEFAULTS.minimum_size, help="As for the rules.")
@click.option("--group-by", multiple=True, default=_DEFAULTS.group_by, help="As for the rules.")
@output_option
def grafana(output: Path | None, title: str, **options: Any) -> None:
    """Write a dashboard for Grafana.

    It shows the series of the rules and the metrics of apps, for any model; no app is needed. Import the file in
    Grafana, or provision it. It needs the extra "grafana", and Python 3.11.

    \b
    Examples:
      flask boxkite grafana --output dashboard.json
      flask boxkite grafana --title "Credit scoring" --window 1h --group-by job --group-by cluster
    """
    try:
        from flask_boxkite.provision.grafana import dashboard_text
    except ModuleNotFoundError as error:
        msg = f"'grafana-foundation-sdk' is not installed. Run: {install_command('grafana')}"
        raise BoxkiteError(msg) from error
    write(dashboard_text(RuleOptions(**options), title=title), output)


@boxkite.command("scrape-config")
@click.option("--job", help="Name of the job.  [default: the app's name]")
@click.option(
    "--target",
    "targets",
    multiple=True,
    default=("localhost:5000",),
    help="Host and port of a server; repeatable.",
)
@click.option("--scrape-interval", default=_DEFAULTS.scrape_interval, help="As for the rules.")
@click.option(
    "--credentials-file",
    default="/etc/prometheus/boxkite-token",
    help="File in which Prometheus finds the token, if the app requires one.",
)
@output_option
@with_appcontext
def scrape_config(output: Path | None, job: str | None, **options: Any) -> None:
    """Write the scrape job of this app for Prometheus.

    \b
    Examples:
      flask --app scoring boxkite scrape-config --target scoring-1:8000 --target scoring-2:8000
      flask --app scoring boxkite scrape-config --job scoring --credentials-file /run/secrets/metrics-token
    """
    state = monitored_app(current_app)
    if state is None:
        msg = "The app has no Boxkite monitor. Did you forget to call 'init_app'?"
        raise ConfigError(msg)
    write(scrape_config_text(state.settings, job=job or current_app.name, **options), output)
