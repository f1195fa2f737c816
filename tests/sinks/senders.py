"""Sinks as the tests of the Forward protocol want them, and batches to ship."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from flask_boxkite.config import Settings
from flask_boxkite.sinks.base import Batch
from flask_boxkite.sinks.fluentd import FluentdSink

NOON_NS = 1_700_000_000_123_456_789


@contextlib.contextmanager
def fluentd_sink(addr: str, **settings: Any) -> Iterator[FluentdSink]:
    """Make a sink, and close it at the end."""
    sink = FluentdSink(settings_for(addr, **settings))
    try:
        yield sink
    finally:
        sink.close()


def settings_for(addr: str, **settings: Any) -> Settings:
    """Return the settings of such a sink."""
    given = {"BOXKITE_FLUENTD_ADDR": addr, "BOXKITE_POD_NAME": "pod", "BOXKITE_ENDPOINT_ID": "endpoint"}
    given.update({f"BOXKITE_{name.upper()}": value for name, value in settings.items()})
    return Settings.from_mapping(given, {})


def batch_of(sink: FluentdSink, *records: dict[str, Any]) -> Batch:
    """Pack records into one batch."""
    return Batch([sink.pack(NOON_NS + number, record) for number, record in enumerate(records)], sink.tag)
