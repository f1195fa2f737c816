"""A file of records can be read, whatever became of its process, its disk and its bytes."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from random import Random
from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_boxkite.spool.segment import HEADER, Segment, SegmentError, room_for
from tests.faults import no_more_files

SIZE = 64 * 1024
RECORDS = [b"first", b"second one", b"x" * 100, b"fourth"]

fixture_is_reused = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


def written(path: Path, records: list[bytes], *, is_sealed: bool = False, size: int = SIZE) -> Segment:
    """Return a segment with these records."""
    path.unlink(missing_ok=True)
    segment = Segment.create(path, size)
    for record in records:
        assert segment.append(record)
    if is_sealed:
        segment.seal()
    return segment


def starts(records: list[bytes]) -> list[int]:
    """Return where each entry starts, and where the last one ends."""
    offsets = [HEADER]
    for record in records:
        offsets.append(offsets[-1] + room_for(len(record)))
    return offsets


def overwrite(path: Path, offset: int, data: bytes) -> None:
    """Damage a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def read_all(segment: Segment, most_bytes: int = 2**30) -> tuple[list[bytes], int]:
    """Take and settle everything; return the records, and how many entries there were."""
    records: list[bytes] = []
    entries = 0
    while segment.taken < segment.count:
        taken = segment.take(most_bytes)
        segment.settle(taken)
        records += taken.records
        entries += taken.entries
    assert (segment.taken, segment.settled) == (segment.count, segment.count)
    return records, entries


# --- what was written ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_sealed", [False, True], ids=["open", "sealed"])
@pytest.mark.parametrize("most_bytes", [1, 40, 2**30], ids=["one by one", "some", "all"])
@pytest.mark.parametrize("is_loaded", [False, True], ids=["by its process", "by another"])
def test_what_was_written_is_read(tmp_path: Path, is_sealed: bool, most_bytes: int, is_loaded: bool) -> None:
    segment = written(tmp_path / "s", RECORDS, is_sealed=is_sealed)
    assert Segment.unsettled(tmp_path / "s") == 4
    if is_loaded:
        segment = Segment.load(tmp_path / "s")
    assert read_all(segment, most_bytes) == (RECORDS, 4)
    assert Segment.unsettled(tmp_path / "s") == 0


@pytest.mark.parametrize("size", [1, 7, 8, 9, 4095, 4096, 4097, 5 * 1024 + 1, 12_345, 2**24, 2**24 + 1])
def test_records_of_any_size_come_back(tmp_path: Path, size: int) -> None:
    records = [Random(size).randbytes(size), b"small", b"y" * size]
    end = starts(records)[-1]
    segment = written(tmp_path / "s", records, size=end)
    assert not segment.append(b"z")
    assert read_all(segment)[0] == records
    segment.settled = 0
    assert Segment.load(tmp_path / "s").count == 3


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=20), st.integers(1, 100))
@fixture_is_reused
def test_heads_are_aligned_and_batches_bounded(tmp_path: Path, records: list[bytes], most_bytes: int) -> None:
    segment = written(tmp_path / "s", records)
    assert segment.end == starts(records)[-1]
    assert segment.end % 8 == 0
    while segment.taken < segment.count:
        taken = segment.take(most_bytes)
        assert len(taken.records) == taken.entries >= 1
        assert sum(map(len, taken.records)) <= most_bytes or len(taken.records) == 1
    segment.remove()


def test_a_segment_that_is_full_takes_no_more_and_is_whole(tmp_path: Path) -> None:
    segment = written(tmp_path / "s", [], size=HEADER + 5 * room_for(10))
    assert [segment.append(b"x" * 10) for _ in range(7)] == [True] * 5 + [False] * 2
    assert read_all(segment) == ([b"x" * 10] * 5, 5)


def test_what_is_settled_does_not_come_again(tmp_path: Path) -> None:
    segment = written(tmp_path / "s", RECORDS)
    segment.settle(segment.take(1))
    segment.take(1)  # taken only
    assert Segment.unsettled(tmp_path / "s") == 3
    segment.seal()
    assert Segment.unsettled(tmp_path / "s") == 3
    other = Segment.load(tmp_path / "s")
    other.settle(other.take(1))
    assert Segment.unsettled(tmp_path / "s") == 2
    assert read_all(Segment.load(tmp_path / "s")) == (RECORDS[2:], 2)


