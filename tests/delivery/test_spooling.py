"""Records on disk, from the request to the sink: over failures, forks, kills and restarts, each is counted once."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from flask_boxkite.delivery import Recorder, RecorderCounts, Spooling, Timings, shutdown
from flask_boxkite.live.state_directory import StateDirectory
from flask_boxkite.live.store import Store
from flask_boxkite.sinks.base import Batch, RefusedError
from flask_boxkite.spool import waiting_records
from flask_boxkite.system.process import ProcessName, ServerName
from tests.delivery.memory_sink import Gate, MemorySink, recorder_threads, refuse, settle
from tests.faults import die_at, ended, file_size_limit, fork, go_on, has_stopped, killed, run_in_child, stop_at
from tests.live.directories import same_directory
from tests.peers import wait_for

OFTEN = Timings(linger_seconds=0.05, scan_seconds=0.01, recovery_seconds=0.01)
"""Look for dead processes, and whether the disk has room again, all the time."""


def recorder_of(root: Path, store: Store, sink: MemorySink, timings: Timings = OFTEN) -> Recorder:
    """Return a recorder that spools."""
    spooling = Spooling(root / "spool", 2**20)
    return Recorder(sink, store, max_bytes=2**20, shutdown_timeout=10.0, spooling=spooling, timings=timings)


@contextlib.contextmanager
def recording(
    root: Path, store: Store | None = None, sink: MemorySink | None = None, timings: Timings = OFTEN
) -> Iterator[Recorder]:
    """Make a recorder that spools; at the end close it and check what must hold for any."""
    sink = sink or MemorySink()
    recorder = recorder_of(root, store or Store(None), sink, timings)
    try:
        yield recorder
        assert sink.overlaps == 0
        check(recorder.counts())
    finally:
        recorder.close(0)


def check(counts: RecorderCounts) -> None:
    """Check that every record is accounted for."""
    assert counts.accepted == counts.delivered + counts.waiting + sum(counts.dropped.values())


def test_a_record_that_is_too_large_for_the_spool_keeps_no_others_from_it(tmp_path: Path) -> None:
    sink = MemorySink()
    sink.problem = refuse
    with recording(tmp_path, sink=sink) as recorder:
        for size in (100, 300_000, 100, 900_000, 100):
            recorder.submit(b"x" * size)
        counts = recorder.counts()
        assert (counts.waiting, counts.dropped["too_large"], counts.unspooled) == (3, 2, 0)


def totals(store: Store, recorder: Recorder) -> RecorderCounts:
    """Return what all processes have counted, dead ones included."""
    store.tidy()
    counts = RecorderCounts.of(store.totals(recorder.section).cells.tolist())
    check(counts)
    return counts


def shipped(recorder: Recorder) -> list[bytes]:
    """Return what the sink has taken."""
    sink = recorder.sink
    assert isinstance(sink, MemorySink)
    return sink.shipped


def directories(root: Path) -> list[Path]:
    """Return the directories of the spool."""
    return sorted((root / "spool").iterdir()) if (root / "spool").exists() else []


# --- one process -----------------------------------------------------------------------------------------------------


def test_records_pass_through_the_disk_and_leave_nothing_there(tmp_path: Path) -> None:
    records = [b"%04d" % number + b"." * 500 for number in range(1000)]
    with recording(tmp_path) as recorder:
        for record in records:
            recorder.submit(record)
        assert recorder.spool_bytes() > 0
        settle(recorder)
        assert shipped(recorder) == records
        counts = recorder.counts()
        assert (counts.delivered, counts.waiting_bytes, counts.unspooled) == (1000, 0, 0)
        assert recorder.close() == 0
        assert directories(tmp_path) == []


def test_nothing_is_on_disk_and_no_thread_runs_before_the_first_record(tmp_path: Path) -> None:
    with recording(tmp_path):
        assert directories(tmp_path) == []
        assert recorder_threads() == []


def test_what_waits_on_disk_stays_there_at_the_end_and_is_not_dropped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sink = MemorySink()
    sink.problem = refuse
    with recording(tmp_path, sink=sink) as recorder:
        for _ in range(3):
            recorder.submit(b"x")
        wait_for(lambda: sink.attempts, what="an attempt")
        assert recorder.close(0.05) == 0
        counts = recorder.counts()
        assert (counts.waiting, sum(counts.dropped.values()), counts.backoff) == (3, 0, 0)
        assert not [text for text in caplog.messages if "Dropped" in text]

        (directory,) = directories(tmp_path)
        assert waiting_records(directory) == 3


@pytest.mark.parametrize("before", [0, 3], ids=["nothing waits", "something waits"])
def test_what_comes_after_the_end_waits_on_disk_for_another_process(tmp_path: Path, before: int) -> None:
    """Threads may still answer while exit hooks run."""
    sink = MemorySink()
    sink.problem = refuse
    with recording(tmp_path, sink=sink) as recorder:
        for _ in range(before):
            recorder.submit(b"x")
        assert recorder.close(0.05) == 0
        recorder.submit(b"late")
        counts = recorder.counts()
        assert (counts.waiting, sum(counts.dropped.values())) == (before + 1, 0)
        (directory,) = directories(tmp_path)
        assert waiting_records(directory) == before + 1


def test_what_was_in_hand_at_the_end_and_is_taken_after_all_is_counted(tmp_path: Path) -> None:
    """Unlike in memory: there it was counted as dropped."""
    sink = MemorySink()
    gate = sink.problem = Gate()
    with recording(tmp_path, sink=sink) as recorder:
        recorder.submit(b"x")
        recorder.flush(0)
        gate.entered.wait(30)
        assert recorder.close(0) == 0
        assert recorder.counts().waiting == 1
        gate.opened.set()
        settle(recorder)

        assert recorder.counts().delivered == 1
        assert waiting_records(directories(tmp_path)[0]) == 0
    wait_for(lambda: sink.close_calls == 1, what="the thread to end")


def test_at_exit_a_stalled_sink_is_not_waited_for_and_others_not_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they do not deliver stays on disk."""
    waits: list[float] = []

    def close(timeout: float) -> int:
        waits.append(timeout)
        return 0

    def exit_with(recorder: Recorder) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(recorder._shipper, "close", close)
            shutdown.close_all({recorder._shipper: (10.0, True)}, clock=lambda: 0.0)

    sink = MemorySink()
    sink.problem = refuse
    with recording(tmp_path, sink=sink) as recorder:
        recorder.submit(b"x")
        wait_for(lambda: recorder._shipper.is_stalled, what="a failure")
        exit_with(recorder)
        sink.problem = lambda batch: None
        assert recorder.flush(30) == 0
        exit_with(recorder)
    assert waits == [0.0, 0.5]


