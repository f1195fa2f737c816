"""Records on disk: none is lost or invented, none comes twice once it is settled, and the disk they take is bounded."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections import deque
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from flask_boxkite.spool import Log, OrphanLog, SpoolFullError, Taken, spool_bytes, waiting_records
from flask_boxkite.spool.directory import NEW, directories
from flask_boxkite.spool.owner import OWNER
from flask_boxkite.spool.segment import HEADER
from flask_boxkite.system.locks import OwnerLock
from tests.faults import file_size_limit, fill, mounted, no_more_files
from tests.spool.logs import OWN, adopted, dies, fill_up, made, stored, take_all

KIB = 1024
SEGMENT = 16 * KIB
"""Size of a segment in a spool of 1 MiB."""


# --- any interleaving ------------------------------------------------------------------------------------------------


class Interleavings(RuleBasedStateMachine):
    """Processes that come and go in one spool, and what must be there in the end.

    Of dead processes, the model knows every record that is not settled by its file, and None for each that was damaged
    where it shows how many there were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.numbers = iter(range(10**6))
        self.log: Log | None = None
        self.unread: deque[bytes] = deque()
        self.in_hand: deque[tuple[Taken, list[bytes]]] = deque()
        self.dead: dict[Path, dict[str, list[bytes | None]]] = {}
        self.damaged: set[Path] = set()
        self.adopted: OrphanLog | None = None
        self.dead_unread: deque[bytes | None] = deque()
        self.dead_in_hand: deque[tuple[Taken, list[bytes | None]]] = deque()

    # A process.

    @precondition(lambda self: self.log is None)
    @rule()
    def start(self) -> None:
        self.log = made(self.root, number=next(self.numbers))  # not at random, so that Hypothesis can repeat it

    @precondition(lambda self: self.log)
    @rule(sizes=st.lists(st.integers(7, 5000) | st.sampled_from([SEGMENT, 3 * SEGMENT]), min_size=1, max_size=8))
    def append(self, sizes: list[int]) -> None:
        assert self.log is not None
        if spool_bytes(self.root) > 600 * KIB:  # the bound is another matter
            return
        for size in sizes:
            record = b"%d" % next(self.numbers) + b"." * (size - 6)
            self.log.append(record)
            self.unread.append(record)
        assert self.log.collect_given_up() == 0

    @precondition(lambda self: self.log)
    @rule()
    def prepare(self) -> None:
        assert self.log is not None
        if spool_bytes(self.root) < 900 * KIB:
            self.log.prepare()

    @precondition(lambda self: self.log)
    @rule(most_bytes=st.sampled_from([1, 6000, 10**6]))
    def take(self, most_bytes: int) -> None:
        assert self.log is not None
        taken = self.log.take(most_bytes)
        assert (taken is None) == (not self.unread)
        if taken is not None:
            expected = [self.unread.popleft() for _ in range(taken.entries)]
            assert taken.records == expected
            self.in_hand.append((taken, expected))

    @precondition(lambda self: self.in_hand)
    @rule()
    def settle(self) -> None:
        assert self.log is not None
        self.log.settle(self.in_hand.popleft()[0])

    @precondition(lambda self: self.log)
    @rule()
    def crash(self) -> None:
        assert self.log is not None
        directory = self.log.directory
        waiting = [*(record for _, records in self.in_hand for record in records), *self.unread]

        if directory.exists():
            dies(self.log)
            files = {path.name: [payload for payload, _ in stored(path)[0]] for path in sorted(directory.glob("*.seg"))}
            assert [record for records in files.values() for record in records] == waiting
            self.dead[directory] = {name: list(records) for name, records in files.items()}
        else:
            assert not waiting
        self.log = None
        self.in_hand.clear()
        self.unread.clear()

    @precondition(lambda self: self.log)
    @rule()
    def end(self) -> None:
        assert self.log is not None
        waiting = len(self.unread) + sum(len(records) for _, records in self.in_hand)
        assert self.log.close() == waiting
        if waiting == 0:
            assert not self.log.directory.exists()
            self.log = None

    # A disk.

    @precondition(lambda self: self.dead)
    @rule(data=st.data(), keeps_size=st.booleans())
    def damage(self, data: st.DataObject, keeps_size: bool) -> None:
        paths = sorted(
            directory / name
            for directory, files in self.dead.items()
            for name in files
            if (directory / name).exists()
            and directory / name not in self.damaged
            and (self.adopted is None or self.adopted.directory != directory)
        )
        if not paths:
            return
        path = data.draw(st.sampled_from(paths))
        self.damaged.add(path)
        entries, is_sealed = stored(path)
        size = path.stat().st_size
        ends = [end for _, end in entries]
        cut = data.draw(st.sampled_from([0, 7, HEADER, *ends]) | st.integers(HEADER, size))
        os.truncate(path, cut)
        if keeps_size:
            os.truncate(path, size)
        left: list[bytes | None] = [payload for payload, end in entries if end <= cut]
        missing = len(entries) - len(left)

        if cut < HEADER:
            missing = 0  # nothing says any more how many there were, or even what it is
        self.dead[path.parent][path.name] = left + [None] * (missing if is_sealed else 0)

    # Another process.

    @precondition(lambda self: self.adopted is None)
    @rule()
    def adopt(self) -> None:
        self.adopted = adopted(self.root)
        assert (self.adopted is None) == (not self.dead)
        if self.adopted is not None:
            files = self.dead[self.adopted.directory]
            self.dead_unread = deque(item for records in files.values() for item in records)
            assert self.adopted.waiting == len(self.dead_unread)
            assert self.adopted.owner == OWN

    @precondition(lambda self: self.adopted)
    @rule(most_bytes=st.sampled_from([1, 6000, 10**6]))
    def take_dead(self, most_bytes: int) -> None:
        assert self.adopted is not None
        taken = self.adopted.take(most_bytes)
        assert (taken is None) == (not self.dead_unread)
        if taken is not None:
            expected = [self.dead_unread.popleft() for _ in range(taken.entries)]
            assert taken.records == [item for item in expected if item is not None]
            self.dead_in_hand.append((taken, expected))

    @precondition(lambda self: self.dead_in_hand)
    @rule()
    def settle_dead(self) -> None:
        assert self.adopted is not None
        taken, items = self.dead_in_hand.popleft()
        self.adopted.settle(taken)
        files = self.dead[self.adopted.directory]
        for name, records in files.items():
            if records:
                assert records[: len(items)] == items
                files[name] = records[len(items) :]
                break

    @precondition(lambda self: self.adopted)
    @rule()
    def crash_adopter(self) -> None:
        assert self.adopted is not None
        dies(self.adopted)
        self._forget_adopted()

    @precondition(lambda self: self.adopted and not self.dead_in_hand)
    @rule()
    def close_adopted(self) -> None:
        assert self.adopted is not None
        is_all = not self.dead_unread and self.adopted.take(1) is None
        directory = self.adopted.directory
        self.adopted.close()
        assert directory.exists() == (not is_all)
        if is_all:
            del self.dead[directory]
        self._forget_adopted()

    def _forget_adopted(self) -> None:
        self.adopted = None
        self.dead_in_hand.clear()
        self.dead_unread.clear()

    # Always.

    @invariant()
    def numbers_are_right(self) -> None:
        if self.log is not None:
            in_hand = sum(len(records) for _, records in self.in_hand)
            assert (self.log.unread, self.log.waiting) == (len(self.unread), len(self.unread) + in_hand)
            assert waiting_records(self.log.directory) == self.log.waiting
        for directory, files in self.dead.items():
            assert waiting_records(directory) == sum(map(len, files.values()))
        if self.adopted is not None:
            in_hand = sum(len(items) for _, items in self.dead_in_hand)
            assert self.adopted.in_flight == in_hand
            assert self.adopted.waiting == in_hand + len(self.dead_unread)
        assert spool_bytes(self.root) == sum(path.stat().st_size for path in self.root.rglob("*") if path.is_file())

    def teardown(self) -> None:
        """Deliver all that is left: exactly what should be, and nothing after that."""
        try:
            if self.log is not None:
                self.crash()
            if self.adopted is not None:
                self.crash_adopter()
            while self.dead:
                self.adopt()
                while self.dead_unread:
                    self.take_dead(10**6)
                    self.settle_dead()
                self.close_adopted()

            assert adopted(self.root) is None
            assert list(self.root.iterdir()) == []
        finally:
            shutil.rmtree(self.root)


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


