"""Directories of counts for tests."""

from __future__ import annotations

from pathlib import Path

from flask_boxkite.live.place import Place
from flask_boxkite.live.shared import Store
from flask_boxkite.live.store import Section, section_key

__all__ = ["directory_of", "model_section", "place_at", "same_place", "share"]


def place_at(directory: Path, app: str = "app") -> Place:
    """Return a place below *directory*; each call is another app unless its name is made the same by the test."""
    return Place(app, replica="replica", explicit=str(directory), environ={})


def same_place(directory: Path) -> Place:
    """Return a place of the same app below *directory*: its stores stand for processes of one server."""
    place = place_at(directory)
    place.release()  # not an app of this process
    place._app, place._number = "same", 0
    return place


def directory_of(directory: Path) -> Path:
    """Return where the files of `same_place` are."""
    return directory / "boxkite-replica-same.0"


def model_section(cells: int = 1, sums: int = 0, baseline: str = "none", description: bytes = b"") -> Section:
    """Return a section of a model."""
    return Section(section_key("model", "m", baseline), cells, sums, description)


def share(directory: Path, section: Section, cells: list[int], sums: list[float] | None = None) -> Store:
    """Return another process, as far as files go, that has counted this much."""
    store = Store(same_place(directory))
    block = store.block(section)
    with block.lock:
        for number, count in enumerate(cells):
            block.cells[number] += count
        for number, value in enumerate(sums or []):
            block.sums[number] += value
    store.share()
    assert block.is_shared
    return store
