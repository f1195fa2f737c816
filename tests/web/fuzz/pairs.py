"""The app twice under one set of settings: monitored by the extension or by the middleware, and plain."""

from __future__ import annotations

import gc
import gzip
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from flask import Flask

from flask_boxkite import Baseline, Boxkite, BoxkiteMiddleware, ModelMonitoringService
from tests.web.fuzz.apps import define, notes, unmonitored
from tests.web.fuzz.requests import Request, Script
from tests.web.fuzz.serving import Served, differences, serve
from tests.web.twins import Samples, training_baseline

__all__ = ["SETUPS", "Ledger", "Pair", "Setup", "new_pair"]

TOKEN = "secret"


@dataclass(frozen=True)
class Setup:
    """Settings of both apps and of the monitored one.

    Attributes:
        flask: Settings of both apps.
        boxkite: Settings of the monitored one, without ``BOXKITE_``.
        has_baseline: Whether its model has a baseline.
        is_middleware: Whether the middleware monitors it, instead of the extension.
    """

    flask: Mapping[str, Any] = field(default_factory=dict)
    boxkite: Mapping[str, Any] = field(default_factory=dict)
    has_baseline: bool = True
    is_middleware: bool = False

    @property
    def is_enabled(self) -> bool:
        """Whether anything is counted."""
        return bool(self.boxkite.get("enabled", True))

    @property
    def logs_all(self) -> bool:
        """Whether each prediction has a record."""
        return "sample_rate" not in self.boxkite and "sink" not in self.boxkite

    def is_own(self, path: str) -> bool:
        """Say whether the monitored app answers a path itself: with its metrics, or with the drift page."""
        page = self.boxkite.get("dashboard_path", "")
        is_page = bool(page) and (path == page or path.startswith(f"{page}/"))
        return self.is_enabled and (path == "/metrics" or is_page)

    @property
    def limit(self) -> int:
        """The longest body that is read before the view."""
        return int(self.boxkite.get("max_body_bytes", 64 * 1024))


SETUPS = {
    "default": Setup(),
    "page": Setup(boxkite={"dashboard_path": "/boxkite", "record_response": True, "export_bins": False}),
    "short bodies": Setup(boxkite={"max_body_bytes": 60, "sample_rate": 0.25}),
    "redacted": Setup(boxkite={"redact": ["city", "data.rows", "score"], "record_response": True}),
    "token": Setup(
        flask={"MAX_CONTENT_LENGTH": 200, "PROPAGATE_EXCEPTIONS": True},
        boxkite={"metrics_token": TOKEN, "dashboard_path": "/boxkite", "redact": lambda record: record},
    ),
    "no baseline": Setup(flask={"MAX_FORM_MEMORY_SIZE": 100}, has_baseline=False),
    "no sink": Setup(boxkite={"sink": "none", "metric_names": "boxkite"}),
    "disabled": Setup(boxkite={"enabled": False}),
    "middleware": Setup(is_middleware=True),
}

_ROUTES: Mapping[str, Any] = {
    "/score": None,
    "/path": {"features": "data.rows", "output": "scores"},
    "/query": {"features": "?"},
    "/answered": {"output": lambda answer: answer},
    "/plain": None,
    "/nowhere": None,
}


class Ledger:
    """A sink that keeps of each record what the accounts need."""

    def __init__(self) -> None:
        self._records: list[tuple[str, str, int]] = []

    def emit_batch(self, records: Sequence[dict[str, Any]]) -> None:
        """Keep id, status and number of rows."""
        self._records += [(record["prediction_id"], record["status"], record["rows"]) for record in records]

    def take(self) -> list[tuple[str, str, int]]:
        """Return the records since the last call."""
        taken, self._records = self._records, []
        return taken