def test_while_the_disk_is_full_records_wait_in_memory_and_are_counted(tmp_path: Path) -> None:
    sink = MemorySink()
    sink.problem = refuse
    with recording(tmp_path, sink=sink) as recorder:
        with file_size_limit(1):
            for number in range(3):
                recorder.submit(b"%d" % number)
            counts = recorder.counts()
            assert (counts.unspooled, counts.waiting, counts.waiting_bytes) == (3, 3, 3)
        wait_for(lambda: recorder.counts().waiting_bytes == 0, what="the records to move to the disk")
        assert recorder.spool_bytes() > 0
        sink.problem = lambda batch: None
        recorder.submit(b"3")
        settle(recorder)
        assert shipped(recorder) == [b"0", b"1", b"2", b"3"]
        wait_for(lambda: recorder.counts().waiting_bytes == 0, what="the memory to be empty")

        assert recorder.counts().unspooled <= 4


def test_retries_pauses_and_deliveries_are_counted(tmp_path: Path) -> None:
    sink = MemorySink()
    sink.problem = lambda batch: refuse(batch) if len(sink.attempts) <= 3 else None
    with recording(tmp_path, sink=sink, timings=replace(OFTEN, wall_clock=lambda: 1.7e9)) as recorder:
        assert recorder.counts().last_delivery == 0
        recorder.submit(b"x")
        backoffs = set()

        def is_settled() -> bool:
            backoffs.add(recorder.counts().backoff)
            return recorder.counts().waiting == 0

        wait_for(is_settled, what="an empty queue")
        wait_for(lambda: recorder.counts().backoff == 0, what="the end of the pause")
        counts = recorder.counts()
        assert (counts.retries, len(sink.attempts)) == (3, 4)
        assert counts.last_delivery == 1.7e9
        assert max(backoffs) > 0


