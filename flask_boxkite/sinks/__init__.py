"""Where records go: fluentd, files, or an object of the user's."""

from __future__ import annotations

from flask_boxkite.config import Settings
from flask_boxkite.sinks.base import Batch, ObjectSink, Sink

__all__ = ["Batch", "ObjectSink", "Sink", "make_sink"]


def make_sink(settings: Settings) -> Sink | None:
    """Build the sink that the settings name; None for ``none``.

    Raises:
        ConfigError: It cannot work, for example because its directory cannot be written.
    """
    if settings.sink == "none" or not settings.enabled:
        return None
    if settings.sink == "fluentd":
        from flask_boxkite.sinks.fluentd import FluentdSink

        return FluentdSink(settings)
    if settings.sink == "file":
        from flask_boxkite.sinks.files import FileSink

        return FileSink(settings)
    return ObjectSink(settings.sink)