# --- the bound -------------------------------------------------------------------------------------------------------


def given_up_of(log: Log, records: list[bytes]) -> list[bytes]:
    """Deliver what is left; return what is not among it, which must be as much as the log says."""
    given_up = log.collect_given_up()
    left = take_all(log)
    lost = [record for record in records if record not in set(left)]
    assert left == [record for record in records if record in set(left)]
    assert len(lost) == given_up
    return lost


def test_beyond_the_bound_the_oldest_go(tmp_path: Path) -> None:
    log = made(tmp_path)
    records = []
    for number in range(3000):
        records += fill_up(log, 1000, 1, number)
        if number % 10 == 0:
            log.prepare()
            assert spool_bytes(tmp_path) <= 1024 * KIB
    assert log.waiting == log.unread == 3000 - log.given_up
    lost = given_up_of(log, records)
    assert lost == records[: len(lost)]
    assert 3000 - len(lost) > 900


def test_records_in_hand_are_never_given_up(tmp_path: Path) -> None:
    log = made(tmp_path)
    records = fill_up(log, 1000, 100)
    in_hand = []
    for number in range(3):  # three segments, the last in part
        taken = log.take(10**6 if number < 2 else 3000)
        assert taken is not None
        in_hand.append(taken)
    records += fill_up(log, 1000, 3000, 100)
    for taken in in_hand:
        log.settle(taken)
        records = [record for record in records if record not in set(taken.records)]

    lost = given_up_of(log, records)
    assert lost
    assert int(lost[0][:6]) >= len([record for taken in in_hand for record in taken.records])


