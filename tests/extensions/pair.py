"""One app twice, with us and without: the same requests go to both, and each prediction counts once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import prometheus_client.parser
from flask import Flask
from werkzeug.test import Client

from flask_boxkite import Baseline, Boxkite
from flask_boxkite.testing import RecordingSink

ID_HEADER = "Boxkite-Prediction-Id"
ANN = {"age": 30.0, "income": 2500.0}

Send = Callable[..., Any]
"""Sends a request: gets method, path and options of the client; returns the response."""


class Side:
    """The part of a factory that differs: our extension, or nothing.

    Args:
        baseline: What ours loads; None for the app without us.
        config: Settings of both apps.
    """

    def __init__(self, baseline: Baseline | None, config: Mapping[str, Any]) -> None:
        self._baseline = baseline
        self._config = config
        self._monitor = Boxkite()
        self.sink = RecordingSink()
        self.app: Flask | None = None

    def init_app(self, app: Flask) -> None:
        """Put ours on an app."""
        app.config.update(self._config)
        self.app = app
        if self._baseline is not None:
            app.config.update(BOXKITE_BASELINE=self._baseline, BOXKITE_SINK=self.sink)
            self._monitor.init_app(app)

    @property
    def predict(self) -> Callable[..., Any]:
        """The decorator of a view, which leaves the view as it is where ours is not there."""
        return (lambda view: view) if self._baseline is None else self._monitor.predict

    def predicting(self, **options: Any) -> Callable[..., Any]:
        """Return the decorator of a view with options."""
        return (lambda view: view) if self._baseline is None else self._monitor.predict(**options)

    def records(self) -> list[dict[str, Any]]:
        """Return all records so far."""
        assert self.app is not None
        with self.app.app_context():
            assert self._monitor.flush(30) == 0
        return self.sink.records

    def close(self) -> None:
        """End the recorder."""
        self._monitor.close()


class Pair:
    """Both apps.

    Args:
        make: Returns an app, or what sends to it; gets one side after the other.
        baseline: What ours loads.
        ignored: Headers that differ between two requests anyway.
        says: How each message begins that ours may log.
        config: Settings of both apps.
    """

    def __init__(
        self,
        make: Callable[[Side], Any],
        baseline: Baseline,
        *,
        ignored: Iterable[str] = (),
        says: Iterable[str] = (),
        **config: Any,
    ) -> None:
        self.says = ("Models: ", *says)
        self._ignored = {name.lower() for name in (ID_HEADER, "Date", *ignored)}
        self.ours, self.plain = Side(baseline, config), Side(None, config)
        self._senders = [_sender(make(side)) for side in (self.ours, self.plain)]
        self._ids: list[str] = []
        self._statuses: Counter[str] = Counter()

    def send(self, method: str = "POST", path: str = "/score", **options: Any) -> Any:
        """Send a request to both, check that the answers are the same, and return ours."""
        ours, theirs = (send(method, path, **options) for send in self._senders)
        assert (ours.status_code, self._body(ours)) == (theirs.status_code, self._body(theirs))
        assert self._headers(ours) == self._headers(theirs)
        assert ID_HEADER not in theirs.headers
        if (prediction_id := ours.headers.get(ID_HEADER)) is not None:
            self._ids.append(prediction_id)
            code = ours.status_code
            self._statuses["error" if code >= 500 else "client_error" if code >= 400 else "ok"] += 1
        return ours

    def check(self, predictions: int) -> None:
        """Check that each prediction that a client was told was counted by its status and recorded, once."""
        assert len(self._ids) == predictions
        assert self.counted() == dict(self._statuses)
        records = self.ours.records()
        assert sorted(record["prediction_id"] for record in records) == sorted(self._ids)
        assert Counter(record["status"] for record in records) == self._statuses

    def scrape(self) -> str:
        """Return the text of the metrics."""
        assert self.ours.app is not None
        text: str = Client(self.ours.app).get("/metrics").text
        return text

    def counted(self) -> dict[str, float]:
        """Return the predictions by status."""
        return {
            sample.labels["status"]: sample.value
            for family in prometheus_client.parser.text_string_to_metric_families(self.scrape())
            for sample in family.samples
            if sample.name == "boxkite_predictions_total" and sample.value
        }

    def close(self) -> None:
        """End what runs."""
        self.ours.close()

    @staticmethod
    def _body(response: Any) -> bytes:
        return bytes(response.content if hasattr(response, "content") else response.data)

    def _headers(self, response: Any) -> list[tuple[str, str]]:
        pairs = ((name.lower(), value) for name, value in response.headers.items())
        return sorted(pair for pair in pairs if pair[0] not in self._ignored)


def _sender(made: Any) -> Send:
    if not isinstance(made, Flask):
        return made  # type: ignore[no-any-return]
    client = made.test_client()
    return lambda method, path, **options: client.open(path, method=method, buffered=True, **options)
