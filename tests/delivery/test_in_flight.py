"""What is tried next when a sink does not take a batch: none waits for one that is refused, and no other is lost."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_boxkite.delivery import TIMINGS, Timings
from flask_boxkite.delivery.in_flight import InFlight
from flask_boxkite.delivery.queue import Chunk
from flask_boxkite.sinks.base import Batch
from flask_boxkite.spool.segment import Segment, Taken
from tests.spool.logs import made

TAKEN, REFUSED, DOWN = "taken", "refused", "down"


class Delivery:
    """A hand, a queue of chunks, and a server, with a clock of their own.

    Attributes:
        delivered: Records, in this order.
        given_up: Records, in this order.
        settled: Chunks, in this order.
        attempts: How often something was tried.
    """

    def __init__(self, chunks: Sequence[Sequence[bytes]], server: Callable[[Batch], str], *, on_disk: bool = True):
        log = made(Path("/nowhere"))
        self.chunks = [
            Chunk(records, "t", (log, Taken(Segment(Path("s"), 0), [], len(records), number)) if on_disk else None)
            for number, records in enumerate(chunks)
        ]
        self.waiting = list(self.chunks)
        self.server = server

        self.delivered: list[bytes] = []
        self.given_up: list[bytes] = []
        self.settled: list[int] = []
        self.attempts = 0
        self.now = 0.0
        self.hand = InFlight(self._settle, Timings(clock=lambda: self.now))

    def _settle(self, chunk: Chunk, delivered: int, given_up: int) -> None:
        assert chunk.taken is not None
        number = chunk.taken[1].end
        records = self.chunks[number].records
        assert delivered == len(set(records) & set(self.delivered))
        assert given_up == len(records) - delivered
        self.settled.append(number)

    def step(self) -> bool:
        """Try what is next, as the shipper does; return whether there was anything. Time passes in any case."""
        self.now += self.step_seconds
        hand = self.hand
        while (batch := hand.next(is_all=False)) is None:
            if not self.waiting:
                batch = hand.next(is_all=True)
                break
            hand.add(self.waiting.pop(0), "tag")
        if batch is None:
            return False
        self.attempts += 1
        answer = self.server(batch)
        if answer == TAKEN:
            self.delivered += batch.records
            hand.delivered()
        elif (lost := hand.failed(is_refusal=answer == REFUSED)) is not None:
            self.given_up += lost.records

        done = set(self.delivered) | set(self.given_up)
        assert all(done >= set(self.chunks[number].records) for number in self.settled)
        return True

    def run(self, steps: int = 20_000) -> None:
        """Go on until nothing is in hand, or for so many steps."""
        for _ in range(steps):
            self.step()
            if self.hand.is_empty and not self.waiting:
                break
            if self.now > 0 and self.waiting == [] and self.endless is not None:
                self.waiting.append(Chunk([next(self.endless)]))

    step_seconds = 1.0
    endless: Iterator[bytes] | None = None
    """Records that keep coming, one for every step."""

    def check(self, refused: set[bytes]) -> None:
        """Check that just these were given up, and all others delivered once."""
        records = [record for chunk in self.chunks for record in chunk.records]
        assert sorted(self.given_up) == sorted(refused)
        mine = [record for record in self.delivered if not record.startswith(b"other")]
        assert sorted(mine) == sorted(set(records) - refused)


def delivery(
    chunks: Sequence[Sequence[bytes]],
    server: Callable[[Batch], str],
    *,
    on_disk: bool = True,
    others: bool = False,
) -> Delivery:
    """Return a delivery; with *others*, more records come all the time."""
    made_ = Delivery(chunks, server, on_disk=on_disk)
    if others:
        made_.endless = (b"other %d" % number for number in itertools.count())
    return made_


def refusing(*poison: bytes) -> Callable[[Batch], str]:
    """Return a server that takes no batch with one of these."""
    return lambda batch: REFUSED if set(poison) & set(batch.records) else TAKEN


def numbered(count: int, start: int = 0) -> list[bytes]:
    """Return records that are all different."""
    return [b"%05d" % number for number in range(start, start + count)]


# --- the ordinary course ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_disk", [True, False], ids=["disk", "memory"])
def test_a_sink_that_takes_everything_gets_it_in_order(on_disk: bool) -> None:
    run = delivery([numbered(3), [], numbered(2, 3), [], []], refusing(), on_disk=on_disk)
    run.run()
    assert run.delivered == numbered(5)
    assert run.settled == ([0, 1, 2, 3, 4] if on_disk else [])
    assert run.attempts == 2


def test_a_batch_keeps_its_id_and_its_tag() -> None:
    batches: list[Batch] = []

    def server(batch: Batch) -> str:
        batches.append(batch)
        return DOWN if len(batches) < 5 else TAKEN

    run = delivery([numbered(3)], server)
    run.run()
    assert len(batches) == 5
    assert {(batch.id, batch.tag) for batch in batches} == {(batches[0].id, "tag")}


def test_the_hand_says_what_was_tried_before() -> None:
    run = delivery([numbered(2)], lambda batch: DOWN)
    run.step()
    run.hand.next(is_all=False)
    assert run.hand.is_again
    assert not run.hand.is_empty
    fresh = delivery([], refusing())
    fresh.hand.add(Chunk([b"x"]), "tag")
    fresh.hand.next(is_all=False)
    assert not fresh.hand.is_again
    assert fresh.hand.chunk.origin.name == "OWN"


# --- refused records -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 16])
def test_a_refused_record_is_found_wherever_it_stands(count: int) -> None:
    for position in range(count):
        records = numbered(count)
        run = delivery([records], refusing(records[position]), others=True)
        run.run()
        run.check({records[position]})
        assert run.settled == [0]


@given(st.data())
@settings(max_examples=60)
def test_refused_records_are_given_up_and_all_others_delivered(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(0, 12), min_size=1, max_size=6))
    starts = list(itertools.accumulate(sizes, initial=0))
    chunks = [numbered(size, start) for size, start in zip(sizes, starts, strict=False)]
    poison = data.draw(st.sets(st.sampled_from(numbered(starts[-1])))) if starts[-1] else set()
    on_disk = data.draw(st.booleans())
    run = delivery(chunks, refusing(*poison), on_disk=on_disk, others=True)
    run.run()
    run.check(poison)
    assert run.settled == (list(range(len(chunks))) if on_disk else [])


def test_more_refused_records_than_are_tried_do_not_stop_the_others() -> None:
    """They were put aside up to a number, and the next one was tried for ever, before everything else."""
    poison = numbered(3 * TIMINGS.most_suspects)
    run = delivery([poison], refusing(*poison), others=True)
    run.run()
    run.check(set(poison))


def test_only_some_are_tried_while_others_wait_their_turn() -> None:
    poison = numbered(2 * TIMINGS.most_suspects)
    tried: list[bytes] = []

    def server(batch: Batch) -> str:
        if len(batch.records) == 1 and batch.records[0] in poison:
            tried.append(batch.records[0])
            return REFUSED
        return TAKEN if batch.records[0].startswith(b"other") else REFUSED

    run = delivery([poison], server, others=True)
    run.step_seconds = 0.01  # so that all that are tried rest at the same time
    while not run.given_up:
        run.step()
        if not run.waiting:
            assert run.endless is not None
            run.waiting.append(Chunk([next(run.endless)]))
    again = {record for record in poison if tried.count(record) > 1}
    assert again
    assert again <= set(poison[: TIMINGS.most_suspects])


def test_others_are_delivered_while_a_suspect_rests() -> None:
    poison, good = numbered(1)[0], numbered(20, 1)
    run = delivery([[poison], *([record] for record in good)], refusing(poison))
    while run.delivered != good:
        assert run.step()
    assert (run.given_up, run.settled) == ([], [])
    run.run()
    assert run.settled == list(range(21))


def test_in_memory_nothing_is_kept_for_want_of_a_suspect() -> None:
    run = delivery([numbered(100)], refusing(b"00007"), on_disk=False)
    for _ in range(100):
        run.step()
    assert len(run.delivered) == 99
    assert not run.hand.is_empty
    assert len(run.hand._suspects) == 1
    assert [len(trial.chunk.chunk.records) for trial in run.hand._suspects] == [0]
    assert not run.hand._chunks


def test_a_record_that_is_taken_at_last_is_not_given_up() -> None:
    refusals = itertools.count()
    run = delivery(
        [numbered(4)],
        lambda batch: REFUSED if b"00002" in batch.records and next(refusals) < 3 + 1 + 1 + 4 else TAKEN,
        others=True,
    )
    run.run()
    run.check(set())
    assert next(refusals) >= 3 + 1 + 1 + 4


# --- outages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [REFUSED, DOWN])
@pytest.mark.parametrize("others", [False, True])
def test_an_outage_loses_nothing_however_long_it_lasts(answer: str, others: bool) -> None:
    run = delivery([numbered(40), numbered(40, 40)], lambda batch: answer, others=others)
    run.run(3000)
    assert (run.given_up, run.delivered, run.settled) == ([], [], [])
    run.server = refusing()
    run.endless = None
    run.run()
    run.check(set())
    assert run.settled == [0, 1]


def test_what_is_down_refuses_nothing() -> None:
    """A record that happens to be tried whenever the network fails is not to blame."""
    run = delivery([numbered(4)], lambda batch: DOWN if b"00002" in batch.records else TAKEN, others=True)
    run.run(2000)
    assert run.given_up == []
    assert len(run.hand._fresh[0].batch.records) == 4


@given(st.integers(0, 2**32), st.integers(100, 400))
@settings(max_examples=30)
def test_a_sink_that_comes_and_goes_loses_nothing(seed: int, phase: int) -> None:
    """It refuses everything for a while, and takes everything for a while; phases last longer than the rests."""
    random = Random(seed)
    run = delivery([numbered(20, 20 * number) for number in range(5)], refusing(), others=True)
    offset = random.randrange(phase)
    run.server = lambda batch: TAKEN if (int(run.now) + offset) // phase % 2 else REFUSED
    run.run(20 * phase)
    run.check(set())
    assert run.settled == [0, 1, 2, 3, 4]


def test_a_suspect_is_not_given_up_unless_the_sink_took_others_in_between() -> None:
    """Without any, it cannot be told from an outage."""
    records = numbered(8)
    run = delivery([records], refusing(records[5]))
    run.run(2000)
    assert sorted(run.delivered) == sorted(set(records) - {records[5]})
    assert run.given_up == []
    assert run.attempts > 100
    proofs = 0
    while not run.given_up and proofs < 100:
        run.waiting.append(Chunk([b"other %d" % proofs]))
        proofs += 1
        for _ in range(100):
            run.step()

    # While the batch was split, some were delivered, which may be proof already.
    assert 0 < proofs <= TIMINGS.refusals_before_giving_up
    assert run.given_up == [records[5]]
    assert run.settled == [0]
