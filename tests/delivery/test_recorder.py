"""The queue, its one thread, and what forks, failures and the end of a process do to them."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flask_boxkite.delivery import Recorder, Recorders, Timings
from flask_boxkite.live.store import Store
from flask_boxkite.sinks.base import Batch
from tests.delivery.memory_sink import Gate, MemorySink, recorder_threads, refuse, settle
from tests.faults import no_more_threads
from tests.peers import wait_for

QUICK = Timings(linger_seconds=0.05)


@pytest.fixture
def sink() -> MemorySink:
    """Return a sink that takes everything, until told otherwise."""
    return MemorySink()


@contextlib.contextmanager
def recording(
    sink: MemorySink, *, max_bytes: int = 2**20, shutdown_timeout: float = 10.0, timings: Timings = QUICK
) -> Iterator[Recorder]:
    """Make a recorder; at the end close it and check what must hold for any."""
    recorder = Recorder(sink, Store(None), max_bytes=max_bytes, shutdown_timeout=shutdown_timeout, timings=timings)
    try:
        yield recorder
        assert sink.overlaps == 0
        counts = recorder.counts()
        assert counts.accepted == counts.delivered + counts.waiting + sum(counts.dropped.values())
    finally:
        recorder.close(0)


# --- the ordinary course --------------------------------------------------------------------------------------------


def test_nothing_starts_before_the_first_record(sink: MemorySink) -> None:
    """A server may fork between set-up and the first request."""
    before = recorder_threads()
    with recording(sink) as recorder:
        assert recorder.counts().accepted == 0
        assert recorder.flush(1) == 0
        assert recorder_threads() == before
        recorder.submit(b"a")
        assert len(recorder_threads()) == len(before) + 1


def test_records_arrive_by_themselves_in_order(sink: MemorySink) -> None:
    records = [b"%d" % number for number in range(1000)]
    with recording(sink) as recorder:
        for record in records:
            recorder.submit(record)
        settle(recorder)
        assert sink.shipped == records
        assert recorder.counts()[:5] == (1000, 1000, dict.fromkeys(recorder.counts().dropped, 0), 0, 0)


def test_records_that_come_together_go_together(sink: MemorySink) -> None:
    with recording(sink) as recorder:
        for _ in range(100):
            recorder.submit(b"x")
        recorder.flush(10)
        assert len(sink.attempts) <= 2


def test_a_batch_is_bounded(sink: MemorySink) -> None:
    sizes: list[int] = []
    sink.problem = lambda batch: sizes.append(sum(map(len, batch.records)))
    with recording(sink, timings=replace(QUICK, batch_bytes=10)) as recorder:
        for size in (4, 4, 4, 30, 4):
            recorder.submit(b"x" * size)
        recorder.flush(10)
        assert len(sink.shipped) == 5
        assert max(size for size in sizes if size != 30) <= 10


def test_flush_waits_until_everything_is_delivered(sink: MemorySink) -> None:
    with recording(sink) as recorder:
        for number in range(100):
            recorder.submit(b"%d" % number)
        assert recorder.flush(30) == 0
        assert len(sink.shipped) == 100


def test_flush_says_how_many_records_are_left(sink: MemorySink) -> None:
    sink.problem = refuse
    with recording(sink) as recorder:
        for _ in range(3):
            recorder.submit(b"x")
        assert recorder.flush(0.01) == 3
        assert recorder.counts().waiting == 3


def test_a_record_that_could_not_be_packed_is_counted(sink: MemorySink) -> None:
    with recording(sink) as recorder:
        recorder.drop("unencodable")
        counts = recorder.counts()
        assert (counts.accepted, counts.dropped["unencodable"], counts.waiting) == (1, 1, 0)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts switches of threads as Linux shows them")
def test_an_idle_recorder_sleeps(sink: MemorySink) -> None:
    with recording(sink) as recorder:
        recorder.submit(b"x")
        settle(recorder)
        status = Path(f"/proc/self/task/{recorder_threads()[-1].native_id}/status")

        def switches() -> list[str]:
            return [line for line in status.read_text().splitlines() if "ctxt_switches" in line]

        readings = [switches()]

        def is_asleep() -> bool:
            readings.append(switches())
            return readings[-1] == readings[-2]

        wait_for(is_asleep, what="a sleeping thread")
        with recording(MemorySink()) as other:
            for _ in range(3):  # three times as long as this one lets records gather, it must do nothing
                other.submit(b"x")
                settle(other)
        assert switches() == readings[-1]
        recorder.submit(b"y")
        settle(recorder)
        assert sink.shipped == [b"x", b"y"]


# --- the bound ------------------------------------------------------------------------------------------------------


def test_beyond_the_bound_the_oldest_go(sink: MemorySink) -> None:
    gate = sink.problem = Gate()
    with recording(sink, max_bytes=1000) as recorder:
        recorder.submit(b"in hand..")
        recorder.flush(0)
        gate.entered.wait(30)
        for number in range(200):
            recorder.submit(b"%010d" % number)
            assert recorder.counts().waiting_bytes <= 1000
        counts = recorder.counts()
        assert (counts.waiting, counts.dropped["queue_full"]) == (100, 101)
        gate.opened.set()

        assert recorder.flush(30) == 0
        assert sink.shipped == [b"in hand..", *(b"%010d" % number for number in range(101, 200))]


def test_a_record_larger_than_the_queue_is_dropped_alone(sink: MemorySink) -> None:
    with recording(sink, max_bytes=100) as recorder:
        for size in (50, 101, 100):
            recorder.submit(b"x" * size)
            recorder.flush(30)
        counts = recorder.counts()
        assert (counts.delivered, counts.dropped["too_large"]) == (2, 1)


def test_a_batch_in_hand_leaves_room_for_newer_records(sink: MemorySink) -> None:
    """It cannot be dropped: the sink may have it already. In a small queue it must not be all there is for ever."""
    sink.problem = refuse
    with recording(sink, max_bytes=1000) as recorder:
        for number in range(100):
            recorder.submit(b"%010d" % number)
        recorder.flush(0.05)
        for number in range(100, 200):
            recorder.submit(b"%010d" % number)
        sink.problem = lambda batch: None
        recorder.flush(30)
        assert len(sink.shipped) == 100
        assert sum(int(record) >= 100 for record in sink.shipped) >= 75


# --- failures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [OSError, ValueError, RecursionError, MemoryError, AssertionError])
def test_a_batch_that_was_not_taken_comes_again_as_it_was(sink: MemorySink, error: type[Exception]) -> None:
    failures = 2

    def fail_at_first(batch: Batch) -> None:
        if len(sink.attempts) <= failures:
            raise error

    sink.problem = fail_at_first
    with recording(sink) as recorder:
        recorder.submit(b"first")
        wait_for(lambda: sink.attempts, what="an attempt")
        recorder.submit(b"second")
        settle(recorder)  # with no new traffic
        assert sink.shipped == [b"first", b"second"]
        assert len(set(sink.attempts[: failures + 1])) == 1
        assert len(set(sink.attempts)) == 2


def test_trouble_is_logged_once_a_minute_with_its_traceback(sink: MemorySink, caplog: pytest.LogCaptureFixture) -> None:
    sink.problem = refuse
    with recording(sink) as recorder:
        recorder.submit(b"x")
        wait_for(lambda: len(sink.attempts) >= 3, what="three attempts")
        assert [record.getMessage() for record in caplog.records] == [
            "Sink 'memory' did not take 1 records; they are tried again."
        ]
        assert "ConnectionError: the sink is down" in caplog.text


def test_new_records_do_not_cut_a_pause_short(sink: MemorySink) -> None:
    """Else a busy server asks a sink that is down at every request."""
    sink.problem = refuse
    timings = replace(QUICK, first_backoff_seconds=3600, last_backoff_seconds=3600, urgent_bytes=1)
    with recording(sink, timings=timings) as recorder, recording(MemorySink()) as other:
        recorder.submit(b"x")
        wait_for(lambda: sink.attempts, what="an attempt")
        for _ in range(100):
            recorder.submit(b"x")
            other.submit(b"x")
            assert other.flush(10) == 0  # its thread has run, so this one's could have
        assert len(sink.attempts) == 1


def test_records_do_not_gather_again_after_a_pause(sink: MemorySink) -> None:
    """They have gathered in it."""

    def fail_at_first(batch: Batch) -> None:
        if len(sink.attempts) == 1:
            refuse(batch)

    sink.problem = fail_at_first
    with recording(sink, timings=replace(QUICK, linger_seconds=3600, urgent_bytes=1)) as recorder:
        recorder.submit(b"x")
        settle(recorder)
        assert len(sink.attempts) == 2


def test_flush_cuts_a_pause_short_and_tries_often(sink: MemorySink) -> None:
    """A caller of flush would otherwise sit out a long pause though the sink is back."""

    def fail_at_first(batch: Batch) -> None:
        if len(sink.attempts) <= 5:
            refuse(batch)

    sink.problem = fail_at_first
    with recording(sink, timings=replace(QUICK, last_backoff_seconds=3600, jitter=lambda: 10_000)) as recorder:
        recorder.submit(b"x")
        wait_for(lambda: sink.attempts, what="an attempt")
        assert recorder.flush(60) == 0
        assert len(sink.attempts) == 6


def test_flush_does_not_ask_without_a_pause(sink: MemorySink) -> None:
    """It ends the pause during which it begins, and no later pause."""
    sink.problem = refuse
    with recording(sink, timings=replace(QUICK, first_backoff_seconds=3600, last_backoff_seconds=3600)) as recorder:
        recorder.submit(b"x")
        wait_for(lambda: recorder.counts().backoff, what="a pause")
        assert recorder.flush(0.1) == 1
        assert recorder.flush(0.1) == 1
        assert len(sink.attempts) == 2


def test_pauses_grow_to_a_limit_and_differ(sink: MemorySink, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    def wait_for_nothing(self: threading.Condition, predicate: Callable[[], Any], timeout: float | None = None) -> None:
        if timeout is not None and self is recorder._shipper._thread_wakes:
            pauses.append(timeout)

    sink.problem = lambda batch: refuse(batch) if len(sink.attempts) <= 40 else None
    recorder = Recorder(sink, Store(None), max_bytes=100, shutdown_timeout=1)
    monkeypatch.setattr(recorder._shipper, "_start_thread", lambda: None)
    recorder.submit(b"x")
    with monkeypatch.context() as patched:
        patched.setattr(threading.Condition, "wait_for", wait_for_nothing)
        recorder._shipper._ship_all(time.monotonic() + 1e6)
    assert len(pauses) == 40
    assert all(0.05 * 2**n <= pause <= 0.1 * 2**n for n, pause in enumerate(pauses[:6]))
    assert all(5 <= pause <= 10 for pause in pauses[7:])
    assert len(set(pauses[7:])) > 30
    assert recorder.close() == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_sink_that_ends_its_thread_gets_another(sink: MemorySink) -> None:
    def leave(batch: Batch) -> None:
        sink.problem = lambda batch: None
        raise SystemExit

    sink.problem = leave
    with recording(sink) as recorder:
        recorder.submit(b"first")
        wait_for(lambda: sink.attempts and not recorder_threads(), what="the end of the thread")
        recorder.submit(b"second")
        settle(recorder)
        assert sink.shipped == [b"first", b"second"]


def test_where_no_thread_can_start_flush_ships_by_itself(sink: MemorySink) -> None:
    """Python 3.12 starts none at exit; a system may have too many for a moment."""
    with recording(sink) as recorder:
        with no_more_threads():
            recorder.submit(b"first")
            assert recorder.counts().waiting == 1
            assert recorder.flush(30) == 0
            recorder.submit(b"second")
            sink.problem = refuse
            assert recorder.flush(0.05) == 1
        sink.problem = lambda batch: None
        recorder.submit(b"third")
        settle(recorder)

        assert sink.shipped == [b"first", b"second", b"third"]


def test_what_came_while_no_thread_could_start_is_delivered_without_another_record(sink: MemorySink) -> None:
    """A scrape is enough: after the last request of a day there may be no other."""
    with recording(sink) as recorder:
        with no_more_threads():
            recorder.submit(b"first")
            recorder.adopt_orphans()
            assert recorder.counts().waiting == 1
        recorder.adopt_orphans()
        wait_for(lambda: sink.shipped == [b"first"], what="the record")


# --- the end --------------------------------------------------------------------------------------------------------


def test_close_delivers_what_waits_and_closes_the_sink(sink: MemorySink) -> None:
    with recording(sink) as recorder:
        for _ in range(10):
            recorder.submit(b"x")
        assert recorder.close() == 0
        assert (len(sink.shipped), sink.close_calls) == (10, 1)
        assert recorder_threads() == []


def test_close_without_any_record_closes_the_sink(sink: MemorySink) -> None:
    with recording(sink) as recorder:
        assert recorder.close() == 0
        assert sink.close_calls == 1


def test_a_second_close_does_nothing(sink: MemorySink) -> None:
    with recording(sink) as recorder:
        recorder.submit(b"x")
        assert [recorder.close(), recorder.close()] == [0, 0]
        assert sink.close_calls == 1


def test_what_was_counted_as_dropped_is_not_shipped_after_all(sink: MemorySink) -> None:
    """Without a thread, as while Python ends: neither a second close nor a flush takes up what was in hand."""
    sink.problem = refuse
    with no_more_threads(), recording(sink) as recorder:
        recorder.submit(b"x")
        assert recorder.close(0.05) == 1
        sink.problem = lambda batch: None
        assert [recorder.close(), recorder.flush(1.0)] == [0, 0]
        assert (sink.shipped, sink.close_calls) == ([], 1)


def test_a_sink_that_is_down_is_closed_before_close_returns(sink: MemorySink) -> None:
    """At exit there is no later."""
    sink.problem = refuse
    with recording(sink) as recorder:
        recorder.submit(b"x")
        assert recorder.close(0.05) == 1
        assert sink.close_calls == 1
        assert recorder_threads() == []


def test_sinks_share_the_time_at_the_end() -> None:
    """Each that is down would use it up; all have the same."""
    sinks = [MemorySink() for _ in range(3)]
    for number, sink in enumerate(sinks):
        sink.name = f"memory {number}"
    for sink in sinks[:2]:
        sink.problem = refuse
    store = Store(None)
    recorders = [Recorder(sink, store, max_bytes=2**20, shutdown_timeout=0.25) for sink in sinks]
    for recorder in recorders:
        recorder.submit(b"x")
    waits: list[float] = []
    for recorder in recorders:
        shipper = recorder._shipper

        def close(timeout: float, close: Callable[[float], int] = shipper.close) -> int:
            waits.append(timeout)
            return close(timeout)

        shipper.close = close  # type: ignore[method-assign]
    Recorders(recorders, clock=lambda: sum(waits)).close()

    assert waits == [0.25, 0, 0]
    assert [sink.shipped for sink in sinks] == [[], [], [b"x"]]
    assert [sink.close_calls for sink in sinks] == [1, 1, 1]


def test_records_after_the_end_are_counted_as_dropped(sink: MemorySink, caplog: pytest.LogCaptureFixture) -> None:
    """The log says it once in a while."""
    with recording(sink) as recorder:
        recorder.submit(b"before")
        recorder.close()
        for _ in range(2):
            recorder.submit(b"after")
        counts = recorder.counts()
        assert (counts.delivered, counts.dropped["shutdown"], counts.waiting) == (1, 2, 0)
        assert sink.shipped == [b"before"]
    assert caplog.messages == ["Dropped records for the sink 'memory' that came after it was closed."]


def test_close_counts_what_a_sink_that_is_down_did_not_take(sink: MemorySink, caplog: pytest.LogCaptureFixture) -> None:
    sink.problem = refuse
    with recording(sink, shutdown_timeout=0.05) as recorder:
        for _ in range(3):
            recorder.submit(b"x")
        assert recorder.close() == 3
        counts = recorder.counts()
        assert (counts.dropped["shutdown"], counts.waiting, counts.waiting_bytes) == (3, 0, 0)
        assert caplog.messages[-1] == "Dropped 3 records that the sink 'memory' did not take in time."
    wait_for(lambda: sink.close_calls == 1, what="the sink to be closed")


def test_close_does_not_wait_for_a_sink_that_hangs(sink: MemorySink) -> None:
    """What it takes after all was counted as dropped already: it must not be counted as delivered, too."""
    gate = sink.problem = Gate()
    with recording(sink) as recorder:
        recorder.submit(b"in hand")
        recorder.flush(0)
        gate.entered.wait(30)
        recorder.submit(b"queued")
        assert recorder.close(0.05) == 2
        assert sink.close_calls == 0
        gate.opened.set()
        wait_for(lambda: sink.close_calls == 1, what="the thread to close the sink")

        counts = recorder.counts()
        assert (counts.accepted, counts.delivered, counts.dropped["shutdown"], counts.waiting) == (2, 0, 2, 0)


def test_close_waits_for_a_sink_that_is_slow(sink: MemorySink) -> None:
    gate = sink.problem = Gate()
    with recording(sink) as recorder:
        recorder.submit(b"x")
        recorder.flush(0)
        gate.entered.wait(30)
        threading.Timer(0.05, gate.opened.set).start()
        assert recorder.close(30) == 0
        assert recorder.counts().delivered == 1


def test_a_sink_that_cannot_be_closed_is_no_error(sink: MemorySink, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        msg = "cannot close"
        raise OSError(msg)

    sink.close = fail  # type: ignore[method-assign]
    with recording(sink) as recorder:
        assert recorder.close() == 0
        assert caplog.messages == ["Sink 'memory' could not be closed."]


def test_a_collector_that_interrupts_a_thread_with_the_lock_does_not_wait_for_it(sink: MemorySink) -> None:
    """The recorder's thread then finds out by itself that the app is gone."""
    timings = replace(QUICK, idle_seconds=0.05)
    recorder = Recorder(sink, Store(None), max_bytes=2**20, shutdown_timeout=10.0, timings=timings)
    recorder.submit(b"x")
    lock = recorder._shipper._lock
    with lock:
        del recorder
        gc.collect()
    wait_for(lambda: sink.close_calls == 1, what="the end of the recorder")
    assert sink.shipped == [b"x"]