def test_a_record_that_is_refused_is_dropped_at_last_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    timings = replace(
        OFTEN,
        first_suspect_pause_seconds=0.001,
        first_backoff_seconds=0.001,
        last_backoff_seconds=0.001,
        linger_seconds=0.001,
    )

    def refuse_one(batch: Batch) -> None:
        if b"bad" in batch.records:
            msg = "too large"
            raise RefusedError(msg)

    sink = MemorySink()
    sink.problem = refuse_one
    with recording(tmp_path, sink=sink, timings=timings) as recorder:
        for record in (b"a", b"bad", b"b"):
            recorder.submit(record)

        def is_given_up() -> bool:
            recorder.submit(b"more")
            return recorder.counts().dropped["refused"] == 1

        wait_for(is_given_up, what="the record to be given up")
        settle(recorder)
        assert set(shipped(recorder)) == {b"a", b"b", b"more"}
        assert shipped(recorder).count(b"a") == 1
        assert "Sink 'memory' takes others but not one record; it is dropped." in caplog.messages
        assert recorder.close() == 0
        assert directories(tmp_path) == []


@pytest.mark.parametrize("name", ["maintain", "take"])
def test_whatever_a_queue_raises_the_thread_goes_on(tmp_path: Path, name: str) -> None:
    with recording(tmp_path) as recorder:
        recorder.submit(b"first")
        settle(recorder)
        (thread,) = recorder_threads()
        queue = recorder._shipper._queue
        failures = []

        def fail(*args: object) -> None:
            failures.append(args)
            msg = "a bug"
            raise RuntimeError(msg)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(queue, name, fail)
            recorder.submit(b"second")
            wait_for(lambda: len(failures) > 1, what="two failures")
        settle(recorder)
        assert shipped(recorder) == [b"first", b"second"]
        assert recorder_threads() == [thread]


def test_a_directory_that_is_deleted_costs_no_more_than_was_in_it(tmp_path: Path) -> None:
    sink = MemorySink()
    sink.problem = refuse
    with recording(tmp_path, sink=sink) as recorder:
        for _ in range(100):
            recorder.submit(b"x" * 1000)
        wait_for(lambda: sink.attempts, what="an attempt")
        shutil.rmtree(tmp_path / "spool")
        recorder.submit(b"y")
        wait_for(lambda: directories(tmp_path), what="another directory")
        sink.problem = lambda batch: None
        settle(recorder)

        counts = recorder.counts()
        assert counts.delivered + counts.dropped["damaged"] == counts.accepted
        assert counts.delivered == len(shipped(recorder))


def test_every_record_is_accounted_for_at_every_moment(tmp_path: Path) -> None:
    threads, each = 4, 2000
    sink = MemorySink()
    sink.problem = lambda batch: refuse(batch) if len(sink.attempts) % 3 == 0 else None

    def submit(recorder: Recorder, thread: int) -> None:
        for number in range(each):
            recorder.submit(b"%d-%06d" % (thread, number) + b"." * 300)

    with recording(tmp_path, sink=sink) as recorder:
        workers = [threading.Thread(target=submit, args=(recorder, thread)) for thread in range(threads)]
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            check(recorder.counts())
            assert recorder.spool_bytes() <= 2**20 + 2 * 16384
        for worker in workers:
            worker.join()
        assert recorder.flush(60) == 0
        counts = recorder.counts()
        assert counts.accepted == threads * each == counts.delivered + sum(counts.dropped.values())
        assert {reason for reason, number in counts.dropped.items() if number} <= {"spool_full", "queue_full"}
        assert counts.delivered == len(sink.shipped) == len(set(sink.shipped))
        for thread in range(threads):
            mine = [record for record in sink.shipped if record.startswith(b"%d-" % thread)]
            assert mine == sorted(mine)


