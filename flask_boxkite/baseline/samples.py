"""Lines of Prometheus text as samples, and the checks that every kind of baseline file has in common.

A line of the form that we write ourselves is matched by one regular expression, 30 times faster than a general parser.
Errors name the line; whoever knows the file adds its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from flask_boxkite.baseline.distribution import MAX_COUNT
from flask_boxkite.errors import BaselineError
from flask_boxkite.naming import parse_number

__all__ = ["Sample", "parse_any_sample", "parse_sample", "read_buckets", "read_count", "unescape"]

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(,|$)')
_ESCAPE = re.compile(r"\\(.)")
_UNESCAPED = {"n": "\n", "\\": "\\", '"': '"'}


_COUNT = re.compile(r"[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?")
"""How a count may be written: Go and Python write large ones with an exponent."""


class Sample(NamedTuple):
    """One line of a file.

    Attributes:
        name: Its name.
        labels: Its labels.
        value: Its value.
        line: 1-based number of the line.
        text: The value as it stands there.
    """

    name: str
    labels: dict[str, str]
    value: float
    line: int
    text: str


def parse_any_sample(text: str, line: int) -> Sample:
    """Read a sample line, in whatever form Prometheus text allows.

    Args:
        text: The line.
        line: Its 1-based number.

    Raises:
        BaselineError: It is no sample.
    """
    try:
        if parsed := parse_sample(text):
            return Sample(*parsed, line, text.rpartition(" ")[2])
        (family,) = text_string_to_metric_families(text + "\n")
        (sample,) = family.samples
    except Exception as error:  # the parser raises ValueError, IndexError and KeyError alike
        msg = f"it is not Prometheus text: {text[:120]!r}."
        raise BaselineError(msg, line=line) from error
    return Sample(sample.name, dict(sample.labels), float(sample.value), line, _value_text(text))


def _value_text(text: str) -> str:
    """Return the value of a sample line that the general parser has read: behind the labels, before a timestamp."""
    behind = text.rpartition("}")[2].split() if "}" in text else text.split()[1:]
    return behind[0] if behind else ""


def parse_sample(text: str) -> tuple[str, dict[str, str], float] | None:
    """Read a sample line of the form that we write ourselves: name, labels, value; None if it has another form.

    Raises:
        ValueError: The value is no number.
    """
    match = _SAMPLE.fullmatch(text)
    labels = _labels(match[2] or "") if match else None
    if match is None or labels is None:
        return None
    return match[1], labels, parse_number(match[3])


def _labels(text: str) -> dict[str, str] | None:
    """Read the text between braces; None if it is not just as we write it."""
    labels: dict[str, str] = {}
    position = 0
    for match in _LABEL.finditer(text):
        if match.start() != position or match[1] in labels:
            return None
        labels[match[1]] = unescape(match[2])
        position = match.end()
    return labels if position == len(text) else None


def unescape(text: str) -> str:
    """Undo the escapes of a label value or a HELP text."""
    return _ESCAPE.sub(lambda match: _UNESCAPED.get(match[1], match[0]), text) if "\\" in text else text


def read_count(sample: Sample) -> int:
    """Return the value of a sample that counts rows.

    Raises:
        BaselineError: It is no whole number that a float counts exactly, written in digits.
    """
    # By the text: a float that is no whole number, or beyond 2**53, may round to one.
    count = Decimal(sample.text) if _COUNT.fullmatch(sample.text) else Decimal(-1)
    if not (0 <= count <= MAX_COUNT and count == count.to_integral_value()):
        msg = f"a count must be a whole number from 0 to 2**53, got {sample.text[:40]!r}."
        raise BaselineError(msg, line=sample.line)
    return int(count)


def read_buckets(name: str, samples: Iterable[Sample]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Return the finite bounds of a variable's bins, and the rows per bin, one more than bounds.

    Args:
        name: The variable, for errors.
        samples: Its cumulative buckets, in the order of the file.

    Raises:
        BaselineError: They do not increase up to ``+Inf``.
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
