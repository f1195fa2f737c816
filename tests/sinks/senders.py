"""Sinks as the tests of the Forward protocol want them, and batches to ship."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from flask_boxkite.config import Settings
from flask_boxkite.sinks.base import Batch
from flask_boxkite.sinks.fluentd import FluentdSink

NOON_NS = 1_700_000_000_123_456_789


@contextlib.contextmanager
def fluentd_sink(addr: str, clock: Callable[[], float] = time.monotonic, **settings: Any) -> Iterator[FluentdSink]:
    """Make a sink, and close it at the end."""
    given = {"BOXKITE_FLUENTD_ADDR": addr, "BOXKITE_POD_NAME": "pod", "BOXKITE_ENDPOINT_ID": "endpoint"}
    given.update({f"BOXKITE_{name.upper()}": value for name, value in settings.items()})
    sink = FluentdSink(Settings.from_mapping(given, {}), clock)
    try:
        yield sink
    finally:
        sink.close()


def batch_of(sink: FluentdSink, *records: dict[str, Any]) -> Batch:
    """Pack records into one batch."""
    return Batch([sink.pack(NOON_NS + number, record) for number, record in enumerate(records)], sink.tag)
