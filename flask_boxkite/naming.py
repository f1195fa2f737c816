"""Names in all outputs: metric families, special groups, numbers in labels, tags and file names.

Users' dashboards, alerting rules and log pipelines rely on them, so each is defined once, and here.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable

__all__ = [
    "ABOVE",
    "BELOW",
    "CAPTURE_REASONS",
    "CHANNELS",
    "DAMAGED",
    "DROP_REASONS",
    "FAILED_STATES",
    "FEATURE_GAP",
    "FOLDED",
    "FOREIGN",
    "GAPS",
    "INVALID",
    "MISSING",
    "MOST_LETTERS",
    "NOTIFICATION_RESULTS",
    "OTHER_FORMAT",
    "OUTPUT_GAP",
    "PREDICTION_ID_HEADER",
    "RARE",
    "REDACTED",
    "REJECTIONS",
    "STATE_FILES",
    "STATUSES",
    "UNSEEN",
    "UNWRITABLE",
    "canonical_number",
    "category_text",
    "category_value",
    "escape_help",
    "escape_label",
    "interval",
    "is_canonical_number",
    "parse_interval",
    "parse_number",
    "path_segment",
    "segment_text",
    "short_text",
    "tag_segment",
]

MOST_LETTERS = 128
"""Most characters of a category in a label; training warns of longer names of variables, which stand whole."""

# Groups other than intervals and categories. Every row of a variable is in exactly one group.
BELOW = "__below__"
ABOVE = "__above__"
RARE = "__rare__"
UNSEEN = "__unseen__"
MISSING = "__missing__"
INVALID = "__invalid__"
SPECIAL_GROUPS = frozenset({BELOW, ABOVE, RARE, UNSEEN, MISSING, INVALID})

STATUSES = ("ok", "client_error", "error")

PREDICTION_ID_HEADER = "Boxkite-Prediction-Id"

# Closed sets: a client cannot add a series.
CAPTURE_REASONS = ("features", "output", "internal")
FEATURE_GAP, OUTPUT_GAP = GAPS = ("names", "output_names")
"""Features and outputs under other names than in training: they count as missing, their requests not as errors."""

FAILED_STATES = ("usual", "missing", "invalid", "unseen", "out_of_range")
DROP_REASONS = (
    "queue_full",
    "spool_full",
    "too_large",
    "unencodable",
    "refused",
    "damaged",
    "shutdown",
    "process_died",
)

REJECTIONS = ("unknown", "repeated", "late", "invalid", "failed")
"""Reasons for which an outcome is not counted: no such prediction is known (its id may be damaged or forged); it was
counted before; its prediction is too long ago to be remembered; the actual value cannot be read; the disk is full."""

CHANNELS = ("webhook", "function")
NOTIFICATION_RESULTS = ("delivered", "failed", "dropped")
"""Results of messages to people: taken by the receiver; a failed attempt, which is tried again; given up."""

REDACTED = "[redacted]"
"""Placeholder in a record of a value that ``BOXKITE_REDACT`` hides."""

# Results of reading and writing files of counts.
FOLDED = "folded"
DAMAGED = "damaged"
FOREIGN = "foreign"
OTHER_FORMAT = "other_format"
UNWRITABLE = "unwritable"
STATE_FILES = (FOLDED, DAMAGED, FOREIGN, OTHER_FORMAT, UNWRITABLE)

_GO_NUMBER = re.compile(r"-?\d+\.\d+|-?\d(?:\.\d+)?e[+-]\d{2,3}|[+-]Inf")


def canonical_number(value: float) -> str:
    """Write *value* as Go's ``FormatFloat(x, 'g', -1, 64)``, plus ``.0`` where that has no point and no exponent.

    Zero is unsigned, infinities are ``+Inf`` and ``-Inf``. Prometheus itself writes a label ``le`` in this form, so a
    label stays the same text through a scrape, a federation or a file.

    >>> canonical_number(1), canonical_number(-1e6), canonical_number(0.00001), canonical_number(123456.5)
    ('1.0', '-1e+06', '1e-05', '123456.5')
    """
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    value = float(value)
    if value == 0:
        return "0.0"
    if 1e-4 <= abs(value) < 1e6:
        return repr(value)
    sign, digits, exponent = _decimal_parts(repr(value))
    mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    return f"{sign}{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _decimal_parts(text: str) -> tuple[str, str, int]:
    """Split a float's repr into sign, significant digits without outer zeros, and the exponent of the first digit."""
    sign = "-" if text.startswith("-") else ""
    mantissa, _, power = text.lstrip("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = whole + fraction
    exponent = len(whole) - 1 + int(power or 0)
    stripped = digits.lstrip("0")
    exponent -= len(digits) - len(stripped)
    return sign, stripped.rstrip("0") or "0", exponent


def parse_number(text: str) -> float:
    """Read a number as Prometheus writes it.

    Raises:
        ValueError: The text is not a number. Python's own extensions (``1_000``, blanks, other digits) are refused.
    """
    if "_" in text or text != text.strip() or not text.isascii():
        msg = f"not a number: {text!r}"
        raise ValueError(msg)
    return float(text)


def is_canonical_number(text: str) -> bool:
    """Say whether *text* has exactly the form that `canonical_number` writes."""
    return _GO_NUMBER.fullmatch(text) is not None and canonical_number(float(text)) == text


def short_text(text: str) -> str:
    """Return a text short enough for a label: the text itself, or its beginning and a hash of all of it.

    Mimir refuses values of more than 2,048 bytes, VictoriaMetrics 4,096, Fluent Bit's scraper 1,024. A Prometheus with
    a limit rejects the whole scrape.
    """
    if len(text) <= MOST_LETTERS:
        return text
    mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{text[: MOST_LETTERS - len(mark) - 1]}…{mark}"


def category_text(value: str) -> str:
    """Return the label of a textual category: the text itself, or in double quotes if it is ambiguous.

    Empty texts, the names of special groups, and texts that are already in quotes are quoted, so that
    `category_value` can restore each of them.
    """
    if value == "" or value in SPECIAL_GROUPS or _is_quoted(value):
        return f'"{value}"'
    return value


def category_value(label: str) -> str:
    """Return the text from which `category_text` made *label*."""
    return label[1:-1] if _is_quoted(label) else label


def _is_quoted(text: str) -> bool:
    return len(text) >= 2 and text[0] == text[-1] == '"'


def segment_text(variable: str, group: str, equals: str = "=") -> str:
    """Return the name of a segment, such as ``country=SE``, which no segment by another variable has.

    Args:
        variable: Name of the variable; in double quotes, as JSON has it, if it holds one of these signs itself.
        group: Name of the group that the segment's rows are in.
        equals: Text between them.
    """
    name = variable if {"=", '"'}.isdisjoint(variable) else json.dumps(variable, ensure_ascii=False)
    return f"{name}{equals}{group}"


def interval(lower: float, upper: float) -> str:
    """Name the group of values in ``(lower, upper]``."""
    return f"({canonical_number(lower)},{canonical_number(upper)}]"


def parse_interval(name: str, parse: Callable[[str], float] = parse_number) -> tuple[float, float]:
    """Return the bounds in a name that `interval` wrote.

    Args:
        name: Name of the group.
        parse: Function that reads a bound.

    Raises:
        ValueError: *name* is not of the form ``(lower,upper]``.
    """
    lower, comma, upper = name[1:-1].partition(",")
    if not (name.startswith("(") and name.endswith("]") and comma):
        msg = f"not an interval '(lower,upper]': {name!r}"
        raise ValueError(msg)
    return parse(lower), parse(upper)


def escape_label(value: str) -> str:
    """Escape a label value for Prometheus text and OpenMetrics."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def escape_help(text: str) -> str:
    """Escape a HELP text."""
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def tag_segment(name: str) -> str:
    """Make *name* safe as one segment of a fluentd tag: no dots, blanks or slashes, never empty.

    fluentd splits tags at dots and matches them with patterns, so a dot in a name would shift all segments after it.
    """
    return re.sub(r"[^\w-]", "_", name) or "_"


def path_segment(name: str) -> str:
    """Make *name* safe as one folder or file name: no separators, no leading dot, at most 128 bytes."""
    safe = re.sub(r"[^\w.-]", "_", name).lstrip(".") or "_"
    return safe.encode()[:128].decode(errors="ignore")
