"""Counts of one process: exact under threads, whole in every reading, new after a fork."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from flask_boxkite.live.store import Increments, MemoryStore


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
def test_what_is_added_is_read(increments: Increments, cells: list[int]) -> None:
    store = MemoryStore(4, 0)
    for _ in range(2):
        store.add(increments)
    assert store.totals().cells.tolist() == [2 * count for count in cells]


def test_sums_are_added() -> None:
    store = MemoryStore(1, 2)
    store.add(with_sums(Increments([0]), (0, 1.5), (1, 2.0), (0, 0.25)))
    assert store.totals().sums.tolist() == [1.75, 2.0]


def test_a_reading_does_not_change_any_more() -> None:
    store = MemoryStore(1, 1)
    before = store.totals()
    store.add(with_sums(Increments([0]), (0, 1.0)))
    assert (before.cells.tolist(), before.sums.tolist()) == ([0], [0.0])


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("block", [None, np.array([0, 1])], ids=["row", "batch"])
def test_a_cell_can_be_raised_before_it_is_added(number: int, block: np.ndarray | None) -> None:
    increments = Increments([], block=None if block is None else block.copy())
    increments.amounts.append((0, number))
    store = MemoryStore(2, 0)
    store.add(increments)
    assert store.totals().cells.tolist() == [number, 0 if block is None else 1]


@pytest.mark.parametrize("first", ["cells", "wide", "block"])
@pytest.mark.parametrize("second", ["cells", "wide", "block"])
def test_features_and_outputs_are_added_as_one(first: str, second: str) -> None:
    """Both may raise the same cells: neither may hide the other's."""
    ways: dict[str, Callable[[Increments], None]] = {
        "cells": lambda increments: increments.cells.extend([0, 1]),
        "wide": lambda increments: increments.raise_cells(np.array([0, 1])),
        "block": lambda increments: increments.add_block(np.array([1, 1])),
    }
    both = Increments()
    ways[first](both)
    ways[second](both)
    store = MemoryStore(2, 0)
    store.add(both)
    assert store.totals().cells.tolist() == [2, 2]


@pytest.fixture
def _restless_threads() -> Iterator[None]:
    """Have threads take turns all the time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_restless_threads")
def test_threads_lose_no_count_and_every_reading_is_whole() -> None:
    """Each addition raises all cells, so in any reading they must be equal."""
    cells = 40
    store = MemoryStore(cells, 1)
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
            store.add(kinds[number % 3])
            number += 1
        added.append(number)

    workers = [threading.Thread(target=add) for _ in range(4)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(2_000):
            totals = store.totals()
            assert len(set(totals.cells.tolist())) == 1
            assert totals.sums[0] == totals.cells[0]
    finally:
        enough.set()
        for worker in workers:
            worker.join()
    assert store.totals().cells.tolist() == [sum(added)] * cells


def test_a_child_forked_while_the_lock_is_held_counts_from_zero() -> None:
    store = MemoryStore(1, 0)
    store.add(Increments([0]))
    with store._block.lock:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                signal.alarm(30)
                store.add(Increments([0, 0, 0]))
                code = 0 if store.totals().cells.tolist() == [3] and list(store._blocks) == [os.getpid()] else 2
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
    assert store.totals().cells.tolist() == [1]