# --- many processes --------------------------------------------------------------------------------------------------


def test_a_forked_child_has_a_directory_of_its_own(tmp_path: Path) -> None:
    sink = MemorySink()
    sink.problem = refuse
    with recording(tmp_path, sink=sink) as recorder:
        recorder.submit(b"parent")
        parents = directories(tmp_path)

        def work() -> None:
            logging.disable()
            recorder.submit(b"child")
            (own,) = set(directories(tmp_path)) - set(parents)
            assert recorder.flush(20) == 0
            assert shipped(recorder) == [b"child"]
            assert recorder.close() == 0
            assert not own.exists()

        run_in_child(work)
        assert directories(tmp_path) == parents
        sink.problem = lambda batch: None
        settle(recorder)
        assert shipped(recorder) == [b"parent"]


@pytest.fixture
def place(tmp_path: Path) -> StateDirectory:
    """Return where the processes of a server count."""
    return same_directory(tmp_path / "state")


def leaves(root: Path, place: StateDirectory | None, count: int, start: int = 0, *, spools: bool = True) -> None:
    """Have a process take records that it cannot deliver, and be killed."""

    def work() -> None:
        logging.disable()
        store = Store(place)
        sink = MemorySink()
        sink.problem = refuse
        recorder = recorder_of(root, store, sink)
        if not spools:
            recorder = Recorder(sink, store, max_bytes=2**20, shutdown_timeout=1.0)
        store.share()
        for number in range(start, start + count):
            recorder.submit(b"%04d" % number)

    killed(work)


def test_what_a_killed_process_left_is_accepted_once_and_delivered_by_another(
    tmp_path: Path, place: StateDirectory
) -> None:
    leaves(tmp_path, place, 5)
    store = Store(place)
    with recording(tmp_path, store) as recorder:
        assert totals(store, recorder)[:2] == (5, 0)
        assert totals(store, recorder).waiting == 5
        assert recorder.flush(30) == 0
        assert shipped(recorder) == [b"%04d" % number for number in range(5)]
        assert recorder.counts()[:2] == (5, 5)
        counts = totals(store, recorder)
        assert (counts.accepted, counts.delivered, counts.waiting, sum(counts.dropped.values())) == (5, 5, 0, 0)
        assert directories(tmp_path) == []


def test_it_is_found_without_a_record(tmp_path: Path, place: StateDirectory) -> None:
    leaves(tmp_path, place, 5)
    with recording(tmp_path, Store(place)) as recorder:
        recorder.adopt_orphans()
        wait_for(lambda: len(shipped(recorder)) == 5, what="the records")


def test_what_waited_in_memory_of_a_killed_process_is_lost_and_counted(tmp_path: Path, place: StateDirectory) -> None:
    leaves(tmp_path, place, 5, spools=False)
    store = Store(place)
    with recording(tmp_path, store) as recorder:
        counts = totals(store, recorder)
        assert (counts.accepted, counts.dropped["process_died"], counts.waiting) == (5, 5, 0)


