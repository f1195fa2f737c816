"""Counts of processes that die at any moment are in every reading once, and no counter ever falls."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import random
import signal
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flask_boxkite.delivery import RecorderCounts, records_section
from flask_boxkite.live import folding
from flask_boxkite.live.clock import Moment
from flask_boxkite.live.counts import Counts
from flask_boxkite.live.folding import read_directory, windows_path
from flask_boxkite.live.increments import Increments
from flask_boxkite.live.model_cells import FORMAT
from flask_boxkite.live.retired import RETIRED
from flask_boxkite.live.section import Section
from flask_boxkite.live.sink_cells import (
    ACCEPTED,
    BACKOFF_MS,
    DELIVERED,
    DROPPED,
    LAST_DELIVERY_MS,
    RETRIES,
    SINK_CELLS,
    WAITING_BYTES,
)
from flask_boxkite.live.store import Store
from flask_boxkite.naming import DAMAGED, FOLDED, FOREIGN, OTHER_FORMAT, STATE_FILES
from flask_boxkite.spool import waiting_records
from flask_boxkite.system.locks import OwnerLock, take_if_dead
from tests.faults import ended, fill, fork, go_on, has_stopped, killed, mounted, no_more_files, stop_at
from tests.live.directories import directory_of, fold, later, model_section, same_directory, share
from tests.peers import wait_for
from tests.spool.logs import fill_up, made

ONE = model_section()
SINK = records_section("file")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return the directory of the files, with one process in it that counts nothing."""
    share(tmp_path, ONE, [0])
    return directory_of(tmp_path)


def dies(base: Path, number: int, section: Section = ONE) -> None:
    """Have a process count this much, and be killed; unlike others it does not fold those before it."""

    def count() -> None:
        share(base, section, [number], folds=False)
        os.kill(os.getpid(), signal.SIGKILL)

    assert ended(fork(count)) == -signal.SIGKILL


def total(directory: Path, section: Section = ONE) -> int:
    """Return what all have counted in the first cell."""
    return int(read_directory(directory).totals(section).cells[0])


def live_files(directory: Path) -> list[str]:
    """Return the names of the files of processes."""
    return sorted(name for name in os.listdir(directory) if name.startswith("live-"))


def folded(directory: Path) -> dict[str, int]:
    """Return what became of files, of those that did not just stay."""
    return {state: number for state, number in read_directory(directory).files.items() if number}


# --- folding ---------------------------------------------------------------------------------------------------------


def test_the_dead_are_folded_and_the_living_are_not(tmp_path: Path, state: Path) -> None:
    alive = share(tmp_path, ONE, [100])
    for number in (1, 2, 3):
        dies(tmp_path, number)
    assert len(live_files(state)) == 4
    fold(state)
    assert len(live_files(state)) == 1
    assert total(state) == 106
    assert folded(state) == {FOLDED: 4}
    assert alive.totals(ONE).cells.tolist() == [106]


def test_a_second_fold_changes_nothing(tmp_path: Path, state: Path) -> None:
    dies(tmp_path, 5)
    fold(state)
    before = (state / RETIRED).read_bytes()
    fold(state)
    assert (state / RETIRED).read_bytes() == before


def test_two_that_fold_at_once_do_not_wait_for_each_other(tmp_path: Path, state: Path) -> None:
    dies(tmp_path, 5)
    with folding._directory_locked(state, 0.0) as is_mine:
        assert is_mine

        def fold_meanwhile() -> None:
            fold(state)
            assert total(state) == 5
            assert not (state / RETIRED).exists()

        assert ended(fork(fold_meanwhile)) == 0
    fold(state)
    assert total(state) == 5


def test_many_that_fold_at_once_fold_each_file_once(tmp_path: Path, state: Path) -> None:
    hold, let_go = os.pipe()

    def count_and_wait() -> None:
        share(tmp_path, ONE, [1])
        os.write(tell, b"x")
        os.read(hold, 1)

    ready, tell = os.pipe()
    dying = [fork(count_and_wait) for _ in range(20)]
    for _ in dying:
        os.read(ready, 1)
    for child in dying:
        os.kill(child, signal.SIGKILL)
        ended(child)

    def fold_often() -> None:
        for _ in range(20):
            fold(state)
            assert total(state) == 20

    assert [ended(child) for child in [fork(fold_often) for _ in range(4)]] == [0] * 4
    fold(state)
    assert (total(state), live_files(state)) == (20, [])
    for end in (hold, let_go, ready, tell):
        os.close(end)