@dataclass
class Pair:
    """The two apps.

    Attributes:
        setup: Their settings.
        ledger: Gets the records.
        flush: Waits until it has them.
    """

    setup: Setup
    ledger: Ledger
    flush: Callable[[float], int]
    monitored: Callable[..., Any]
    plain: Callable[..., Any]

    def send(self, request: Request) -> tuple[Served, Served | None, list[str]]:
        """Send a request to both; return what they made of it, and in what they differ.

        The plain app gets no request that the monitored one answers itself.
        """
        if self.setup.is_own(request.path):
            ours = serve(self.monitored, _unscripted(request))
            return ours, None, list(_own_problems(request, ours))
        ours, theirs = serve(self.monitored, request), serve(self.plain, request)
        is_predicted = self.is_predicted(request, theirs)
        is_seen = is_predicted and self.setup.is_middleware
        compare = partial(
            differences, request, ours, theirs, is_predicted=is_predicted, is_seen=is_seen, limit=self.setup.limit
        )
        if (found := list(compare())) and not request.closes:
            gc.collect()  # an answer that is forgotten ends when it is collected
            found = list(compare())
        return ours, theirs, found

    def is_predicted(self, request: Request, theirs: Served | None) -> bool:
        """Say whether a request is a prediction, by what the plain app did with it."""
        if theirs is None or request.environ["REQUEST_METHOD"] in ("HEAD", "OPTIONS"):
            return False
        return request.path in _ROUTES if self.setup.is_middleware else theirs.notes.calls > 0

    def scrape(self) -> Samples:
        """Scrape the monitored app by its route."""
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics", "HTTP_AUTHORIZATION": f"Bearer {TOKEN}"}
        served = serve(self.monitored, Request(-1, environ, b"", False, None, True, Script(), False))
        assert served.status_code == 200, served
        return Samples(b"".join(served.chunks).decode())


@contextmanager
def new_pair(setup: Setup) -> Iterator[Pair]:
    """Make both apps, which end with the context."""
    with tempfile.TemporaryDirectory(prefix="boxkite-fuzz-") as directory:
        ledger = Ledger()
        boxkite = {"sink": ledger, "state_dir": directory, **setup.boxkite}
        plain = _app(setup)
        define(plain, _undecorated if setup.is_middleware else unmonitored, _noted)
        app = _app(setup)
        if setup.is_middleware:
            define(app, _undecorated, _noted)
            service = ModelMonitoringService(_baseline(), **boxkite)
            wrapped = BoxkiteMiddleware(app, service, _ROUTES)
            pair = Pair(setup, ledger, service.flush, wrapped, plain)
            close = service.close
        else:
            app.config.update({f"BOXKITE_{name.upper()}": value for name, value in boxkite.items()})
            if setup.has_baseline:
                app.config["BOXKITE_BASELINE"] = _baseline()
            monitor = Boxkite(app)
            define(app, monitor.predict, monitor.log_prediction)
            pair = Pair(setup, ledger, monitor.flush, app, plain)
            close = monitor.close
        try:
            yield pair
        finally:
            close()


def _app(setup: Setup) -> Flask:
    app = Flask("fuzzed")
    app.config.update(setup.flask)
    app.logger.handlers = [logging.NullHandler()]
    app.logger.propagate = False
    return app


@cache
def _baseline() -> Baseline:
    return training_baseline(version="v1")


def _noted(**given: Any) -> None:
    notes().logged += 1


def _undecorated(view: Any = None, **options: Any) -> Any:
    return view if view is not None else lambda view: view


# --- what the monitored app serves itself ----------------------------------------------------------------------------


def _unscripted(request: Request) -> Request:
    """Return the request without what hooks of the app would do with it."""
    return Request(request.index, request.environ, request.body, False, None, True, Script(), False)


def _own_problems(request: Request, served: Served) -> Iterator[str]:
    """Yield what is wrong with an answer of the metrics or the page."""
    if served.errors or served.status_code not in (200, 308, 400, 401, 404, 405):
        yield f"{request.path}: {served.starts} {served.errors}"
    if request.path != "/metrics" or served.status_code != 200 or request.environ["REQUEST_METHOD"] != "GET":
        return
    headers = dict(served.starts[-1][1])
    body = b"".join(served.chunks)
    if headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    is_openmetrics = headers["Content-Type"].startswith("application/openmetrics-text")
    parse = _openmetrics_families if is_openmetrics else _text_families
    try:
        parse(body.decode())
    except Exception as error:
        yield f"/metrics does not parse: {error!r}"


def _text_families(text: str) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    list(text_string_to_metric_families(text))


def _openmetrics_families(text: str) -> None:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    list(text_string_to_metric_families(text))
