"""Records a second from one processor to fluentd: ours, acknowledged, and plain fluent-logger's, which are not."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from timing import Case, Figures
from workload import bodies, feature_names, rows

__all__ = ["logger_records_case", "our_records_case"]

QUEUE_BYTES = 512 * 1024 * 1024
DELIVERY_SECONDS = 120.0


def _records(features: int) -> list[dict[str, Any]]:
    """Return records as a prediction makes them, with their features by name."""
    names = feature_names(features)
    return [
        {
            "entity_id": str(uuid4()),
            "features": dict(zip(names, row, strict=True)),
            "request_body": body.decode(),
            "server_id": "server",
            "output": row[0],
            "created_at": 1_700_000_000,
            "prediction_id": f"server/2026-01-01T00:00:00/{uuid4()}",
            "model": "default",
            "baseline": "0123456789ab",
            "status": "ok",
            "duration_ms": 1.25,
            "rows": 1,
        }
        for row, body in zip(rows(features).tolist(), bodies(features, by_name=True), strict=True)
    ]


def _on_one_processor() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _timed(emit: Callable[[int, dict[str, Any]], object], finish: Callable[[], None], features: int) -> Case:
    _on_one_processor()
    records = _records(features)

    def run(calls: int) -> Figures:
        start = time.perf_counter()
        for number in range(calls):
            emit(time.time_ns(), records[number % len(records)])
        finish()
        return {"seconds": time.perf_counter() - start}

    return run


def our_records_case(features: int) -> Case:
    """Return a case that packs, queues and ships so many records and waits for all acknowledgements."""
    from flask_boxkite.config import Settings
    from flask_boxkite.delivery import Recorder
    from flask_boxkite.live.store import Store
    from flask_boxkite.sinks import make_sinks

    settings = Settings.from_mapping({"BOXKITE_FLUENTD_ADDR": os.environ["BOXKITE_FLUENTD_ADDR"]})
    (sink,) = make_sinks(settings)
    recorder = Recorder(sink, Store(None), max_bytes=QUEUE_BYTES, shutdown_timeout=1)

    def finish() -> None:
        if recorder.flush(DELIVERY_SECONDS):
            msg = "not all records were delivered"
            raise RuntimeError(msg)

    return _timed(recorder.record, finish, features)


def logger_records_case(features: int) -> Case:
    """Return a case that sends so many records with `FluentSender`, in the calling thread, as its README shows."""
    from fluent.sender import FluentSender

    host, _, port = os.environ["BOXKITE_FLUENTD_ADDR"].rpartition(":")
    sender = FluentSender("models.predictions.fluent_logger.pod", host=host, port=int(port), nanosecond_precision=True)

    def emit(time_ns: int, record: dict[str, Any]) -> None:
        if not sender.emit_with_time(None, time_ns / 1e9, record):
            raise RuntimeError(str(sender.last_error))

    return _timed(emit, lambda: None, features)