# --- crashes and readings at every step ------------------------------------------------------------------------------


STEPS = ["open", "pwrite", "rename", "unlink", "listdir"]
WHEN = ["before", "after"]


def act_at(name: str, number: int, when: str, act: Callable[[], object]) -> list[int]:
    """Have *act* happen at a call of a function of `os`; return a list with an item for each call so far."""
    real, seen = getattr(os, name), []

    def stand_in(*arguments: Any, **options: Any) -> Any:
        seen.append(1)
        is_now = len(seen) == number
        if is_now and when == "before":
            act()
        result = real(*arguments, **options)
        if is_now and when == "after":
            act()
        return result

    setattr(os, name, stand_in)
    return seen


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("name", STEPS)
def test_a_crash_at_any_step_of_a_fold_loses_and_doubles_nothing(tmp_path: Path, name: str, when: str) -> None:
    """Nor does what comes after it: another process dies, and the next fold completes."""
    reached = 0
    for number in range(1, 30):
        base = tmp_path / f"{number}"
        base.mkdir()
        dies(base, 1)  # no others to fold
        first = share(base, ONE, [0])  # folds it: now there is a retired file
        for more in (10, 100):
            dies(base, more)
        state = directory_of(base)

        def crash(number: int = number, state: Path = state) -> None:
            act_at(name, number, when, lambda: os._exit(77))
            fold(state)

        code = ended(fork(crash))
        assert code in (0, 77)
        assert total(state) == 111
        dies(base, 1000)
        assert total(state) == 1111
        fold(state)
        assert (total(state), len(live_files(state))) == (1111, 1)
        del first
        if code == 0:
            break
        reached += 1
    assert reached >= (1 if name in ("rename", "pwrite") else 2)


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("name", ["open", "rename", "unlink", "listdir", "pwrite"])
def test_a_reading_in_the_midst_of_a_fold_has_every_count_once(tmp_path: Path, name: str, when: str) -> None:
    for number in range(1, 30):
        base = tmp_path / f"{number}"
        base.mkdir()
        for more in (1, 10, 100):
            dies(base, more)
        state = directory_of(base)

        def read_and_fold(number: int = number, state: Path = state) -> None:
            def read() -> None:
                assert ended(fork(lambda: check_total(state, 111))) == 0

            seen = act_at(name, number, when, read)
            fold(state)
            assert len(seen) >= number

        if ended(fork(read_and_fold)):
            assert number > 1
            break


def test_a_fold_that_is_stopped_at_any_step_holds_up_nobody_and_goes_on(tmp_path: Path) -> None:
    """During the stop others count, read, die and fold, if they get the lock."""
    for step in itertools.count(1):
        base = tmp_path / f"{step}"
        base.mkdir()
        for number in (1, 10):
            dies(base, number)
        state = directory_of(base)

        def fold_and_stop(step: int = step, state: Path = state) -> None:
            stop_at(step)
            fold(state)

        child = fork(fold_and_stop)
        is_unfinished = has_stopped(child)
        assert total(state) == 11
        dies(base, 100)
        alive = share(base, ONE, [1000])
        fold(state)
        assert total(state) == 1111
        assert go_on(child) == 0
        assert total(state) == 1111
        fold(state)
        assert (total(state), len(live_files(state))) == (1111, 1)
        del alive
        if not is_unfinished:
            break
    assert step > 10


def check_total(state: Path, expected: int) -> None:
    """Fail unless this is the total."""
    assert total(state) == expected


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("name", ["open", "listdir", "pread"])
def test_a_fold_in_the_midst_of_a_reading_is_noticed(tmp_path: Path, name: str, when: str) -> None:
    """Whatever the reading has seen already: what was there is gone, and what it held is in another file."""
    for number in range(1, 12):
        base = tmp_path / f"{number}"
        base.mkdir()
        for more in (1, 10, 100):
            dies(base, more)
        state = directory_of(base)

        def read(number: int = number, state: Path = state) -> None:
            act_at(name, number, when, lambda: ended(fork(lambda: fold(state))))
            check_total(state, 111)

        assert ended(fork(read)) == 0


