"""The table of recent predictions: its bytes, what it keeps, and writers that share it without a lock."""

from __future__ import annotations

import itertools
import mmap
import os
import random
import struct
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite.outcomes.recent import RecentPredictions, Words, row_fingerprint, row_fingerprints
from flask_boxkite.system.files import open_private
from flask_boxkite.system.locks import locked
from tests.faults import die_at, ended, fill, fork, mounted, run_in_child

TIME = 1_700_000_000.75
SECONDS = 1_700_000_000.0
FINGERPRINT = 0x0123_4567_89AB_CDEF
WORDS = st.integers(0, 2**64 - 1)
PUTS = st.lists(st.tuples(WORDS, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)), max_size=50)


def fingerprints(rng: np.random.Generator, number: int) -> Words:
    return rng.integers(0, 2**64, number, dtype=np.uint64)


# --- putting and finding ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_file", [False, True])
def test_a_prediction_is_found_with_its_value_and_second(is_file: bool, tmp_path: Path) -> None:
    table = RecentPredictions(tmp_path / "recent" if is_file else None, 1000)
    assert table.find(FINGERPRINT) is None
    table.put(FINGERPRINT, 2**32 - 1, TIME)
    assert table.find(FINGERPRINT) == (2**32 - 1, SECONDS)
    assert table.find(FINGERPRINT ^ 1) is None
    assert table.find(FINGERPRINT ^ 1 << 63) is None


@given(PUTS)
def test_the_last_value_of_each_fingerprint_is_found(puts: list[tuple[int, float, int]]) -> None:
    table = RecentPredictions(None, 2000)
    for fingerprint, value, time in puts:
        table.put(fingerprint, value, time)
    for fingerprint, expected in {fingerprint: (value, time) for fingerprint, value, time in puts}.items():
        assert table.find(fingerprint) == expected


@pytest.mark.parametrize("fingerprint", [0, 1, 2**32, 2**64 - 1, 0xFF00_0000, 0x0100_0000])
def test_an_empty_table_knows_no_fingerprint_and_takes_any(fingerprint: int) -> None:
    table = RecentPredictions(None, 100)
    assert table.find(fingerprint) is None
    table.put(fingerprint, 0, 0.0)
    assert table.find(fingerprint) == (0, 0.0)


def test_a_fingerprint_that_comes_again_takes_no_second_entry() -> None:
    table = RecentPredictions(None, 1)  # one bucket of 15 entries
    for fingerprint in range(15):
        table.put(fingerprint, fingerprint, TIME)
    for value in range(100):
        table.put(7, value, TIME)
    assert [table.find(fingerprint) for fingerprint in range(15)] == [
        (99 if fingerprint == 7 else fingerprint, SECONDS) for fingerprint in range(15)
    ]


def test_the_oldest_entry_of_a_bucket_is_overwritten() -> None:
    table = RecentPredictions(None, 1)
    for fingerprint in range(300):  # the count of the bucket begins again after 255
        table.put(fingerprint, fingerprint, TIME)
        found = [other for other in range(301) if table.find(other) is not None]
        assert found == list(range(max(0, fingerprint - 14), fingerprint + 1))


def test_a_prediction_before_the_oldest_has_been_overwritten() -> None:
    """Otherwise an outcome that comes too late looks like one of an unknown prediction."""
    table = RecentPredictions(None, 16)  # two buckets, both of which 1 has
    rows = row_fingerprints(FINGERPRINT, 200).tolist()
    for time, row in enumerate(rows, start=1):
        table.put(row, 5, time)
        oldest = table.oldest(1)
        if time < 30:
            assert oldest is None
        elif time > 40:
            assert oldest == min(found[1] for other in rows[:time] if (found := table.find(other)) is not None)


@pytest.mark.parametrize(("time", "expected"), [(-5.0, 0.0), (2.0**32 - 0.5, 2.0**32 - 1), (1e300, 2.0**32 - 1)])
def test_the_clock_may_be_wrong(time: float, expected: float) -> None:
    table = RecentPredictions(None, 100)
    table.put(FINGERPRINT, 5, time)
    table.put_many(np.array([5], np.uint64), np.array([5], np.uint32), time)
    assert table.find(FINGERPRINT) == table.find(5) == (5, expected)


