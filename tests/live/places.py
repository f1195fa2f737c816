"""Directories of counts for tests."""

from __future__ import annotations

from pathlib import Path

from flask_boxkite.live.place import Place

__all__ = ["place_at"]


def place_at(directory: Path, app: str = "app") -> Place:
    """Return a place below *directory*; each call is another app unless its name is made the same by the test."""
    return Place(app, replica="replica", explicit=str(directory), environ={})
