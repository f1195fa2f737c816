"""A trained model, an app that serves it, and its sources of counts, for tests of reports on what was not counted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from flask import Flask
from werkzeug.serving import make_server

from flask_boxkite import ModelMonitoringService

__all__ = ["serving", "shop_app", "shop_source"]


def shop_app(directory: Path, rng: np.random.Generator, **options: Any) -> Flask:
    """Train a model of two features in a directory, and return an app with its settings.

    Args:
        directory: Directory of the baseline, the records and the state.
        rng: Generator of the rows.
        **options: More options of the training.
    """
    price = rng.random(300)
    ModelMonitoringService.export_text(
        {"age": rng.random(300), "city": rng.choice(["a", "b"], 300)},
        {"quote": price},
        directory / "b.prom",
        actual=price + rng.normal(0, 0.1, 300),
        model="shop",
        **options,
    )
    app = Flask("shop")
    app.config.update(
        BOXKITE_BASELINE=directory / "b.prom",
        BOXKITE_LOG_DIR=directory / "logs",
        BOXKITE_STATE_DIR=directory / "state",
        BOXKITE_DASHBOARD_PATH="/boxkite",
    )
    return app


def shop_source(directory: Path, url: str, kind: str) -> list[str]:
    """Return the options of a command that name the source of the counts: page, directory or records."""
    return {
        "page": ["--url", url],
        "directory": ["--state-dir", str(directory / "state")],
        "records": ["--records", str(directory / "logs"), "--baseline", str(directory / "b.prom")],
    }[kind]


@contextmanager
def serving(app: Flask) -> Iterator[str]:
    """Serve an app from a thread; give the address of its page."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}/boxkite"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
