"""Python's search for garbage is paused while records are read, and goes on afterwards."""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Iterator

import pytest

from flask_boxkite.records.garbage import no_collection, rarely_collected


@pytest.fixture(autouse=True)
def enabled() -> Iterator[None]:
    assert gc.isenabled()
    yield
    gc.enable()


def test_the_pause_lasts_until_the_last_one_has_left() -> None:
    first, second = no_collection(), no_collection()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not gc.isenabled()
    second.__exit__(None, None, None)
    assert gc.isenabled()


def test_a_search_that_was_off_stays_off() -> None:
    gc.disable()
    with no_collection():
        pass
    assert not gc.isenabled()


def test_a_reading_that_is_left_halfway_ends_the_pause() -> None:
    pieces = rarely_collected(iter(range(3)))
    assert next(pieces) == 0
    assert not gc.isenabled()
    del pieces
    assert gc.isenabled()


def test_a_reading_that_fails_ends_the_pause() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise OSError

    with pytest.raises(OSError, match=r"^$"):
        list(rarely_collected(failing()))
    assert gc.isenabled()


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="Processes cannot be forked here.")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_process_has_no_pause() -> None:
    context = multiprocessing.get_context("fork")
    found = context.SimpleQueue()
    with no_collection():
        process = context.Process(target=lambda: found.put(gc.isenabled()))
        process.start()
        process.join()
    assert found.get()