# --- batches ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, 31, 32, 1000, 5000])
@pytest.mark.parametrize("capacity", [50_000, 200_000])
def test_the_rows_of_a_batch_are_found_as_if_put_one_by_one(
    number: int, capacity: int, rng: np.random.Generator
) -> None:
    table = RecentPredictions(None, capacity)
    rows, values = fingerprints(rng, number), rng.integers(0, 2**31, number, dtype=np.uint32)
    for _ in range(3):  # the second time, all are known
        values += 1
        table.put_many(rows, values, TIME)
        assert [table.find(row) for row in rows.tolist()] == [(value, SECONDS) for value in values.tolist()]


@given(st.lists(st.integers(0, 5), min_size=40, max_size=200))
def test_the_last_row_of_a_fingerprint_counts(picks: list[int]) -> None:
    """Few fingerprints in one bucket: rows may be repeated, and all share their place."""
    table = RecentPredictions(None, 1)
    rows = row_fingerprints(FINGERPRINT, 6)
    table.put_many(rows[picks], np.arange(len(picks), dtype=np.uint32), TIME)
    for pick in set(picks):
        last = len(picks) - 1 - picks[::-1].index(pick)
        assert table.find(int(rows[pick])) == (last, SECONDS)


# --- memory of the last ones -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_batch", [False, True], ids=["single", "batches"])
def test_the_last_predictions_up_to_the_capacity_are_kept(is_batch: bool, rng: np.random.Generator) -> None:
    capacity = 10_000
    table = RecentPredictions(None, capacity)
    rows = fingerprints(rng, 6 * capacity)
    if is_batch:
        for start in range(0, len(rows), 250):
            table.put_many(rows[start : start + 250], np.zeros(250, np.uint32), TIME)
    else:
        for row in rows.tolist():
            table.put(row, 0, TIME)
    assert all(table.find(row) is not None for row in rows[-capacity:].tolist())
    assert not any(table.find(row) is not None for row in rows[:capacity].tolist())


def test_a_table_of_a_million_takes_at_most_32_mib(tmp_path: Path) -> None:
    RecentPredictions(tmp_path / "recent")
    about = (tmp_path / "recent").stat()
    assert about.st_size <= 32 * 2**20
    assert about.st_blocks * 512 >= about.st_size  # reserved: no write can find the disk full


# --- the bytes -------------------------------------------------------------------------------------------------------


def test_a_table_has_the_described_bytes(tmp_path: Path) -> None:
    """A file outlives the process that made it, and an update of the package."""
    table = RecentPredictions(tmp_path / "recent", 800)
    buckets = 100
    others = [2**32 * first + first for first in range(buckets)]  # each has one bucket twice
    for fingerprint in (*others, FINGERPRINT):
        table.put(fingerprint, 5, TIME)
    data = (tmp_path / "recent").read_bytes()
    assert data[:4096] == struct.pack("=8sQQ", b"boxlast\n", 1, buckets).ljust(4096, b"\0")
    assert len(data) == 4096 + 256 * buckets

    payload = int.from_bytes(struct.pack("=II", 5, 1_700_000_000), "little")
    first = 0x89AB_CDEF % buckets
    for number in range(buckets):
        bucket = data[4096 + 256 * number :][:256]
        has_two = number == first
        hints = [1, 0x89] if has_two else [1]
        assert bucket[:16] == bytes(hints).ljust(15, b"\0") + bytes([len(hints)])
        expected = [others[number] ^ payload, payload]
        expected += [FINGERPRINT ^ payload, payload] if has_two else []
        assert struct.unpack("=32Q", bucket)[2:] == tuple(expected + [0] * (30 - len(expected)))