def test_a_bound_that_is_reached_by_what_is_in_hand_takes_no_more(tmp_path: Path) -> None:
    log = made(tmp_path)
    records = fill_up(log, 1000, 1000)
    in_hand = []
    while (taken := log.take(10**6)) is not None:
        in_hand.append(taken)
    with pytest.raises(SpoolFullError, match="BOXKITE_SPOOL_BYTES"):
        fill_up(log, 1000, 200, 1000)
    accepted = log.waiting
    assert spool_bytes(tmp_path) <= 1024 * KIB
    for taken in in_hand:
        log.settle(taken)
    log.append(b"again")

    assert log.waiting == accepted - len(records) + 1
    assert take_all(log)[-1] == b"again"
    assert log.given_up == 0


def test_nothing_is_given_up_in_vain(tmp_path: Path) -> None:
    """A record that is larger than the bound, or has no room beside what others have, must not cost all the others."""
    log, other = made(tmp_path), made(tmp_path)
    fill_up(other, 1000, 500)
    records = fill_up(log, 1000, 300)
    for size in (2**20, 600_000):
        with pytest.raises(SpoolFullError):
            log.append(b"x" * size)
    assert log.given_up == 0
    log.append(b"y" * 300_000)
    lost = given_up_of(log, [*records, b"y" * 300_000])
    assert lost == records[: len(lost)]


def test_what_was_given_up_counts_though_the_disk_is_full_all_the_same(tmp_path: Path) -> None:
    log = made(tmp_path)
    records = fill_up(log, 1000, 1000)
    with file_size_limit(SEGMENT - 1), pytest.raises(OSError, match="too large"):
        fill_up(log, 1000, 100, 1000)
    assert log.given_up > 0
    seen = log.waiting + log.given_up
    assert take_all(log) == (records + [b"%06d" % n + b"." * 994 for n in range(1000, seen)])[log.given_up :]


def test_processes_bound_their_spool_together(tmp_path: Path) -> None:
    logs = [made(tmp_path) for _ in range(4)]
    for round_ in range(400):
        for log in logs:
            fill_up(log, 1000, 3, 3 * round_)
            assert spool_bytes(tmp_path) <= 1024 * KIB
    for log in logs:
        assert log.waiting + log.given_up == 1200
        assert len(take_all(log)) == log.waiting + 1200 - log.given_up