def test_what_is_deleted_of_a_killed_process_is_counted_by_the_one_that_took_it_over(
    tmp_path: Path, place: StateDirectory
) -> None:
    """A fold in between no longer finds the directory among those that it knows."""
    leaves(tmp_path, place, 3000)  # several segments
    store = Store(place)
    sink = MemorySink()
    sink.problem = refuse
    with recording(tmp_path, store, sink) as recorder:
        recorder.adopt_orphans()
        wait_for(lambda: sink.attempts, what="an attempt")
        shutil.rmtree(tmp_path / "spool")
        leaves(tmp_path, place, 0)
        store.tidy()
        sink.problem = lambda batch: None
        assert recorder.flush(30) == 0

        counts = totals(store, recorder)
        lost = counts.dropped["damaged"]
        assert (counts.accepted, counts.waiting, counts.delivered) == (3000, 0, len(shipped(recorder)))
        assert 0 < lost == 3000 - counts.delivered


def test_those_of_another_server_count_as_accepted_when_they_are_delivered(
    tmp_path: Path, place: StateDirectory
) -> None:
    other = same_directory(tmp_path / "other")
    other.server = ServerName.of(ProcessName(os.getpid(), "1"))  # it has ended: this id came again
    leaves(tmp_path, other, 5)
    store = Store(place)
    with recording(tmp_path, store) as recorder:
        recorder.submit(b"own")
        assert recorder.flush(30) == 0
        assert sorted(shipped(recorder)) == sorted([b"own", *(b"%04d" % number for number in range(5))])
        counts = totals(store, recorder)
        assert (counts.accepted, counts.delivered, counts.waiting) == (6, 6, 0)


def test_where_each_counts_by_itself_they_do_too(tmp_path: Path) -> None:
    leaves(tmp_path, None, 5)
    with recording(tmp_path) as recorder:
        wait_for(lambda: recorder.flush(1) == 0 and len(shipped(recorder)) == 5, what="the records")
        assert recorder.counts()[:2] == (5, 5)


class MortalSink(MemorySink):
    """Writes what it takes to a file, once it is told to, and kills its process at the second batch."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.problem = lambda batch: os.kill(os.getpid(), signal.SIGKILL) if len(self.attempts) > 1 else None
        self.is_all = threading.Event()

    def ship(self, batch: Batch, timeout: float) -> None:
        self.is_all.wait(60)
        super().ship(batch, timeout)
        with self.path.open("ab") as file:
            file.write(b"".join(batch.records))


def test_over_many_kills_every_record_is_delivered_and_counted_once(tmp_path: Path, place: StateDirectory) -> None:
    """Each takes records of its own, and is killed when it has delivered one batch, its own or of one before it."""
    timings = replace(OFTEN, batch_bytes=60, linger_seconds=0.0)
    delivered = tmp_path / "delivered"
    store = Store(place)

    def work(start: int) -> None:
        logging.disable()
        own_store = Store(place)
        own_store.share()
        sink = MortalSink(delivered)
        recorder = recorder_of(tmp_path, own_store, sink, timings)
        own_store.share()
        for number in range(start, start + 20):
            recorder.submit(b"%04d" % number)
        sink.is_all.set()
        recorder.flush(30)

    with recording(tmp_path, store, timings=timings) as recorder:
        for number in range(8):
            assert ended(fork(lambda start=20 * number: work(start))) == -signal.SIGKILL  # type: ignore[misc]
            counts = totals(store, recorder)
            sent = len(delivered.read_bytes()) // 4
            assert (counts.accepted, counts.delivered) == (20 * (number + 1), sent)
            assert counts.waiting == 20 * (number + 1) - sent

        assert recorder.flush(30) == 0
        everything = delivered.read_bytes() + b"".join(shipped(recorder))
        assert sorted(everything[i : i + 4] for i in range(0, len(everything), 4)) == [b"%04d" % n for n in range(160)]
        counts = totals(store, recorder)
        assert (counts.accepted, counts.delivered, counts.waiting, sum(counts.dropped.values())) == (160, 160, 0, 0)
        assert directories(tmp_path) == []


def test_two_recorders_that_compete_deliver_everything_once(tmp_path: Path, place: StateDirectory) -> None:
    for number in range(6):
        leaves(tmp_path, place, 10, 10 * number)
    stores = [Store(place), Store(place)]
    with recording(tmp_path, stores[0]) as one, recording(tmp_path, stores[1]) as other:
        flushes: list[Callable[[float], int]] = [one.flush, other.flush]
        threads = [threading.Thread(target=flush, args=(30,)) for flush in flushes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_for(lambda: len(shipped(one) + shipped(other)) >= 60, what="all records")
        assert sorted(shipped(one) + shipped(other)) == [b"%04d" % number for number in range(60)]
        wait_for(lambda: not directories(tmp_path), what="an empty spool")
        for store in stores:
            store.share()

        counts = totals(stores[0], one)
        assert (counts.accepted, counts.delivered, counts.waiting) == (60, 60, 0)


# --- at every step of an adoption ------------------------------------------------------------------------------------


class NotingSink(MemorySink):
    """Writes what it takes to a file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def ship(self, batch: Batch, timeout: float) -> None:
        with self.path.open("ab") as file:
            file.write(b"".join(batch.records))


