"""Our side of a Flask call: what monitoring adds to it with each destination of records, and by stages.

Nothing is called but the package's public interface, so this script also measures earlier checkouts.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from apps import FEATURES, our_monitored, plain_app
from stages_case import stages_case
from timing import Case, Figures, serve
from workload import bodies
from wsgi import added_cost_case

DELIVERY_SECONDS = 1.0
"""How long a round may wait at its end until its records are delivered, which no fluentd may be there for."""

FILES = Path(tempfile.gettempdir()) / "records"

SETTINGS: dict[str, dict[str, object]] = {
    "fluentd": {},
    "gzip": {"BOXKITE_FLUENTD_GZIP": True},
    "files": {"BOXKITE_SINK": "file", "BOXKITE_LOG_DIR": str(FILES)},
    "spool": {"BOXKITE_SPOOL_DIR": str(FILES.with_name("spool"))},
}
"""Settings of each destination."""


def _request(*, by_name: bool, to: str) -> Case:
    FILES.mkdir(exist_ok=True)
    app, monitor = our_monitored(os.environ["BOXKITE_FLUENTD_ADDR"], **SETTINGS[to])
    return added_cost_case(
        plain_app().wsgi_app,
        app.wsgi_app,
        bodies(FEATURES, by_name=by_name),
        settle=lambda: monitor.flush(DELIVERY_SECONDS),
    )


def _lines(calls: int) -> Figures:
    """Count the records in files."""
    return {"lines": sum(path.read_bytes().count(b"\n") for path in FILES.rglob("*.txt"))}


if __name__ == "__main__":
    serve(
        {
            f"request by {payload}, {to}": lambda by_name=payload == "name", to=to: _request(by_name=by_name, to=to)
            for payload in ("name", "position")
            for to in SETTINGS
        }
        | {"lines": lambda: _lines}
        | {
            f"stages by {payload}": lambda by_name=payload == "name": stages_case(by_name=by_name)
            for payload in ("name", "position")
        }
    )
