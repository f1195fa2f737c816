"""The thread of the notifier: when it begins and ends, in forked processes, and where no thread can start."""

from __future__ import annotations

import gc
import os
import socketserver
import threading
import weakref

import pytest

from flask_boxkite.notify.notifier import Notifier
from tests.faults import ended, fork, no_more_threads
from tests.peers import wait_for


class Turning:
    """A watch that notes its turns."""

    def __init__(self, pause: float | None = 3600.0) -> None:
        self.turned = threading.Event()
        self.released = threading.Event()
        self._pause = pause

    def turn(self) -> float | None:
        self.turned.set()
        return self._pause

    def release(self) -> None:
        self.released.set()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "boxkite-notifier"]


@pytest.fixture
def turning() -> Turning:
    """Return a watch whose next turn is far away."""
    return Turning()


def test_no_thread_runs_before_it_is_needed(turning: Turning) -> None:
    notifier = Notifier(lambda: turning)
    assert threads() == []
    notifier.wake()
    assert turning.turned.wait(10)
    notifier.close()
    assert turning.released.wait(10)
    wait_for(lambda: not threads())


def test_one_thread_runs_however_often_it_is_woken(turning: Turning) -> None:
    notifier = Notifier(lambda: turning)
    callers = [threading.Thread(target=notifier.wake) for _ in range(20)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(threads()) == 1
    notifier.close()
    wait_for(lambda: not threads())


def test_the_thread_is_a_daemon(turning: Turning) -> None:
    notifier = Notifier(lambda: turning)
    notifier.wake()
    assert all(thread.daemon for thread in threads())
    notifier.close()


def test_a_closed_notifier_does_not_begin_again(turning: Turning) -> None:
    notifier = Notifier(lambda: turning)
    notifier.close()
    notifier.wake()
    assert threads() == []


def test_the_thread_ends_with_its_notifier(turning: Turning) -> None:
    notifier = Notifier(lambda: turning)
    notifier.wake()
    gone = weakref.ref(notifier)
    del notifier
    gc.collect()
    assert gone() is None
    assert turning.released.wait(10)
    wait_for(lambda: not threads())


def test_a_watch_whose_app_is_gone_ends_its_thread() -> None:
    turning = Turning(None)
    notifier = Notifier(lambda: turning)
    notifier.wake()
    assert turning.released.wait(10)
    wait_for(lambda: not threads())


def test_a_forked_process_has_its_own_thread(turning: Turning) -> None:
    notifier = Notifier(Turning)
    notifier.wake()
    own = turning

    def in_child() -> None:
        assert threads() == []
        notifier._make_watch = lambda: own
        notifier.wake()
        assert own.turned.wait(10)
        notifier.close()
        assert own.released.wait(10)

    assert ended(fork(in_child)) == 0
    assert not own.turned.is_set()
    assert len(threads()) == 1
    notifier.close()
    wait_for(lambda: not threads())


def test_a_thread_that_could_not_start_starts_later(turning: Turning) -> None:
    notifier = Notifier(lambda: turning)
    with no_more_threads():
        notifier.wake()
    assert threads() == []
    notifier.wake()
    assert turning.turned.wait(10)
    notifier.close()
    wait_for(lambda: not threads())


def test_a_process_of_one_connection_has_no_thread(turning: Turning) -> None:
    """Each would begin a check, and end in the middle of it."""
    notifier = Notifier(lambda: turning)
    read, write = os.pipe()

    class Forking(socketserver.ForkingMixIn):
        def finish_request(self, request: object, address: object) -> None:
            notifier.wake()
            os.write(write, bytes([len(threads())]))

        def shutdown_request(self, request: object) -> None:
            pass

        close_request = shutdown_request

    server = Forking()
    server.process_request(None, None)  # type: ignore[arg-type]
    assert os.read(read, 1) == b"\0"
    server.collect_children(blocking=True)
    os.close(read)
    os.close(write)


def test_closing_does_not_wait_for_a_receiver_that_hangs() -> None:
    begun, goes_on = threading.Event(), threading.Event()

    class Hanging(Turning):
        def turn(self) -> float | None:
            begun.set()
            goes_on.wait()
            return 3600.0

    hanging = Hanging()
    notifier = Notifier(lambda: hanging)
    notifier.wake()
    assert begun.wait(10)
    notifier.close()
    assert not hanging.released.is_set()
    goes_on.set()
    assert hanging.released.wait(10)
    wait_for(lambda: not threads())


def test_the_end_of_a_process_does_not_wait_for_the_thread() -> None:
    """A daemon is left behind, though its receiver hangs."""

    def hang() -> float | None:
        threading.Event().wait()
        return None

    def in_child() -> None:
        hanging = Turning()
        hanging.turn = hang  # type: ignore[method-assign]
        Notifier(lambda: hanging).wake()
        assert os.getpid()

    assert ended(fork(in_child)) == 0
