"""Trying out what a set-up needs: directories that can be written, and servers that acknowledge."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from flask_boxkite.config import Address, Settings
from flask_boxkite.monitoring.findings import bytes_text
from flask_boxkite.system.files import OwnerLock, can_lock, open_private, open_to_all, reserve, unwritable

__all__ = ["TAG", "Outcome", "probe_directory", "probe_fluentd", "probes"]

TAG = "boxkite.check"
"""Of the one record that shows whether a server acknowledges: no record of a prediction has it."""

_TIMEOUT_SECONDS = 5.0
_BYTES = 65536


class Outcome(NamedTuple):
    """What came of trying something.

    Attributes:
        level: ``ok``, ``problem`` or ``hint``.
        what: The fact.
        remedy: What to do about it; empty if nothing.
    """

    level: str
    what: str
    remedy: str = ""


def probes(settings: Settings, *, offline: bool) -> Iterator[Outcome]:
    """Try out everything that settings name.

    Args:
        settings: Of the app.
        offline: Whether to leave out what is reached by a network.
    """
    if settings.state_dir is not None:
        yield probe_directory("State directory", "BOXKITE_STATE_DIR", settings.state_dir)
    if settings.sink and settings.spool_dir is not None:
        yield probe_directory("Spool", "BOXKITE_SPOOL_DIR", settings.spool_dir, room=settings.spool_bytes)
    if "file" in settings.sink and settings.log_dir is not None:
        yield probe_directory("Files of records", "BOXKITE_LOG_DIR", settings.log_dir)
    if "fluentd" in settings.sink and not offline:
        for address in settings.fluentd_addr or ():
            yield probe_fluentd(settings, address)


def probe_directory(title: str, key: str, directory: str, *, room: int = 0) -> Outcome:
    """Write to a directory as a server would, or, where it is still to be made, to the one that it will be made in.

    Args:
        title: What it is for.
        key: The setting that names it.
        directory: Its path.
        room: How many bytes it may come to hold.
    """
    path = Path(directory).absolute()
    if (obstacle := unwritable(path)) is not None:
        return Outcome("problem", f"{title}: '{obstacle}' cannot be written.", f"Name another directory in '{key}'.")
    nearest = next(each for each in (path, *path.parents) if each.exists())
    try:
        _write_to(nearest)
    except OSError as error:
        what = f"{title}: '{nearest}' cannot hold what a server writes: {error.strerror}."
        return Outcome("problem", what, f"Name a directory on a local disk with room in '{key}'.")
    if (exposed := open_to_all(path)) is not None:
        what = f"{title}: every user of this machine can replace what is in '{exposed}'."
        return Outcome("problem", what, "Take the right to write from others (chmod o-w), or set the sticky bit.")
    disk = os.statvfs(nearest)
    free = disk.f_bavail * disk.f_frsize
    if free < room:
        what = f"{title}: '{path}' has room for {bytes_text(free)}, and may come to hold {bytes_text(room)}."
        return Outcome("hint", what, "Make room, or lower its bound.")
    return Outcome("ok", f"{title}: '{path}' can be written; {bytes_text(free)} free.")


def _write_to(directory: Path) -> None:
    """Do what servers do with files: reserve, and lock, which not all network disks can."""
    with tempfile.TemporaryDirectory(prefix=".boxkite-check-", dir=directory) as own:
        path = Path(own) / "probe"
        descriptor = open_private(path, os.O_RDWR | os.O_CREAT)
        try:
            reserve(descriptor, 0, _BYTES)
        finally:
            os.close(descriptor)
        if can_lock:
            OwnerLock(path, os.O_RDWR).release()


def probe_fluentd(settings: Settings, address: Address) -> Outcome:
    """Have a server acknowledge one record, by all that is set: TLS, shared key, user, compression.

    The record is tiny and has a tag of its own, `TAG`. None at all would be kept nowhere, but Fluent Bit acknowledges
    no batch that is empty.
    """
    from flask_boxkite.sinks.base import Batch  # which need msgpack and fluent-logger
    from flask_boxkite.sinks.fluentd import FluentdSink

    sink = FluentdSink(dataclasses.replace(settings, fluentd_addr=(address,)))
    record = {"check": "flask boxkite check", "pod": settings.pod_name}
    started = time.monotonic()
    try:
        sink.ship(Batch([sink.pack(time.time_ns(), record)], TAG), _TIMEOUT_SECONDS)
    except (OSError, ValueError) as error:
        what = f"fluentd at {address} does not acknowledge: {error}."
        return Outcome("problem", what, "Is it up, is the address right, and do both sides agree on TLS and key?")
    finally:
        sink.close()
    took = (time.monotonic() - started) * 1000
    return Outcome("ok", f"fluentd at {address} acknowledged a record (tag {TAG}) in {took:.0f} ms.")
