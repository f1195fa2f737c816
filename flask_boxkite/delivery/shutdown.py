"""The end of a process: all recorders deliver at the same time, so their number does not lengthen the wait.

`close_together` begins the shutdown of all shippers, then waits for one after the other until the same moment. Python
starts no thread while exit hooks run, so a shipper without a thread delivers during its turn.
"""

from __future__ import annotations

import atexit
import inspect
import os
import signal
import sys
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flask_boxkite.delivery.shipper import Shipper

__all__ = ["close_all", "close_at_exit", "close_together", "ends_after_answer", "skips_exit_hooks"]

HEALTHY_EXIT_SECONDS = 0.5
"""Seconds that the exit waits for records on disk: enough for a healthy sink; a restart delivers the rest."""

# Seconds that each shipper may take at exit, and whether it spools. The references may be weak, because the thread of
# a shipper with waiting records holds it.
_at_exit: weakref.WeakKeyDictionary[Shipper, tuple[float, bool]] = weakref.WeakKeyDictionary()
_finalized: set[int] = set()
"""Ids of processes in which multiprocessing calls `close_all`."""


def close_together(shippers: Iterable[tuple[Shipper, float]], clock: Callable[[], float] = time.monotonic) -> int:
    """Deliver the records that can be delivered in time, and stop; the rest stays on disk or is counted as dropped.

    Args:
        shippers: Shippers, each with the seconds that it may take; all these times begin now.
        clock: Returns a monotonic time.

    Returns:
        Number of records that were dropped.
    """
    start = clock()
    closing = list(shippers)
    for shipper, _ in closing:
        shipper.begin_shutdown()
    return sum(shipper.close(max(start + timeout - clock(), 0)) for shipper, timeout in closing)


def close_at_exit(shipper: Shipper, timeout: float, *, is_spooling: bool) -> None:
    """Close a shipper when its process ends.

    Args:
        shipper: Shipper of this process.
        timeout: Seconds that it may take.
        is_spooling: Whether undelivered records stay on disk: then it takes no longer than a healthy sink needs.
    """
    _at_exit[shipper] = (timeout, is_spooling)
    multiprocessing = sys.modules.get("multiprocessing.util")
    if multiprocessing is not None and os.getpid() not in _finalized:  # its children skip `atexit`
        _finalized.add(os.getpid())
        multiprocessing.Finalize(None, close_all, exitpriority=0)


def close_all(
    at_exit: Mapping[Shipper, tuple[float, bool]] = _at_exit, clock: Callable[[], float] = time.monotonic
) -> None:
    """Close the shippers of this process, and not its parent's, whose hook a forked child inherits.

    Args:
        at_exit: Shippers, each with the seconds that it may take and whether undelivered records stay on disk.
        clock: Returns a monotonic time.
    """
    closing = [
        (shipper, _patience(shipper, timeout, is_spooling=is_spooling))
        for shipper, (timeout, is_spooling) in list(at_exit.items())
        if shipper.pid == os.getpid()
    ]
    close_together(closing, clock)


def _patience(shipper: Shipper, timeout: float, *, is_spooling: bool) -> float:
    if not is_spooling:
        return timeout
    return 0.0 if shipper.is_stalled else min(timeout, HEALTHY_EXIT_SECONDS)


def ends_after_answer() -> bool:
    """Say whether this process was forked for one connection, after which it ends by ``os._exit`` and runs no hook.

    To be asked during a request. Servers for which it is true fork by `socketserver.ForkingMixIn`: Werkzeug's
    ``app.run(processes=4)``, or wsgiref with that class.
    """
    forking: Any = getattr(sys.modules.get("socketserver"), "ForkingMixIn", None)
    frame = inspect.currentframe() if forking is not None else None
    while frame is not None:
        if frame.f_code is forking.process_request.__code__:
            return True
        frame = frame.f_back
    return False


def skips_exit_hooks(environ: Mapping[str, Any]) -> bool:
    """Say whether SIGTERM may end a process of this server without running its `atexit` hooks.

    Args:
        environ: Environment of a WSGI request.
    """
    if "uwsgi" in sys.modules:  # ends a busy worker so
        return True
    handler = signal.getsignal(signal.SIGTERM)
    if getattr(type(getattr(handler, "__self__", None)), "__module__", "") == "uvicorn.server":
        return True  # after its shutdown, it raises the signal again, for the default action
    return handler is signal.SIG_DFL and "SERVER_SOFTWARE" in environ and "mod_wsgi.version" not in environ


# Registered as early as possible, so that it runs late: other hooks may still predict.
atexit.register(close_all)
