"""Options of the generated rules, checked once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from flask_boxkite.drift.verdict import DRIFTED_SIZE, MAJOR_SIZE
from flask_boxkite.errors import ConfigError
from flask_boxkite.live.windows import WINDOWS
from flask_boxkite.provision.durations import duration_seconds, duration_text

__all__ = ["LEAST_SCRAPES", "PIECE", "PIECE_SECONDS", "RuleOptions"]

PIECE, PIECE_SECONDS = "5m", 300.0
"""Interval between evaluations of the slowest rules, and so the length of the pieces that make up their windows."""

_LEAST_SCRAPES_OF_A_PIECE = 5

LEAST_SCRAPES = 20
"""Least number of scrapes in a window: `increase` extrapolates, so with five scrapes it counts a quarter more rows."""

_SERVING_SECONDS = 3600
"""Shortest window of traffic alerts: in less, a model with a request now and then would seem to have no traffic."""

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_METRIC_LABELS = {
    *("model", "baseline", "version", "created", "feature", "output", "position", "kind", "category", "group", "le"),
    *("pair", "first", "first_side", "first_part", "second", "second_side", "second_part"),
    "segment",
    *("status", "sign", "sink", "reason", "outcome", "state", "channel"),
    *("bin", "predicted", "actual", "result", "loss", "metric", "of", "on"),
    *("threshold", "positive", "negative", "outputs", "classes"),
}
_RULE_LABELS = {"window", "source", "label", "exported_model", "severity", "alertname", "alertstate"}
_DASHBOARD_NAMES = {"datasource", "side", "variable"}
_OWN_LABELS = _METRIC_LABELS | _RULE_LABELS | _DASHBOARD_NAMES
_SEVERITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/-]*")


@dataclass(frozen=True)
class RuleOptions:
    """Options of the rules.

    Attributes:
        windows: Spans of time whose live rows are judged, shortest first; if empty, 5m, 1h and 24h, as far as they hold
            enough scrapes. The false-alarm probability is divided among them.
        scrape_interval: Time between two scrapes of the app.
        minimum_size: Size from which on a change that is more than chance is drift, of variables without a size of
            their own.
        hold: Time that a condition must last before there is an alert; ``0s`` for none.
        severity: The label ``severity`` of the alerts.
        group_by: Labels, besides the labels of the metrics, by which replicas belong together.

    Raises:
        ConfigError: An option is malformed, the windows are too short or out of order, or a label is one of ours.
    """

    windows: tuple[str, ...] = ()
    scrape_interval: str = "15s"
    minimum_size: float = DRIFTED_SIZE
    hold: str = "5m"
    severity: str = "warning"
    group_by: tuple[str, ...] = ("job", "namespace")

    def __post_init__(self) -> None:
        self._check_windows()
        if self.hold != "0s":
            duration_seconds(self.hold, what="The time that an alert waits")
        if not 0 < self.minimum_size <= MAJOR_SIZE:
            msg = f"The minimum size must be above 0 and at most {MAJOR_SIZE:g}, got {self.minimum_size!r}."
            raise ConfigError(msg)
        if not _SEVERITY.fullmatch(self.severity):
            msg = f"The severity must be a word such as 'warning' or 'page', got {self.severity!r}."
            raise ConfigError(msg)

        for label in self.group_by:
            if not _LABEL.fullmatch(label) or label in _OWN_LABELS or label.startswith("__"):
                msg = f"{label!r} is not a label to group by. Name labels of the targets, such as 'job' or 'cluster'."
                raise ConfigError(msg)
        if len(set(self.group_by)) < len(self.group_by):
            msg = f"The labels to group by must be named once each, got {', '.join(self.group_by)}."
            raise ConfigError(msg)

    def _check_windows(self) -> None:
        least = LEAST_SCRAPES * duration_seconds(self.scrape_interval, what="The scrape interval")
        if not self.windows:
            object.__setattr__(self, "windows", _windows_of_at_least(least))

        lengths = [duration_seconds(window, what="A window") for window in self.windows]
        for window, length in zip(self.windows, lengths, strict=True):
            if length < least:
                fact = (
                    f"A window of {window} holds fewer than {LEAST_SCRAPES} scrapes, one every {self.scrape_interval}"
                )
                msg = f"{fact}: too few to count rows by. Make it {duration_text(least)} or longer, or scrape oftener."
                raise ConfigError(msg)
        if any(a >= b for a, b in pairwise(lengths)):
            msg = f"The windows must be named shortest first, each once, got {', '.join(self.windows)}."
            raise ConfigError(msg)

    def interval(self, window: str) -> str:
        """Return the time between evaluations of a window's rules: a sixtieth of it, or 5 minutes if that is less."""
        return self._every(duration_seconds(window, what="A window") / 60)

    def bins_interval(self, window: str) -> str:
        """Return the same for the costlier rules on all bins: a fifth of the window, or 5 minutes if that is less."""
        return self._every(duration_seconds(window, what="A window") / 5)

    def is_added_up(self, interval: str) -> bool:
        """Say whether a window with rules evaluated every *interval* is added up from pieces, which reads less data.

        Each piece needs several scrapes; a window of fewer scrapes has few samples anyway.
        """
        scrape = duration_seconds(self.scrape_interval, what="The scrape interval")
        return interval == PIECE and scrape * _LEAST_SCRAPES_OF_A_PIECE <= PIECE_SECONDS

    @property
    def serving_window(self) -> str:
        """The window of alerts on traffic and records: the shortest of an hour or more, else the longest."""
        long = (window for window in self.windows if duration_seconds(window, what="A window") >= _SERVING_SECONDS)
        return next(long, self.windows[-1])

    @property
    def common_interval(self) -> str:
        """Time between evaluations of rules without a window: a fifth of the shortest window, at most one minute."""
        shortest = duration_seconds(self.bins_interval(self.windows[0]), what="The interval")
        return duration_text(min(shortest, 60.0))

    def _every(self, seconds: float) -> str:
        """Return an interval of at least one scrape, since counts change no faster, and at most 5 minutes."""
        scrape = duration_seconds(self.scrape_interval, what="The scrape interval")
        return duration_text(min(max(scrape, seconds), PIECE_SECONDS))


def _windows_of_at_least(seconds: float) -> tuple[str, ...]:
    """Return the app's windows of at least this length; all of them if none is, so that they are refused by name."""
    return tuple(name for name, length in WINDOWS.items() if length >= seconds) or tuple(WINDOWS)