# --- threads --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_bytes", [2_000, 2**24], ids=["small queue", "large queue"])
def test_every_record_is_accounted_for_at_every_moment(sink: MemorySink, max_bytes: int) -> None:
    threads, records_each = 8, 3_000

    def fail_sometimes(batch: Batch) -> None:
        if len(sink.attempts) % 3 == 0:
            refuse(batch)

    def submit(recorder: Recorder, thread: int) -> None:
        for number in range(records_each):
            recorder.submit(b"%d-%06d" % (thread, number))

    sink.problem = fail_sometimes
    with recording(sink, max_bytes=max_bytes) as recorder:
        workers = [threading.Thread(target=submit, args=(recorder, thread)) for thread in range(threads)]
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            counts = recorder.counts()
            assert counts.accepted == counts.delivered + counts.waiting + sum(counts.dropped.values())
            assert counts.waiting >= 0
            assert counts.waiting_bytes == 8 * counts.waiting <= max_bytes
        for worker in workers:
            worker.join()
        assert recorder.flush(60) == 0
        counts = recorder.counts()
        assert counts.accepted == threads * records_each == counts.delivered + counts.dropped["queue_full"]
        assert counts.delivered == len(sink.shipped) == len(set(sink.shipped))
        for thread in range(threads):
            mine = [record for record in sink.shipped if record.startswith(b"%d-" % thread)]
            assert mine == sorted(mine)
        assert max_bytes == 2_000 or counts.dropped["queue_full"] == 0


