"""The scrape job of an app for Prometheus' configuration."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from flask_boxkite.config import Settings
from flask_boxkite.errors import ConfigError
from flask_boxkite.provision.durations import duration_seconds
from flask_boxkite.provision.rulefile import scalar

__all__ = ["scrape_config_text"]


def scrape_config_text(
    settings: Settings, *, job: str, targets: Sequence[str], scrape_interval: str, credentials_file: str
) -> str:
    """Return the section ``scrape_configs`` with one job.

    Args:
        settings: Settings of the app: route of the metrics, and whether it needs a token, which is not shown.
        job: Name of the job.
        targets: Hosts and ports.
        scrape_interval: Scrape interval for which the rules were made, as a duration.
        credentials_file: Path of the file in which Prometheus finds the token.

    Raises:
        ConfigError: The app serves no metrics, the interval is not a duration, or a target lacks host or port.
    """
    duration_seconds(scrape_interval, what="The scrape interval")
    for target in targets:
        _check_target(target)
    if not settings.enabled or settings.metrics_path is None:
        key = "BOXKITE_METRICS_PATH" if settings.enabled else "BOXKITE_ENABLED"
        msg = f"The app serves no metrics, because of '{key}'. Name the path that serves them in a job of your own."
        raise ConfigError(msg, key=key)

    lines = [
        "scrape_configs:",
        f"  - job_name: {scalar(job)}",
        f"    scrape_interval: {scrape_interval}",
        f"    metrics_path: {scalar(settings.metrics_path)}",
        "    # Without this, a label of the target, such as 'model', would replace the metrics' own.",
        "    honor_labels: true",
    ]
    if settings.metrics_token is not None:
        lines += [
            "    authorization:",
            "      type: Bearer",
            "      # Contains the value of 'BOXKITE_METRICS_TOKEN' and nothing else; only Prometheus may read it.",
            f"      credentials_file: {scalar(credentials_file)}",
        ]

    lines += [
        "    static_configs:",
        "      # Each server once, however many worker processes it has.",
        f"      - targets: [{', '.join(map(scalar, targets))}]",
    ]
    return "\n".join(lines) + "\n"


def _check_target(target: str) -> None:
    """Refuse a target to which Prometheus could not connect: a URL, an empty text, an invalid port."""
    try:
        parts = urlsplit(f"//{target}")
        known = bool(parts.hostname) and parts.netloc == target and parts.port != 0
    except ValueError:  # raised for an invalid port or IPv6 address
        known = False
    if not known or not target.isprintable() or target.endswith(":") or set(" @") & set(target):
        msg = f"{target!r} is not a target. Write host and port, as in 'scoring:8000', without scheme or path."
        raise ConfigError(msg)
