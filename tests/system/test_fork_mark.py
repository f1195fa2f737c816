"""A mark that holds in the process that made it, and in no child."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable

import pytest

from flask_boxkite.system.fork_mark import fork_mark


def without_wiping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand for a system that has no pages that are wiped on fork: a mapping that refuses the advice."""

    class Page(mmap.mmap):
        def madvise(self, option: int, *args: int) -> None:
            raise OSError(22, "Invalid argument")

    monkeypatch.setattr("flask_boxkite.system.fork_mark.mmap.mmap", Page)


def in_child(say: Callable[[], bool]) -> bool:
    """Return what *say* says in a forked process."""
    child = os.fork()
    if not child:
        os._exit(10 + bool(say()))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 11


@pytest.mark.parametrize("prepare", [lambda patch: None, without_wiping], ids=["page", "process id"])
def test_a_mark_holds_here_and_in_no_child(
    prepare: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(monkeypatch)
    mark = fork_mark()
    assert mark[0]
    assert not in_child(lambda: bool(mark[0]))
    assert mark[0]


@pytest.mark.parametrize("prepare", [lambda patch: None, without_wiping], ids=["page", "process id"])
def test_a_child_makes_a_mark_of_its_own(
    prepare: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(monkeypatch)

    def own_mark_holds_and_not_in_a_grandchild() -> bool:
        mark = fork_mark()
        return bool(mark[0]) and not in_child(lambda: bool(mark[0]))

    assert in_child(own_mark_holds_and_not_in_a_grandchild)


def test_a_page_is_used_where_there_is_one() -> None:
    """It is what makes asking cheap."""
    assert isinstance(fork_mark(), mmap.mmap)
