"""Ids of predictions."""

from __future__ import annotations

import os
import re
import threading
import time
import uuid
from collections.abc import Callable

import pytest

from flask_boxkite.compiled import native
from flask_boxkite.values.ids import IdMaker, PredictionId, id_maker, request_part

MakeMaker = Callable[..., Callable[[], PredictionId]]
MAKERS: list[MakeMaker] = [IdMaker] if native is None else [IdMaker, id_maker]


@pytest.mark.parametrize("make_maker", MAKERS)
def test_an_id_names_server_second_and_a_random_uuid(make_maker: MakeMaker) -> None:
    made = make_maker("server", clock=lambda: 1_700_000_000_999_999_999)()
    server, moment, entity = made.text.split("/")
    assert (server, moment, entity) == ("server", "2023-11-14T22:13:20", made.entity_id)
    parsed = uuid.UUID(entity)
    assert (str(parsed), parsed.version, parsed.variant) == (entity, 4, uuid.RFC_4122)
    assert made.time_ns == 1_700_000_000_999_999_999


@pytest.mark.parametrize("make_maker", MAKERS)
def test_ids_follow_the_clock_in_both_directions(make_maker: MakeMaker) -> None:
    times = iter([10 * 10**9, 11 * 10**9, 9 * 10**9])
    maker = make_maker("s", clock=lambda: next(times))
    assert [maker().text.split("/")[1][-2:] for _ in range(3)] == ["10", "11", "09"]


@pytest.mark.parametrize("make_maker", MAKERS)
@pytest.mark.parametrize(
    ("time_ns", "moment"),
    [
        pytest.param(-1, "1969-12-31T23:59:59", id="nanosecond"),
        pytest.param(-1_000_000_000, "1969-12-31T23:59:59", id="second"),
        pytest.param(-1_500_000_000, "1969-12-31T23:59:58", id="between"),
    ],
)
def test_a_clock_may_stand_before_1970(make_maker: MakeMaker, time_ns: int, moment: str) -> None:
    made = make_maker("s", clock=lambda: time_ns)()
    assert (made.text, made.time_ns) == (f"s/{moment}/{made.entity_id}", time_ns)


@pytest.mark.parametrize("make_maker", MAKERS)
def test_uuids_are_version_4_whatever_the_random_numbers(make_maker: MakeMaker) -> None:
    maker = make_maker("s")
    pattern = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
    ids = [maker().entity_id for _ in range(1000)]
    assert all(pattern.fullmatch(text) for text in ids)
    assert len({text[19] for text in ids}) == 4


@pytest.mark.skipif(native is None, reason="Python changes pool and mark in one step.")
def test_no_id_comes_twice_where_a_new_mark_lets_other_threads_run() -> None:
    """CPython releases the interpreter lock while it unmaps a page, as the mark of a parent is (3.11, mmapmodule.c)."""
    others: list[str] = []

    class Mark:
        def __init__(self, *, is_own: bool) -> None:
            self.is_own = is_own

        def __getitem__(self, index: int) -> bool:
            return self.is_own

        def __del__(self) -> None:
            if not self.is_own:
                others.extend(make().entity_id for _ in range(3))

    marks = [Mark(is_own=True), Mark(is_own=False)]  # of the child, and before it of the parent
    make = native.IdMaker("s", time.time_ns, marks.pop, PredictionId)
    own = [make().entity_id for _ in range(3)]
    assert len(others) == 3
    assert len({*own, *others}) == 6


@pytest.mark.parametrize("make_maker", MAKERS)
def test_no_id_comes_twice_from_threads_and_forks(make_maker: MakeMaker) -> None:
    maker = make_maker("s")
    found: list[str] = []

    def make() -> None:
        found.extend([maker().entity_id for _ in range(1000)])

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, maker().entity_id.encode())
        os._exit(0)
    os.waitpid(child, 0)
    found += [os.read(reading, 100).decode(), maker().entity_id]
    os.close(reading)
    os.close(writing)
    assert len(set(found)) == 4002


@pytest.mark.parametrize(
    ("start", "rate", "is_sampled"),
    [
        pytest.param("ffffffff", 1.0, True, id="all"),
        pytest.param("00000000", 0.0, False, id="none"),
        pytest.param("3fffffff", 0.25, True, id="below a quarter"),
        pytest.param("40000000", 0.25, False, id="from a quarter on"),
    ],
)
def test_a_share_is_sampled_by_the_id_alone(start: str, rate: float, is_sampled: bool) -> None:
    prediction = PredictionId("", f"{start}-0000-4000-8000-000000000000", 0)
    assert prediction.is_sampled(rate) is is_sampled


# --- predictions of one request -------------------------------------------------------------------------------------


@pytest.mark.parametrize("make_maker", MAKERS)
def test_an_id_beside_another_begins_alike(make_maker: MakeMaker) -> None:
    first = make_maker("bö/1", clock=lambda: 1_700_000_000_000_000_000)()
    other = make_maker("elsewhere", clock=lambda: 1_800_000_000_000_000_000)()
    beside = other.beside(first)

    assert request_part(beside.text) == request_part(first.text) == first.text[:-19]
    assert beside.text == f"bö/1/2023-11-14T22:13:20/{beside.entity_id}"
    assert beside.entity_id[-18:] == other.entity_id[-18:] != first.entity_id[-18:]
    assert (uuid.UUID(beside.entity_id).version, beside.time_ns) == (4, first.time_ns)
    assert all(beside.is_sampled(rate) == first.is_sampled(rate) for rate in (0.1, 0.3, 0.5, 0.7, 0.9))
    assert request_part(beside.entity_id) == request_part(first.entity_id)


@pytest.mark.parametrize(
    "text",
    ["", "x", "s/t/5a0f1c2d-9e8b-1a7c-8d6e-0123456789ab", "5a0f1c2d-9e8b-4a7c-8d6e-0123456789AB", "ü" * 40, "a/0"],
)
def test_a_text_that_is_no_id_is_the_whole_of_its_request(text: str) -> None:
    assert request_part(text) == text
