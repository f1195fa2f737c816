"""Tests of a set-up's surroundings: whether directories can be written, and whether servers acknowledge."""

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
from flask_boxkite.system.faults import is_read_only
from flask_boxkite.system.files import open_private, reserve
from flask_boxkite.system.locks import OwnerLock, can_lock
from flask_boxkite.system.permissions import open_to_all, unwritable

__all__ = ["TAG", "Outcome", "probe_directory", "probe_fluentd", "probes"]

TAG = "boxkite.check"
"""Tag of the one record that shows whether a server acknowledges; predictions never have it."""

_TIMEOUT_SECONDS = 5.0
_BYTES = 65536


class Outcome(NamedTuple):
    """Result of a test.

    Attributes:
        level: ``ok``, ``problem`` or ``hint``; ``note`` for a line about all of them.
        what: The fact, as a sentence.
        remedy: The remedy; empty if none is needed.
    """

    level: str
    what: str
    remedy: str = ""


def probes(settings: Settings, *, offline: bool) -> Iterator[Outcome]:
    """Test everything that settings name.

    Args:
        settings: Settings of the app.
        offline: Whether to skip everything that needs a network.
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
    """Write to a directory as a server would, or to its nearest existing parent if it does not exist yet.

    Args:
        title: Purpose of the directory.
        key: Name of the setting with its path.
        directory: Path of the directory.
        room: Largest size of its content, in bytes.
    """
    path = Path(directory).absolute()
    if (obstacle := unwritable(path)) is not None:
        return Outcome("problem", f"{title}: '{obstacle}' cannot be written.", f"Name another directory in '{key}'.")
    nearest = next(each for each in (path, *path.parents) if each.exists())
    if is_read_only(nearest):
        what = f"{title}: the disk of '{nearest}' is read-only."
        return Outcome("problem", what, f"Make it writable, or name a directory on another disk in '{key}'.")
    try:
        _write_to(nearest)
    except OSError as error:
        what = f"{title}: '{nearest}' does not support the file operations of a server: {error.strerror}."
        return Outcome("problem", what, f"Name a directory on a local disk with free space in '{key}'.")
    if (exposed := open_to_all(path)) is not None:
        what = f"{title}: every user of this machine can replace what is in '{exposed}'."
        return Outcome("problem", what, "Deny others the right to write (chmod o-w), or set the sticky bit.")

    disk = os.statvfs(nearest)
    free = disk.f_bavail * disk.f_frsize
    if free < room:
        what = f"{title}: '{path}' has {bytes_text(free)} free, but may grow to {bytes_text(room)}."
        return Outcome("hint", what, "Free space, or lower its limit.")
    return Outcome("ok", f"{title}: '{path}' can be written; {bytes_text(free)} free.")


def _write_to(directory: Path) -> None:
    """Reserve space and lock, as servers do with files; some network disks cannot."""
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
    """Send one record to a server and wait for its acknowledgement, with all settings: TLS, shared key, user, gzip.

    The record is tiny and has its own tag, `TAG`. An empty batch would leave no trace, but Fluent Bit does not
    acknowledge one.
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
        return Outcome("problem", what, "Is it running, is the address right, and do TLS and key match on both sides?")
    finally:
        sink.close()
    took = (time.monotonic() - started) * 1000
    return Outcome("ok", f"fluentd at {address} acknowledged a record (tag {TAG}) in {took:.0f} ms.")
