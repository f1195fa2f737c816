"""What waits, in memory and on disk: bounded, in order, and nothing is lost without being counted."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite.delivery import Timings
from flask_boxkite.delivery.memory_queue import MemoryQueue
from flask_boxkite.delivery.queue import Chunk, Loss, Origin
from flask_boxkite.delivery.spool_queue import SpoolQueue
from flask_boxkite.spool import OrphanLog
from tests.faults import file_size_limit
from tests.spool.logs import adopted, dies, fill_up, made


def deliver_all(queue: MemoryQueue | SpoolQueue, most_bytes: int = 2**30) -> list[bytes]:
    """Take and settle everything; return the records."""
    return [record for chunk in chunks(queue, most_bytes) for record in chunk.records]


def chunks(queue: MemoryQueue | SpoolQueue, most_bytes: int = 2**30) -> Iterator[Chunk]:
    """Take everything, and settle each chunk before the next is taken."""
    while (chunk := queue.take(most_bytes)) is not None:
        queue.settle(chunk)
        yield chunk


# --- in memory -------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from(["put", "put", "put", "take", "settle"]), st.integers(1, 60))))
def test_memory_is_bounded_and_gives_up_the_oldest(steps: list[tuple[str, int]]) -> None:
    queue = MemoryQueue(100)
    waiting: deque[bytes] = deque()
    in_hand: deque[Chunk] = deque()
    given_up = 0
    for number, (step, size) in enumerate(steps):
        if step == "put":
            record = b"%03d" % number + b"." * (size - 3)
            assert queue.put(record)
            waiting.append(record)
            taken_bytes = sum(len(record) for chunk in in_hand for record in chunk.records)
            while waiting and sum(map(len, waiting)) + taken_bytes > 100:
                waiting.popleft()
                given_up += 1
        elif step == "take":
            chunk = queue.take(size)
            assert (chunk is None) == (not waiting)
            if chunk is not None:
                assert list(chunk.records) == [waiting.popleft() for _ in chunk.records]
                assert len(chunk.records) == 1 or sum(map(len, chunk.records)) <= size
                assert not waiting or sum(map(len, [*chunk.records, waiting[0]])) > size
                in_hand.append(chunk)
        elif in_hand:
            queue.settle(in_hand.popleft())

        held = [record for chunk in in_hand for record in chunk.records]
        assert queue.left == len(waiting) + len(held)
        assert queue.is_settled == (queue.left == 0)
        assert queue.unread_bytes == sum(map(len, waiting))
        assert queue.memory_bytes == sum(map(len, [*waiting, *held])) <= 100
    assert queue.has_losses == (given_up > 0)
    assert queue.collect_losses() == ([Loss("queue_full", given_up)] if given_up else [])
    assert queue.collect_losses() == []


def test_a_part_of_what_was_taken_can_be_settled_by_itself() -> None:
    queue = MemoryQueue(100)
    for record in (b"a", b"bb", b"ccc"):
        queue.put(record)
    queue.take(100)
    queue.settle(Chunk([b"bb"]))
    assert (queue.left, queue.memory_bytes) == (2, 4)


def test_what_is_settled_after_the_end_is_not_counted_again() -> None:
    queue = MemoryQueue(100)
    queue.put(b"x")
    chunk = queue.take(100)
    assert chunk is not None
    assert queue.close() == 0
    queue.settle(chunk)
    assert (queue.left, queue.memory_bytes) == (0, 0)


# --- on disk ---------------------------------------------------------------------------------------------------------


OFTEN = Timings(scan_seconds=0.0, recovery_seconds=0.0)
"""Let a queue look after everything whenever it is asked to."""


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[SpoolQueue]:
    """Return a queue on disk; at the end, nothing may be left there."""
    queue = spooled(tmp_path)
    yield queue
    queue.maintain()
    deliver_all(queue)
    assert queue.close() == 0


def spooled(root: Path, memory_bytes: int = 2**20, timings: Timings = OFTEN) -> SpoolQueue:
    """Return the queue of another process."""
    return SpoolQueue(made(root), MemoryQueue(memory_bytes), lambda: adopted(root), timings)


def numbered(count: int, start: int = 0) -> list[bytes]:
    """Return records that are all different, of 1000 bytes."""
    return [b"%06d" % number + b"." * 994 for number in range(start, start + count)]


def test_records_wait_on_disk(tmp_path: Path, queue: SpoolQueue) -> None:
    records = numbered(40)
    assert all([queue.put(record) for record in records])
    assert (queue.left, queue.unread_bytes, queue.memory_bytes, queue.is_settled) == (40, 40_000, 0, False)
    chunk = queue.take(5000)
    assert chunk is not None
    assert (chunk.records, chunk.tag, chunk.origin) == (records[:4], "tag", Origin.OWN)
    assert (queue.left, queue.unread_bytes) == (40, 36_000)
    queue.settle(chunk)
    assert deliver_all(queue) == records[4:]
    assert (queue.left, queue.is_settled, queue.collect_losses()) == (0, True, [])


def test_while_the_disk_takes_nothing_records_wait_in_memory_in_order(
    queue: SpoolQueue, caplog: pytest.LogCaptureFixture
) -> None:
    records = numbered(60)

    for record in records[:20]:
        queue.put(record)
    with file_size_limit(1):
        taken = [queue.put(record) for record in records[20:50]]
        assert not all(taken)
        assert taken == sorted(taken, reverse=True)
        queue.maintain()
        assert queue.pause == OFTEN.recovery_seconds
        assert queue.memory_bytes == 1000 * taken.count(False)
        assert caplog.messages == ["Records cannot be written to the spool; they wait in memory until they can."]
        first = queue.take(3500)
        assert first is not None
        queue.settle(first)
    assert not queue.put(records[50]), "It must not overtake those in memory."
    queue.maintain()
    assert queue.memory_bytes == 0
    for record in records[51:]:
        assert queue.put(record)

    assert [*first.records, *deliver_all(queue)] == records
    assert queue.collect_losses() == []


def test_what_was_taken_from_memory_meanwhile_is_settled_there(queue: SpoolQueue) -> None:
    with file_size_limit(1):
        for record in numbered(10):
            queue.put(record)
        chunk = queue.take(3500)
        assert chunk is not None
        assert (chunk.taken, chunk.tag) == (None, None)
    queue.maintain()
    queue.put(b"new")
    assert queue.memory_bytes == 3000
    queue.settle(chunk)

    assert (queue.memory_bytes, queue.left) == (0, 8)
    assert deliver_all(queue) == [*numbered(10)[3:], b"new"]


def test_a_memory_that_is_full_too_gives_up_the_oldest_and_counts_them(tmp_path: Path) -> None:
    queue = spooled(tmp_path, memory_bytes=5000)
    with file_size_limit(1):
        for record in numbered(20):
            assert not queue.put(record)
        assert queue.has_losses
        assert queue.collect_losses() == [Loss("queue_full", 15)]
        assert deliver_all(queue) == numbered(5, 15)
    assert queue.close() == 0


def test_beyond_its_bound_the_spool_gives_up_the_oldest_and_counts_them(queue: SpoolQueue) -> None:
    for record in numbered(1500):
        assert queue.put(record)
    assert queue.has_losses
    (loss,) = queue.collect_losses()
    assert (loss.reason, loss.origin) == ("spool_full", Origin.OWN)
    assert deliver_all(queue) == numbered(1500 - loss.records, loss.records)
    assert not queue.has_losses


@pytest.mark.parametrize("part", ["directory", "root"])
def test_a_directory_that_is_deleted_costs_what_was_in_it_alone(tmp_path: Path, part: str) -> None:
    queue = spooled(tmp_path / "spool")
    for record in numbered(40):
        queue.put(record)
    in_hand = queue.take(3500)
    assert in_hand is not None
    shutil.rmtree(tmp_path / "spool" if part == "root" else queue._log.directory)
    queue.maintain()
    (loss,) = queue.collect_losses()
    assert (loss.reason, loss.origin) == ("damaged", Origin.OWN)
    assert queue.put(b"new")
    assert queue.left == 41 - loss.records
    queue.settle(in_hand)

    assert deliver_all(queue) == [*numbered(40)[-(40 - 3 - loss.records) :], b"new"]
    assert queue.close() == 0


def test_damaged_records_are_handed_out_as_entries_without_a_record(tmp_path: Path, queue: SpoolQueue) -> None:
    for record in numbered(40):
        queue.put(record)
    next(queue._log.directory.glob("*1.seg")).unlink()
    chunk = queue.take(2**30)
    assert chunk is not None
    assert chunk.taken is not None
    assert (chunk.records, chunk.taken[1].entries, chunk.origin) == ([], 16, Origin.OWN)
    queue.settle(chunk)
    assert deliver_all(queue) == numbered(24, 16)


# --- dead processes --------------------------------------------------------------------------------------------------


def left_behind(root: Path, count: int, start: int = 0) -> Path:
    """Leave records as a process does that is killed."""
    log = made(root)
    fill_up(log, 1000, count, start)
    dies(log)
    return log.directory


def test_own_records_and_those_of_a_dead_process_go_by_turns(tmp_path: Path, queue: SpoolQueue) -> None:
    directory = left_behind(tmp_path, 6)
    for record in numbered(6, 100):
        queue.put(record)
    queue.maintain()
    assert queue.left == 12
    origins: list[Origin] = []
    records: list[bytes] = []
    while (chunk := queue.take(2500)) is not None:
        origins.append(chunk.origin)
        records += chunk.records
        queue.settle(chunk)

    assert origins == [Origin.OWN, Origin.ELSEWHERE] * 3
    assert [record for record in records if record < b"0001"] == numbered(6)
    assert [record for record in records if record >= b"0001"] == numbered(6, 100)
    assert not directory.exists()


def test_all_that_died_are_found_before_all_is_settled(tmp_path: Path, queue: SpoolQueue) -> None:
    for number in range(3):
        left_behind(tmp_path, 2, 10 * number)
    queue.wake()
    assert not queue.is_settled
    found = []
    while not queue.is_settled:
        queue.maintain()
        found += deliver_all(queue)
    assert sorted(found) == sorted([*numbered(2), *numbered(2, 10), *numbered(2, 20)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("reason", ["time has passed", "a caller waits"])
def test_dead_processes_are_looked_for_when(tmp_path: Path, reason: str) -> None:
    now = 0.0
    queue = spooled(tmp_path, timings=Timings(scan_seconds=3600.0, clock=lambda: now))
    queue.maintain()
    assert queue.pause == 3600.0
    left_behind(tmp_path, 2)
    now = 3599.0
    queue.maintain()
    assert queue.left == 0

    if reason == "time has passed":
        now = 3600.0
    else:
        queue.wake()
    queue.maintain()
    assert queue.left == 2
    assert len(deliver_all(queue)) == 2
    assert queue.close() == 0


def test_a_dead_process_gives_way_to_records_that_come(tmp_path: Path, queue: SpoolQueue) -> None:
    left_behind(tmp_path, 500)
    queue.maintain()
    for record in numbered(900, 1000):
        assert queue.put(record)
        queue.maintain()
    losses = queue.collect_losses()
    assert {(loss.reason, loss.origin) for loss in losses} == {("spool_full", Origin.ELSEWHERE)}
    given_up = sum(loss.records for loss in losses)
    left = deliver_all(queue)
    assert [record for record in left if record < b"001"] == numbered(500 - given_up, given_up)
    assert [record for record in left if record >= b"001"] == numbered(900, 1000)


def test_the_damaged_records_of_a_dead_process_are_counted_as_its(tmp_path: Path, queue: SpoolQueue) -> None:
    directory = left_behind(tmp_path, 40)
    path = sorted(directory.glob("*.seg"))[0]
    path.write_bytes(path.read_bytes()[:5000])
    queue.maintain()
    found = [(len(chunk.records), chunk.taken[1].entries, chunk.origin) for chunk in chunks(queue) if chunk.taken]
    assert found == [(held, entries, Origin.ELSEWHERE) for held, entries in ((4, 4), (0, 12), (16, 16), (8, 8))]


def test_a_dead_process_that_cannot_be_read_now_is_left_to_another(
    tmp_path: Path, queue: SpoolQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_behind(tmp_path, 2)

    def fail(log: OrphanLog, most_bytes: int) -> None:
        raise OSError

    queue.maintain()
    with monkeypatch.context() as patch:
        patch.setattr(OrphanLog, "take", fail)
        assert queue.take(1000) is None
    dead = adopted(tmp_path)
    assert dead is not None
    dead.close()


# --- the end ---------------------------------------------------------------------------------------------------------


def test_at_the_end_what_is_on_disk_stays(tmp_path: Path) -> None:
    queue = spooled(tmp_path)
    for record in numbered(3):
        queue.put(record)
    directory = left_behind(tmp_path, 2, 10)
    queue.maintain()
    assert queue.left == 5
    assert queue.close() == 3
    assert queue.left == 3

    dead = adopted(tmp_path)
    assert dead is not None
    assert dead.directory == directory, "The queue's own are its as long as the process lives."
    dead.close()
    dies(queue._log)


def test_what_is_in_hand_at_the_end_is_not_delivered_by_another_too(tmp_path: Path) -> None:
    queue = spooled(tmp_path)
    left_behind(tmp_path, 2)
    queue.maintain()
    chunk = queue.take(1000)
    assert chunk is not None
    queue.close()
    assert adopted(tmp_path) is None
    queue.settle(chunk)
    dead = queue._orphan
    assert dead is not None
    dies(dead)

    other = adopted(tmp_path)
    assert other is not None
    assert other.waiting == 1
    other.close()
