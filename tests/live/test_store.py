"""Counts of all processes of a server, whatever the disk, the forks, the threads and the collector do."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from flask_boxkite import ModelMonitoringService
from flask_boxkite.live import state_directory as directories_module
from flask_boxkite.live import state_file as statefile
from flask_boxkite.live.counts import Counts
from flask_boxkite.live.increments import Increments
from flask_boxkite.live.process_counts import ProcessCounts
from flask_boxkite.live.store import Store
from flask_boxkite.live.totals import Totals
from flask_boxkite.naming import UNWRITABLE
from flask_boxkite.system.locks import take_if_dead
from tests.faults import ended, file_size_limit, fill, fork, killed, mounted, run_in_child
from tests.live.directories import directory_of, model_section, same_directory

ONE = model_section()


def counts_in(directory: Path, clock: Callable[[], float] = time.monotonic) -> Counts:
    """Return the counts of another process of the same server."""
    return Counts(Store(same_directory(directory), clock), ONE)


def add(counts: Counts, number: int = 1) -> None:
    """Count so many rows."""
    counts.add(Increments([0] * number))


def total(counts: Counts) -> int:
    """Return what all have counted."""
    return int(counts.totals().cells[0])


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged."""
    return [record.getMessage() for record in caplog.records]


SHARING_FAILED = "Counts cannot be shared with other processes; they stay in this one, and are tried again."


@pytest.fixture
def service(tmp_path: Path, rng: np.random.Generator) -> ModelMonitoringService:
    """Return a service with two features and one output."""
    baseline = ModelMonitoringService.export_text(
        {"a": rng.normal(size=500), "b": rng.normal(size=500)}, rng.normal(size=500), tmp_path / "histogram.prom"
    )
    return ModelMonitoringService(baseline, sink="none", state_dir=str(tmp_path / "state"))


def samples(service: ModelMonitoringService, start: str) -> dict[str, float]:
    """Return the samples whose lines begin so."""
    lines = service.export_http()[0].decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line.startswith(start)}


def predictions(service: ModelMonitoringService) -> int:
    """Return how many were counted as answered."""
    (number,) = [value for name, value in samples(service, "boxkite_predictions_total").items() if '"ok"' in name]
    return int(number)


# --- threads ---------------------------------------------------------------------------------------------------------

THREADS = 32


def in_threads(work: Callable[[], object]) -> None:
    """Run *work* in many threads at once."""
    start = threading.Barrier(THREADS)

    def run() -> None:
        start.wait()
        work()

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_no_count_of_many_threads_is_lost(tmp_path: Path) -> None:
    counts = counts_in(tmp_path)
    increments = Increments([0])

    def count() -> None:
        for _ in range(100_000):
            counts.add(increments)

    in_threads(count)
    assert total(counts) == THREADS * 100_000
    assert total(counts_in(tmp_path)) == THREADS * 100_000


def test_no_prediction_of_many_threads_is_lost(service: ModelMonitoringService) -> None:
    def predict() -> None:
        for _ in range(20_000):
            service.log_prediction(None, [0.1, -0.2], 0.3)

    in_threads(predict)
    assert predictions(service) == THREADS * 20_000
    counted = samples(service, "boxkite_feature_value_count")
    assert set(counted.values()) == {THREADS * 20_000}


# --- forks -----------------------------------------------------------------------------------------------------------


def test_children_and_their_children_count_in_files_of_their_own(tmp_path: Path) -> None:
    counts = counts_in(tmp_path)
    add(counts)

    def count(depth: int) -> None:
        add(counts, 10**depth)
        if depth < 4:
            run_in_child(lambda: count(depth + 1))
        assert total(counts) == 11111

    run_in_child(lambda: count(1))
    assert total(counts) == 11111


def test_a_child_that_never_counts_does_not_keep_what_its_dead_parent_has(tmp_path: Path) -> None:
    ready, tell = os.pipe()
    hold, let_go = os.pipe()

    def parent() -> None:
        counts = counts_in(tmp_path)
        add(counts, 5)

        def child() -> None:
            os.write(tell, b"x")
            os.read(hold, 1)

        fork(child)
        os.kill(os.getpid(), signal.SIGKILL)

    assert ended(fork(parent)) == -signal.SIGKILL
    os.read(ready, 1)
    try:
        (path,) = directory_of(tmp_path).glob("live-*")
        descriptor = take_if_dead(path)
        assert descriptor is not None
        os.close(descriptor)
    finally:
        os.write(let_go, b"x")
        for end in (ready, tell, hold, let_go):
            os.close(end)


