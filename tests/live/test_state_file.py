"""Files of counts: what is written is read, whole or not at all; what is damaged is noticed, whatever the damage."""

from __future__ import annotations

import mmap
import os
import random
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_boxkite.baseline.limits import MAX_COUNT
from flask_boxkite.live import state_file as statefile
from flask_boxkite.live.folding import read_directory
from flask_boxkite.live.increments import Increments
from flask_boxkite.live.model_cells import FORMAT
from flask_boxkite.live.process_counts import ProcessCounts
from flask_boxkite.live.section import Section, SectionKey
from flask_boxkite.live.state_file import (
    LiveFile,
    StateFileError,
    Stored,
    composed,
    is_unused,
    mark_folded,
    parsed,
)
from flask_boxkite.live.totals import Totals
from flask_boxkite.naming import DAMAGED, FOREIGN, OTHER_FORMAT
from flask_boxkite.system.files import read_file
from flask_boxkite.system.fork_mark import fork_mark
from flask_boxkite.system.locks import can_lock, locked, release, take_if_dead
from flask_boxkite.system.process import ServerName
from tests.faults import ended, file_size_limit, fork
from tests.live.directories import directory_of, fold, model_section, share

PAGE = mmap.ALLOCATIONGRANULARITY
HEADER = 28
HEADING = 36
"""Bytes of a file's and of a section's header."""


B = SectionKey("model", "m", "b")


def stored(key: SectionKey, cells: list[int], sums: list[float] = [], description: bytes = b"") -> Stored:  # noqa: B006
    """Return a section."""
    return Stored(key, Totals(np.array(cells, np.int64), np.array(sums, np.float64)), description)


def as_lists(sections: list[Stored]) -> list[tuple[str, list[int], list[float], bytes]]:
    """Return sections as values that can be compared."""
    return [
        (str(item.key), item.totals.cells.tolist(), item.totals.sums.tolist(), item.description) for item in sections
    ]


NAMES = st.text(st.characters(codec="utf-8"), max_size=20)
SECTIONS = st.lists(
    st.builds(
        stored,
        st.builds(SectionKey, NAMES, NAMES, NAMES),
        st.lists(st.integers(0, MAX_COUNT), max_size=600),
        st.lists(st.floats(0, allow_nan=False, allow_infinity=False), max_size=20),
        st.binary(max_size=5000),
    ),
    max_size=4,
)


@given(generation=st.integers(0, 2**64 - 1), sections=SECTIONS)
@settings(max_examples=50)
def test_what_is_composed_is_parsed(generation: int, sections: list[Stored]) -> None:
    found, parts = parsed(composed(generation, sections))
    assert (found, as_lists(parts)) == (generation, as_lists(sections))


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveFile]:
    """Return the file of this process."""
    file = LiveFile(tmp_path)
    yield file
    file.close()


def counted(
    cells: list[int], sums: list[float] | None = None, description: bytes = b"", name: str = "b"
) -> ProcessCounts:
    """Return a block in memory that holds these numbers."""
    section = Section(SectionKey("model", "m", name), len(cells), len(sums or []), description)
    block = ProcessCounts(section, fork_mark())
    block.cells[:] = cells
    block.sums[:] = sums or []
    return block


def test_a_block_goes_on_in_the_file(live: LiveFile) -> None:
    block = counted([1, 2, 3], [0.5], b"about")
    live.take([block])
    for _ in range(2):
        increments = Increments([0, 2, 2])
        increments.sums.append((0, 1.25))
        block.add(increments)
    assert as_lists(parsed(read_file(live.path))[1]) == [('["model", "m", "b"]', [3, 2, 7], [3.0], b"about")]


def test_a_file_without_sections_is_read(live: LiveFile) -> None:
    assert parsed(read_file(live.path)) == (0, [])


def test_a_file_that_grows_is_whole_in_every_reading(live: LiveFile) -> None:
    """Each section comes all at once, and none that was there is lost."""
    enough = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not enough.is_set():
            sections = parsed(read_file(live.path))[1]
            assert [item.totals.cells[0] for item in sections] == list(range(1, len(sections) + 1))
            assert all(item.totals.cells[-1] == item.totals.cells[0] for item in sections)
            assert all(item.description == b"d" * 5000 for item in sections)
            seen.append(len(sections))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(1, 41):
            live.take([counted([number] * 1000, description=b"d" * 5000, name=str(number))])
    finally:
        enough.set()
        reader.join()
    assert seen == sorted(seen)
    assert len(parsed(read_file(live.path))[1]) == 40


