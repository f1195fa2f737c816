"""The files that the page loads: its style sheet and its script."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

__all__ = ["ASSETS", "asset"]

ASSETS = {"boxkite.css": "text/css; charset=utf-8", "boxkite.js": "text/javascript; charset=utf-8"}
"""Content type of each file, by name."""


@lru_cache
def asset(name: str) -> str:
    """Return the text of a file."""
    return files("flask_boxkite.page").joinpath("assets", name).read_text("utf-8")