def test_files_that_are_folded_but_still_there_are_not_counted_twice(tmp_path: Path, state: Path) -> None:
    """Not even while another fold cannot take them: someone may hold them, or there are no descriptors left."""
    dies(tmp_path, 5)

    def crash() -> None:
        act_at("unlink", 1, "before", lambda: os._exit(77))
        fold(state)

    assert ended(fork(crash)) == 77
    assert total(state) == 5
    held = [take_if_dead(state / name) for name in live_files(state)]
    assert all(descriptor is not None for descriptor in held)
    assert total(state) == 5

    dies(tmp_path, 10)
    fold(state)
    assert total(state) == 15
    for descriptor in held:
        os.close(descriptor)  # type: ignore[arg-type]
    fold(state)
    assert (total(state), live_files(state)) == (15, [])


def test_a_starting_process_does_not_disturb_a_fold(tmp_path: Path, state: Path) -> None:
    """Its file has another name a moment after it was seen."""
    dies(tmp_path, 5)

    def fold_while_one_starts() -> None:
        new = state / "new-0"
        new.touch()
        real = os.listdir

        def listdir(path: Any) -> list[str]:
            names = real(path)
            if new.exists():
                new.rename(state / "other")
            return names

        os.listdir = listdir  # type: ignore[assignment]
        folding._Fold(state, waiting_records, None, Moment.now(), ())._remove_left_behind({})

    assert ended(fork(fold_while_one_starts)) == 0


