"""``--workers``: the processes that count logged predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from concurrent.futures import Executor

__all__ = ["processes", "workers_option"]


def workers_option(what: str = "Number of processes that count the records") -> Callable[..., Any]:
    """Return the option, whose help begins with *what*."""
    return click.option(
        "--workers",
        type=click.IntRange(1, 64),
        help=f"{what}; more are faster from 100 MB on.  [default: 1]",
    )


@contextmanager
def processes(number: int | None) -> Iterator[Executor | None]:
    """Yield an executor of some processes; None for one, which is this one."""
    if number in (None, 1):
        yield None
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(number, get_context("spawn")) as executor:  # a fork would copy locks of Polars
        yield executor