def test_a_segment_more_is_made_rather_than_to_wait_for_others(tmp_path: Path) -> None:
    log = made(tmp_path)
    fill_up(log, 1000, 1)
    with log._bound_locked():
        other = made(tmp_path)
        fill_up(other, 1000, 1)
    assert other.waiting == 1


def test_settled_segments_leave_the_disk(tmp_path: Path) -> None:
    log = made(tmp_path)
    for number in range(0, 2000, 20):
        fill_up(log, 1000, 20, number)
        take_all(log)
        log.prepare()
        assert spool_bytes(tmp_path) < 5 * SEGMENT
    assert log.given_up == 0


def test_a_record_may_be_larger_than_a_segment(tmp_path: Path) -> None:
    log = made(tmp_path)
    records = [b"before", b"x" * 100_000, b"after", b"y" * (SEGMENT - HEADER - 8), b"z" * (SEGMENT - HEADER - 7)]
    for record in records:
        log.append(record)
        log.prepare()
    dies(log)
    dead = adopted(tmp_path)
    assert dead is not None
    assert take_all(dead) == records
    dead.close()


def test_the_oldest_of_a_dead_process_can_be_given_up(tmp_path: Path) -> None:
    log = made(tmp_path)
    records = fill_up(log, 1000, 50)
    dies(log)
    dead = adopted(tmp_path)
    assert dead is not None
    in_hand = dead.take(3000)
    assert in_hand is not None
    given_up = dead.give_up_oldest()
    assert given_up > 0
    assert dead.waiting == 50 - given_up
    dead.settle(in_hand)
    first = len(in_hand.records)
    left = take_all(dead)
    assert len(left) == 50 - given_up - first
    assert left == [record for record in records if record in set(left)]
    assert left[0] == records[first]
    assert dead.give_up_oldest() == 0
    dead.close()

    assert not dead.directory.exists()


# --- a disk that fails -----------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_all_as_it_was(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "200k"):
        log = made(tmp_path / "disk")
        records = fill_up(log, 1000, 30)
        fill(tmp_path / "disk" / "filler")

        with pytest.raises(OSError, match="No space"):
            records += fill_up(log, 1000, 30, 30)
        before = log.waiting
        with pytest.raises(OSError, match="No space"):
            log.append(b"x" * 1000)
        with pytest.raises(OSError, match="No space"):
            log.prepare()
        other = made(tmp_path / "disk")
        with pytest.raises(OSError, match="No space"):
            other.append(b"x")
        assert [log.waiting, waiting_records(log.directory), other.waiting] == [before, before, 0]
        assert [path for path in log.directory.iterdir() if path.name.startswith("spare")] == []
        assert not [path for path in (tmp_path / "disk").iterdir() if path.name.startswith(NEW)]
        (tmp_path / "disk" / "filler").unlink()
        fill_up(log, 1000, 5, before)
        other.append(b"x")

        assert [int(record[:6]) for record in take_all(log) if record[:1] != b"x"] == list(range(before + 5))


def test_a_want_of_descriptors_leaves_all_as_it_was(tmp_path: Path) -> None:
    log = made(tmp_path)
    records = fill_up(log, 1000, 30)
    with no_more_files(), pytest.raises(OSError, match="Too many"):
        fill_up(log, 1000, 30, 30)
    with no_more_files(), pytest.raises(OSError, match="Too many"):
        log.take(10**6)
    assert log.unread == log.waiting
    assert take_all(log)[:30] == records


def test_a_sealed_segment_that_is_gone_is_lost_but_counted(tmp_path: Path) -> None:
    log = made(tmp_path)
    records = fill_up(log, 1000, 30)
    next(log.directory.glob("*1.seg")).unlink()
    taken = log.take(10**6)
    assert taken is not None
    assert (taken.records, taken.entries) == ([], 16)
    log.settle(taken)
    assert take_all(log) == records[16:]
    assert log.waiting == log.unread == 0


