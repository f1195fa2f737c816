"""The end of a process: all recorders deliver side by side, so the time for it passes once, however many there are.

Whoever ends first asks all shippers to hurry, and then waits for one after the other until the same moment. Python
starts no thread any more when exit hooks run, so a shipper without one delivers while it is waited for.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

from flask_boxkite.delivery.shipper import Shipper

__all__ = ["close_all", "close_at_exit", "close_together", "ends_after_answer", "skips_exit_hooks"]

HEALTHY_EXIT_SECONDS = 0.5
"""At exit, what is on disk need not be waited for: a server would be stopped for as long. A healthy sink gets this."""

# Seconds that each may take at exit, and whether it spools. A shipper that is gone has nothing waiting: its thread
# would hold it.
_at_exit: weakref.WeakKeyDictionary[Shipper, tuple[float, bool]] = weakref.WeakKeyDictionary()
_finalized: set[int] = set()
"""Processes in which multiprocessing knows of `close_all`."""


def close_together(shippers: Iterable[tuple[Shipper, float]]) -> int:
    """Deliver what can be delivered in time, and stop; the rest stays on disk, or is counted as dropped.

    Args:
        shippers: Each with the seconds that it may take, of the same time.

    Returns:
        How many records were dropped.
    """
    start = time.monotonic()
    all_of_them = list(shippers)
    for shipper, _ in all_of_them:
        shipper.hasten()
    return sum(shipper.close(max(start + timeout - time.monotonic(), 0)) for shipper, timeout in all_of_them)


def close_at_exit(shipper: Shipper, timeout: float, *, is_spooling: bool) -> None:
    """Have a shipper closed when its process ends.

    Args:
        shipper: Of this process.
        timeout: Seconds that it may take.
        is_spooling: Whether what it does not deliver is kept: then it takes no longer than a healthy sink needs.
    """
    _at_exit[shipper] = (timeout, is_spooling)
    multiprocessing = sys.modules.get("multiprocessing.util")
    if multiprocessing is not None and os.getpid() not in _finalized:  # its children skip `atexit`
        _finalized.add(os.getpid())
        multiprocessing.Finalize(None, close_all, exitpriority=0)


def close_all() -> None:
    """Close the shippers of this process; those of its parent, whose hook a forked child inherits, are the parent's."""
    close_together(
        (shipper, _patience(shipper, timeout, is_spooling=is_spooling))
        for shipper, (timeout, is_spooling) in list(_at_exit.items())
        if shipper.pid == os.getpid()
    )


def _patience(shipper: Shipper, timeout: float, *, is_spooling: bool) -> float:
    if not is_spooling:
        return timeout
    return 0.0 if shipper.is_stalled else min(timeout, HEALTHY_EXIT_SECONDS)


def ends_after_answer(environ: Mapping[str, Any]) -> bool:
    """Say whether the server forks a process for each connection, which ends by ``os._exit``: no hook runs there.

    Args:
        environ: Environment of a WSGI request.
    """
    # Werkzeug's `app.run(processes=4)`; its threads and its single process say that they are one process.
    return bool(environ.get("werkzeug.socket") and environ.get("wsgi.multiprocess"))


def skips_exit_hooks(environ: Mapping[str, Any]) -> bool:
    """Say whether SIGTERM may end a process of this server in which `atexit` does not run.

    Args:
        environ: Environment of a WSGI request.
    """
    if "uwsgi" in sys.modules:  # a worker that is busy just then
        return True
    handler = signal.getsignal(signal.SIGTERM)
    if getattr(type(getattr(handler, "__self__", None)), "__module__", "") == "uvicorn.server":
        return True  # having shut down, it raises the signal again, for the default action
    return handler is signal.SIG_DFL and "SERVER_SOFTWARE" in environ and "mod_wsgi.version" not in environ


# As early as can be, so that it runs late: other hooks may still predict.
atexit.register(close_all)
