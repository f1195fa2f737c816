"""History holds what was asked when, through restarts, baselines that change, clocks that jump, faults and damage."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from flask_boxkite.baseline.distribution import Continuous
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.history.past import PastReader
from flask_boxkite.live import store as store_module
from flask_boxkite.live.folding import is_ours
from flask_boxkite.live.history_entries import composed, entries_of, numbers_of
from flask_boxkite.live.history_extract import Extract
from flask_boxkite.live.history_file import (
    MOST_DAYS,
    DamagedHistoryError,
    HistoryFile,
    HistoryLimits,
    Stored,
    history_path,
    most_bytes,
)
from flask_boxkite.live.history_keeper import MOST_BASELINES, paths_in, remove_oldest
from flask_boxkite.live.section import SectionKey
from flask_boxkite.naming import DAMAGED
from tests.faults import die_at, ended, file_size_limit, fork, go_on, has_stopped, stop_at
from tests.history.site import BEGIN, DAY, HOUR, Site, baseline_of_numbers

KEY = SectionKey("model", "m", "none")
EXTRACT = Extract(KEY, 30, tuple(range(0, 20, 2)), 20, 30, b"described")
SMALL = HistoryLimits(48, 20, 8)
KILLS = int(os.environ.get("BOXKITE_TEST_KILLS", "25"))


@pytest.fixture
def file(tmp_path: Path) -> HistoryFile:
    """Return a file that does not exist yet."""
    return HistoryFile(history_path(tmp_path, KEY))


def step(file: HistoryFile, hour: int, totals: int) -> int | None:
    """Record, at an hour and with as many rows in every number."""
    return file.step(EXTRACT, lambda: hour, lambda: np.full(EXTRACT.width, totals))


def hours_in(stored: Stored) -> dict[int, int]:
    """Return the rows of the first number by hour."""
    return {hour: int(stored.sum_of(entries)[0]) for hour, entries in stored.of_hours().items()}


def by_day(site: Site, fingerprint: str) -> dict[int, list[int]]:
    """Return the rows of a baseline by day and group of its feature, as the history has them."""
    reader = PastReader(site.directory)
    reading = site.app._store.read()

    def totals(extract: Extract) -> np.ndarray | None:
        found = reading.sections.get(extract.key)
        return None if found is None else found.cells

    (path,) = [path for key, path in reader.keys().items() if key.is_model and key.digest == fingerprint]
    past = reader.read(path, totals)
    assert past is not None
    feature = site.model.baseline.features[0]
    assert isinstance(feature, Continuous)
    return {day: numbers[: len(feature.group_bounds) + 1].tolist() for day, numbers in past.days.items()}


def test_four_hundred_days_are_as_they_were(tmp_path: Path) -> None:
    """With restarts, stops of a week, three baselines, one of which comes back, and a clock that is set."""
    paths = [tmp_path / f"{number}.prom" for number in range(3)]
    for number, path in enumerate(paths):
        baseline_of_numbers(path, shift=number, version=str(number))
    site = Site(tmp_path / "state", paths[0])
    rng = random.Random(1)

    for day in range(400):
        for _ in range(rng.randint(0, 4)):
            site.go(rng.choice([15.0, 1800.0, 4 * HOUR]))
            for _ in range(rng.randint(1, 3)):
                site.predict(round(rng.gauss(0.5, 1.5), 3))
        site.go(max(BEGIN + (day + 1) * DAY - site.clock.up - (BEGIN - 50_000.0), 20.0))
        if rng.random() < 0.05:
            site.go(rng.choice([0.0, 30.0, 3 * DAY]))
            site.start(paths[day * 3 // 400 if day < 390 else 0])
        if rng.random() < 0.05:
            site.clock.ahead += rng.choice([-3 * DAY, -2 * HOUR, 90.0, 5 * HOUR, 2 * DAY])
    assert len(site.asked) == 3

    assert sum(asked.rows.total() for asked in site.asked.values()) > 1000
    for fingerprint, asked in site.asked.items():
        found = by_day(site, fingerprint)
        assert {day: sum(groups) for day, groups in found.items()} == dict(asked.days())
        for day, groups in found.items():
            assert groups == asked.groups_of(day, len(groups))
    for path in paths_in(site.directory):
        assert path.stat().st_size <= most_bytes(HistoryFile(path).extract())


def test_reader_sees_the_same_with_and_without_memory(tmp_path: Path) -> None:
    """It reads only what is new, also when the file is written again."""
    file = HistoryFile(history_path(tmp_path, KEY), SMALL)
    step(file, 0, 0)
    reader = PastReader(tmp_path)
    for hour in range(1, 300):
        step(file, hour, hour * hour)
        if hour % 7 == 0:
            old, fresh = (each.read(file.path, lambda extract: None) for each in (reader, PastReader(tmp_path)))
            assert old is not None
            assert fresh is not None
            assert {day: rows.tolist() for day, rows in old.days.items()} == {
                day: rows.tolist() for day, rows in fresh.days.items()
            }


def test_size_is_bounded_and_the_last_days_stay(tmp_path: Path) -> None:
    file = HistoryFile(history_path(tmp_path, KEY), SMALL)
    hours = 50 * 24
    rng = np.random.default_rng(0)
    total, largest = np.zeros(EXTRACT.width, np.int64), 0
    rows = rng.integers(0, 2**32, (hours, EXTRACT.width))
    for hour in range(hours + 1):
        file.step(EXTRACT, lambda hour=hour: hour, lambda total=total: total)  # type: ignore[misc]
        largest = max(largest, file.path.stat().st_size)
        total = total + (rows[hour] if hour < hours else 0)
    assert largest <= most_bytes(EXTRACT, SMALL)

    stored = file.read()
    by_hour = stored.of_hours()
    assert 48 <= len(by_hour) <= 48 + 8
    assert all(stored.sum_of(own).tolist() == rows[hour].tolist() for hour, own in by_hour.items())
    past = PastReader(file.path.parent).read(file.path, lambda extract: None)
    assert past is not None
    assert 20 <= len(past.days) <= 24
    for day in list(past.days)[-20:]:
        assert past.days[day].tolist() == rows[day * 24 : day * 24 + 24].sum(axis=0).tolist()


def test_bound_of_thirty_features_is_a_few_megabytes() -> None:
    groups, cells = 30 * 14, 30 * 50
    starts = tuple(range(0, cells, cells // groups))[:groups]
    size = most_bytes(Extract(KEY, cells + 427, starts, cells, cells + 427))
    assert 4 * 1289 * (groups + 427) < size < 5_000_000


def test_a_jump_of_the_clock_deletes_nothing(tmp_path: Path) -> None:
    """The hours that were written first go first: a far future or past takes the place of few, and of none for good."""
    file, total = HistoryFile(history_path(tmp_path, KEY), SMALL), 0

    def count(hours: range) -> None:
        nonlocal total
        for hour in hours:
            step(file, hour, total)
            total += 1

    count(range(500_000, 500_040))
    count(range(900_000, 900_002))
    count(range(3, 5))
    count(range(500_040, 500_060))
    assert set(range(500_016, 500_059)) <= set(hours_in(file.read()))

    count(range(900_002, 900_100))  # the clock is ahead for long
    count(range(500_060, 500_100))
    assert set(range(500_060, 500_099)) <= set(hours_in(file.read()))
    past = PastReader(tmp_path).read(file.path, lambda extract: None)
    assert past is not None
    assert sum(int(rows[0]) for rows in past.days.values()) == total - 1


def test_rows_of_one_hour_add_up_when_a_clock_is_set_back(file: HistoryFile) -> None:
    for hour, totals in ((10, 0), (11, 5), (10, 8), (11, 20), (12, 21)):
        step(file, hour, totals)
    assert hours_in(file.read()) == {10: 5 + 12, 11: 3 + 1}


def test_counts_that_were_lost_or_put_back_count_no_row_twice(file: HistoryFile) -> None:
    for hour, totals in ((1, 100), (2, 150), (3, 0), (4, 30), (5, 20), (6, 45)):
        step(file, hour, totals)
    assert hours_in(file.read()) == {1: 50, 3: 30, 5: 25}


# --- faults ----------------------------------------------------------------------------------------------------------


def test_death_before_any_step_leaves_each_hour_once(tmp_path: Path) -> None:
    """A process is killed before each of its changes of files, and the next one goes on."""
    for number in range(1, 60):
        directory = tmp_path / str(number)
        directory.mkdir()
        file = HistoryFile(history_path(directory, KEY))

        def work(file: HistoryFile = file, number: int = number) -> None:
            die_at(number)
            for hour in range(6):
                step(file, hour, 10 * hour)

        code = ended(fork(work))
        for hour in range(6, 9):
            step(file, hour, 10 * hour)
        found = hours_in(file.read())
        # The hour in which it died lasts until the next process comes; before the first mark, nothing is known.
        assert sum(found.values()) == 80 - 10 * min(found)
        assert sorted(found.values())[:-1] == [10] * (len(found) - 1)
        if code == 0:
            break
    else:
        pytest.fail("the process never ended by itself")


def test_death_while_the_file_is_written_again_loses_nothing(tmp_path: Path) -> None:
    for number in range(1, 80):
        directory = tmp_path / str(number)
        directory.mkdir()
        file = HistoryFile(history_path(directory, KEY), HistoryLimits(4, 20, 2))
        for hour in range(4):
            step(file, hour, 10 * hour)

        def work(file: HistoryFile = file, number: int = number) -> None:
            die_at(number)
            for hour in range(4, 9):
                step(file, hour, 10 * hour)

        code = ended(fork(work))
        for hour in range(8, 12):
            step(file, hour, 10 * hour)
        past = PastReader(directory).read(file.path, lambda extract: None)
        assert past is not None
        assert {day: int(rows[0]) for day, rows in past.days.items()} == {0: 110}, number
        if code == 0:
            break
    else:
        pytest.fail("the process never ended by itself")


def test_processes_that_are_killed_at_any_time_lose_no_hour(tmp_path: Path) -> None:
    """Real kills at random times: ``BOXKITE_TEST_KILLS=200`` for more of them."""
    file = HistoryFile(history_path(tmp_path, KEY))
    step(file, 0, 0)
    rng = random.Random(3)

    def work() -> None:
        hour = file.read().mark.hour
        while True:
            hour += 1
            step(file, hour, 10 * hour)

    for _ in range(KILLS):
        child = fork(work)
        time.sleep(rng.random() * 0.05)  # a random moment, and not a wait for anything
        os.kill(child, signal.SIGKILL)
        assert ended(child) == -signal.SIGKILL
        stored = file.read()
        past = PastReader(tmp_path).read(file.path, lambda extract: None)
        assert past is not None
        days = {day: int(rows[0]) for day, rows in past.days.items()}
        last = (stored.mark.hour - 1) // 24
        first = max(last - MOST_DAYS + 1, 0)
        assert all(days[day] == 240 for day in range(first, last))
        assert stored.mark.totals.tolist() == [10 * stored.mark.hour] * EXTRACT.width


@pytest.mark.parametrize("limits", [SMALL, HistoryLimits(1, 20, 0)], ids=["appended", "written again"])
@pytest.mark.parametrize("number", range(1, 20))
def test_process_that_stops_while_it_records_hinders_no_other(
    tmp_path: Path, number: int, limits: HistoryLimits
) -> None:
    """Also if another one has put a new file in the place of the one that it has opened."""
    file = HistoryFile(history_path(tmp_path, KEY), limits)
    now = tmp_path / "now"

    def pass_to(hour: int) -> None:
        now.write_text(str(hour))

    def record() -> None:
        def hour() -> int:
            return int(now.read_text())

        file.step(EXTRACT, hour, lambda: np.full(EXTRACT.width, 10 * hour()))

    def work() -> None:
        stop_at(number)
        record()

    for early in (1, 2):
        pass_to(early)
        record()
    pass_to(3)
    child = fork(work)
    if has_stopped(child):
        pass_to(4)
        record()
        assert go_on(child) == 0
    else:
        ended(child)
    pass_to(5)
    record()
    past = PastReader(tmp_path).read(file.path, lambda extract: None)
    assert past is not None
    assert [int(rows[0]) for rows in past.days.values()] == [40]


def test_full_disk_keeps_what_is_there(file: HistoryFile) -> None:
    step(file, 1, 0)
    step(file, 2, 10)
    with file_size_limit(file.path.stat().st_size), pytest.raises(OSError, match=r"\[Errno 27\]"):
        step(file, 3, 1_000_003)
    step(file, 4, 1_000_010)
    assert hours_in(file.read()) == {1: 10, 2: 1_000_000}


def test_write_that_breaks_off_changes_nothing(file: HistoryFile) -> None:
    """Any part of the bytes may be on the disk when the machine stops: the hour is recorded, or not yet."""
    for hour in range(4):
        step(file, hour, 10 * hour)
    for hour in (4, 5):
        before = file.path.read_bytes()
        known = hours_in(file.read())
        step(file, hour, 10 * hour)
        after = file.path.read_bytes()
        recorded = hours_in(file.read())
        assert recorded != known
        old = before.ljust(len(after), b"\0")
        for place in range(len(after)):
            file.path.write_bytes(after[:place] + old[place:])
            assert hours_in(file.read()) in (known, recorded), place
        file.path.write_bytes(after)


# --- damage ----------------------------------------------------------------------------------------------------------


def test_damaged_file_is_set_aside_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    baseline_of_numbers(tmp_path / "b.prom")
    site = Site(tmp_path / "state", tmp_path / "b.prom")
    site.predict(0.1)
    (path,) = paths_in(site.directory)
    path.write_bytes(b"something else")
    site.start(tmp_path / "b.prom")
    site.go(HOUR)
    site.predict(0.2)
    site.go(HOUR)
    site.predict(0.3)

    assert "is damaged. It is set aside" in caplog.text
    assert path.with_name(f"{path.name}.damaged").read_bytes() == b"something else"
    assert is_ours(f"{path.name}.damaged")
    assert site.app._store.read().files[DAMAGED] == 1
    assert sum(day.rows["ok"] for day in site.model.history().days) == 1


def test_any_damage_is_noticed_or_without_effect(file: HistoryFile) -> None:
    for hour in range(8):
        step(file, hour, 10 * hour)
    sound = file.path.read_bytes()
    for place in range(0, len(sound), 3):
        data = bytearray(sound)
        data[place] ^= 0x5A
        file.path.write_bytes(data)
        try:
            found = hours_in(file.read())
        except DamagedHistoryError:
            continue
        assert found.items() <= dict.fromkeys(range(7), 10).items()


@pytest.mark.parametrize("size", [0, 5, 31, 32, 40, 100, 300])
def test_cut_file_is_damaged(file: HistoryFile, size: int) -> None:
    step(file, 1, 0)
    step(file, 2, 10)
    os.truncate(file.path, size)
    with pytest.raises(DamagedHistoryError):
        file.read()
    with pytest.raises(DamagedHistoryError):
        step(file, 3, 20)


def test_entries_hold_all_counts_and_end_at_damage() -> None:
    numbers = np.array([0, 1, 255, 256, 2**31, 2**62], dtype=np.int64)
    parts = [composed(1, hour, numbers * (hour > 0)) for hour in range(-1, 3)]
    data = b"".join(entry.data for entry in parts)
    assert list(entries_of(data)) == parts
    assert numbers_of(parts[2], 6).tolist() == numbers.tolist()
    assert list(entries_of(data[:-1])) == parts[:3]
    with pytest.raises(ValueError, match="bytes where 40 were expected"):
        numbers_of(parts[2], 5)


def test_file_of_another_release_is_written_again_with_its_rows(file: HistoryFile) -> None:
    """Its cells stand in another order, but groups and other numbers are the same."""
    step(file, 1, 0)
    step(file, 2, 10)
    other = Extract(KEY, 44, tuple(range(0, 30, 3)), 30, 40, b"described otherwise"[:9])
    file.step(other, lambda: 3, lambda: np.full(EXTRACT.width, 30))
    assert file.extract() == other
    assert hours_in(file.read()) == {1: 10, 2: 20}


# --- servers ---------------------------------------------------------------------------------------------------------


def test_last_hour_of_a_baseline_that_no_process_serves_stays(tmp_path: Path) -> None:
    """Its counts are forgotten a day after its last process; the history has them, also when it comes back."""
    for number in range(2):
        baseline_of_numbers(tmp_path / f"{number}.prom", shift=number)
    site = Site(tmp_path / "state", tmp_path / "0.prom")
    for _ in range(5):
        site.predict(0.1)
    first = site.model.baseline.fingerprint
    site.start(tmp_path / "1.prom")
    site.go(2 * DAY)
    site.predict(0.2)
    site.go(2 * DAY)
    site.start(tmp_path / "1.prom")
    site.predict(0.2)
    assert not any(key.digest == first for key in site.app._store.read().sections)

    days = {day.day: day.rows["ok"] for day in site.model.history().days}
    assert sum(days.values()) == 7
    assert days["2024-10-04"] == 5
    site.start(tmp_path / "0.prom")
    site.predict(0.3)
    assert sum(by_day(site, first)[20_000]) == 5
    assert sum(map(sum, by_day(site, first).values())) == 6


def test_files_of_one_model_are_bounded_and_other_models_keep_theirs(tmp_path: Path) -> None:
    """A model that is trained each day has a baseline each day."""
    for number in range(MOST_BASELINES + 5):
        key = SectionKey("model", "m" if number != 2 else "other", f"{number:012x}")
        extract = Extract(key, 30, (0, 10), 20, 30)
        path = history_path(tmp_path, key)
        HistoryFile(path).step(extract, lambda: 1, lambda: np.zeros(12, np.int64))
        os.utime(path, (1000 + number, 1000 + number))
    names = [path.name for path in paths_in(tmp_path)]
    remove_oldest(tmp_path, SectionKey("model", "m", "new"))
    gone = [history_path(tmp_path, SectionKey("model", "m", f"{number:012x}")) for number in (0, 1, 3, 4)]
    assert {path.name for path in paths_in(tmp_path)} == set(names) - {path.name for path in gone}


def test_copied_state_directory_goes_on_by_itself(tmp_path: Path) -> None:
    baseline_of_numbers(tmp_path / "b.prom")
    site = Site(tmp_path / "state", tmp_path / "b.prom")
    for _ in range(3):
        site.predict(0.1)
        site.go(HOUR)
    shutil.copytree(site.base, tmp_path / "copy")
    copy = Site(tmp_path / "copy", tmp_path / "b.prom")
    copy.clock = site.clock
    copy.start(tmp_path / "b.prom")
    for each in (site, copy):
        each.predict(0.1)
    site.go(HOUR)
    for each, more in ((site, 1), (copy, 2)):
        for _ in range(more):
            each.predict(0.1)
    rows = [sum(day.rows["ok"] for day in each.model.history().days) for each in (site, copy)]
    assert rows == [5, 6]


def test_process_whose_counts_others_cannot_see_records_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise its rows would go from the totals again when another process reads them."""
    baseline_of_numbers(tmp_path / "b.prom")
    site = Site(tmp_path / "state", tmp_path / "b.prom")
    site.predict(0.1)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as fault:
        fault.setattr(store_module, "LiveFile", refuse)
        site.start(tmp_path / "b.prom")
        for _ in range(3):
            site.go(HOUR)
            site.predict(0.1)
        (path,) = paths_in(site.directory)
        assert hours_in(HistoryFile(path).read()) == {}
    site.go(HOUR)
    site.predict(0.1)
    site.go(HOUR)
    site.predict(0.1)
    assert len(HistoryFile(path).read().of_hours()) == 2
    assert sum(day.rows["ok"] for day in site.model.history().days) == 6


def test_without_a_state_directory_there_is_a_remedy(tmp_path: Path) -> None:
    from flask_boxkite import ModelMonitoringService

    baseline = baseline_of_numbers(tmp_path / "b.prom")
    service = ModelMonitoringService(baseline, sink="none", enabled=False)
    with pytest.raises(BoxkiteError, match="Set 'BOXKITE_STATE_DIR'"):
        service.history()
    with pytest.raises(BoxkiteError, match="Set 'BOXKITE_STATE_DIR'"):
        service.drift("7d")
