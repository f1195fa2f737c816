"""Outcomes are counted exactly once, whatever ends a process, fills a disk, or deletes a file."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import random
import signal
import stat
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_boxkite.live.totals import Totals
from flask_boxkite.outcomes import book as book_module
from flask_boxkite.outcomes.book import Outcome, OutcomeBook
from flask_boxkite.outcomes.book_file import AT_ONCE, BookLimits
from flask_boxkite.outcomes.fingerprints import PLACES
from flask_boxkite.outcomes.journal import BLOCK
from tests.faults import die_at, ended, fill, fork, go_on, has_stopped, mounted, read_only, stop_at

CELLS = 43
"""More than a block of the file holds."""

REPEATED = CELLS - 1


def fingerprint(number: int) -> int:
    """Return the fingerprint of an id."""
    return int.from_bytes(hashlib.blake2b(b"%d" % number, digest_size=8).digest(), "little")


def outcome(number: int) -> Outcome:
    """Return an outcome that shows if it is counted twice."""
    return Outcome(fingerprint(number), ((number % 5, 1), (5 + number % 30, 1), (39 + number % 3, number % 9)))


def outcomes(*numbers: int) -> list[Outcome]:
    """Return some outcomes."""
    return [outcome(number) for number in numbers]


LIMITS: dict[str, Any] = {}
"""Limits of books that differ from the usual ones."""


def book_at(path: Path | None) -> OutcomeBook:
    """Return a book, as another process would open it."""
    return OutcomeBook(path, CELLS, BookLimits(**LIMITS))


def values(totals: Totals) -> list[int]:
    """Return totals that can be compared."""
    assert totals.sums.tolist() == []
    return totals.cells.tolist()


def sum_of(counted: Iterable[Outcome], repeated: int = 0) -> list[int]:
    """Return the totals of outcomes, each counted once."""
    cells = Counter({REPEATED: repeated})
    for item in counted:
        for cell, amount in item.increments:
            cells[cell] += amount
    return [cells[cell] for cell in range(CELLS)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a book that is not there yet."""
    return tmp_path / "outcomes"


@pytest.fixture(params=["file", "memory"])
def book(request: pytest.FixtureRequest, path: Path) -> OutcomeBook:
    """Return a book of each kind."""
    return book_at(path if request.param == "file" else None)


@pytest.fixture
def small_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a table begin with one bucket, so that it doubles soon."""
    monkeypatch.setitem(LIMITS, "first_buckets", 1)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processes soon give up waiting for a lock."""
    monkeypatch.setitem(LIMITS, "patience_seconds", 0.05)


# --- counting --------------------------------------------------------------------------------------------------------


def test_each_outcome_is_counted_once(book: OutcomeBook) -> None:
    assert book.count(outcomes(1, 2, 3)) == [True, True, True]
    assert book.count(outcomes(2, 4)) == [False, True]
    assert values(book.totals()) == sum_of(outcomes(1, 2, 3, 4))


def test_an_outcome_that_comes_twice_in_a_call_is_counted_once(book: OutcomeBook) -> None:
    assert book.count(outcomes(1, 2, 1)) == [True, True, False]
    assert values(book.totals()) == sum_of(outcomes(1, 2))


def test_repetitions_are_counted(book: OutcomeBook) -> None:
    assert book.count(outcomes(1, 1), repeated=REPEATED) == [True, False]
    assert book.count(outcomes(2, 1), repeated=REPEATED) == [True, False]
    assert values(book.totals()) == sum_of(outcomes(1, 2), repeated=2)


def test_an_outcome_without_a_fingerprint_is_counted_each_time(book: OutcomeBook) -> None:
    rejected = Outcome(None, ((7, 1), (7, 5), (8, 0)))
    assert book.count([rejected, rejected]) == [True, True]
    assert values(book.totals()) == sum_of([rejected] * 2)


def test_the_fingerprint_zero_is_as_good_as_others(book: OutcomeBook) -> None:
    assert book.count([Outcome(0, ((3, 1),)), Outcome(2**64 - 1, ((4, 1),))]) == [True, True]
    assert book.count([Outcome(0, ((3, 1),)), Outcome(1, ((3, 1),)), Outcome(2**64 - 1, ((4, 1),))]) == [
        False,
        False,
        False,
    ]
    assert book.totals().cells[3:5].tolist() == [1, 1]


