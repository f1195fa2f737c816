"""The name of a state directory that is found by itself, from facts that only processes of one server share."""

from __future__ import annotations

import os
import re

from flask_boxkite.system.process import ServerName

__all__ = ["PREFIX", "app_in", "automatic_name", "server_in"]

PREFIX = "boxkite-"
"""Prefix of all state directories."""

_AUTOMATIC = re.compile(
    r"boxkite-(?P<uid>\d+)-(?P<boot>[^-]*)-(?P<namespace>\d*)-(?P<pid>\d+)-(?P<started>\d*)"
    r"-(?P<app>.+?)(?:\.[\d-]+)?"
)


def automatic_name(server: ServerName, segment: str) -> str:
    """Return the name of a directory of this user.

    Args:
        server: Server whose processes count there.
        segment: Name and number of the app, as part of a file's name.
    """
    return f"{PREFIX}{os.geteuid()}-{server.boot}-{server.namespace}-{server.pid}-{server.started}-{segment}"


def server_in(name: str) -> ServerName | None:
    """Return the server whose processes count in a directory; None for the name of another directory."""
    parts = _AUTOMATIC.fullmatch(name)
    return ServerName(parts["boot"], parts["namespace"], int(parts["pid"]), parts["started"]) if parts else None


def app_in(name: str) -> str | None:
    """Return the name of the app that counts in a directory; None for the name of another directory."""
    parts = _AUTOMATIC.fullmatch(name)
    return parts["app"] if parts else None