def test_what_was_never_finished_is_removed_in_the_end(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (state / "new-x").write_bytes(b"half")
    dies(tmp_path, 1)
    fold(state)
    assert (state / "new-x").exists()
    os.utime(state / "new-x", (0, 0))
    owner = OwnerLock(state / "new-x", os.O_RDWR)  # a process that is just making it, before a clock that jumped
    dies(tmp_path, 1)
    fold(state)
    assert (state / "new-x").exists()
    owner.release()
    dies(tmp_path, 1)
    fold(state)
    assert not (state / "new-x").exists()


# --- load ------------------------------------------------------------------------------------------------------------

COUNTERS = 6
KILLS = 60
READERS = 3
CELLS = 40


def test_no_counter_falls_while_processes_are_killed(tmp_path: Path, state: Path) -> None:
    """They count without end, each reports what it has counted after it has, and is killed at random."""
    section = model_section(CELLS, baseline="wide")
    stop, tell_stop = os.pipe()

    def count(answered: int) -> None:
        counts = Counts(Store(same_directory(tmp_path)), section)
        increments = Increments(list(range(CELLS)))
        while True:
            counts.add(increments)
            os.write(answered, b"x")

    def read() -> None:
        store = Store(same_directory(tmp_path))
        os.set_blocking(stop, False)
        before = np.zeros(CELLS, np.int64)
        readings = 0
        while not is_over(stop):
            store.tidy()
            cells = store.totals(section).cells
            assert (cells >= before).all(), (cells - before).tolist()
            before = cells
            readings += 1
        assert readings > 20

    readers = [fork(read) for _ in range(READERS)]
    rng = random.Random(0)
    answers, report = os.pipe()
    os.set_blocking(answers, False)
    answered = 0
    counters = [fork(lambda: count(report)) for _ in range(COUNTERS)]
    for _ in range(KILLS):
        more = rng.randrange(50, 400)
        wanted = answered + more
        while answered < wanted:
            try:
                answered += len(os.read(answers, 65536))
            except BlockingIOError:
                os.sched_yield()
        victim = counters.pop(rng.randrange(COUNTERS))
        os.kill(victim, signal.SIGKILL)
        assert ended(victim) == -signal.SIGKILL
        counters.append(fork(lambda: count(report)))
    for child in counters:
        os.kill(child, signal.SIGKILL)
        ended(child)
    os.write(tell_stop, b"x" * READERS)
    assert [ended(reader) for reader in readers] == [0] * READERS
    os.close(report)
    while chunk := os.read(answers, 65536):
        answered += len(chunk)
    fold(state)
    cells = read_directory(state).totals(section).cells
    # Each killed process may have counted one more, or a part of it, that it did not report.
    assert answered <= cells.min()
    assert cells.max() <= answered + KILLS + COUNTERS
    assert live_files(state) == []
    for end in (answers, stop, tell_stop):
        os.close(end)


def is_over(stop: int) -> bool:
    """Say whether something can be read."""
    try:
        return bool(os.read(stop, 1))
    except BlockingIOError:
        return False


def test_more_dead_than_files_may_be_open_are_folded(tmp_path: Path, state: Path) -> None:
    """A thousand workers may die at once, and 1,024 files is what a process may have open."""
    for _ in range(40):
        dies(tmp_path, 1)

    def fold_with_few_files() -> None:
        with no_more_files(spare=20):
            for _ in range(10):
                fold(state)
        assert total(state) == 40
        assert live_files(state) == []

    assert ended(fork(fold_with_few_files)) == 0


def test_no_count_is_lost_for_want_of_descriptors(tmp_path: Path, state: Path) -> None:
    """A file that cannot be opened just now is not one that is not there."""
    dies(tmp_path, 5)
    fold(state)
    dies(tmp_path, 10)

    for spare in range(6):

        def fold_with_few_files(spare: int = spare) -> None:
            real = os.open

            def open_again_later(path: Any, *arguments: Any, **options: Any) -> int:
                # Others close their files now, so that the next attempt succeeds.
                try:
                    return real(path, *arguments, **options)
                except OSError:
                    limits.close()
                    raise

            with contextlib.ExitStack() as limits:
                limits.enter_context(no_more_files(spare))
                os.open = open_again_later  # type: ignore[assignment]
                with contextlib.suppress(OSError):
                    fold(state)

        assert ended(fork(fold_with_few_files)) == 0
        assert total(state) == 15


def test_a_reading_that_fails_is_no_reading_of_nothing(tmp_path: Path, state: Path) -> None:
    """Else all counters fall while clients hold all connections, and what the windows hold is everything."""
    dies(tmp_path, 5)
    fold(state)
    share_elsewhere = share(tmp_path, ONE, [10])
    own = share(tmp_path, ONE, [100])
    assert own.totals(ONE).cells.tolist() == [115]
    for spare in range(4):
        with no_more_files(spare):
            try:
                found = own.totals(ONE).cells.tolist()
            except OSError:
                continue
        assert found == [115]
    del share_elsewhere


# --- full disks ------------------------------------------------------------------------------------------------------


def test_a_disk_that_is_full_keeps_everything(tmp_path: Path) -> None:
    base = tmp_path / "disk"
    with mounted(base, "256k"):
        section = model_section(2000)
        for number in (1, 10, 100):
            dies(base, number, section)
        state = directory_of(base)
        filler = base / "filler"
        fill(filler)
        before = sorted(os.listdir(state))
        with pytest.raises(OSError, match="No space left"):
            fold(state)
        assert sorted(os.listdir(state)) == before
        assert total(state, section) == 111
        filler.unlink()
        fold(state)
        assert (total(state, section), live_files(state)) == (111, [])


def test_a_process_counts_where_others_can_read_although_nothing_can_be_folded(tmp_path: Path) -> None:
    """There is room for its own file, but not for the larger one of all dead."""
    base = tmp_path / "disk"
    with mounted(base, "256k"):
        for baseline in ("a", "b", "c"):
            dies(base, 1, model_section(6000, baseline=baseline))
        own = share(base, ONE, [7])
        assert own.totals(ONE).cells.tolist() == [7]
        assert total(directory_of(base)) == 7


# --- a retired file that cannot be used ------------------------------------------------------------------------------


def damaged(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


BROKEN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "damaged": (damaged, DAMAGED),
    "cut": (lambda data: data[:5000], DAMAGED),
    "empty": (lambda data: b"", DAMAGED),
    "foreign": (lambda data: b"# HELP something", FOREIGN),
    "other format": (lambda data: struct.pack("=8sQ", b"boxkite\n", FORMAT ^ 1) + data[16:], OTHER_FORMAT),
    "highest generation": (lambda data: data[:16] + b"\xff" * 8 + data[24:], DAMAGED),
}


@pytest.mark.parametrize(("break_it", "kind"), BROKEN.values(), ids=BROKEN)
def test_a_retired_file_that_cannot_be_used_is_counted_and_written_anew(
    tmp_path: Path, state: Path, break_it: Callable[[bytes], bytes], kind: str
) -> None:
    dies(tmp_path, 5)
    fold(state)
    path = state / RETIRED
    path.write_bytes(break_it(path.read_bytes()))
    store = share(tmp_path, ONE, [10])
    assert folded(state) == {kind: 1}
    assert store.totals(ONE).cells.tolist() == [10]
    dies(tmp_path, 100)
    for _ in range(2):
        store.tidy()
        assert folded(state) == {kind: 1, FOLDED: 1}
        assert store.totals(ONE).cells.tolist() == [110]


# --- files that cannot be used ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "kind"),
    [(b"", DAMAGED), (b"text", FOREIGN), (struct.pack("=8sQQI", b"boxkite\n", 1, 0, 0).ljust(4096), OTHER_FORMAT)],
    ids=["empty", "foreign", "other format"],
)
def test_files_that_are_left_out_are_counted_once_however_many_folds(
    tmp_path: Path, state: Path, data: bytes, kind: str
) -> None:
    (state / "live-x").write_bytes(data)
    for number in range(3):
        dies(tmp_path, 1)
        fold(state)
        assert folded(state) == {kind: 1, FOLDED: number + 2}
    assert (state / "live-x").read_bytes() == data