def test_a_section_that_does_not_fit_leaves_the_file_and_the_block_as_they_were(live: LiveFile) -> None:
    first, second = counted([1]), counted([2] * 5000, name="other")
    live.take([first])
    before = live.path.read_bytes()
    with file_size_limit(len(before) + PAGE), pytest.raises(OSError, match="File too large"):
        live.take([second])
    assert live.path.read_bytes() == before
    assert not second.is_shared
    second.add(Increments([0]))
    live.take([second])
    assert [item.totals.cells[0] for item in parsed(read_file(live.path))[1]] == [1, 3]


def test_a_section_comes_whole_or_not_at_all_wherever_its_maker_is_killed(tmp_path: Path) -> None:
    for writes in range(1, 5):
        for when in ("before", "after"):
            base = tmp_path / f"{writes}-{when}"
            base.mkdir()

            def crash(base: Path = base, writes: int = writes, when: str = when) -> None:
                real, seen = statefile.write_all, []

                def write_all(descriptor: int, data: bytes, offset: int) -> None:
                    seen.append(1)
                    if len(seen) == writes and when == "before":
                        os._exit(0)
                    real(descriptor, data, offset)
                    if len(seen) == writes:
                        os._exit(0)

                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(statefile, "write_all", write_all)
                    LiveFile(base).take([counted([7] * 2000, description=b"about")])

            assert ended(fork(crash)) == 0
            for path in base.glob("live-*"):
                assert as_lists(parsed(read_file(path))[1]) in (
                    [],
                    as_lists([stored(counted([]).section.key, [7] * 2000, [], b"about")]),
                )


