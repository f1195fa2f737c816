"""The books of one process: whatever happens to a record, it is accepted once, and delivered, waiting or dropped."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite.delivery import records_section
from flask_boxkite.delivery.ledger import Ledger
from flask_boxkite.delivery.memory_queue import MemoryQueue
from flask_boxkite.delivery.queue import Chunk
from flask_boxkite.live.process_counts import ProcessCounts
from flask_boxkite.sinks.base import Batch
from flask_boxkite.spool import OrphanLog
from flask_boxkite.spool.segment import Segment, Taken
from flask_boxkite.system.fork_mark import fork_mark
from tests.spool.logs import adopted, dies, fill_up, made


def books(queue: MemoryQueue) -> Ledger:
    """Return empty books of a queue."""
    return Ledger(queue, ProcessCounts(records_section("memory"), fork_mark()), lambda: 1.7e9)


@given(st.lists(st.sampled_from(["put", "put", "refuse", "take", "deliver", "give up", "close"])))
def test_records_in_memory_are_accounted_for_at_every_step(steps: list[str]) -> None:
    queue = MemoryQueue(100)
    ledger = books(queue)
    in_hand: deque[Chunk] = deque()
    accepted = 0
    for step in steps:
        if step == "put" and not ledger.is_closed:
            ledger.put(b"." * 30)
            accepted += 1
        elif step == "refuse":
            ledger.drop("too_large")
            accepted += 1
        elif step == "take" and (chunk := queue.take(40)) is not None:
            in_hand.append(chunk)
        elif step in ("deliver", "give up") and in_hand:
            chunk = in_hand.popleft()
            note = ledger.deliver if step == "deliver" else ledger.give_up
            note(Batch(chunk.records, ""), chunk)
        elif step == "close":
            left = queue.left
            assert ledger.close() == left

        counts = ledger.counts()
        assert counts.accepted == accepted
        assert counts.waiting == queue.left
        assert counts.waiting_bytes == queue.memory_bytes
        assert accepted == counts.delivered + counts.waiting + sum(counts.dropped.values())


@pytest.mark.parametrize("is_counted", [True, False], ids=["of this server", "of another server"])
def test_records_of_a_dead_process_are_accepted_with_their_delivery(tmp_path: Path, is_counted: bool) -> None:
    log = made(tmp_path)
    fill_up(log, 10, 4)
    dies(log)
    orphan = adopted(tmp_path)
    assert orphan is not None
    orphan = OrphanLog(orphan.directory, orphan.owner, orphan._lock, is_counted=lambda: is_counted)
    ledger = books(MemoryQueue(100))
    chunk = Chunk([], "tag", (orphan, Taken(Segment(tmp_path, 0), [], 4, 0)))
    ledger.settle(chunk, delivered=2, given_up=1)

    counts = ledger.counts()
    assert counts[:2] == (4, 2)
    assert (counts.dropped["refused"], counts.dropped["damaged"], counts.waiting) == (1, 1, 0)
    orphan.close()
