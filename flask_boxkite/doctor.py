"""What is off in a set-up, and how to turn it on."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Finding"]


class Finding(NamedTuple):
    """One thing that the doctor noticed."""

    level: str
    what: str
    remedy: str
