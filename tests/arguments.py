"""Numbers on the command lines of the tests' programs: a number out of range is a usage error, not a traceback."""

from __future__ import annotations

import argparse
from collections.abc import Callable

__all__ = ["at_least", "positive"]


def at_least(least: int) -> Callable[[str], int]:
    """Return the type of an option that takes whole numbers from *least* on."""

    def whole(text: str) -> int:
        if (value := int(text)) < least:
            msg = f"must be at least {least}, not {text}"
            raise argparse.ArgumentTypeError(msg)
        return value

    whole.__name__ = "whole number"  # argparse names it for a text that is not a number
    return whole


def positive(text: str) -> float:
    """Read a number above zero; the type of an option."""
    if not 0 < (value := float(text)) < float("inf"):
        msg = f"must be a number above 0, not {text}"
        raise argparse.ArgumentTypeError(msg)
    return value


positive.__name__ = "number"