def test_a_fork_does_not_free_the_lock_of_the_parent(tmp_path: Path) -> None:
    counts = counts_in(tmp_path)
    add(counts, 5)
    run_in_child(lambda: add(counts, 5))
    (path,) = (path for path in directory_of(tmp_path).glob("live-*") if path.name == own_file(counts).name)
    assert take_if_dead(path) is None
    add(counts, 5)
    assert total(counts_in(tmp_path)) == 15


def own_file(counts: Counts) -> Path:
    """Return the path of the file in which this process counts."""
    file = counts._store._process.file
    assert file is not None
    return file.path


class Refusing:
    """A sink that takes nothing."""

    def emit_batch(self, records: list[dict[str, Any]]) -> None:
        raise OSError("no")


def recording(state: Path) -> ModelMonitoringService:
    """Build a service of the same app as ever, whose sink takes nothing."""
    directories_module._directories.clear()
    return ModelMonitoringService(sink=Refusing(), state_dir=str(state), model="m", shutdown_timeout=0)


def records(service: ModelMonitoringService, outcome: str) -> float:
    """Return how many records were accepted, say."""
    found = samples(service, "boxkite_log_")
    return sum(value for name, value in found.items() if f'"{outcome}"' in name)


def log(service: ModelMonitoringService) -> None:
    """Log ten predictions."""
    for _ in range(10):
        service.log_prediction("body", [1.0], 1.0)


def test_records_that_wait_in_a_killed_process_are_counted_as_dropped(tmp_path: Path) -> None:
    killed(lambda: log(recording(tmp_path)))
    service = recording(tmp_path)
    assert (records(service, "accepted"), records(service, "process_died")) == (10, 10)


def test_records_that_wait_in_a_killed_fork_are_counted_as_dropped(tmp_path: Path) -> None:
    """However short it lived: it builds its queue only after it has counted its first prediction."""
    service = recording(tmp_path)
    killed(lambda: log(service))
    assert (records(service, "accepted"), records(service, "process_died")) == (10, 10)


def test_every_process_shows_the_records_of_a_fork_at_once(tmp_path: Path) -> None:
    """Else a counter falls from one scrape to the next, as often as another process answers."""
    service = recording(tmp_path)

    def check() -> None:
        log(service)
        assert records(service, "accepted") == 10
        run_in_child(lambda: check_accepted(service))

    run_in_child(check)


def check_accepted(service: ModelMonitoringService) -> None:
    """Fail unless ten records were accepted."""
    assert records(service, "accepted") == 10


# --- full, read-only and vanishing disks -----------------------------------------------------------------------------


class Clock:
    """A time that moves when told to."""

    now = 1e6

    def __call__(self) -> float:
        return self.now


def test_what_does_not_fit_stays_in_memory_until_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = tmp_path / "disk"
    with mounted(base, "256k"):
        (base / "boxkite-replica-same.0").mkdir(mode=0o700)
        fill(base / "filler")
        clock = Clock()
        counts = counts_in(base, clock)
        for _ in range(30):
            add(counts)
            clock.now += 11
        assert total(counts) == 30
        assert counts._store.read().files[UNWRITABLE] >= 1
        assert warnings(caplog).count(f"{SHARING_FAILED} No space left on device.") == 1
        assert not any(record.exc_info for record in caplog.records)
        (base / "filler").unlink()
        add(counts)
        assert total(counts) == 31
        assert total(counts_in(base)) == 31
        del counts


def test_of_several_models_those_that_fit_are_shared(tmp_path: Path) -> None:
    store = Store(same_directory(tmp_path))
    blocks = [store.block(model_section(cells, baseline=str(cells))) for cells in (10, 1_000_000, 20)]
    for block in blocks:
        block.add(Increments([0]))
    with file_size_limit(64 * 1024):
        store.share()
    assert [block.is_shared for block in blocks] == [True, False, False]
    store.share()
    for block in blocks:
        block.add(Increments([0]))
        assert block.is_shared
        assert Store(same_directory(tmp_path)).totals(block.section).cells[0] == 2