def test_the_sink_is_used_by_one_thread_at_a_time(sink: MemorySink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushes ship by themselves while there is no thread, and one may start in the middle of that."""
    start = threading.Thread.start
    attempts = iter(range(10**9))

    def start_sometimes(thread: threading.Thread) -> None:
        if thread.name == "boxkite-recorder" and next(attempts) % 50 < 49:
            msg = "can't start new thread"
            raise RuntimeError(msg)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_sometimes)
    sink.problem = lambda batch: time.sleep(0.0005)
    with recording(sink) as recorder:

        def use() -> None:
            for _ in range(50):
                recorder.submit(b"x")
                recorder.flush(30)

        users = [threading.Thread(target=use) for _ in range(4)]
        for user in users:
            user.start()
        for user in users:
            user.join()
        assert recorder.close() == 0
        assert (sink.overlaps, len(sink.shipped), sink.close_calls) == (0, 200, 1)


def test_records_during_close_are_delivered_or_counted(sink: MemorySink) -> None:
    for _ in range(20):
        sink = MemorySink()
        with recording(sink) as recorder:

            def submit(recorder: Recorder = recorder) -> None:
                for _ in range(500):
                    recorder.submit(b"x")

            worker = threading.Thread(target=submit)
            worker.start()
            recorder.close()
            worker.join()
            counts = recorder.counts()
            assert counts.waiting == 0
            assert counts.accepted == 500 == len(sink.shipped) + counts.dropped["shutdown"]


# --- forks ----------------------------------------------------------------------------------------------------------


def in_child(work: Callable[[], bool]) -> None:
    """Fork; fail unless *work* returns true in the child. It may hang: then it is killed by its alarm."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            import signal

            signal.alarm(30)
            logging.disable()
            code = 0 if work() else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def test_a_forked_child_starts_afresh(sink: MemorySink) -> None:
    with recording(sink) as recorder:
        recorder.submit(b"parent")
        recorder.flush(30)

        def work() -> bool:
            recorder.submit(b"child")
            settle(recorder)
            own = recorder.sink
            assert isinstance(own, MemorySink)
            return own.shipped == [b"child"] and recorder.counts().accepted == 1 and len(recorder_threads()) == 1

        in_child(work)
        recorder.submit(b"parent again")
        recorder.flush(30)
        assert sink.shipped == [b"parent", b"parent again"]


def test_a_forked_child_does_not_send_what_waits_in_its_parent(sink: MemorySink) -> None:
    gate = sink.problem = Gate()
    with recording(sink) as recorder:
        recorder.submit(b"in hand")
        recorder.flush(0)
        gate.entered.wait(30)
        recorder.submit(b"queued")

        def work() -> bool:
            own = recorder.sink
            assert isinstance(own, MemorySink)
            recorder.submit(b"child")
            is_closed = recorder.close(30) == 0
            return is_closed and own.shipped == [b"child"] and recorder.counts().delivered == 1

        in_child(work)
        gate.opened.set()
        assert recorder.flush(30) == 0
        assert sink.shipped == [b"in hand", b"queued"]


@pytest.mark.parametrize("name", ["_lock", "_shipping"], ids=["queue", "sink"])
def test_a_child_forked_while_a_lock_is_held_works(sink: MemorySink, name: str) -> None:
    with recording(sink) as recorder:
        recorder.submit(b"parent")
        recorder.flush(30)

        def work() -> bool:
            recorder.submit(b"child")
            return recorder.flush(20) == 0 and recorder.counts().delivered == 1 and recorder.close() == 0

        with getattr(recorder._shipper, name):
            in_child(work)
        assert sink.shipped == [b"parent"]


def test_a_grandchild_starts_afresh(sink: MemorySink) -> None:
    with recording(sink) as recorder:

        def in_grandchild() -> bool:
            recorder.submit(b"grandchild")
            return recorder.flush(20) == 0 and recorder.counts().accepted == 1

        def work() -> bool:
            recorder.submit(b"child")
            in_child(in_grandchild)
            # Of the processes before, nothing is kept: one of their ids may come again.
            return recorder.flush(20) == 0 and list(recorder._shippers) == [os.getpid()]

        recorder.submit(b"parent")
        in_child(work)


def test_threads_that_meet_in_a_forked_child_share_one_queue(sink: MemorySink) -> None:
    with recording(sink) as recorder:
        recorder.submit(b"parent")

        def work() -> bool:
            barrier = threading.Barrier(8)

            def submit() -> None:
                barrier.wait()
                recorder.submit(b"child")

            users = [threading.Thread(target=submit) for _ in range(8)]
            for user in users:
                user.start()
            for user in users:
                user.join()
            return recorder.flush(20) == 0 and recorder.counts().delivered == 8 and len(recorder_threads()) == 1

        in_child(work)