def test_a_file_keeps_its_predictions_and_its_capacity(tmp_path: Path) -> None:
    first = RecentPredictions(tmp_path / "recent", 1000)
    first.put(FINGERPRINT, 5, TIME)
    size = (tmp_path / "recent").stat().st_size
    second = RecentPredictions(tmp_path / "recent", 5000)
    assert second.find(FINGERPRINT) == (5, SECONDS)
    assert (tmp_path / "recent").stat().st_size == size
    second.put(5, 3, TIME)
    assert first.find(5) == (3, SECONDS)


@pytest.mark.parametrize("is_file", [False, True])
def test_forked_processes_share_the_table(is_file: bool, tmp_path: Path) -> None:
    table = RecentPredictions(tmp_path / "recent" if is_file else None, 1000)
    run_in_child(lambda: table.put(FINGERPRINT, 5, TIME))
    assert table.find(FINGERPRINT) == (5, SECONDS)


# --- damage ----------------------------------------------------------------------------------------------------------

EMPTY = 4096 + 256 * 13
HEADS = {
    "nothing": b"",
    "half a header": b"boxlast\n",
    "another file": b"a text of a user" * 1000,
    "another format": struct.pack("=8sQQ", b"boxlast\n", 2, 13).ljust(EMPTY, b"\1"),
    "no buckets": struct.pack("=8sQQ", b"boxlast\n", 1, 0).ljust(EMPTY, b"\1"),
    "too many buckets": struct.pack("=8sQQ", b"boxlast\n", 1, 2**63).ljust(EMPTY, b"\1"),
    "shortened": struct.pack("=8sQQ", b"boxlast\n", 1, 13).ljust(EMPTY - 1, b"\1"),
}


