"""The same Flask application four times: plain, and as each tool's documentation says to monitor it.

Used in-process and as application factories under gunicorn. Each factory imports its own tool, because no environment
has all of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask, request
from workload import feature_names, score, training_data

__all__ = ["boxkite_app", "boxkite_service", "exporter_app", "our_app", "our_baseline", "our_monitored", "plain_app"]

FEATURES = 30


def predict(row: dict[str, float] | list[float]) -> float:
    """Predict one row, sent by name or by position."""
    return score(next(iter(row.values())) if isinstance(row, dict) else row[0])


def plain_app() -> Flask:
    """Return the application as it is without monitoring."""
    app = Flask("plain")

    @app.post("/score")
    def answer() -> dict[str, float]:
        return {"score": predict(request.get_json())}

    return app


def baseline_file(write: Callable[[str], object]) -> str:
    """Return the path of a new baseline file that *write* made."""
    path = Path(tempfile.mkdtemp(prefix="benchmark-")) / "histogram.prom"
    write(str(path))
    return str(path)


def our_baseline(features: int = FEATURES) -> str:
    """Train our baseline and return its path."""
    from flask_boxkite import ModelMonitoringService

    frame, outputs = training_data(features)
    columns = list(zip(feature_names(features), frame.T, strict=True))
    return baseline_file(
        lambda path: ModelMonitoringService.export_text(features=columns, inference=outputs, path=path)
    )


def our_app(
    fluentd_address: str, baseline: str = "", monitor: Callable[[Flask], Any] | None = None, **settings: object
) -> Flask:
    """Return the application with our extension, set up as its documentation says, and with other settings.

    Args:
        fluentd_address: Address of fluentd.
        baseline: Path of the baseline; empty for a new one.
        monitor: Monitors the app, in the place of `Boxkite`.
        **settings: Other settings.
    """
    from flask_boxkite import Boxkite

    app = Flask("ours")
    app.config["BOXKITE_BASELINE"] = baseline or our_baseline()
    app.config["BOXKITE_FLUENTD_ADDR"] = fluentd_address
    app.config.update(settings)
    boxkite = (monitor or Boxkite)(app)

    @app.post("/score")
    @boxkite.predict
    def answer() -> dict[str, float]:
        return {"score": predict(request.get_json())}

    return app


def our_monitored(fluentd_address: str, baseline: str = "", **settings: object) -> tuple[Flask, Any]:
    """Return the application as `our_app` makes it, and its `Boxkite`."""
    from flask_boxkite import Boxkite

    boxkite = Boxkite()

    def monitor(app: Flask) -> Boxkite:
        boxkite.init_app(app)
        return boxkite

    return our_app(fluentd_address, baseline, monitor, **settings), boxkite


def exporter_app() -> Flask:
    """Return the application with prometheus_flask_exporter and what it exports by default."""
    from prometheus_flask_exporter import PrometheusMetrics

    app = Flask("exporter")
    PrometheusMetrics(app)

    @app.post("/score")
    def answer() -> dict[str, float]:
        return {"score": predict(request.get_json())}

    return app


def boxkite_service(features: int = FEATURES, exporter: object = None) -> Any:
    """Return boxkite's service over a baseline that boxkite made; without *exporter* it sends to fluentd."""
    from boxkite.monitoring.collector import BaselineMetricCollector
    from boxkite.monitoring.service import ModelMonitoringService

    frame, outputs = training_data(features)
    columns = list(zip(feature_names(features), frame.T, strict=True))
    path = baseline_file(
        lambda path: ModelMonitoringService.export_text(features=columns, inference=outputs, path=path)
    )
    return ModelMonitoringService(log_exporter=exporter, baseline_collector=BaselineMetricCollector(path=path))


def boxkite_app() -> Flask:
    """Return the application with boxkite called by hand; the environment variables say where its fluentd is."""
    app = Flask("boxkite")
    monitor = boxkite_service()

    @app.post("/score")
    def answer() -> dict[str, float]:
        row = request.get_json()
        output = predict(row)
        monitor.log_prediction(
            request_body=request.get_data(as_text=True),
            features=list(row.values()) if isinstance(row, dict) else row,
            output=output,
        )
        return {"score": output}

    return app
