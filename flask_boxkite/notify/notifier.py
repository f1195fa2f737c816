"""The notifier of an app: a thread in each process that serves it, of which one at a time judges and tells (`watch`).

The thread runs beside requests and never in one. It begins with the first request or prediction, afresh in a forked
process. It is a daemon, so it delays no end of a process, and does not keep an app alive.
"""

from __future__ import annotations

import atexit
import itertools
import os
import threading
import weakref
from collections.abc import Callable
from typing import Protocol

from flask_boxkite.delivery.shutdown import ends_after_answer
from flask_boxkite.system.fork_mark import fork_mark

__all__ = ["Notifier", "Turns"]

_JOIN_SECONDS = 0.2
"""Time for which `Notifier.close` waits; a thread that is just sending ends later."""


class Turns(Protocol):
    """Work that is done turn by turn."""

    def turn(self) -> float | None:
        """Do the work that is due; return the seconds until the next turn, or None if there is none."""

    def release(self) -> None:
        """Let another process do the work."""


class Notifier:
    """Runs the watch of an app in each of its processes. Any thread may use it, also after a fork.

    Args:
        make_watch: Makes the watch of this process, in its thread; it must not hold the app.
    """

    def __init__(self, make_watch: Callable[[], Turns]) -> None:
        self._make_watch = make_watch
        self._is_closed = False
        self._worker: _Worker | None = None
        # setdefault is atomic, so threads of a forked process agree on one worker without a lock, which a thread that
        # does not exist there might hold for ever.
        self._workers: dict[int, _Worker] = {}
        weakref.finalize(self, _stop_all, self._workers).atexit = False
        _notifiers.add(self)

    def wake(self) -> None:
        """Start the thread of this process, unless it runs already; never raises, and waits for nothing."""
        worker = self._worker
        if worker is not None and worker.mark[0]:
            worker.start()
            return
        if self._is_closed or ends_after_answer():  # there, each request would begin, and not finish, a check
            return
        pid = os.getpid()
        if worker is not None:
            self._workers.pop(worker.pid, None)
        worker = self._worker = self._workers.setdefault(pid, _Worker(pid, self._make_watch))
        worker.start()

    def close(self, seconds: float = _JOIN_SECONDS) -> None:
        """End the thread of this process, so that another process becomes the notifier.

        Args:
            seconds: Time to wait for it.
        """
        self._is_closed = True
        worker = self._workers.get(os.getpid())
        if worker is not None:
            worker.stop(seconds)


_notifiers: weakref.WeakSet[Notifier] = weakref.WeakSet()


def _close_all() -> None:
    """Let no turn begin while the process ends, when state directories are removed; wait for nothing."""
    for notifier in list(_notifiers):
        notifier.close(0.0)


# Registered after the store's hook, which removes directories, so that it runs before.
atexit.register(_close_all)


class _Worker:
    """The thread of one process."""

    def __init__(self, pid: int, make_watch: Callable[[], Turns]) -> None:
        self.pid = pid
        self.mark = fork_mark()
        self._make_watch = make_watch
        self._stops = threading.Event()
        self._tickets = itertools.count()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread once."""
        if self._thread is not None or next(self._tickets):
            return
        target, arguments = _run, (self._make_watch, self._stops)
        thread = threading.Thread(target=target, args=arguments, name="boxkite-notifier", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # too many threads, or Python is ending
            self._tickets = itertools.count()
            return
        self._thread = thread

    def stop(self, seconds: float = 0.0) -> None:
        """End the thread, and wait for it for a moment."""
        self._stops.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(seconds)


def _run(make_watch: Callable[[], Turns], stops: threading.Event) -> None:
    watch = make_watch()
    try:
        while not stops.is_set():
            pause = watch.turn()
            if pause is None:
                return
            stops.wait(pause)
    finally:
        watch.release()


def _stop_all(workers: dict[int, _Worker]) -> None:
    """End the thread of this process, because its app is gone."""
    worker = workers.get(os.getpid())
    if worker is not None:
        worker.stop()