def test_more_outcomes_than_a_transaction_holds(book: OutcomeBook) -> None:
    many = outcomes(*range(3 * AT_ONCE + 7))
    assert book.count(many + many[:AT_ONCE]) == [True] * len(many) + [False] * AT_ONCE
    assert values(book.totals()) == sum_of(many)


def test_a_book_without_outcomes_holds_zeros_and_makes_no_file(book: OutcomeBook, path: Path) -> None:
    assert book.count([]) == []
    assert values(book.totals()) == sum_of([])
    assert not path.exists()


@pytest.mark.parametrize(
    "wrong", [Outcome(9, ((CELLS, 1),)), Outcome(9, ((1, 1), (-1, 1)))], ids=["behind the last", "before the first"]
)
def test_an_outcome_of_another_layout_is_refused_and_nothing_counted(book: OutcomeBook, wrong: Outcome) -> None:
    book.count(outcomes(1))
    with pytest.raises(IndexError, match=r"^Cell -?\d+ is not one of \d+$"):
        book.count([outcome(2), wrong])
    assert values(book.totals()) == sum_of(outcomes(1))
    assert book.count(outcomes(2)) == [True]


def test_no_cells(path: Path) -> None:
    for empty in (OutcomeBook(None, 0), OutcomeBook(path, 0)):
        assert empty.count([Outcome(5), Outcome(5)]) == [True, False]
        assert values(empty.totals()) == []


def test_totals_are_numbers_of_their_own(book: OutcomeBook) -> None:
    book.count(outcomes(1))
    totals = book.totals()
    book.count(outcomes(2))
    assert totals.cells.dtype == np.int64
    assert values(totals) == sum_of(outcomes(1))


def test_all_books_of_a_path_are_one(path: Path) -> None:
    one, other = book_at(path), book_at(path)
    assert one.count(outcomes(1, 2)) == [True, True]
    assert other.count(outcomes(2, 3)) == [False, True]
    assert one.count(outcomes(3)) == [False]
    assert values(one.totals()) == values(other.totals()) == sum_of(outcomes(1, 2, 3))


def test_a_system_without_locks_counts_in_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_module, "can_lock", False)
    book = book_at(path)
    assert book.count(outcomes(1, 1)) == [True, False]
    assert values(book.totals()) == sum_of(outcomes(1))
    assert not path.exists()


POOL = [*map(fingerprint, range(60)), None, 0, 1, 2**32, 2**63, 2**64 - 1]
OUTCOMES = st.builds(
    Outcome,
    st.sampled_from(POOL),
    st.lists(st.tuples(st.integers(0, CELLS - 1), st.integers(0, 2**50)), max_size=4).map(tuple),
)
Call = tuple[list[Outcome], int | None, bool]
CALLS = st.lists(
    st.tuples(st.lists(OUTCOMES, max_size=12), st.none() | st.integers(0, CELLS - 1), st.booleans()), max_size=20
)
"""Outcomes, the cell for repeated ones, and whether the book is opened again before."""


@pytest.mark.parametrize("is_file", [True, False], ids=["file", "memory"])
@given(calls=CALLS)
@settings(max_examples=60)
def test_a_book_counts_as_a_set_and_counters_do(is_file: bool, calls: list[Call]) -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        mock.patch.dict(LIMITS, {"first_buckets": 1, "at_once": 5}),
    ):
        path = Path(directory) / "outcomes" if is_file else None
        book = book_at(path)
        known: set[int] = set()
        cells: Counter[int] = Counter()

        for items, repeated, is_reopened in calls:
            expected = []
            for item in items:
                mark = None if item.fingerprint is None else max(item.fingerprint, 1)
                expected.append(mark is None or mark not in known)
                if expected[-1]:
                    for cell, amount in item.increments:
                        cells[cell] += amount
                elif repeated is not None:
                    cells[repeated] += 1
                known |= {mark} - {None}  # type: ignore[operator]
            book = book_at(path) if is_file and is_reopened else book
            assert book.count(items, repeated=repeated) == expected
            assert book.totals().cells.tolist() == [cells[cell] for cell in range(CELLS)]


# --- table -----------------------------------------------------------------------------------------------------------


def test_a_table_that_doubles_forgets_no_outcome(book: OutcomeBook, small_table: None) -> None:
    many = outcomes(*range(2000))
    for item in many:
        assert book.count([item]) == [True]
    assert book.count(many) == [False] * len(many)
    assert values(book.totals()) == sum_of(many)