def test_records_may_come_while_others_are_taken(tmp_path: Path) -> None:
    segment = written(tmp_path / "s", RECORDS[:2])
    taken = segment.take(2**30)
    segment.append(RECORDS[2])
    segment.settle(taken)
    segment.append(RECORDS[3])
    segment.seal()
    assert read_all(segment) == (RECORDS[2:], 2)


def test_a_segment_can_be_moved_and_removed(tmp_path: Path) -> None:
    segment = written(tmp_path / "s", RECORDS)
    segment.move(tmp_path / "t")
    segment.seal()
    assert read_all(segment)[0] == RECORDS
    segment.remove()
    segment.remove()
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_private_and_never_another(tmp_path: Path) -> None:
    (tmp_path / "t").symlink_to(tmp_path / "elsewhere")
    written(tmp_path / "s", [])
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600
    for name in ("s", "t"):
        with pytest.raises(FileExistsError):
            Segment.create(tmp_path / name, SIZE)
    assert (tmp_path / "s").exists()
    assert not (tmp_path / "elsewhere").exists()


# --- what was damaged ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_sealed", [False, True], ids=["open", "sealed"])
def test_an_entry_without_its_head_was_never_there(tmp_path: Path, is_sealed: bool) -> None:
    """The payload is written first: who is killed between has not finished the record. Nothing is sealed like that."""
    path = tmp_path / "s"
    written(path, RECORDS, is_sealed=is_sealed)
    overwrite(path, starts(RECORDS)[3], bytes(8))
    assert Segment.unsettled(path) == Segment.load(path).count == (4 if is_sealed else 3)
    assert read_all(Segment.load(path)) == (RECORDS[:3], 4 if is_sealed else 3)


@pytest.mark.parametrize("is_sealed", [False, True], ids=["open", "sealed"])
@pytest.mark.parametrize("most_bytes", [1, 2**30], ids=["one by one", "all"])
@pytest.mark.parametrize("damaged", [0, 1, 2])
def test_others_are_read_past_damaged_ones_which_count(
    tmp_path: Path, is_sealed: bool, most_bytes: int, damaged: int
) -> None:
    path = tmp_path / "s"
    written(path, RECORDS, is_sealed=is_sealed)
    overwrite(path, starts(RECORDS)[damaged] + 8, b"!")
    assert Segment.unsettled(path) == 4
    rest = [record for number, record in enumerate(RECORDS) if number != damaged]
    assert read_all(Segment.load(path), most_bytes) == (rest, 4)


def test_damaged_ones_at_the_end_count_if_they_were_finished(tmp_path: Path) -> None:
    for is_sealed, count in ((False, 2), (True, 4)):
        path = tmp_path / "s"
        written(path, RECORDS, is_sealed=is_sealed)
        for start in starts(RECORDS)[2:4]:
            overwrite(path, start + 8, b"!")
        assert Segment.unsettled(path) == count
        assert read_all(Segment.load(path)) == (RECORDS[:2], count)


@pytest.mark.parametrize("most_bytes", [1, 2**30], ids=["one by one", "all"])
@pytest.mark.parametrize("length", [1, 2, 9, 60_000, 2**32 - 1])
def test_a_damaged_length_does_not_change_how_many_there_were(tmp_path: Path, length: int, most_bytes: int) -> None:
    """What stands behind looks like entries by chance; payloads of zeros and of small numbers do."""
    path = tmp_path / "s"
    records = [struct.pack("=7Q", *[1] * 7), *RECORDS]
    written(path, records, is_sealed=True)
    overwrite(path, HEADER, struct.pack("=L", length))
    assert Segment.unsettled(path) == 5
    read, entries = read_all(Segment.load(path), most_bytes)
    assert entries == 5
    assert set(read) <= set(RECORDS)
    assert length > 2 or read == RECORDS  # of the others, it depends on where one lands


