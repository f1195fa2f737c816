"""What the windows hold, against a plain list of what happened when, over processes, files and damage."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_boxkite import ModelMonitoringService
from flask_boxkite.live import snapshot_ring as ring_module
from flask_boxkite.live import windows as module
from flask_boxkite.live.clock import uptime
from flask_boxkite.live.counts import Counts
from flask_boxkite.live.folding import windows_path
from flask_boxkite.live.increments import Increments
from flask_boxkite.live.snapshot_ring import SNAPSHOTS, RingFile
from flask_boxkite.live.store import Store
from flask_boxkite.live.windows import WINDOWS, Windows
from tests.faults import ended, file_size_limit, fork, go_on, has_stopped, killed, run_in_child, stop_at
from tests.live.directories import directory_of, fold, model_section, same_directory

SLOTS = {"5m": 10.0, "1h": 60.0, "24h": 900.0}
ONE = model_section(2, 1)


class Clock:
    """A monotonic time that moves when told to, and a wall clock that is ahead of it.

    Attributes:
        now: The monotonic time.
        ahead: How far the wall clock is ahead.
    """

    def __init__(self, now: float = 1_000_003.0, ahead: float = 0.0) -> None:
        self.now = now
        self.ahead = ahead

    def __call__(self) -> float:
        return self.now

    def wall(self) -> float:
        """Return the Unix time."""
        return self.now + self.ahead


class Server:
    """Processes of one server, as far as files go, and a list of what they have counted when."""

    def __init__(self, base: Path, clock: Clock | None = None) -> None:
        self.base = base
        self.clock = clock or Clock()
        self.boot = "one"
        self.began_ahead = self.clock.ahead
        self.processes: dict[int, Counts] = {}
        self.events: list[float] = []

    def process(self, number: int) -> Counts:
        """Return a process, started if need be."""
        if number not in self.processes:
            store = Store(same_directory(self.base), self.clock, self.clock.wall, boot=lambda: self.boot)
            self.processes[number] = Counts(store, ONE)
        return self.processes[number]

    def count(self, number: int) -> None:
        """Count one row in a process."""
        increments = Increments([0, 1, 1])
        increments.sums.append((0, 0.5))
        self.process(number).add(increments)
        self.events.append(self.clock.now)

    def end(self, number: int) -> None:
        """End a process."""
        self.processes.pop(number, None)

    def check(self, number: int = 0) -> None:
        """Compare what a process reads with the list.

        A window reaches back up to one slot less than its name says: nothing older is in it, and all that is younger.
        """
        for name, seconds in WINDOWS.items():
            ages, counts = self.process(number).slots(name)
            begins = self.clock.now - seconds
            most = sum(event >= begins for event in self.events)
            least = sum(event >= begins + SLOTS[name] for event in self.events)
            rows = int(counts[:, 0].sum())
            assert least <= rows <= most, (name, rows, least, most)
            assert counts[:, 1].tolist() == (2 * counts[:, 0]).tolist()
            begun = [self.slot(name, self.clock.now - age) for age in ages.tolist()]
            # A process that crashes after a snapshot leaves a slot without rows.
            found = {slot: count for slot, count in zip(begun, counts[:, 0].tolist(), strict=True) if count}
            last = self.events[len(self.events) - rows :]
            by_slot = Counter(self.slot(name, event) for event in last)
            assert list(found.items()) == list(by_slot.items())

    def slot(self, name: str, event: float) -> int:
        """Return the number of the slot of an event, by the wall clock that the server began with."""
        return math.floor((event + self.began_ahead) / SLOTS[name])


STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.5, 3.0, 9.5, 10.0, 59.0, 299.0, 300.0, 301.0, 900.0, 3599.0, 7200.0, 86399.0, 90000.0])
        | st.integers(0, 2800).map(lambda number: number / 4),
        st.integers(0, 2),
        st.sampled_from(["count", "count", "count", "read", "end", "fold"]),
    ),
    max_size=60,
)


# In quarters of a second, so that no sum of times is rounded.
QUARTERS = st.integers(90_000 * 4, 200_000 * 4).map(lambda number: number / 4)


@given(
    begins=st.sampled_from([4e5, 1e9]) | QUARTERS,
    ahead=st.sampled_from([0.0, 7.25, 1_790_000_013.5, -80_000.0]),
    steps=STEPS,
)
@settings(max_examples=80)
def test_windows_hold_what_was_counted_since(begins: float, ahead: float, steps: list[tuple[float, int, str]]) -> None:
    with tempfile.TemporaryDirectory() as base:
        server = Server(Path(base), Clock(begins, ahead))
        for seconds, number, act in steps:
            server.clock.now += seconds
            if act == "count":
                server.count(number)
            elif act == "end":
                server.end(number)
            elif act == "fold" and directory_of(server.base).exists():
                fold(directory_of(server.base))
            server.check(number)


@pytest.mark.parametrize("uptime", [0.0, 5.0, 200.0, 1000.0, 5000.0, 80_000.0])
def test_windows_may_reach_back_beyond_the_start_of_the_machine(tmp_path: Path, uptime: float) -> None:
    def check() -> None:
        server = Server(tmp_path, Clock(uptime + 0.25))
        server.check()
        for _ in range(3):
            server.count(0)
            server.check()
            server.clock.now += 7
            server.check()
            server.count(1)
            server.check(1)
            server.clock.now += 1000

    run_in_child(check, 5)


def test_counts_of_before_the_last_start_of_the_machine_are_in_no_window(tmp_path: Path) -> None:
    """They stay in a directory that was asked for; the machine runs for a shorter time than the window is long."""
    server = Server(tmp_path)
    server.count(0)
    server.end(0)
    server.boot = "another"
    server.clock.now = 5000.0
    server.events.clear()
    server.check()
    server.count(0)
    server.check()


@pytest.mark.parametrize("name", WINDOWS)
def test_rows_leave_the_window_in_time(tmp_path: Path, name: str) -> None:
    server = Server(tmp_path)
    began = server.clock.now
    server.count(0)
    for part in (0.5, 0.9, 1 - SLOTS[name] / WINDOWS[name], 1.0):
        server.clock.now = began + part * WINDOWS[name]
        assert server.process(1).slots(name).cells[:, 0].sum() == 1
    server.clock.now = began + WINDOWS[name] + 0.001
    assert server.process(1).slots(name).cells[:, 0].sum() == 0


def test_a_busy_day_is_followed_to_the_slot(tmp_path: Path) -> None:
    server = Server(tmp_path)
    for number in range(1500):
        server.clock.now += 61.7
        server.count(number % 3)
        if number % 10 == 0:
            server.end(number % 4)
            server.check(number % 2)


def test_a_day_of_snapshots_is_bounded(tmp_path: Path) -> None:
    server = Server(tmp_path)
    for _ in range(3000):
        server.clock.now += 60
        server.count(0)
    path = windows_path(directory_of(tmp_path), ONE.key)
    assert path.stat().st_size <= 200 * 8 * 3 + 200 * 8 + 64


def test_without_a_place_windows_are_kept_in_memory() -> None:
    clock = Clock()
    counts = Counts(Store(None, clock, clock.wall), ONE)
    counts.add(Increments([0]))
    clock.now += 299
    counts.add(Increments([0]))
    assert counts.slots("5m").cells[:, 0].sum() == 2
    clock.now += 2
    assert counts.slots("5m").cells[:, 0].sum() == 1
    assert counts.slots("1h").cells[:, 0].sum() == 2


# --- slot by slot ----------------------------------------------------------------------------------------------------


def test_slots_of_all_processes_stand_in_their_order(tmp_path: Path) -> None:
    server = Server(tmp_path, Clock(1_000_000.0))
    for number, rows in enumerate((3, 1, 0, 2)):
        for _ in range(rows):
            server.count(number % 2)
        server.clock.now += 60
    server.clock.now -= 60

    assert server.process(2).slots("1h").cells.tolist() == [[3, 6], [1, 2], [2, 4]]
    assert server.process(0).slots("24h").cells.tolist() == [[6, 12]]


def test_before_the_first_row_there_is_no_slot(tmp_path: Path) -> None:
    for counts in (Server(tmp_path).process(0), Counts(Store(None), ONE)):
        assert counts.slots("1h").cells.shape == (0, 2)


def test_no_more_snapshots_are_read_than_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(tmp_path, Clock(1_000_000.0))
    for _ in range(100):
        server.count(0)
        server.clock.now += 60
    read: list[int] = []
    real = ring_module._OpenFile.read

    def reading(ring: Any, offset: int, size: int) -> bytes:
        read.append(size)
        return real(ring, offset, size)

    monkeypatch.setattr(ring_module._OpenFile, "read", reading)
    counts = server.process(0)
    size = counts._store.windows(ONE)._format.snapshot_bytes

    def snapshots_read() -> int:
        number = read.count(size)
        read.clear()
        return number

    history, totals = counts.history()
    assert len(history.snapshots) == 60 + 3
    assert snapshots_read() == 0
    history.window("24h", totals)
    assert snapshots_read() == 1
    assert len(history.slots("1h", totals).cells) == snapshots_read() == 60


def test_all_windows_are_in_one_history(tmp_path: Path) -> None:
    """Of the last minutes every 10 seconds, of the last hour every minute, of the last day every quarter of an hour."""
    server = Server(tmp_path, Clock(1_000_000.0))
    for _ in range(8640):
        server.count(0)
        server.clock.now += 10
    history, totals = server.process(1).history()
    end = history.now
    assert end == 1_086_400.0
    expected = {
        taken
        for name, seconds in WINDOWS.items()
        for taken in np.arange(1_000_000.0, end, 10.0).tolist()
        if taken >= end - seconds and (taken == 1_000_000.0 or taken // SLOTS[name] != (taken - 10) // SLOTS[name])
    }
    assert list(history.snapshots) == sorted(expected)
    for taken, cells in history.snapshots.items():
        rows = (taken - 1_000_000.0) / 10
        assert cells.tolist() == [rows, 2 * rows]
    for name in WINDOWS:
        assert history.window(name, totals).tolist() == history.slots(name, totals).cells.sum(axis=0).tolist()


def test_a_snapshot_that_is_written_over_meanwhile_is_left_out(tmp_path: Path) -> None:
    """The slots beside it become one."""
    server = Server(tmp_path, Clock(1_000_000.0))
    for _ in range(4):
        server.count(0)
        server.clock.now += 60
    history, totals = server.process(0).history()
    with RingFile(ring_of(server)).open() as ring:
        data = ring.read(ring_module._LABELS_AT, 8 * SNAPSHOTS)
        for label in (1_000_000.0, 1_000_060.0):
            data = data.replace(struct.pack("=d", label), struct.pack("=d", math.nan))
        ring.write(ring_module._LABELS_AT, data)

    assert list(history.snapshots) == [1_000_000.0, 1_000_060.0, 1_000_120.0, 1_000_180.0]
    assert history.slots("1h", totals).cells[:, 0].tolist() == [1, 1]
    assert history.window("1h", totals).tolist() == [2, 4]
    with pytest.raises(KeyError):
        history.snapshots[1_000_060.0]


# --- who reads -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", ["nothing", "a reading"])
def test_a_process_that_has_not_counted_yet_reads_windows(tmp_path: Path, after: str) -> None:
    server = Server(tmp_path)
    server.count(0)
    other = server.process(1)
    if after == "a reading":
        other.totals()
    assert other.slots("5m").cells.sum(axis=0).tolist() == [1, 2]


def test_drift_of_the_last_minutes_is_seen_by_every_process(tmp_path: Path, rng: np.random.Generator) -> None:
    baseline = ModelMonitoringService.export_text(
        {"x": rng.normal(size=1000)}, rng.normal(size=1000), tmp_path / "histogram.prom"
    )
    service = ModelMonitoringService(baseline, sink="none", state_dir=str(tmp_path / "state"))

    def count() -> None:
        for _ in range(50):
            service.log_prediction(None, [0.0], 0.0)

    killed(count)

    def read() -> None:
        assert service.drift("5m")["x"].live_rows == 50

    run_in_child(read)
    assert service.drift("5m")["x"].live_rows == 50


# --- restarts and clocks ---------------------------------------------------------------------------------------------


def test_windows_go_on_after_a_restart(tmp_path: Path) -> None:
    server = Server(tmp_path)
    for _ in range(5):
        server.count(0)
        server.clock.now += 100
        server.end(0)
        server.check()
        server.end(0)


def test_steps_of_the_wall_clock_move_no_window(tmp_path: Path) -> None:
    """Neither for processes that saw it step, nor for those that started since."""
    server = Server(tmp_path, Clock(ahead=1_790_000_000.0))
    for step in (0.0, 1e9, -1e6, 86400.0 * 3, -1.0):
        server.clock.ahead += step
        server.clock.now += 100
        server.count(0)
        server.count(2)
        server.end(0)
        server.check(1)
        server.check(2)


@pytest.mark.parametrize("step", [3600.0, -3600.0, 365 * 86400.0, 12.345])
@pytest.mark.parametrize("is_shared", [True, False])
def test_times_of_snapshots_are_told_by_the_wall_clock_of_now(tmp_path: Path, step: float, is_shared: bool) -> None:
    clock = Clock(ahead=1_790_000_000.0)
    counts = Counts(Store(same_directory(tmp_path) if is_shared else None, clock, clock.wall), ONE)
    counts.add(Increments([0]))
    began = clock.now
    clock.now += 70
    counts.add(Increments([0]))
    clock.ahead += step
    clock.now += 30

    history, totals = counts.history()
    assert history.now == pytest.approx(clock.wall())
    assert list(history.snapshots) == pytest.approx([began + clock.ahead, began + 70 + clock.ahead])
    assert [cells.sum() for cells in history.snapshots.values()] == [0, 1]
    clock.ahead += 0.2  # is none
    assert list(counts.history()[0].snapshots) == list(history.snapshots)
    assert history.window("5m", totals).sum() == 2


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="only Linux has a clock that counts suspends")
def test_time_goes_by_while_the_machine_is_suspended() -> None:
    """No test can suspend the machine it runs on; that clock is the one which runs on."""
    assert time.clock_gettime(time.CLOCK_BOOTTIME) <= uptime() <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_a_clock_that_steps_before_anything_is_counted_is_no_matter(tmp_path: Path) -> None:
    server = Server(tmp_path, Clock(ahead=1_790_000_000.0))
    server.check(0)
    server.check(1)
    server.clock.ahead += 3600.5
    server.began_ahead = server.clock.ahead
    server.count(0)
    server.check(1)


@pytest.mark.parametrize("ahead", [0.0, 3.25, 1_790_000_013.5, -500_000.0])
@pytest.mark.parametrize("is_shared", [True, False], ids=["files", "memory"])
def test_slots_begin_at_multiples_of_the_wall_clock(tmp_path: Path, ahead: float, is_shared: bool) -> None:
    """Whatever the monotonic clock says: the first row of each has its own snapshot."""
    clock = Clock(1_000_001.5, ahead)
    counts = Counts(Store(same_directory(tmp_path) if is_shared else None, clock, clock.wall), ONE)
    begun: dict[str, dict[int, float]] = {name: {} for name in WINDOWS}
    for _ in range(700):
        counts.add(Increments([0]))
        for name, slots in begun.items():
            slots.setdefault(math.floor(clock.wall() / SLOTS[name]), clock.wall())
        clock.now += 2.25
    for name, slots in begun.items():
        ages, _ = counts.slots(name)
        within = [taken for taken in slots.values() if taken >= clock.wall() - WINDOWS[name]]
        assert (clock.wall() - ages).tolist() == within


def test_processes_that_start_at_different_times_agree(tmp_path: Path) -> None:
    """The first one notes how far its clocks are apart; the wall clock is another when the second one starts."""
    clock = Clock(1_000_003.0, 1_790_000_000.0)
    first = Counts(Store(same_directory(tmp_path), clock, clock.wall), ONE)
    first.add(Increments([0]))
    clock.now += 123.0
    clock.ahead += 4.0
    second = Counts(Store(same_directory(tmp_path), clock, clock.wall), ONE)
    second.add(Increments([0]))
    for counts in (first, second):
        history, _ = counts.history()
        assert list(history.snapshots) == [1_791_000_007.0, 1_791_000_130.0]
        assert history.now == 1_791_000_130.0


def test_of_two_processes_that_start_at_once_one_notes_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have seen that there is no ring, with wall clocks that differ, before either writes."""
    clock = Clock(1_000_003.0, 1_790_000_000.0)
    ring = RingFile(tmp_path / "ring")
    first, second = (Windows(ring, ONE, clock, wall) for wall in (clock.wall, lambda: clock.wall() + 7.0))
    totals = partial(Store(None).totals_since, ONE)

    @contextlib.contextmanager
    def locked(opened: Any, patience_seconds: float) -> Iterator[bool]:
        monkeypatch.undo()
        first.begin_slot(totals)
        yield True

    monkeypatch.setattr(ring_module._OpenFile, "locked", locked)
    second.begin_slot(totals)
    for windows, time_of_each in ((first, 1_791_000_003.0), (second, 1_791_000_010.0)):
        history = windows.history()
        assert (list(history.snapshots), history.now) == ([time_of_each], time_of_each)