def test_a_large_table_is_split_part_by_part(path: Path, small_table: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIMITS, "split_at_once", 4)
    many = outcomes(*range(2000))
    book = book_at(path)
    assert all(book.count(many))
    assert not any(book.count(many))


def test_a_table_is_well_filled_before_it_doubles(path: Path) -> None:
    """With one bucket for each fingerprint instead of two, this one would double when it is 46 % full."""
    book = book_at(path)
    book.count([Outcome(fingerprint(0))])
    size = path.stat().st_size
    for number in itertools.count(1):
        book.count([Outcome(fingerprint(number))])
        if path.stat().st_size != size:
            break
    assert path.stat().st_size - size == BLOCK * BookLimits().first_buckets
    assert number / (PLACES * BookLimits().first_buckets) > 0.75


def test_the_file_is_private_and_alone(path: Path, small_table: None) -> None:
    for number in range(100):
        book_at(path).count(outcomes(number))
        about = path.stat()
        assert stat.S_IMODE(about.st_mode) == 0o600
        assert os.listdir(path.parent) == [path.name]
    assert about.st_blocks * 512 >= about.st_size  # reserved, so that a full disk cannot stop a count half way


def test_a_book_keeps_no_descriptor(path: Path, small_table: None) -> None:
    before = os.listdir("/proc/self/fd")
    book = book_at(path)
    book.count(outcomes(*range(50)))
    book.totals()
    assert os.listdir("/proc/self/fd") == before


def error_of(work: Callable[[], object]) -> OSError | None:
    """Return the error that *work* raises."""
    try:
        work()
    except OSError as error:
        return error
    return None


# --- killed processes ------------------------------------------------------------------------------------------------

SITUATIONS = {
    "the file is made": (0, 1),
    "one outcome": (5, 1),
    "several outcomes": (5, 9),
    "the table doubles": (PLACES, 1),
    "the table doubles several times": (PLACES, 40),
}
"""Numbers of outcomes that are known, and that are new."""


@pytest.mark.parametrize(("known", "new"), SITUATIONS.values(), ids=SITUATIONS.keys())
def test_a_process_killed_at_any_step_counts_all_or_nothing(
    tmp_path: Path, small_table: None, known: int, new: int
) -> None:
    old, batch = outcomes(*range(known)), outcomes(*range(known, known + new))
    before, truth = sum_of(old), sum_of(old + batch)
    seen = set()

    for step in itertools.count(1):
        path = tmp_path / str(step)
        book_at(path).count(old)
        code = ended(fork(lambda path=path, step=step: (die_at(step), book_at(path).count(batch))))
        after = values(book_at(path).totals())
        assert after in ((before, truth) if code else (truth,))
        seen.add((code, after == truth))

        assert book_at(path).count(batch + old[:3]) == [after == before] * new + [False] * len(old[:3])
        assert values(book_at(path).totals()) == truth
        if code == 0:
            break
        assert code == -signal.SIGKILL
    # It was killed before the outcomes were safe, and afterwards.
    assert seen == {(-signal.SIGKILL, False), (-signal.SIGKILL, True), (0, True)}


@pytest.mark.parametrize("step", range(3, 11))
def test_a_process_killed_while_it_finishes_the_count_of_another_changes_nothing(tmp_path: Path, step: int) -> None:
    first, second = outcomes(1, 2, 3), outcomes(4)
    for later_step in itertools.count(1):
        path = tmp_path / str(later_step)
        book_at(path).count(outcomes(0))
        die_in_count(path, first, partial(die_at, step))
        code = ended(fork(lambda path=path, step=later_step: (die_at(step), book_at(path).count(second))))
        assert code in (0, -signal.SIGKILL)

        answers = book_at(path).count(first + second)
        assert len(set(answers[:3])) == 1
        assert code or not answers[3]
        assert values(book_at(path).totals()) == sum_of(outcomes(0) + first + second)
        if code == 0:
            break
    assert later_step > 5


def die_in_count(path: Path, items: Sequence[Outcome], prepare: Callable[[], object]) -> None:
    """Count in a process that is killed, once *prepare* has arranged it."""
    assert ended(fork(lambda: (prepare(), book_at(path).count(items)))) == -signal.SIGKILL