def test_a_left_out_file_that_someone_holds_for_a_while_is_counted_once(tmp_path: Path, state: Path) -> None:
    (state / "live-x").write_bytes(b"")
    fold(state)
    descriptor = take_if_dead(state / "live-x")
    assert descriptor is not None
    dies(tmp_path, 1)
    fold(state)
    os.close(descriptor)
    fold(state)
    assert folded(state)[DAMAGED] == 1


@pytest.mark.parametrize(
    ("data", "stays"),
    [
        pytest.param(b"text", True, id="foreign"),
        pytest.param(struct.pack("=8sQ", b"boxkite\n", 1), False, id="damaged"),
    ],
)
def test_only_what_may_be_ours_is_deleted_after_a_day(tmp_path: Path, state: Path, data: bytes, stays: bool) -> None:
    (state / "live-x").write_bytes(data)
    for seconds in (0, 86500):
        dies(tmp_path, 1)
        fold(state, clock=later(seconds))
    assert (state / "live-x").exists() is stays


def test_a_file_of_another_format_is_deleted_after_a_day(tmp_path: Path, state: Path) -> None:
    path = state / "live-x"
    path.write_bytes(struct.pack("=8sQQI", b"boxkite\n", 1, 0, 0).ljust(4096))
    os.utime(path, (0, 0))  # says nothing: it is the word of a clock
    dies(tmp_path, 1)
    fold(state)
    assert path.exists()
    dies(tmp_path, 1)
    fold(state, clock=later(86500))
    assert not path.exists()
    assert folded(state)[OTHER_FORMAT] == 1


# --- sums ------------------------------------------------------------------------------------------------------------


def test_no_sum_falls_with_the_order_of_addition(tmp_path: Path, rng: np.random.Generator) -> None:
    """By a last digit, say: Prometheus takes any fall for a restart, and adds the whole sum to the rate."""
    section = model_section(1, 200)
    stores = [share(tmp_path, section, [1], rng.exponential(size=200).tolist()) for _ in range(4)]
    expected = stores[0].totals(section).sums.tolist()
    for store in stores:
        assert store.totals(section).sums.tolist() == expected
    while stores:
        del store
        stores.pop(0)
        fold(directory_of(tmp_path))
        assert read_directory(directory_of(tmp_path)).totals(section).sums.tolist() == expected
        store = None


# --- several baselines -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [-86400.0, 86400.0, 365 * 86400.0], ids=["a day back", "a day on", "a year on"])
def test_a_wall_clock_that_jumps_hides_and_forgets_nothing(tmp_path: Path, state: Path, jump: float) -> None:
    old = model_section(baseline="old")
    dies(tmp_path, 5, old)
    fold(state)
    clock = later(0, jump=jump)
    assert old.key in read_directory(state, clock=clock).current
    dies(tmp_path, 1)
    fold(state, clock=clock)
    assert total(state, old) == 5


@pytest.mark.parametrize(
    ("uptime", "jump", "is_shown"),
    [(10.0, 0.0, True), (10.0, 1e7, True), (1e6, 0.0, True), (1e6, 1e7, False), (1e6, -1e7, False)],
    ids=["just booted", "just booted, clock ahead", "another machine", "long ago", "clock was ahead"],
)
def test_after_a_reboot_two_clocks_must_agree_on_an_age(
    tmp_path: Path, state: Path, uptime: float, jump: float, is_shown: bool
) -> None:
    old = model_section(baseline="old")
    dies(tmp_path, 5, old)
    fold(state)
    now = Moment("another", uptime, time.time() + jump)
    assert (old.key in read_directory(state, clock=lambda: now).current) is is_shown


