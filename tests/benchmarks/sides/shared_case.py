"""What it costs to share counts between processes, turn by turn with what it costs not to, in one process."""

from __future__ import annotations

import os
from collections.abc import Callable

from apps import FEATURES, our_app, our_baseline, plain_app
from flask import Flask
from timing import Case, Figures, summary, time_calls
from workload import bodies, rows, score
from wsgi import WSGIApp, added_cost_case

from flask_boxkite import Boxkite, ModelMonitoringService
from flask_boxkite.config import Settings
from flask_boxkite.live.store import Store
from flask_boxkite.monitoring.app import AppMonitor
from flask_boxkite.monitoring.assembly import load_baselines
from flask_boxkite.monitoring.tally import Tally
from flask_boxkite.payloads import Table
from flask_boxkite.web.access import PageAccess
from flask_boxkite.web.monitored_app import MonitoredApp

__all__ = ["in_memory_case", "recycled_case", "row_case", "workers_case"]

WORKERS = 8
RECYCLED = 1_000
WIDE = 100


def _service(features: int) -> ModelMonitoringService:
    return ModelMonitoringService(baseline=our_baseline(features), sink="none")


def _log_some(service: ModelMonitoringService, features: int, number: int) -> None:
    for row in rows(features, number).tolist():
        service.log_prediction("", row, score(row[0]))


def row_case() -> Case:
    """Return a case that times the counting of one row of features in the shared store, without a record or an id."""
    service = _service(FEATURES)
    requests = rows(FEATURES).tolist()
    _log_some(service, FEATURES, 10)
    assert service.monitor.counter.counts._block.is_shared

    def count(row: list[float]) -> None:
        tally = Tally()
        service.monitor.count_features(tally, Table(None, [row]))
        service.monitor.counter.counts.add(tally)

    return lambda calls: summary(time_calls(count, lambda number: requests[number % len(requests)], calls))


def workers_case() -> Case:
    """Return a case that times a scrape of one of several worker processes, each of which has counted."""
    service = _service(WIDE)
    _log_some(service, WIDE, 10)
    for _ in range(WORKERS - 1):
        _fork(lambda: _log_some(service, WIDE, 300), stays=True)
    return _scraping(service, expected=10 + (WORKERS - 1) * 300)


def recycled_case() -> Case:
    """Return a case that times scrapes of a fresh server, and of one whose workers have been recycled often."""
    fresh, old = _service(WIDE), _service(WIDE)
    for service in (fresh, old):
        _log_some(service, WIDE, 10)
    for _ in range(RECYCLED):
        _fork(lambda: _log_some(old, WIDE, 3), stays=False)
    cases = {"fresh": _scraping(fresh, expected=10), "recycled": _scraping(old, expected=10 + RECYCLED * 3)}
    return lambda calls: {name: case(calls) for name, case in cases.items()}


def _scraping(service: ModelMonitoringService, *, expected: int) -> Case:
    """Return a case that times scrapes; a prediction before each keeps the counts live."""
    text = service.export_http()[0].decode()
    assert f'status="ok"}} {expected}\n' in text, "the scrape does not show what all processes have counted"
    (row,) = rows(WIDE, 1).tolist()

    def run(calls: int) -> Figures:
        return summary(
            time_calls(lambda _: service.export_http(), lambda _: service.log_prediction("", row, 0.5), calls)
        )

    return run


def _fork(work: Callable[[], object], *, stays: bool) -> None:
    """Run *work* in a child, and return when it is done; the child ends, or stays until this process does."""
    done, tell = os.pipe()
    wait, hold = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(hold)
        work()
        os.write(tell, b"x")
        if stays:
            os.read(wait, 1)  # the end of the file comes with the end of the parent
        os._exit(0)
    os.read(done, 1)
    for descriptor in (done, tell, wait):
        os.close(descriptor)
    if not stays:
        os.close(hold)
        os.waitpid(child, 0)


def _monitored(monitor: Callable[[Flask], Boxkite] = Boxkite) -> WSGIApp:
    return our_app(os.environ["BOXKITE_FLUENTD_ADDR"], monitor=monitor).wsgi_app


def _monitor_in_memory(app: Flask) -> Boxkite:
    """Do as `Boxkite.init_app` does, with counts in this process's memory."""
    settings = Settings.from_mapping(app.config)
    monitor = AppMonitor(settings, app.name, load_baselines(settings.baseline), store=Store(None))
    MonitoredApp(monitor, PageAccess.of(app.config, settings), lambda: ()).install(app)
    return Boxkite()


def in_memory_case() -> Case:
    """Return a case that times the Flask call with counts that are shared, and with counts in this process's memory."""
    requests = bodies(FEATURES, by_name=True)
    shared = added_cost_case(plain_app().wsgi_app, _monitored(), requests)
    alone = added_cost_case(plain_app().wsgi_app, _monitored(_monitor_in_memory), requests)
    return lambda calls: {"shared": shared(calls), "memory": alone(calls)}