def tear_journal(size: int) -> None:
    """Kill this process when it has written so many bytes of a journal."""
    real = os.pwrite

    def tear(descriptor: int, data: Any, offset: int) -> int:
        if offset == BLOCK:
            real(descriptor, bytes(data)[:size], offset)
            os.kill(os.getpid(), signal.SIGKILL)
        return real(descriptor, data, offset)

    os.pwrite = tear  # type: ignore[assignment]


def test_a_torn_journal_counts_for_nothing(tmp_path: Path) -> None:
    old, batch = outcomes(*range(20)), outcomes(*range(20, 24))
    whole = 0
    for size in range(0, 2000, 24):
        path = tmp_path / str(size)
        book_at(path).count(old)
        die_in_count(path, batch, partial(tear_journal, size))
        after = values(book_at(path).totals())
        whole += after != sum_of(old)
        assert after == (sum_of(old + batch) if whole else sum_of(old))
        assert book_at(path).count(batch) == [not whole] * len(batch)
        assert values(book_at(path).totals()) == sum_of(old + batch)
    assert 0 < whole < 70  # the longest were not torn


@pytest.mark.parametrize("number", [1, 2, AT_ONCE, 2**32, 2**64 - 1])
def test_rubbish_in_the_journal_counts_for_nothing(path: Path, rng: np.random.Generator, number: int) -> None:
    book_at(path).count(outcomes(1))
    with open(path, "r+b") as file:
        file.seek(BLOCK)
        file.write(number.to_bytes(8, sys.byteorder) + rng.bytes(1000))
    assert values(book_at(path).totals()) == sum_of(outcomes(1))
    assert book_at(path).count(outcomes(1, 2)) == [False, True]
    assert values(book_at(path).totals()) == sum_of(outcomes(1, 2))


def test_processes_killed_at_any_moment_count_each_outcome_once(tmp_path: Path, small_table: None) -> None:
    """Each id has a cell of its own, and they overlap at random; all processes begin with a table of one bucket."""
    ids, kills, workers = 3000, 60, 4
    path = tmp_path / "outcomes"
    rng = random.Random(0)

    def work(log: Path, seed: int) -> None:
        own, numbers = OutcomeBook(path, ids + 1, BookLimits(**LIMITS)), random.Random(seed)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        while True:
            chosen = [numbers.randrange(ids) for _ in range(numbers.choice((1, 1, 1, 5, 300)))]
            answers = own.count([numbered(number) for number in chosen])
            counted = [number for number, is_new in zip(chosen, answers, strict=True) if is_new]
            os.write(descriptor, "".join(f"{number}\n" for number in counted).encode())

    def numbered(number: int) -> Outcome:
        return Outcome(fingerprint(number), ((number, 1), (ids, number)))

    logs = [tmp_path / f"log-{number}" for number in range(kills + workers)]
    started = enumerate(logs)
    running = [fork(partial(work, log, seed)) for seed, log in itertools.islice(started, workers)]
    for seed, log in [*started, *[(0, None)] * workers]:
        time.sleep(rng.uniform(0, 0.02))  # a moment at random
        child = running.pop(rng.randrange(len(running)))
        os.kill(child, signal.SIGKILL)
        assert ended(child) == -signal.SIGKILL
        if log is not None:
            running.append(fork(partial(work, log, seed)))

    sure = [int(line) for log in logs if log.exists() for line in log.read_text().splitlines()]
    assert len(sure) == len(set(sure))
    book = OutcomeBook(path, ids + 1)
    before = book.totals()
    assert before.cells[:ids].max() == 1
    assert before.cells[sure].all()
    assert before.cells[ids] == np.flatnonzero(before.cells[:ids]).sum()

    answers = book.count([numbered(number) for number in range(ids)])
    assert answers == (before.cells[:ids] == 0).tolist()
    after = book.totals()
    assert after.cells.tolist() == [1] * ids + [sum(range(ids))]


# --- stopped processes, forks and threads ----------------------------------------------------------------------------