def test_a_disk_that_fills_up_later_hurts_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is mapped is reserved: writing there can not fail."""
    base = tmp_path / "disk"

    def check() -> None:
        clock = Clock()
        counts = counts_in(base, clock)
        add(counts)
        fill(base / "filler")
        for _ in range(1000):
            clock.now += 3
            add(counts)
        assert total(counts) == 1001
        assert total(counts_in(base)) == 1001

    with mounted(base, "256k"):
        run_in_child(check)


def test_a_read_only_disk_keeps_counts_in_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    base = tmp_path / "disk"
    with mounted(base, "256k"):
        counts = counts_in(base)
        subprocess.run(["mount", "-o", "remount,ro", str(base)], check=True)
        for _ in range(3):
            add(counts)
        assert total(counts) == 3
        reason = f"Read-only file system: '{base}/boxkite-replica-same.0'."
        assert warnings(caplog).count(f"{SHARING_FAILED} {reason}") == 1


def test_a_prediction_is_answered_although_nothing_can_be_shared(
    tmp_path: Path, service: ModelMonitoringService, caplog: pytest.LogCaptureFixture
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    for number in range(3):
        (state / f"boxkite-x-{number}").touch()
    shutil.rmtree(state)
    state.write_text("a file")
    for _ in range(3):
        assert service.log_prediction(None, [0.0, 0.0], 0.0)
    assert predictions(service) == 3
    assert samples(service, 'boxkite_state_files_total{state="unwritable"}').popitem()[1] >= 1
    assert warnings(caplog).count(SHARING_FAILED) == 1


def test_a_deleted_directory_is_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    counts = counts_in(tmp_path, clock)
    add(counts, 5)
    shutil.rmtree(directory_of(tmp_path))
    for _ in range(3):
        add(counts)
    assert total(counts) == 8
    clock.now += 1e6  # the next slot
    counts._block.slot_ends = 0.0
    add(counts)
    assert total(counts) == 9
    assert total(counts_in(tmp_path)) == 9
    assert sum("of this process is gone; it makes another one" in text for text in warnings(caplog)) == 1


def test_a_deleted_directory_takes_no_window_down(tmp_path: Path) -> None:
    counts = counts_in(tmp_path)
    add(counts, 5)
    shutil.rmtree(tmp_path / directory_of(tmp_path).name)
    counts._block.slot_ends = 0.0
    add(counts)
    assert counts.slots("5m").cells[:, 0].sum() >= 1


# --- the end ---------------------------------------------------------------------------------------------------------

AT_EXIT = """
import atexit, sys, os
from pathlib import Path

def say():
    print(store.totals(section).cells.tolist())

atexit.register(say)
sys.path.insert(0, {root!r})
from tests.live.directories import model_section, same_directory
from flask_boxkite.live.counts import Counts
from flask_boxkite.live.store import Store
from flask_boxkite.live.process_counts import ProcessCounts
from flask_boxkite.live.increments import Increments
from flask_boxkite.live.totals import Totals

section = model_section()
store = Store(same_directory(Path({base!r})))
Counts(store, section).add(Increments([0, 0, 0]))
"""


def test_what_is_read_in_the_last_moment_is_not_doubled(tmp_path: Path) -> None:
    """By an exit hook that was there before us, and so runs after ours: of one who pushes metrics, say."""
    script = AT_EXIT.format(root=str(Path(__file__).parents[2]), base=str(tmp_path))
    result = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "[3]"


def test_hundreds_of_models_share_a_reading_and_a_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes its snapshots itself; were all counts read for each of them, the work would grow with their square."""
    number, clock = 300, Clock()
    sections = [model_section(3, 1, str(index)) for index in range(number)]
    other, store = (Store(same_directory(tmp_path), clock) for _ in range(2))
    for each in (other, store):
        counts = [Counts(each, section) for section in sections]
        before = len(os.listdir("/proc/self/fd"))
        counts[0].add(Increments([0]))
        assert len(os.listdir("/proc/self/fd")) <= before + 3  # the lock, the file, and the map of all
    reads: list[ProcessCounts] = []

    def read(block: ProcessCounts, real: Callable[[ProcessCounts], Totals] = ProcessCounts.totals) -> Totals:
        reads.append(block)
        return real(block)

    monkeypatch.setattr(ProcessCounts, "totals", read)
    parses = mock.Mock(wraps=statefile._section)
    monkeypatch.setattr(statefile, "_section", parses)
    for index, one in enumerate(counts):
        one.add(Increments([0, 1]))
        assert one.totals().cells.tolist() == [3 if index == 0 else 1, 1, 0]
    assert len(reads) <= 2 * number
    assert parses.call_count <= 2 * number
    clock.now += 1000
    reads.clear()
    parses.reset_mock()
    for one in counts:
        one.add(Increments([2]))
    assert len(reads) == parses.call_count == number
    for one in counts:
        assert one.slots("5m").cells.tolist() == [[0, 0, 1]]