@given(st.data())
@fixture_is_reused
def test_a_file_that_was_cut_gives_what_is_left_of_it(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "s"
    records = data.draw(st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=10))
    is_sealed = data.draw(st.booleans())
    segment = written(path, records, is_sealed=is_sealed)
    settled = data.draw(st.integers(0, len(records)))

    for _ in range(settled):
        segment.settle(segment.take(1))
    cut = data.draw(st.integers(0, starts(records)[-1] + 8))
    os.truncate(path, cut)
    if data.draw(st.booleans()):
        os.truncate(path, SIZE)
    if cut < 8:
        with pytest.raises(SegmentError):
            Segment.load(path)
        with pytest.raises(SegmentError):
            Segment.unsettled(path)
        return
    whole = [record for record, end in zip(records, starts(records)[1:], strict=True) if end <= cut]
    try:
        loaded = Segment.load(path)
    except SegmentError:
        assert cut < HEADER
        return

    assert Segment.unsettled(path) == loaded.count - loaded.settled
    if cut >= HEADER:
        # The last one may be whole but for its padding.
        read, entries = read_all(loaded)
        assert read in (whole[settled:], records[settled : len(whole) + 1])
        assert entries == (len(records) - settled if is_sealed else len(read))


@given(st.binary(max_size=400), st.booleans())
@fixture_is_reused
def test_random_bytes_are_read_without_an_end_or_an_error(tmp_path: Path, noise: bytes, has_magic: bool) -> None:
    path = tmp_path / "s"
    path.write_bytes((b"boxkite1" if has_magic else b"") + noise)
    try:
        segment = Segment.load(path)
    except SegmentError:
        assert not has_magic or len(noise) < HEADER - 8
        return
    assert segment.count - segment.settled == Segment.unsettled(path)
    assert read_all(segment, 1)[0] == []


@given(st.integers(0, 2**32), st.randoms())
@fixture_is_reused
def test_a_file_with_random_holes_gives_nothing_that_was_not_written(tmp_path: Path, seed: int, random: Random) -> None:
    path = tmp_path / "s"
    records = [b"%d:" % number + Random(seed).randbytes(number) for number in range(20)]
    written(path, records, is_sealed=random.random() < 0.5)
    for _ in range(random.randrange(1, 6)):
        overwrite(path, random.randrange(HEADER, 1000), random.choice([b"\0" * 8, b"\1\0\0\0", b"\xff"]))
    segment = Segment.load(path)
    assert segment.count == Segment.unsettled(path)
    read, entries = read_all(segment, random.choice([1, 100, 10_000]))
    assert entries == segment.count
    assert read == [record for record in records if record in set(read)]


# --- what cannot be read ---------------------------------------------------------------------------------------------


def test_what_is_no_file_of_ours_is_no_segment(tmp_path: Path) -> None:
    """One of them among others must not keep the others from being read."""
    written(tmp_path / "s", RECORDS)
    (tmp_path / "link").symlink_to(tmp_path / "s")
    (tmp_path / "directory").mkdir()
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "directory", "empty", "pipe", "missing"):
        for read in (Segment.load, Segment.unsettled):
            with pytest.raises(SegmentError):
                read(tmp_path / name)


def test_a_want_of_descriptors_is_told_from_damage(tmp_path: Path) -> None:
    written(tmp_path / "s", RECORDS)
    for read in (Segment.load, Segment.unsettled):
        with no_more_files(), pytest.raises(OSError, match="Too many open files"):
            read(tmp_path / "s")


def test_a_file_that_is_cut_while_it_is_read_is_lost_but_counted(tmp_path: Path) -> None:
    segment = written(tmp_path / "s", RECORDS, is_sealed=True)
    segment.settle(segment.take(1))
    os.truncate(tmp_path / "s", starts(RECORDS)[2])
    assert read_all(segment) == (RECORDS[1:2], 3)


def test_a_segment_has_the_described_bytes(tmp_path: Path) -> None:
    segment = Segment.create(tmp_path / "1.seg", 200)
    for record in (b"abc", b"defghijkl"):
        assert segment.append(record)
    segment.settle(segment.take(1))
    segment.seal()
    data = (tmp_path / "1.seg").read_bytes()

    number = 2 | crc32(struct.pack("=Q", 2)) << 32
    assert struct.unpack_from("=8sQQ", data) == (b"boxkite1", number, 80 | 1 << 32)
    assert data[24:64] == bytes(40)
    assert struct.unpack_from("=Q8s", data, 64) == (3 | crc32(b"abc") << 32, b"abc" + bytes(5))
    assert struct.unpack_from("=Q16s", data, 80) == (9 | crc32(b"defghijkl") << 32, b"defghijkl" + bytes(7))
    assert data[104:] == bytes(96)