@pytest.mark.parametrize("known", [5, PLACES], ids=["counting", "doubling"])
def test_a_process_stopped_at_any_step_lets_others_count_or_give_up(
    tmp_path: Path, small_table: None, impatient: None, known: int
) -> None:
    waits = 0
    for step in itertools.count(1):
        path = tmp_path / str(step)
        book_at(path).count(outcomes(*range(known)))
        child = fork(lambda path=path, step=step: (stop_at(step), book_at(path).count(outcomes(100))))
        is_unfinished = has_stopped(child)

        error = error_of(lambda path=path: book_at(path).count(outcomes(200)))
        if error is not None:
            assert (type(error), error.errno, error.filename) == (TimeoutError, errno.ETIMEDOUT, str(path))
            assert type(error_of(book_at(path).totals)) is TimeoutError
            waits += 1

        assert go_on(child) == 0
        assert book_at(path).count(outcomes(200)) == [error is not None]
        assert values(book_at(path).totals()) == sum_of(outcomes(*range(known), 100, 200))
        assert book_at(path).count(outcomes(*range(known), 100, 200)) == [False] * (known + 2)
        if not is_unfinished:
            break
    assert waits >= 5


@contextlib.contextmanager
def thread_in_the_midst(work: Callable[[], object], wait_in: str = "pwrite") -> Iterator[Callable[[], None]]:
    """Run *work* in a thread that waits in the midst of it, until the context ends; give how to wait no more."""
    inside, may_go_on, real = threading.Event(), threading.Event(), getattr(os, wait_in)

    def wait(*arguments: Any) -> Any:
        if not may_go_on.is_set():
            inside.set()
            may_go_on.wait()
        return real(*arguments)

    thread = threading.Thread(target=work, daemon=True)
    with mock.patch.object(os, wait_in, wait):
        thread.start()
        inside.wait()
        try:
            yield may_go_on.set
        finally:
            may_go_on.set()
            thread.join()