@pytest.mark.parametrize("content", HEADS.values(), ids=list(HEADS))
def test_a_damaged_file_becomes_an_empty_table(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "recent"
    path.write_bytes(content)
    inode = path.stat().st_ino
    table = RecentPredictions(path, 100)
    data = path.read_bytes()
    assert data[:EMPTY] == struct.pack("=8sQQ", b"boxlast\n", 1, 13).ljust(EMPTY, b"\0")
    # Another process may have the file mapped: it is neither replaced nor shortened.
    assert len(data) == max(EMPTY, len(content))
    assert path.stat().st_ino == inode
    table.put(FINGERPRINT, 5, TIME)
    assert RecentPredictions(path, 100).find(FINGERPRINT) == (5, SECONDS)


def test_garbage_in_the_buckets_is_no_prediction(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "recent"
    path.write_bytes(struct.pack("=8sQQ", b"boxlast\n", 1, 13).ljust(4096, b"\0") + rng.bytes(13 * 256))
    table = RecentPredictions(path, 100)
    rows = fingerprints(rng, 2000)
    assert all(table.find(row) is None for row in rows.tolist())
    table.put_many(rows[:1000], np.ones(1000, np.uint32), TIME)
    for row in rows[1000:].tolist():
        table.put(row, 1, TIME)
        assert table.find(row) == (1, SECONDS)


def test_a_process_may_die_at_any_step_of_making_a_table(tmp_path: Path) -> None:
    steps = 0
    for steps in range(1, 100):
        path = tmp_path / str(steps)

        def make(step: int = steps, path: Path = path) -> None:
            die_at(step)
            RecentPredictions(path, 1000)

        code = ended(fork(make))
        table = RecentPredictions(path, 1000)
        table.put(FINGERPRINT, 5, TIME)
        assert table.find(FINGERPRINT) == (5, SECONDS)
        if code == 0:
            break
    assert 3 < steps < 99


def test_a_full_disk_is_an_error_at_the_beginning_and_never_later(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with mounted(disk, "1m"):
        table = RecentPredictions(disk / "small", 1000)
        with pytest.raises(OSError, match="No space left"):
            RecentPredictions(disk / "large", 100_000)
        (disk / "large").unlink()
        fill(disk / "filler")
        run_in_child(lambda: [table.put(row_fingerprint(0, row), 5, TIME) for row in range(5000)])  # no SIGBUS
        assert table.find(row_fingerprint(0, 4999)) == (5, SECONDS)


def test_a_process_that_hangs_keeps_no_other_waiting_for_ever(tmp_path: Path) -> None:
    descriptor = open_private(tmp_path / "recent", os.O_RDWR | os.O_CREAT)
    try:
        with locked(descriptor) as is_mine:
            assert is_mine
            with pytest.raises(OSError, match="another process does not finish it"):
                RecentPredictions(tmp_path / "recent", patience_seconds=0.0)
    finally:
        os.close(descriptor)


def test_processes_that_start_together_share_one_table(tmp_path: Path) -> None:
    waiting, start = os.pipe()

    def put(number: int) -> None:
        os.close(start)
        os.read(waiting, 1)
        RecentPredictions(tmp_path / "recent", 1000).put(row_fingerprint(0, number), number, TIME)

    children = [fork(partial(put, number)) for number in range(8)]
    os.close(start)
    assert [ended(child) for child in children] == [0] * 8
    os.close(waiting)
    table = RecentPredictions(tmp_path / "recent", 1000)
    assert [table.find(row_fingerprint(0, number)) for number in range(8)] == [(n, SECONDS) for n in range(8)]


# --- writers at once -------------------------------------------------------------------------------------------------


def test_an_entry_of_two_writers_is_either_of_them_or_lost(tmp_path: Path) -> None:
    """Every mixture of the four halves of two entries: the words may be written in any order, and even in halves."""
    ours, theirs = (FINGERPRINT, 25, 1000.0), (0xFEDC_BA98_8976_5432, 75 << 16, 2000.0)  # of one hint
    entries = []
    for number, (fingerprint, value, time) in enumerate((ours, theirs)):
        table = RecentPredictions(tmp_path / str(number), 1)
        table.put(fingerprint, value, time)
        entries.append((tmp_path / str(number)).read_bytes()[4096 + 16 :][:16])

    found = []
    for picks in itertools.product((0, 1), repeat=4):
        entry = b"".join(entries[pick][4 * part : 4 * part + 4] for part, pick in enumerate(picks))
        with open(tmp_path / "0", "r+b") as file, mmap.mmap(file.fileno(), 0) as data:
            data[4096 + 16 : 4096 + 32] = entry
        table = RecentPredictions(tmp_path / "0", 1)
        found += [(fingerprint, table.find(fingerprint)) for fingerprint, _, _ in (ours, theirs)]
    known = [(fingerprint, (value, time)) for fingerprint, value, time in (ours, theirs)]
    assert [pair for pair in found if pair[1] is not None] == known


def test_processes_that_write_at_once_never_find_the_value_of_another() -> None:
    """Four processes put and find 40 predictions in a table of 15 entries, which none of them locks."""
    table = RecentPredictions(None, 1)
    rows = row_fingerprints(FINGERPRINT, 40)
    values, numbers = np.arange(40, dtype=np.uint32), rows.tolist()

    def work(seed: int) -> None:
        chance, found = random.Random(seed), 0
        for turn in range(20_000):
            row = chance.randrange(40)
            table.put(numbers[row], row, row)
            if turn % 100 == 0:
                table.put_many(rows, values, row)
            other = chance.randrange(40)
            pair = table.find(numbers[other])
            assert pair is None or pair[0] == other
            found += pair is not None
        assert found > 1000

    children = [fork(partial(work, seed)) for seed in range(4)]
    assert [ended(child) for child in children] == [0] * 4


# --- fingerprints of rows --------------------------------------------------------------------------------------------


def test_rows_have_the_numbers_of_splitmix64() -> None:
    """The first numbers of the reference implementation (Vigna, splitmix64.c) for the seed 1234567."""
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert [row_fingerprint(1234567, row) for row in range(5)] == expected
    assert row_fingerprints(1234567, 5).tolist() == expected


@given(WORDS, st.integers(0, 100))
def test_all_rows_at_once_have_the_same_fingerprints(fingerprint: int, rows: int) -> None:
    found = row_fingerprints(fingerprint, rows)
    assert found.dtype == np.uint64
    assert found.tolist() == [row_fingerprint(fingerprint, row) for row in range(rows)]
    assert len(set(found.tolist())) == rows
