"""Checked counts and buckets of a baseline file; errors name the line, and callers add the name of the file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal

from flask_boxkite.baseline.limits import MAX_COUNT
from flask_boxkite.errors import BaselineError
from flask_boxkite.naming import parse_number
from flask_boxkite.promtext.sample import Sample

__all__ = ["read_buckets", "read_count"]

_PLAIN = 15
"""Digits of which every number is at most 2**53."""

_COUNT = re.compile(r"[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?")
"""Form of a count: Go and Python write large counts with an exponent."""


def read_count(sample: Sample) -> int:
    """Return the value of a sample that counts rows.

    Raises:
        BaselineError: The value is not a whole number, in digits, that a float holds exactly.
    """
    if len(sample.text) <= _PLAIN and sample.text.isascii() and sample.text.isdigit():
        return int(sample.text)
    # The text is checked, because a fraction, or a number beyond 2**53, may round to a whole float.
    count = Decimal(sample.text) if _COUNT.fullmatch(sample.text) else Decimal(-1)
    if not (0 <= count <= MAX_COUNT and count == count.to_integral_value()):
        msg = f"a count must be a whole number from 0 to 2**53, got {sample.text[:40]!r}."
        raise BaselineError(msg, line=sample.line)
    return int(count)


def read_buckets(name: str, samples: Iterable[Sample]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Return the finite bounds of a variable's bins, and the rows per bin, one more than bounds.

    Args:
        name: Name of the variable, for errors.
        samples: Cumulative buckets, in the order of the file.

    Raises:
        BaselineError: The buckets do not increase up to ``+Inf``.
    """
    bounds: list[float] = []
    counts: list[int] = []
    below = 0

    for sample in samples:
        bound = _bound(sample)
        if not bound > (bounds[-1] if bounds else float("-inf")):
            msg = f"the bounds of {name!r} must increase strictly, got {bound!r}."
            raise BaselineError(msg, line=sample.line)
        count = read_count(sample)
        if count < below:
            msg = f"the buckets of {name!r} must not decrease."
            raise BaselineError(msg, line=sample.line)
        bounds.append(bound)
        counts.append(count - below)
        below = count
    if not bounds or bounds[-1] != float("inf"):
        msg = f"{name!r} has no bucket '+Inf'; is the file cut?"
        raise BaselineError(msg, line=sample.line if bounds else None)

    return tuple(bounds[:-1]), tuple(counts)


def _bound(sample: Sample) -> float:
    try:
        return parse_number(sample.labels.get("le", ""))
    except ValueError as error:
        msg = f"'le' must be a number, got {repr(sample.labels.get('le'))[:40]}."
        raise BaselineError(msg, line=sample.line) from error