def test_the_next_slot_is_told_by_the_monotonic_clock(tmp_path: Path) -> None:
    clock = Clock(50.0, 1_790_000_003.5)
    windows = Windows(RingFile(tmp_path / "ring"), ONE, clock, clock.wall)
    totals = partial(Store(None).totals_since, ONE)
    assert windows.begin_slot(totals) == 56.5
    clock.now = 56.5
    assert clock.wall() == 1_790_000_060.0
    assert windows.begin_slot(totals) == 66.5


def test_a_ring_of_another_boot_is_void(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.count(0)
    server.end(0)
    server.boot = "another"
    server.events.clear()
    server.check()
    server.count(0)
    server.check()


# --- damage ----------------------------------------------------------------------------------------------------------


def ring_of(server: Server) -> Path:
    """Return the path of the ring."""
    return windows_path(directory_of(server.base), ONE.key)


def usable(server: Server) -> None:
    """Fail unless windows can be read, are not negative, and are right again after a day."""
    for name in WINDOWS:
        assert (server.process(0).slots(name).cells >= 0).all()
    server.count(0)
    server.clock.now += 100_000
    server.events.clear()
    server.count(0)
    server.check()


def busy(base: Path) -> Server:
    """Return a server that has snapshots in every ring."""
    server = Server(base)
    for _ in range(40):
        server.count(0)
        server.clock.now += 11
    return server


def test_a_ring_that_is_cut_anywhere_can_be_used(tmp_path: Path) -> None:
    def check() -> None:
        server = busy(tmp_path)
        data = ring_of(server).read_bytes()
        began = server.clock.now
        for size in [*range(0, 2000, 97), *range(2000, len(data), 403)]:
            server.clock.now = began
            server.end(0)
            ring_of(server).write_bytes(data[:size])
            usable(server)

    run_in_child(check, 10)


LABELS = [math.inf, -math.inf, math.nan, -1.0, 1e300, 5e-324]


@pytest.mark.parametrize("label", LABELS)
def test_labels_that_cannot_be_are_not_used(tmp_path: Path, label: float) -> None:
    server = busy(tmp_path)
    with ring_of(server).open("r+b") as file:
        file.seek(ring_module._LABELS_AT)
        file.write(struct.pack("=d", label) * SNAPSHOTS)
    usable(server)


@pytest.mark.parametrize("offset", [math.inf, -math.inf, math.nan, 1e300, -1e12])
def test_a_ring_whose_time_cannot_be_is_void(tmp_path: Path, offset: float) -> None:
    server = busy(tmp_path)
    with ring_of(server).open("r+b") as file:
        file.seek(ring_module._HEADER.size)
        file.write(struct.pack("=d", offset))
    server.events.clear()
    server.check()
    usable(server)
    for _ in range(40):
        server.count(0)
        server.clock.now += 11
        server.check()


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_ring_of_random_bytes_can_be_used(tmp_path: Path, rng: np.random.Generator) -> None:
    for _ in range(20):
        server = busy(tmp_path)
        size = ring_of(server).stat().st_size
        data = rng.bytes(size)
        ring_of(server).write_bytes(data)
        usable(server)
        ring_of(server).write_bytes(server.process(0)._store.windows(ONE)._format._header + data)
        usable(server)
        server.end(0)


def test_a_snapshot_that_was_cut_short_is_not_used(tmp_path: Path) -> None:
    """As by a kill, or a full disk, between its label and its end."""
    server = busy(tmp_path)
    ring = RingFile(ring_of(server))
    with ring.open() as opened:
        before = opened.read(0, 1_000_000)
    for size in range(len(before) - 200, len(before), 8):
        with file_size_limit(size):
            server.clock.now += 11
            server.count(0)
            server.check()


def test_a_crash_in_the_midst_of_a_snapshot_leaves_none_that_is_wrong(tmp_path: Path) -> None:
    """Every snapshot for five minutes is written over again and again, at last by one that crashes."""
    for writes in range(1, 5):
        base = tmp_path / f"{writes}"
        base.mkdir()
        server = Server(base)
        for _ in range(40):
            server.count(0)
            server.clock.now += 10

        def crash(server: Server = server, writes: int = writes) -> None:
            real, seen = ring_module.write_all, []

            def write_all(*arguments: Any) -> None:
                real(*arguments)
                seen.append(1)
                if len(seen) == writes:
                    os._exit(77)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(ring_module, "write_all", write_all)
                server.count(1)

        server.clock.now += 20
        assert ended(fork(crash)) == 77
        server.check(2)
        for _ in range(40):
            server.clock.now += 10
            server.count(2)
            server.check(2)


def test_a_process_that_is_stopped_in_the_midst_of_a_snapshot_hides_nothing(tmp_path: Path) -> None:
    """Counts of others during the stop are in the windows, and leave them at most the stop too early or too late."""
    stopped_seconds = 25.0
    for step in itertools.count(1):
        base = tmp_path / f"{step}"
        base.mkdir()
        server = Server(base)
        server.count(0)

        def see_time_pass(clock: Clock = server.clock) -> None:
            clock.now += stopped_seconds

        def take_snapshot(server: Server = server, step: int = step, then: Any = see_time_pass) -> None:
            stop_at(step, then)
            server.count(1)

        server.clock.now += 1000.0
        child = fork(take_snapshot)
        server.events.append(server.clock.now)
        is_unfinished = has_stopped(child)
        for _ in range(5):
            server.count(0)
            server.clock.now += stopped_seconds / 5
        assert go_on(child) == 0
        for _ in range(14):
            server.clock.now += 25.0
            begins = server.clock.now - WINDOWS["5m"]
            least = sum(event >= begins + SLOTS["5m"] + stopped_seconds for event in server.events)
            most = sum(event >= begins - stopped_seconds for event in server.events)
            rows = server.process(0).slots("5m").cells[:, 0].sum()
            assert least <= rows <= most, (step, server.clock.now)
        if not is_unfinished:
            break
    assert step > 10


def test_a_disk_that_is_full_makes_no_prediction_fail(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = Server(tmp_path)
    server.count(0)
    size = ring_of(server).stat().st_size
    for _ in range(100):
        with file_size_limit(size // 4):
            server.clock.now += 11
            server.count(0)
    assert server.process(0).totals().cells[0] == 101
    assert sum("last minutes" in record.getMessage() for record in caplog.records) <= 1
    server.events.clear()
    server.clock.now += 100_000
    server.count(0)
    server.check()


# --- threads and processes at once -----------------------------------------------------------------------------------


def test_what_is_counted_in_a_slot_is_not_in_its_snapshot(tmp_path: Path) -> None:
    """The snapshot comes first, so that the row that begins a slot is in every window that begins with it."""
    clock = Clock()
    counts = Counts(Store(same_directory(tmp_path), clock, clock.wall), ONE)
    counts.add(Increments([0]))
    for _ in range(3):
        clock.now += 400
        counts.add(Increments([0]))
        assert counts.slots("5m").cells[:, 0].sum() == 1


class WatchedRing(RingFile):
    """A ring that notes for how long its users would wait for another process."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.patience: list[float] = []

    @contextlib.contextmanager
    def open(self, *, to_read: bool = False) -> Iterator[Any]:
        """Note the patience of all that lock it."""
        with super().open(to_read=to_read) as ring:
            real = ring.locked

            def locked(patience_seconds: float) -> Any:
                self.patience.append(patience_seconds)
                return real(patience_seconds)

            ring.locked = locked  # type: ignore[method-assign]
            yield ring


def test_a_snapshot_that_another_process_takes_is_not_waited_for(tmp_path: Path) -> None:
    """Only the very first one is."""
    clock = Clock()
    ring = WatchedRing(tmp_path / "ring")
    windows = Windows(ring, ONE, clock, clock.wall)
    totals = partial(Store(None).totals_since, ONE)
    windows.begin_slot(totals)
    assert ring.patience.pop() > 0
    clock.now += 1000
    with RingFile(tmp_path / "ring").open() as held, held.locked(0.0) as is_mine:
        assert is_mine
        windows.begin_slot(totals)
    assert ring.patience == [0.0]
    assert list(windows.history().snapshots) == [1_000_003.0]


def test_snapshots_are_as_many_as_are_said() -> None:
    for part in module._RING_PARTS:
        assert part.count * part.slot >= part.seconds + part.slot
    assert sum(part.count for part in module._RING_PARTS) == SNAPSHOTS
    assert f"{SNAPSHOTS} snapshots" in (module.__doc__ or "")


def test_snapshots_do_not_take_the_room_of_the_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk with little room there are no windows, but the counts go on."""
    monkeypatch.setattr("flask_boxkite.live.snapshot_ring._OpenFile.room", lambda self: 1000)
    counts = Counts(Store(same_directory(tmp_path)), ONE)
    for _ in range(3):
        counts.add(Increments([0]))
    assert counts.totals().cells[0] == 3
    assert counts._block.is_shared
    assert counts.slots("5m").cells[:, 0].sum() == 0