def test_a_baseline_is_shown_for_ten_minutes_after_its_last_process(tmp_path: Path, state: Path) -> None:
    old = model_section(baseline="old")
    dies(tmp_path, 5, old)
    assert old.key in read_directory(state).current
    fold(state)
    assert old.key in read_directory(state).current
    assert old.key in read_directory(state, clock=later(599)).current
    reading = read_directory(state, clock=later(601))
    assert old.key not in reading.current
    assert reading.totals(old).cells.tolist() == [5]


def test_a_baseline_is_forgotten_after_a_day(tmp_path: Path, state: Path) -> None:
    old, kept = model_section(baseline="old"), model_section(baseline="kept")
    dies(tmp_path, 5, old)
    dies(tmp_path, 6, kept)
    alive = share(tmp_path, kept, [10])
    fold(state)
    for section in (old, kept):
        windows_path(state, section.key).write_bytes(b"ring")
    dies(tmp_path, 1)
    fold(state, clock=later(86300))
    assert total(state, old) == 5
    dies(tmp_path, 1)
    fold(state, clock=later(86500))
    assert total(state, old) == 0
    assert not windows_path(state, old.key).exists()
    assert total(state, kept) == 16
    assert windows_path(state, kept.key).exists()
    assert total(state) == 2
    del alive


def test_a_sink_is_never_forgotten(tmp_path: Path, state: Path) -> None:
    dies(tmp_path, 5, SINK)
    fold(state)
    dies(tmp_path, 1)
    fold(state, clock=later(200_000))
    assert total(state, SINK) == 5


def test_a_baseline_that_comes_back_goes_on(tmp_path: Path, state: Path) -> None:
    old = model_section(baseline="old")
    dies(tmp_path, 5, old)
    dies(tmp_path, 7)
    back = share(tmp_path, old, [10])
    assert back.totals(old).cells.tolist() == [15]


# --- sinks -----------------------------------------------------------------------------------------------------------


def sink_cells(accepted: int, delivered: int, full: int, waiting_bytes: int) -> list[int]:
    """Return the cells of a sink."""
    cells = [0] * SINK_CELLS
    cells[ACCEPTED], cells[DELIVERED], cells[WAITING_BYTES] = accepted, delivered, waiting_bytes
    cells[DROPPED["queue_full"]] = full
    return cells


def records(state: Path) -> RecorderCounts:
    """Return what became of records."""
    return RecorderCounts.of(read_directory(state).totals(SINK).cells.tolist())


def test_what_waited_in_a_dead_process_is_dropped(tmp_path: Path, state: Path) -> None:
    alive = share(tmp_path, SINK, sink_cells(100, 90, 3, 700))
    killed(lambda: share(tmp_path, SINK, sink_cells(10, 5, 2, 300)))
    before = records(state)
    assert (before.accepted, before.delivered, before.waiting, before.waiting_bytes) == (110, 95, 10, 1000)
    fold(state)
    after = records(state)
    assert (after.accepted, after.delivered, after.waiting, after.waiting_bytes) == (110, 95, 7, 700)
    assert {reason: number for reason, number in after.dropped.items() if number} == {
        "queue_full": 5,
        "process_died": 3,
    }
    del alive


def test_what_is_lost_is_logged_once(tmp_path: Path, state: Path, caplog: pytest.LogCaptureFixture) -> None:
    killed(lambda: share(tmp_path, SINK, sink_cells(10, 5, 2, 300)))
    fold(state)
    dies(tmp_path, 1)
    fold(state)
    assert caplog.messages == [
        "Dropped 3 records for the sink 'file' ('process_died'): their process ended before it could deliver them. "
        "Set 'BOXKITE_SPOOL_DIR' to keep records on disk until they are delivered."
    ]


def test_what_waits_on_disk_of_a_dead_process_goes_on_waiting(tmp_path: Path, state: Path) -> None:
    log = made(tmp_path / "spool")
    fill_up(log, 10, 4)
    (log.directory / "0.seg").mkdir()  # what is no file of records must not stop the fold
    section = records_section("file", os.fsencode(log.directory))
    killed(lambda: share(tmp_path, section, sink_cells(10, 3, 0, 500)))
    fold(state)
    after = records(state)
    assert (after.accepted, after.waiting, after.dropped["process_died"], after.waiting_bytes) == (10, 4, 3, 0)