def test_a_file_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    with file_size_limit(0), pytest.raises(OSError, match="File too large"):
        LiveFile(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_reserved_zeros_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS, where the function is missing, and on some file systems."""

    def refuse(*arguments: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    file = LiveFile(tmp_path)
    file.take([counted([7] * 3000)])
    assert parsed(read_file(file.path))[1][0].totals.cells.tolist() == [7] * 3000
    assert file.path.stat().st_blocks * 512 >= file.path.stat().st_size
    file.close()


def test_a_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        file = LiveFile(tmp_path)
    finally:
        os.umask(before)
    assert file.path.stat().st_mode & 0o777 == 0o600
    file.close()


# --- damage ----------------------------------------------------------------------------------------------------------

LIVE_FILE = composed(0, [stored(B, [1, 2, 3], [0.5], b"about"), stored(SectionKey("sink", "s"), [4] * 600)])
LIVE_FILE = LIVE_FILE[:24] + bytes(4) + LIVE_FILE[28:]  # a live file has no checksum
RETIRED_FILE = composed(12345678901234567890, [stored(B, [1, 2, 3], [0.5], b"about")])


def test_a_retired_file_that_is_cut_anywhere_is_damaged() -> None:
    for size in range(0, len(RETIRED_FILE), 7):
        with pytest.raises(StateFileError) as raised:
            parsed(RETIRED_FILE[:size])
        assert raised.value.state == DAMAGED


def states_of(data: bytes) -> tuple[str, list[tuple[str, list[int], list[float], bytes]]]:
    """Return what is wrong with a file, or nothing; and its sections, if it can be read."""
    try:
        return "", as_lists(parsed(data)[1])
    except StateFileError as error:
        return error.state, []


def test_a_live_file_that_is_cut_anywhere_gives_whole_sections_or_is_damaged() -> None:
    whole = as_lists(parsed(LIVE_FILE)[1])
    for size in range(0, len(LIVE_FILE), 7):
        state, sections = states_of(LIVE_FILE[:size])
        assert state in ("", DAMAGED)
        assert sections == whole[: len(sections)]


def test_a_changed_byte_in_a_retired_file_is_noticed() -> None:
    """Also in the generation: with the highest there is, nothing could be written any more."""
    for position in [*range(HEADER), *range(PAGE, len(RETIRED_FILE), 3)]:
        for flip in (0x01, 0x80, 0xFF):
            data = bytearray(RETIRED_FILE)
            data[position] ^= flip
            with pytest.raises(StateFileError):
                parsed(bytes(data))


def test_a_changed_byte_in_what_describes_a_live_file_gives_no_wrong_numbers() -> None:
    """A length that became zero looks like a section that is being written: what follows is left out, not misread."""
    whole = as_lists(parsed(LIVE_FILE)[1])
    second = PAGE + struct.unpack_from("=Q", LIVE_FILE, PAGE)[0]
    positions = [*range(HEADER), *range(PAGE, PAGE + HEADING), *range(second, second + HEADING)]
    for position in positions:
        for flip in range(1, 256):
            data = bytearray(LIVE_FILE)
            data[position] ^= flip
            sections = states_of(bytes(data))[1]
            assert sections == whole[: len(sections)]


def test_a_length_that_swallows_the_next_section_is_damage() -> None:
    data = bytearray(LIVE_FILE)
    struct.pack_into("=Q", data, PAGE, len(LIVE_FILE) - PAGE)
    with pytest.raises(StateFileError):
        parsed(bytes(data))


@given(data=st.binary(max_size=300) | st.binary(max_size=300).map(lambda data: LIVE_FILE[: PAGE + 8] + data * 30))
def test_random_bytes_are_refused_or_have_no_sections(data: bytes) -> None:
    state, sections = states_of(data)
    assert sections == []
    assert state in ("", DAMAGED, FOREIGN, OTHER_FORMAT)


@pytest.mark.parametrize(
    ("cells", "sums"),
    [([-1], [0.0]), ([MAX_COUNT + 1], [0.0]), ([1], [-1.0]), ([1], [float("nan")])],
    ids=["negative", "too large", "negative sum", "no sum"],
)
def test_numbers_that_cannot_be_are_damage(cells: list[int], sums: list[float]) -> None:
    with pytest.raises(StateFileError, match=DAMAGED):
        parsed(composed(0, [stored(B, cells, sums)]))


@pytest.mark.parametrize(
    ("data", "state"),
    [
        (b"", DAMAGED),
        (b"box", DAMAGED),
        (b"# HELP", FOREIGN),
        (b"\0" * PAGE, FOREIGN),
        (struct.pack("=8sQQI", b"boxkite\n", FORMAT + 1, 0, 0).ljust(PAGE, b"\0"), OTHER_FORMAT),
    ],
    ids=["empty", "beginning", "text", "zeros", "other format"],
)
def test_what_is_no_file_of_ours_is_told_apart(data: bytes, state: str) -> None:
    with pytest.raises(StateFileError) as raised:
        parsed(data)
    assert raised.value.state == state


def make_directory(path: Path) -> None:
    path.mkdir()


def make_link(path: Path) -> None:
    target = path.parent.parent / "elsewhere"
    target.write_bytes(LIVE_FILE)
    path.symlink_to(target)


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_garbage(path: Path) -> None:
    path.write_bytes(random.Random(0).randbytes(3 * PAGE))


@pytest.mark.parametrize("make", [make_directory, make_link, make_pipe, make_garbage])
def test_what_stands_under_the_name_of_a_live_file_is_left_out_and_left_alone(tmp_path: Path, make: object) -> None:
    """And no reader waits for it."""
    store = share(tmp_path, model_section(), [3])
    path = directory_of(tmp_path) / "live-x"
    make(path)  # type: ignore[operator]

    def read() -> None:
        fold(directory_of(tmp_path))
        assert store.totals(model_section()).cells.tolist() == [3]
        assert read_directory(directory_of(tmp_path)).totals(model_section()).cells.tolist() == [3]

    assert ended(fork(read)) == 0
    assert os.path.lexists(path)


# --- whose it is -----------------------------------------------------------------------------------------------------


def test_a_file_is_dead_when_its_owner_is(tmp_path: Path, live: LiveFile) -> None:
    assert take_if_dead(live.path) is None
    assert not is_unused(tmp_path)
    live.close()
    descriptor = take_if_dead(live.path)
    assert descriptor is not None
    assert not is_unused(tmp_path)  # someone is folding it
    release(descriptor)
    assert is_unused(tmp_path)


def test_a_file_that_is_gone_is_not_dead(tmp_path: Path) -> None:
    assert take_if_dead(tmp_path / "live-x") is None


@pytest.mark.parametrize("shared", [False, True], ids=["empty", "with a block"])
def test_a_child_does_not_keep_the_file_of_its_dead_parent(tmp_path: Path, shared: bool) -> None:
    """It neither counts nor ends: all that frees the lock is the hook at the fork."""
    ready, tell = os.pipe()

    def parent() -> None:
        file = LiveFile(tmp_path)
        block = counted([5])
        if shared:
            file.take([block])

        def child() -> None:
            os.write(tell, b"x")
            os.read(hold, 1)

        fork(child)

    hold, let_go = os.pipe()
    assert ended(fork(parent)) == 0
    assert os.read(ready, 1) == b"x"
    try:
        (path,) = tmp_path.iterdir()
        descriptor = take_if_dead(path)
        assert descriptor is not None
        release(descriptor)
    finally:
        os.write(let_go, b"x")
        for end in (ready, tell, hold, let_go):
            os.close(end)


def test_a_lock_taken_by_a_fold_is_let_go_although_a_child_was_forked(tmp_path: Path) -> None:
    path = tmp_path / "live-x"
    path.write_bytes(LIVE_FILE)
    descriptor = take_if_dead(path)
    assert descriptor is not None
    hold, let_go = os.pipe()
    child = fork(lambda: os.read(hold, 1))
    release(descriptor)
    again = take_if_dead(path)
    assert again is not None
    release(again)
    os.write(let_go, b"x")
    assert ended(child) == 0
    os.close(hold)
    os.close(let_go)


def test_a_lock_is_let_go_although_a_child_was_forked_meanwhile(tmp_path: Path) -> None:
    hold, let_go = os.pipe()
    descriptor = os.open(tmp_path, os.O_RDONLY)
    with locked(descriptor) as is_mine:
        assert is_mine
        child = fork(lambda: os.read(hold, 1))
    os.close(descriptor)
    other = os.open(tmp_path, os.O_RDONLY)
    with locked(other) as is_mine:
        assert is_mine
    os.close(other)
    os.write(let_go, b"x")
    assert ended(child) == 0
    os.close(hold)
    os.close(let_go)


def test_the_format_is_in_every_file(live: LiveFile) -> None:
    assert struct.unpack_from("=Q", read_file(live.path), 8) == (FORMAT,)
    assert can_lock


# --- the described bytes ---------------------------------------------------------------------------------------------


def test_a_live_file_has_the_described_bytes(tmp_path: Path) -> None:
    file = LiveFile(tmp_path, ServerName("boot", "4026", 12, "34"))
    file.take([counted([3, 2**40], [0.5], b"about")])
    data = read_file(file.path)
    file.close()
    key = b'["model", "m", "b"]'

    assert struct.unpack_from("=8sQQI", data) == (b"boxkite\n", FORMAT, 0, 0)
    assert data[28:PAGE] == bytes(36) + b'["boot", "4026", 12, "34"]'.ljust(PAGE - 64, b"\0")

    section = data[PAGE:]
    assert struct.unpack_from("=QQQII", section) == (PAGE, 2, 1, len(key), 5)
    assert struct.unpack_from("=I", section, 32) != (0,)
    assert section[36:64] == bytes(28)
    assert struct.unpack_from("=qqd", section, 64) == (3, 2**40, 0.5)
    assert section[88:] == (key + b"about").ljust(PAGE - 88, b"\0")


def test_the_byte_at_56_of_the_first_section_says_that_a_file_was_folded(tmp_path: Path) -> None:
    file = LiveFile(tmp_path)
    file.take([counted([1]), counted([2], name="c")])
    before = read_file(file.path)
    mark_folded(file.path)
    assert file.was_folded
    after = read_file(file.path)
    file.close()
    assert [at for at, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]] == [PAGE + 56]


def test_retired_counts_have_a_generation_and_a_checksum() -> None:
    magic, version, generation, checksum = struct.unpack_from("=8sQQI", RETIRED_FILE)
    assert (magic, version, generation) == (b"boxkite\n", FORMAT, 12345678901234567890)
    assert checksum == zlib.crc32(RETIRED_FILE[PAGE:], zlib.crc32(RETIRED_FILE[16:24]))
    assert RETIRED_FILE[28:PAGE] == bytes(PAGE - 28)
