"""Sinks, the destinations of records: fluentd, files, or an object of the user's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask_boxkite.config import Settings
from flask_boxkite.errors import ConfigError
from flask_boxkite.sinks.base import Batch, RefusedError, Sink
from flask_boxkite.sinks.object import ObjectSink

__all__ = ["Batch", "ObjectSink", "RefusedError", "Sink", "make_sinks"]


def make_sinks(settings: Settings, is_first_to_say: Callable[[str], bool] = lambda topic: True) -> list[Sink]:
    """Build the sinks that the settings name; none for ``none``.

    Args:
        settings: Settings of the app.
        is_first_to_say: Says whether no other process of the server has logged this topic.

    Raises:
        ConfigError: A sink cannot work, for example because its directory cannot be written, or two have the same name.
    """
    if not settings.enabled:
        return []
    sinks = [_made(sink, settings, is_first_to_say) for sink in settings.sink]
    names = [sink.name for sink in sinks]
    for name in names:
        if names.count(name) > 1:
            msg = f"'BOXKITE_SINK' has two sinks named {name!r}. Give objects different names by an attribute 'name'."
            raise ConfigError(msg, key="BOXKITE_SINK")
    return sinks


def _made(sink: Any, settings: Settings, is_first_to_say: Callable[[str], bool]) -> Sink:
    # Imported here, because not all apps need them.
    if sink == "fluentd":
        from flask_boxkite.sinks.fluentd import FluentdSink

        return FluentdSink(settings)
    if sink == "file":
        from flask_boxkite.sinks.files import FileSink

        return FileSink(settings, is_first_to_say=is_first_to_say)
    return ObjectSink(sink)