@pytest.mark.parametrize("part", ["all", "owner", "root"])
def test_a_log_whose_directory_was_deleted_begins_anew(tmp_path: Path, part: str) -> None:
    root = tmp_path / "spool"
    log = made(root)
    records = fill_up(log, 1000, 40)
    in_hand = log.take(3000)
    assert in_hand is not None
    assert not log.is_lost()
    if part == "owner":
        (log.directory / OWNER).unlink()
    else:
        shutil.rmtree(log.directory if part == "all" else root)
    assert log.is_lost()
    rescued, lost = log.leave()
    assert not log.is_lost()
    assert rescued == records[-len(rescued) :]
    assert len(rescued) > 5
    assert len(in_hand.records) + lost + len(rescued) == 40
    assert (log.waiting, log.unread) == (len(in_hand.records), 0)
    log.append(b"new")
    log.settle(in_hand)

    assert (log.waiting, take_all(log)) == (1, [b"new"])
    assert log.close() == 0
    assert list(root.iterdir()) == []


def test_what_the_directory_says_is_kept_up_to_date(tmp_path: Path) -> None:
    owner = OWN
    log = Log(tmp_path / made(tmp_path).directory.name, lambda: owner, 2**20)
    log.describe()
    log.append(b"x")
    for counts in ("/state/live-a-very-long-name", "/state/b"):
        owner = OWN._replace(counts=counts)
        log.describe()
    dies(log)
    dead = adopted(tmp_path)
    assert dead is not None
    assert (dead.owner, dead.is_counted) == (owner, False)


def test_a_description_that_could_not_be_written_is_tried_again(tmp_path: Path) -> None:
    owner = OWN
    log = Log(tmp_path / made(tmp_path).directory.name, lambda: owner, 2**20)
    log.append(b"x")
    owner = OWN._replace(counts="/state/b")
    with file_size_limit(1):
        log.describe()
    log.describe()
    assert b"/state/b" in (log.directory / OWNER).read_bytes()


# --- a directory that others can write -------------------------------------------------------------------------------


def test_everything_is_private(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        log = made(tmp_path / "deep" / "spool")
        fill_up(log, 1000, 20)
        log.prepare()
    finally:
        os.umask(mask)
    modes = {path: path.stat().st_mode & 0o777 for path in (tmp_path / "deep").rglob("*")}
    modes[tmp_path / "deep"] = (tmp_path / "deep").stat().st_mode & 0o777
    assert len(modes) == 7
    assert all(mode == (0o700 if path.is_dir() else 0o600) for path, mode in modes.items())


def test_nothing_is_on_disk_before_the_first_record(tmp_path: Path) -> None:
    log = made(tmp_path / "spool")
    log.prepare()
    assert (log.take(1), log.close(), log.is_lost()) == (None, 0, False)
    assert not (tmp_path / "spool").exists()


def test_the_spool_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "spool").symlink_to(tmp_path / "elsewhere")
    log = made(tmp_path / "spool")
    records = fill_up(log, 1000, 40)
    dies(log)
    dead = adopted(tmp_path / "spool")
    assert dead is not None
    assert take_all(dead) == records
    dead.close()


def test_links_in_the_spool_are_not_followed(tmp_path: Path) -> None:
    log = made(tmp_path / "elsewhere")
    log.append(b"not ours")
    dies(log)
    root = tmp_path / "spool"
    other = made(root)
    other.append(b"x" * 1000)
    dies(other)
    (root / log.directory.name).symlink_to(log.directory)
    (other.directory / "000000000000.seg").symlink_to(log.directory / "000000000001.seg")
    assert directories(root) == [other.directory]
    assert waiting_records(other.directory) == 1
    dead = adopted(root)
    assert dead is not None
    assert take_all(dead) == [b"x" * 1000]
    dead.close()

    assert adopted(root) is None
    assert take_all(adopted(tmp_path / "elsewhere") or pytest.fail("It is gone.")) == [b"not ours"]


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "large").write_bytes(bytes(2**21))
    (tmp_path / "new-things").mkdir()
    (tmp_path / f"memory-{1:032x}").write_text("a file")
    (tmp_path / f"memory-{2:032x}").mkdir()
    (tmp_path / f"memory-{2:032x}" / OWNER).write_text("[]")
    (tmp_path / f"memory-{3:032x}").mkdir()
    (tmp_path / f"memory-{3:032x}" / OWNER).mkdir()

    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    before = sorted(tmp_path.rglob("*"))
    log = made(tmp_path)
    fill_up(log, 1000, 40)
    assert log.given_up == 0
    dies(log)
    dead = adopted(tmp_path)
    assert dead is not None
    assert len(take_all(dead)) == 40
    dead.close()

    assert adopted(tmp_path) is None
    assert sorted(tmp_path.rglob("*")) == before
    assert adopted(tmp_path / "missing") is None
    assert adopted(tmp_path / f"memory-{1:032x}") is None
    assert spool_bytes(tmp_path / "missing") == 0