def leads_to(path: Path) -> list[str]:
    """Return the descriptors of this process that lead to a file."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(f"/proc/self/fd/{name}") == str(path):
                found.append(name)
    return found


def test_a_child_forked_while_a_thread_counts_waits_for_it_as_others_do(path: Path, impatient: None) -> None:
    book = book_at(path)
    book.count(outcomes(0))

    def wait_in_vain() -> None:
        assert leads_to(path) == []
        with pytest.raises(TimeoutError):
            book.count(outcomes(2))

    with thread_in_the_midst(lambda: book.count(outcomes(1))):
        assert len(leads_to(path)) == 1
        assert ended(fork(wait_in_vain)) == 0
    assert ended(fork(lambda: book.count(outcomes(2)))) == 0
    assert book.count(outcomes(0, 1, 2)) == [False] * 3
    assert values(book.totals()) == sum_of(outcomes(0, 1, 2))


def test_a_child_does_not_keep_the_lock_of_a_parent_that_was_killed(path: Path, impatient: None) -> None:
    book = book_at(path)
    book.count(outcomes(0))
    ready, is_ready = os.pipe()
    end, is_end = os.pipe()

    def live_on() -> None:
        os.close(is_end)
        os.write(is_ready, b".")
        os.read(end, 1)

    def fork_and_die() -> None:
        with thread_in_the_midst(lambda: book.count(outcomes(1))):
            fork(live_on)
            os.read(ready, 1)
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        assert ended(fork(fork_and_die)) == -signal.SIGKILL
        assert book.count(outcomes(1, 2)) == [True, True]
    finally:
        for descriptor in (ready, is_ready, end, is_end):
            os.close(descriptor)


def test_a_child_begins_with_none_of_the_outcomes_in_its_parents_memory() -> None:
    book = book_at(None)
    book.count(outcomes(1, 2))

    def count() -> None:
        assert values(book.totals()) == sum_of([])
        assert book.count(outcomes(2, 3)) == [True, True]
        assert ended(fork(lambda: book.count(outcomes(4)))) == 0
        assert values(book.totals()) == sum_of(outcomes(2, 3))

    for _ in range(2):
        assert ended(fork(count)) == 0
    assert values(book.totals()) == sum_of(outcomes(1, 2))


def test_a_child_counts_in_memory_although_a_thread_of_its_parent_was_counting() -> None:
    book = book_at(None)
    inside, may_go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with book._storage.open():
            inside.set()
            may_go_on.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    try:
        assert ended(fork(lambda: book.count(outcomes(1)), seconds=20)) == 0
    finally:
        may_go_on.set()
        thread.join()


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Let threads take turns in the midst of everything."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_threads_count_each_outcome_once(book: OutcomeBook, small_table: None, hasty_threads: None) -> None:
    threads, ids = 6, 300
    start = threading.Barrier(threads)
    answers: list[tuple[int, bool]] = []

    def count(seed: int) -> None:
        numbers = list(range(ids))
        random.Random(seed).shuffle(numbers)
        start.wait()
        for first in range(0, ids, 3):
            some = numbers[first : first + 3]
            answers.extend(zip(some, book.count(outcomes(*some), repeated=REPEATED), strict=True))

    running = [threading.Thread(target=count, args=(seed,)) for seed in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert sorted(number for number, is_new in answers if is_new) == list(range(ids))
    assert values(book.totals()) == sum_of(outcomes(*range(ids)), repeated=(threads - 1) * ids)


# --- disks -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def failing(step: int, *, for_good: bool) -> Iterator[None]:
    """Let a write fail as on a full disk, or all writes from then on."""
    writes, real = itertools.count(1), os.pwrite

    def write(*arguments: Any) -> int:
        number = next(writes)
        if number == step or (number > step and for_good):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments)

    with mock.patch.object(os, "pwrite", write):
        yield


@pytest.mark.parametrize(("known", "new"), SITUATIONS.values(), ids=SITUATIONS.keys())
def test_a_write_that_fails_leaves_nothing_half_counted(
    tmp_path: Path, small_table: None, known: int, new: int
) -> None:
    old, batch = outcomes(*range(known)), outcomes(*range(known, known + new))
    for step in itertools.count(1):
        path = tmp_path / str(step) / "outcomes"
        path.parent.mkdir()
        book = book_at(path)
        book.count(old)
        with failing(step, for_good=False):
            error = error_of(lambda book=book: book.count(batch))
        if error is None:
            break
        assert error.errno == errno.ENOSPC
        assert values(book.totals()) == sum_of(old)
        assert os.listdir(path.parent) == [path.name]
        assert book.count(batch) == [True] * new
        assert values(book.totals()) == sum_of(old + batch)
    assert step > 4


@pytest.mark.parametrize(("known", "new"), SITUATIONS.values(), ids=SITUATIONS.keys())
def test_a_disk_that_fails_from_some_write_on_leaves_nothing_half_counted(
    tmp_path: Path, small_table: None, known: int, new: int
) -> None:
    """If it fails between the journal and the end, even taking back fails, and the outcomes are counted later."""
    old, batch = outcomes(*range(known)), outcomes(*range(known, known + new))
    for step in itertools.count(1):
        path = tmp_path / str(step)
        book = book_at(path)
        book.count(old)
        with failing(step, for_good=True):
            error = error_of(lambda book=book: book.count(batch))
        if error is None:
            break
        assert error.errno == errno.ENOSPC
        after = values(book.totals())
        assert after in (sum_of(old), sum_of(old + batch))
        assert book.count(batch) == [after == sum_of(old)] * new
        assert values(book.totals()) == sum_of(old + batch)
    assert step > 4


def test_a_full_disk_costs_only_the_outcomes_that_it_has_no_room_for(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with mounted(disk, "200k"):
        book = book_at(disk / "outcomes")
        fill(disk / "filler")
        with pytest.raises(OSError, match="No space left on device"):
            book.count(outcomes(0))
        (disk / "filler").unlink()
        assert book.count(outcomes(0)) == [True]

        fill(disk / "filler")
        counted = outcomes(0)
        for number in itertools.count(1):
            error = error_of(lambda number=number: book.count(outcomes(number)))
            if error is not None:  # the table is full, too
                break
            counted += outcomes(number)
        assert error.errno == errno.ENOSPC
        assert number > 1000
        assert values(book.totals()) == sum_of(counted)
        assert book.count(counted[:300]) == [False] * 300
        assert sorted(os.listdir(disk)) == ["filler", "outcomes"]

        (disk / "filler").unlink()
        assert book.count(outcomes(number)) == [True]
        assert book.count(counted) == [False] * number
        assert values(book.totals()) == sum_of([*counted, outcome(number)])


def test_totals_are_read_from_a_read_only_disk(tmp_path: Path) -> None:
    """They include the outcomes of a process that was killed before it had written all."""
    disk = tmp_path / "disk"
    disk.mkdir()
    book = book_at(disk / "outcomes")
    book.count(outcomes(1))
    die_in_count(disk / "outcomes", outcomes(2), partial(die_at, 4))
    with read_only(disk):
        assert values(book.totals()) == sum_of(outcomes(1, 2))
        with pytest.raises(OSError, match="Read-only file system"):
            book.count(outcomes(3))
    assert book.count(outcomes(1, 2, 3)) == [False, False, True]


# --- lost and damaged files ------------------------------------------------------------------------------------------


def test_a_deleted_file_is_made_again(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    book = book_at(path)
    book.count(outcomes(1, 2))
    path.unlink()
    assert values(book.totals()) == sum_of([])
    assert book.count(outcomes(2)) == [True]
    assert values(book.totals()) == sum_of(outcomes(2))
    assert caplog.messages == []


def test_a_deleted_directory_is_an_error_until_it_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "state" / "outcomes"
    book = book_at(path)
    for _ in range(2):
        assert values(book.totals()) == sum_of([])
        with pytest.raises(FileNotFoundError):
            book.count(outcomes(1))
        path.parent.mkdir()
        assert book.count(outcomes(1)) == [True]
        assert values(book.totals()) == sum_of(outcomes(1))
        path.unlink()
        path.parent.rmdir()


def test_a_file_deleted_while_its_table_doubles_does_not_come_back(path: Path, small_table: None) -> None:
    """Another process may have begun to count in a new one."""
    book = book_at(path)
    book.count(outcomes(*range(PLACES)))
    with thread_in_the_midst(lambda: book.count(outcomes(PLACES)), wait_in="posix_fallocate") as wait_no_more:
        path.unlink()
        path.touch()
        wait_no_more()
    assert values(book.totals()) == sum_of(outcomes(PLACES))
    assert os.listdir(path.parent) == [path.name]


def flip(offset: int) -> Callable[[Path], None]:
    """Return a function that damages a byte."""

    def damage(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[offset] ^= 1
        path.write_bytes(data)

    return damage


def resize(change: Callable[[int], int]) -> Callable[[Path], None]:
    """Return a function that gives a file another size."""
    return lambda path: os.truncate(path, change(path.stat().st_size))


DAMAGES = {
    **{f"byte {offset}": flip(offset) for offset in (0, 7, 8, 16, 24, 28, 32, 35, 36, 127)},
    "cut to a byte": resize(lambda size: 1),
    "cut to the header": resize(lambda size: BLOCK),
    "cut in the numbers": resize(lambda size: size // 2),
    "cut by a bucket": resize(lambda size: size - BLOCK),
    "cut by a byte": resize(lambda size: size - 1),
    "too long": resize(lambda size: size + 1),
    "too long by a bucket": resize(lambda size: size + BLOCK),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "text": lambda path: path.write_text("prediction_id,actual\n" * 10_000),
    "other cells": lambda path: (path.unlink(), OutcomeBook(path, CELLS + 1).count(outcomes(1))),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_replaced_with_a_warning(
    path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], object]
) -> None:
    book = book_at(path)
    book.count(outcomes(1, 2))
    damage(path)
    assert values(book.totals()) == sum_of([])
    assert book.count(outcomes(2)) == [True]
    assert values(book.totals()) == sum_of(outcomes(2))
    assert book_at(path).count(outcomes(1, 2)) == [True, False]
    assert caplog.messages == [
        f"Outcomes are counted from zero again, because the file '{path}' is damaged, or is of another release or "
        "model; the next outcome replaces it."
    ]


def test_an_empty_file_is_no_damage(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A process that was killed at its first outcome leaves one."""
    path.touch()
    book = book_at(path)
    assert values(book.totals()) == sum_of([])
    assert book.count(outcomes(1)) == [True]
    assert caplog.messages == []


@pytest.mark.parametrize("size", [0, BLOCK, 10_000, 35_500])
def test_a_file_shortened_while_it_is_used_gives_an_error(path: Path, size: int) -> None:
    book = book_at(path)
    book.count(outcomes(1))
    real = os.lstat

    def shorten(name: Any) -> os.stat_result:
        os.truncate(path, size)
        return real(name)

    for use in (lambda: book.count(outcomes(2)), book.totals):
        with mock.patch.object(os, "lstat", shorten), pytest.raises(OSError, match="the file was just shortened"):
            use()
        assert book.count(outcomes(2)) == [True]
        assert values(book.totals()) == sum_of(outcomes(2))


def test_a_link_in_place_of_the_file_is_not_followed(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("of the user")
    path.symlink_to(other)
    with pytest.raises(OSError, match="symbolic links"):
        book_at(path).count(outcomes(1))
    assert other.read_text() == "of the user"