def test_what_another_has_delivered_before_the_fold_does_not_wait_any_more(
    tmp_path: Path, state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor does the log say that it is lost."""
    section = records_section("file", os.fsencode(tmp_path / "spool" / "gone"))
    killed(lambda: share(tmp_path, section, sink_cells(10, 3, 0, 0)))
    fold(state)
    after = records(state)
    assert (after.accepted, after.waiting, after.dropped["process_died"]) == (10, 0, 7)
    assert caplog.messages == []


def test_records_that_cannot_be_counted_for_want_of_descriptors_are_not_taken_for_lost(
    tmp_path: Path, state: Path
) -> None:
    log = made(tmp_path / "spool")
    fill_up(log, 10, 4)
    section = records_section("file", os.fsencode(log.directory))
    killed(lambda: share(tmp_path, section, sink_cells(4, 0, 0, 0)))

    def fail(directory: Path) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with pytest.raises(OSError, match="Too many open files"):
        folding.fold(state, fail)
    fold(state)
    assert (records(state).waiting, records(state).dropped["process_died"]) == (4, 0)


def test_of_some_numbers_of_a_sink_the_highest_counts(tmp_path: Path, state: Path) -> None:
    stores = []
    for delivery, backoff in ((3000, 50), (9000, 10), (5000, 30)):
        cells = sink_cells(1, 1, 0, 0)
        cells[LAST_DELIVERY_MS], cells[BACKOFF_MS], cells[RETRIES] = delivery, backoff, 2
        if delivery == 9000:
            killed(lambda cells=cells: share(tmp_path, SINK, cells))  # type: ignore[misc]
        else:
            stores.append(share(tmp_path, SINK, cells))
    for is_folded in (False, True):
        if is_folded:
            fold(state)
        counts = records(state)
        # What is dead waits for nothing.
        assert (counts.last_delivery, counts.backoff, counts.retries, counts.accepted) == (9.0, 0.05, 6, 3)


def test_the_highest_is_not_taken_of_numbers_of_models(tmp_path: Path, state: Path) -> None:
    wide = model_section(cells=SINK_CELLS, baseline="wide")
    stores = [share(tmp_path, wide, [5] * SINK_CELLS) for _ in range(2)]
    assert stores[0].totals(wide).cells.tolist() == [10] * SINK_CELLS


def test_records_add_up_while_processes_come_and_go(tmp_path: Path, state: Path) -> None:
    stop, tell_stop = os.pipe()

    def count() -> None:
        store = share(tmp_path, SINK, [])
        block = store.block(SINK)
        while True:
            for cell, number in ((ACCEPTED, 3), (DELIVERED, 1), (DROPPED["queue_full"], 1)):
                with block.lock:
                    block.cells[cell] += number

    def read() -> None:
        os.set_blocking(stop, False)
        last = records(state)
        while not is_over(stop):
            fold(state)
            counts = records(state)
            assert counts.accepted == counts.delivered + counts.waiting + sum(counts.dropped.values())
            assert counts.accepted >= last.accepted
            assert counts.delivered >= last.delivered
            assert all(counts.dropped[reason] >= number for reason, number in last.dropped.items())
            last = counts

    keeper = share(tmp_path, SINK, sink_cells(1, 1, 0, 0))
    reader = fork(read)
    children = [fork(count) for _ in range(2)]
    for _ in range(20):
        now = records(state).accepted
        wait_for(lambda now=now: records(state).accepted > now + 100, what="more records")  # type: ignore[misc]
        victim = children.pop(0)
        os.kill(victim, signal.SIGKILL)
        ended(victim)
        children.append(fork(count))
    for child in children:
        os.kill(child, signal.SIGKILL)
        ended(child)
    os.write(tell_stop, b"x")
    assert ended(reader) == 0
    fold(state)
    assert records(state).waiting == 0
    os.close(stop)
    os.close(tell_stop)
    del keeper


def test_the_states_of_files_are_those_of_the_wire() -> None:
    assert STATE_FILES == (FOLDED, DAMAGED, FOREIGN, OTHER_FORMAT, "unwritable")


def test_what_another_release_has_folded_is_left_alone(tmp_path: Path, state: Path) -> None:
    """During an upgrade the processes of two releases may be at work in one directory."""
    theirs = state / "retired-00000000"
    theirs.write_bytes(b"in another format")
    dies(tmp_path, 2)
    fold(state)
    assert theirs.read_bytes() == b"in another format"
    assert (state / RETIRED).exists()