def test_files_that_are_no_segments_do_not_hide_those_that_are(tmp_path: Path) -> None:
    log = made(tmp_path)
    records = fill_up(log, 1000, 40)
    dies(log)
    for name in ("000000000000", "000000000001x"):
        (log.directory / f"{name}.seg").write_text("nonsense")
    (log.directory / "0.seg").mkdir()
    (log.directory / "spare-1").touch()
    assert waiting_records(log.directory) == 40
    dead = adopted(tmp_path)
    assert dead is not None
    assert take_all(dead) == records
    dead.close()

    assert adopted(tmp_path) is None


def test_directories_that_were_never_finished_are_swept_by_age(tmp_path: Path) -> None:
    old, young, link, future, locked = (tmp_path / f"{NEW}{number:032x}" for number in range(5))
    (tmp_path / "elsewhere").mkdir()
    link.symlink_to(tmp_path / "elsewhere")
    for directory in (old, young, future, locked, tmp_path / "elsewhere"):
        directory.mkdir(exist_ok=True)
        (directory / OWNER).touch()
    for path in (old, link, locked, tmp_path / "elsewhere"):
        os.utime(path, (0, time.time() - 3700), follow_symlinks=False)
    os.utime(future, (0, time.time() + 1e7))  # of a clock that was ahead

    owner = OwnerLock(locked / OWNER, os.O_RDWR)  # a process that is just making it, though the clock has jumped
    assert adopted(tmp_path) is None
    assert sorted(tmp_path.iterdir()) == sorted([young, link, locked, tmp_path / "elsewhere"])
    assert (tmp_path / "elsewhere" / OWNER).exists()
    owner.release()


def test_an_empty_directory_whose_process_died_while_it_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / f"memory-{1:032x}").mkdir()
    assert adopted(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_the_size_of_one_sinks_part_is_its_own(tmp_path: Path) -> None:
    """Also where the name has what no file can have."""
    sinks = ("file", "file-x", "new", "a/b", "a_b", "long" * 100, "long" * 101)
    for sink in sinks:
        made(tmp_path, owner=OWN._replace(sink=sink)).append(b"x" * 10)
    sizes = {sink: spool_bytes(tmp_path, sink) for sink in sinks}
    assert all(SEGMENT < size < 2 * SEGMENT for size in sizes.values())
    assert spool_bytes(tmp_path, "x") == 0
    assert spool_bytes(tmp_path) == sum(sizes.values())


# --- threads ---------------------------------------------------------------------------------------------------------


def test_records_of_many_threads_are_taken_once_and_in_order(tmp_path: Path) -> None:
    log = made(tmp_path, 2**26)
    threads, each = 4, 3000
    shipped: list[bytes] = []

    def work(thread: int) -> None:
        for number in range(each):
            log.append(b"%d-%06d" % (thread, number) + b"." * 90)

    workers = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers) or log.unread:
        log.prepare()
        taken = log.take(5000)
        if taken is not None:
            shipped += taken.records
            log.settle(taken)
    assert len(shipped) == len(set(shipped)) == threads * each
    for thread in range(threads):
        mine = [record for record in shipped if record.startswith(b"%d-" % thread)]
        assert mine == sorted(mine)
    assert log.close() == 0
    assert list(tmp_path.iterdir()) == []
