"""Apps on a clock of the test's own, whose counts are in this process's memory."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask

from flask_boxkite import Boxkite
from flask_boxkite.config import Settings
from flask_boxkite.live.store import Store
from flask_boxkite.monitoring.app import AppMonitor
from flask_boxkite.monitoring.assembly import load_baselines
from flask_boxkite.values.ids import IdMaker
from flask_boxkite.web.access import PageAccess
from flask_boxkite.web.monitored_app import MonitoredApp

__all__ = ["monitored"]


def monitored(app: Flask, clock: Callable[[], float]) -> tuple[Boxkite, AppMonitor]:
    """Monitor an app as `Boxkite.init_app` does, but with all times from *clock*; return also what must be closed."""
    settings = Settings.from_mapping(app.config)
    baselines = load_baselines(settings.baseline)
    monitor = AppMonitor(settings, app.name, baselines, store=Store(None, clock, clock), clock=clock)
    for model in monitor.models():
        model.new_id = IdMaker("test", lambda: int(clock() * 1_000_000_000))
    MonitoredApp(monitor, PageAccess.of(app.config, settings), lambda: ()).install(app)
    return Boxkite(), monitor