def test_two_hundred_apps_leave_nothing_behind(tmp_path: Path, rng: np.random.Generator) -> None:
    """No descriptor, no map and no directory of an app that was collected."""
    baseline = ModelMonitoringService.export_text({"a": rng.normal(size=50)}, path=tmp_path / "histogram.prom")

    def use() -> None:
        service = ModelMonitoringService(baseline, sink="none")
        service.log_prediction(None, [0.1], 0.2)
        assert predictions(service) == 1

    use()
    gc.collect()
    before = left_behind()
    for _ in range(200):
        use()
    gc.collect()
    assert left_behind() == before


def left_behind() -> tuple[int, int, list[str]]:
    """Return the number of descriptors and maps of this process, and its directories."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    own = [name for name in os.listdir("/dev/shm") if f"-{os.getpid()}-" in name]
    return len(os.listdir("/proc/self/fd")), sum("live-" in line for line in maps), sorted(own)


def test_a_process_whose_descriptors_were_closed_counts_on(tmp_path: Path) -> None:
    """As those that become daemons do: the lock is lost with them, but nothing may be counted twice."""

    def work() -> None:
        now = [1000.0]
        counts = counts_in(tmp_path, lambda: now[0])
        counts.add(Increments([0]))
        file = counts._store._process.file
        assert file is not None
        os.closerange(3, 256)
        strangers = [os.open("/dev/null", os.O_RDONLY) for _ in range(32)]
        now[0] += 3600
        for _ in range(3):
            counts.add(Increments([0]))
        other = counts_in(tmp_path)
        other._store.tidy()
        assert [each.totals().cells.tolist()[0] for each in (counts, other)] == [4, 4]
        for stranger in strangers:
            os.fstat(stranger)  # still open

    run_in_child(work)


def test_a_file_that_was_folded_while_its_owner_lives_is_not_counted_twice(tmp_path: Path) -> None:
    """Its descriptors were closed, and with them its lock; another process took its owner for dead."""

    def work() -> None:
        now = [1000.0]
        counts = counts_in(tmp_path, lambda: now[0])
        add(counts, 5)
        os.closerange(3, 256)
        other = counts_in(tmp_path)
        other._store.tidy()
        assert total(other) == 5
        now[0] += 3600
        add(counts)
        assert (total(counts), total(other)) == (6, 6)

    run_in_child(work)


def test_a_new_section_is_not_written_into_a_file_of_others(tmp_path: Path) -> None:
    """The numbers of closed descriptors may now belong to the app's own files."""

    def work() -> None:
        counts = counts_in(tmp_path / "state")
        add(counts, 1)
        os.closerange(3, 256)
        files = [os.open(tmp_path / f"user{number}", os.O_RDWR | os.O_CREAT) for number in range(32)]
        counts._store.block(model_section("another"))
        assert [os.fstat(file).st_size for file in files] == [0] * 32

    (tmp_path / "state").mkdir(mode=0o700)
    run_in_child(work)


def test_no_trouble_with_the_files_costs_a_prediction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After any failure, this process still counts the prediction."""
    counts = counts_in(tmp_path)
    monkeypatch.setattr(counts._store, "share", lambda: 1 / 0)
    add(counts, 2)
    add(counts, 3)
    assert counts._block.totals().cells[0] == 5
