"""Directories of counts for tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask_boxkite.live import folding
from flask_boxkite.live.clock import Moment
from flask_boxkite.live.section import Section, SectionKey
from flask_boxkite.live.state_directory import StateDirectory
from flask_boxkite.live.store import Store
from flask_boxkite.spool import waiting_records

__all__ = ["directory_of", "fold", "later", "model_section", "same_directory", "share", "state_directory"]


def state_directory(explicit: Path | None, app: str = "app", **options: Any) -> StateDirectory:
    """Return the state directory of an app, another one with each call.

    Args:
        explicit: Directory that the user names; None for an automatic one.
        app: Name of the app.
        options: More arguments of `StateDirectory`.
    """
    named = str(explicit) if explicit is not None else None
    options = {"replica": "replica", "environ": {}, "waiting_records": waiting_records} | options
    return StateDirectory(app, explicit=named, **options)


def same_directory(base: Path, **options: Any) -> StateDirectory:
    """Return a state directory of the same app below *base*: its stores stand for processes of one server."""
    directory = state_directory(base, **options)
    directory.release()  # not an app of this process
    directory._app, directory._number = "same", 0
    return directory


def directory_of(directory: Path) -> Path:
    """Return the path of the files of `same_directory`."""
    return directory / "boxkite-replica-same.0"


def fold(directory: Path, **options: Any) -> None:
    """Fold the files of dead processes, whose records may wait in spools."""
    folding.fold(directory, waiting_records, **options)


def later(seconds: float, *, jump: float = 0.0) -> Callable[[], Moment]:
    """Return a clock that is ahead.

    Args:
        seconds: Seconds by which time has passed.
        jump: Seconds by which a user has set the wall clock.
    """
    boot, uptime, wall = Moment.now()
    return lambda: Moment(boot, uptime + seconds, wall + seconds + jump)


def model_section(cells: int = 1, sums: int = 0, baseline: str = "none", description: bytes = b"") -> Section:
    """Return a section of a model."""
    return Section(SectionKey("model", "m", baseline), cells, sums, description)


def share(
    base: Path, section: Section, cells: list[int], sums: list[float] | None = None, *, folds: bool = True
) -> Store:
    """Return another process, as far as files go, that has counted this much; unless it *folds*, it leaves the dead."""
    directory = same_directory(base)
    if not folds:
        directory.fold = lambda directory: None  # type: ignore[method-assign]
    store = Store(directory)
    block = store.block(section)
    with block.lock:
        for number, count in enumerate(cells):
            block.cells[number] += count
        for number, value in enumerate(sums or []):
            block.sums[number] += value
    store.share()
    assert block.is_shared
    return store