def adopts(root: Path, place: StateDirectory, fault: Callable[[], None], timings: Timings = OFTEN) -> int:
    """Have a process deliver what a dead one left, to a file, with a fault in the midst of it; return its id."""

    def work() -> None:
        recorder = recorder_of(root, Store(place), NotingSink(root / "delivered"), timings)
        fault()
        assert recorder.flush(30) == 0

    return fork(work)


def delivered_by(root: Path, recorder: Recorder) -> list[bytes]:
    """Return what both have delivered."""
    path = root / "delivered"
    found = b"".join(shipped(recorder)) + (path.read_bytes() if path.exists() else b"")
    return sorted(found[at : at + 4] for at in range(0, len(found), 4))


LEFT = [b"%04d" % number for number in range(3)]


def test_an_adoption_that_is_killed_at_any_step_is_done_by_another(tmp_path: Path) -> None:
    """A batch that was delivered and not yet struck off comes again, and is counted again: accounts always balance."""
    duplicates = 0
    for step in itertools.count(1):
        root = tmp_path / str(step)
        place = same_directory(root / "state")
        leaves(root, place, len(LEFT))
        code = ended(adopts(root, place, partial(die_at, step)))
        assert code in (0, -signal.SIGKILL)
        store = Store(place)

        with recording(root, store) as recorder:
            totals(store, recorder)
            assert recorder.flush(30) == 0
            delivered = delivered_by(root, recorder)
            counts = totals(store, recorder)

        assert delivered in (LEFT, sorted(2 * LEFT)), step
        assert (counts.accepted, counts.waiting, sum(counts.dropped.values())) == (counts.delivered, 0, 0)
        assert len(LEFT) <= counts.delivered <= len(delivered)
        assert directories(root) == []
        duplicates += len(delivered) > len(LEFT)
        if code == 0:
            break
    assert step > 10
    assert 0 < duplicates < step / 2


def test_an_adoption_that_is_stopped_at_any_step_delays_no_other_and_goes_on(tmp_path: Path) -> None:
    """During the stop, another process may do anything: one of them delivers, and the records are counted once."""
    timings = replace(OFTEN, fold_patience_seconds=0.01)
    for step in itertools.count(1):
        root = tmp_path / str(step)
        place = same_directory(root / "state")
        leaves(root, place, len(LEFT))
        child = adopts(root, place, partial(stop_at, step), timings)
        is_unfinished = has_stopped(child)

        for path in (root / "spool").rglob("*"):
            os.utime(path, (0, 0))
        store = Store(place)
        with recording(root, store, timings=timings) as recorder:
            recorder.submit(b"own.")
            assert recorder.flush(30) == 0
            totals(store, recorder)
            assert go_on(child) == 0
            counts = totals(store, recorder)
            assert delivered_by(root, recorder) == [*LEFT, b"own."], step
            assert counts.accepted == counts.delivered == len(LEFT) + 1

        assert directories(root) == []
        if not is_unfinished:
            break
    assert step > 10
