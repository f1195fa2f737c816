"""An example of a value that could not be read: its kind, its form and, where privacy allows it, the value.

The form of a text has ``9`` in place of each digit and ``a`` in place of each letter: ``12,5`` and ``€ 30`` still show
their comma and sign to people who may not see values of users. Words that stand for no value are their own form.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from numbers import Number
from typing import Any, NamedTuple

from flask_boxkite.naming import REDACTED
from flask_boxkite.quoting import printable

__all__ = ["MOST_EXAMPLES", "Examples", "UnreadValue", "listed_forms", "listed_values", "unread_value"]

MOST_EXAMPLES = 2
"""Most examples of one variable, of different kinds or forms."""

MOST_LETTERS = 24
"""Most letters of a value, or of its form."""

_MOST_PART = 40
"""Most letters of any part."""

_PLACEHOLDERS = frozenset(
    (
        *("error", "invalid", "missing", "n", "nil", "no", "no data", "not applicable", "not available", "off", "on"),
        *("other", "tbd", "undefined", "unk", "unknown", "y", "yes"),
    )
)
"""Words that stand for no value, or for a boolean, in many data sets; they tell nothing of a user."""

_LEGEND = "9: any digit, a: any letter"
_KINDS = {"text": "texts", "number": "numbers", "list": "lists", "object": "objects"}


class UnreadValue(NamedTuple):
    """One example.

    Attributes:
        kind: ``text``, ``number``, ``list``, ``object``, ``missing values``, the name of another type, or ``rows
            with`` a reason.
        form: Form of a text or number; empty where even that is hidden, and for other kinds.
        value: The value itself, shortened; empty where it is hidden, and for other kinds.
    """

    kind: str
    form: str = ""
    value: str = ""

    @classmethod
    def of_json(cls, content: Any) -> UnreadValue:
        """Return the example of which a file holds these parts.

        Raises:
            ValueError: The content is not of three texts.
        """
        kind, form, value = map(str, content)
        return cls(*(printable(part)[:_MOST_PART] for part in (kind, form, value)))


def unread_value(value: Any, *, is_shown: bool = True, is_quoted: bool = True, is_derived: bool = False) -> UnreadValue:
    """Describe a value that could not be read.

    Args:
        value: The value.
        is_shown: Whether its form may be shown; its kind always is.
        is_quoted: Whether the value itself may be shown too.
        is_derived: Whether the package has derived it, so that an object gives the reason.
    """
    if is_derived and isinstance(value, Mapping):
        return UnreadValue(printable(f"rows with {value.get('invalid')}")[:_MOST_PART])
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return UnreadValue("missing values")
    if isinstance(value, (bytes, bytearray)):
        return UnreadValue("bytes")
    if isinstance(value, (str, Number)):
        kind, text = "text" if isinstance(value, str) else "number", str(value)
        if not is_shown or text == REDACTED:
            return UnreadValue(kind)
        return UnreadValue(kind, _form(text), _shortened(text) if is_quoted else "")
    if isinstance(value, Mapping):
        return UnreadValue("object")
    if isinstance(value, (list, tuple)):
        return UnreadValue("list")
    return UnreadValue(printable(type(value).__name__)[:MOST_LETTERS])


class Examples:
    """The first examples of one variable, and the number of its values that could not be read."""

    def __init__(self) -> None:
        self.count = 0
        self.found: list[UnreadValue] = []

    def join(self, other: Examples) -> None:
        """Add the examples of further values."""
        self.count += other.count
        new = (each for each in other.found if all(each[:2] != known[:2] for known in self.found))
        self.found += islice(new, MOST_EXAMPLES - len(self.found))

    def note(self, value: Any, *, is_derived: bool = False) -> None:
        """Count a value; the first ones of each kind or form become examples."""
        self.count += 1
        if len(self.found) < MOST_EXAMPLES:
            example = unread_value(value, is_derived=is_derived)
            if all(each[:2] != example[:2] for each in self.found):
                self.found.append(example)


def listed_forms(examples: Sequence[UnreadValue]) -> str:
    """Name examples without values of users: ``texts like '99,9' (9: any digit, a: any letter), lists``."""
    forms = [example.form for example in examples]
    text = _listed(examples, forms, "like")
    is_masked = any("a" in form or "9" in form for form in forms if form.lower() not in _PLACEHOLDERS)
    return f"{text} ({_LEGEND})" if is_masked else text


def listed_values(examples: Sequence[UnreadValue]) -> str:
    """Name examples for operators: ``texts such as '12,5' and '€ 30', lists``; by forms where values are hidden."""
    if any(example.form and not example.value for example in examples):
        return listed_forms(examples)
    return _listed(examples, [example.value or example.form for example in examples], "such as")


def _listed(examples: Sequence[UnreadValue], shown: Iterable[str], such_as: str) -> str:
    by_kind: dict[str, list[str]] = {}
    for example, text in zip(examples, shown, strict=True):
        quoted = by_kind.setdefault(example.kind, [])
        if text and repr(text) not in quoted:
            quoted.append(repr(text))
    parts = []
    for kind, quoted in by_kind.items():
        name = _KINDS.get(kind) or (kind if " " in kind else f"values of type {kind}")
        parts.append(f"{name} {such_as} {' and '.join(quoted)}" if quoted else name)
    return ", ".join(parts)


def _form(text: str) -> str:
    """Return the form of a text."""
    text = _shortened(text.strip())
    if text.lower() in _PLACEHOLDERS:
        return text
    return "".join("9" if letter.isdigit() else "a" if letter.isalpha() else letter for letter in text)


def _shortened(text: str) -> str:
    text = printable(text)
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 1]}…"
