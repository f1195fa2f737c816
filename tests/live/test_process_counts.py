"""Numbers of one process: exact under threads, whole in every reading, in memory and in a file alike."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from flask_boxkite.live.counts import Counts
from flask_boxkite.live.increments import Increments
from flask_boxkite.live.process_counts import ProcessCounts
from flask_boxkite.live.section import Section, SectionKey
from flask_boxkite.live.store import Store
from tests.live.directories import state_directory


@pytest.fixture(params=["memory", "shared"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Return a store that keeps its numbers in this process, and one that shares them."""
    return Store(None if request.param == "memory" else state_directory(tmp_path))


def counts_in(store: Store, cells: int, sums: int) -> Counts:
    """Return counts of a section of this size."""
    return Counts(store, Section(SectionKey("model", "m", "none"), cells, sums))


def with_sums(increments: Increments, *sums: tuple[int, float]) -> Increments:
    """Add sums to increments."""
    increments.sums += sums
    return increments


@pytest.mark.parametrize(
    ("increments", "cells"),
    [
        pytest.param(Increments([]), [0, 0, 0, 0], id="nothing"),
        pytest.param(Increments([0, 2, 2]), [1, 0, 2, 0], id="cells, one of them twice"),
        pytest.param(Increments([1], wide=np.array([0, 3])), [1, 1, 0, 1], id="a wide row"),
        pytest.param(Increments([1], block=np.array([5, 0, 0, 7])), [5, 1, 0, 7], id="a batch"),
    ],
)
def test_what_is_added_is_read(store: Store, increments: Increments, cells: list[int]) -> None:
    counts = counts_in(store, 4, 0)
    for _ in range(2):
        counts.add(increments)
    assert counts.totals().cells.tolist() == [2 * count for count in cells]


def test_sums_are_added(store: Store) -> None:
    counts = counts_in(store, 1, 2)
    counts.add(with_sums(Increments([0]), (0, 1.5), (1, 2.0), (0, 0.25)))
    assert counts.totals().sums.tolist() == [1.75, 2.0]


def test_a_reading_does_not_change_any_more(store: Store) -> None:
    counts = counts_in(store, 1, 1)
    before = counts.totals()
    counts.add(with_sums(Increments([0]), (0, 1.0)))
    between = counts.totals()
    counts.add(with_sums(Increments([0]), (0, 1.0)))
    assert (before.cells.tolist(), before.sums.tolist()) == ([0], [0.0])
    assert (between.cells.tolist(), between.sums.tolist()) == ([1], [1.0])


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("block", [None, np.array([0, 1])], ids=["row", "batch"])
def test_a_cell_can_be_raised_before_it_is_added(store: Store, number: int, block: np.ndarray | None) -> None:
    increments = Increments([], block=None if block is None else block.copy())
    increments.amounts.append((0, number))
    counts = counts_in(store, 2, 0)
    counts.add(increments)
    assert counts.totals().cells.tolist() == [number, 0 if block is None else 1]


@pytest.mark.parametrize("first", ["cells", "wide", "block"])
@pytest.mark.parametrize("second", ["cells", "wide", "block"])
def test_features_and_outputs_are_added_as_one(store: Store, first: str, second: str) -> None:
    """Both may raise the same cells: neither may hide the other's."""
    ways: dict[str, Callable[[Increments], None]] = {
        "cells": lambda increments: increments.cells.extend([0, 1]),
        "wide": lambda increments: increments.raise_cells(np.array([0, 1])),
        "block": lambda increments: increments.add_block(np.array([1, 1])),
    }
    both = Increments()
    ways[first](both)
    ways[second](both)
    counts = counts_in(store, 2, 0)
    counts.add(both)
    assert counts.totals().cells.tolist() == [2, 2]


@pytest.fixture
def _restless_threads() -> Iterator[None]:
    """Have threads take turns all the time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_restless_threads")
def test_threads_lose_no_count_and_every_reading_of_a_block_is_whole(store: Store) -> None:
    """Each addition raises all cells, so in any reading they must be equal, also while the block moves to and fro."""
    cells = 40
    counts = counts_in(store, cells, 1)
    kinds = [
        Increments(list(range(cells))),
        Increments(wide=np.arange(cells)),
        Increments(block=np.ones(cells, dtype=np.int64)),
    ]
    for kind in kinds:
        kind.sums.append((0, 1.0))
    enough = threading.Event()
    added: list[int] = []

    def add() -> None:
        number = 0
        while not enough.is_set():
            counts.add(kinds[number % 3])
            number += 1
        added.append(number)

    block = counts._block
    workers = [threading.Thread(target=add) for _ in range(4)]
    for worker in workers:
        worker.start()
    try:
        for number in range(1_000):
            totals = block.totals()
            assert len(set(totals.cells.tolist())) == 1
            assert totals.sums[0] == totals.cells[0]
            if number % 50 == 0 and block.is_shared:
                move_out_and_in(store, block)
    finally:
        enough.set()
        for worker in workers:
            worker.join()
    assert counts.totals().cells.tolist() == [sum(added)] * cells


def move_out_and_in(store: Store, block: ProcessCounts) -> None:
    """Delete the state file, as a person might, and let the store find out."""
    file = store._process.file
    assert file is not None
    file.path.unlink()
    store.share()
    assert block.is_shared
    assert file.path != store._process.file.path  # type: ignore[union-attr]


@pytest.mark.parametrize("shared", [False, True], ids=["memory", "shared"])
def test_a_child_forked_while_the_locks_are_held_counts(tmp_path: Path, shared: bool) -> None:
    """The child must not wait for the locks of the numbers and of the process: their holder does not exist in it."""
    store = Store(state_directory(tmp_path) if shared else None)
    counts = counts_in(store, 1, 0)
    counts.add(Increments([0]))
    with counts._block.lock, store._process.lock:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                signal.alarm(30)
                counts.add(Increments([0, 0, 0]))
                code = 0 if counts.totals().cells.tolist() == [4 if shared else 3] else 2
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
    assert counts.totals().cells.tolist() == [4 if shared else 1]
