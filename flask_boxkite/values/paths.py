"""Values in nested objects and lists, named by their paths: ``address.zip``, ``readings.0``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["leaves", "value_at", "values_at"]


def value_at(document: Any, path: str) -> Any:
    """Return the value at a dotted path.

    Raises:
        LookupError: There is no such value.
    """
    for key in path.split("."):
        if isinstance(document, Mapping) and key in document:  # a lookup alone would add the key to a defaultdict
            document = document[key]
        elif isinstance(document, Sequence) and not isinstance(document, str) and key.isdecimal():
            document = document[int(key)]
        else:
            raise LookupError(path)
    return document


def values_at(document: Any, path: str) -> Any:
    """Return the value at a dotted path, or a list of the values of all items where the path meets a list of rows.

    An item without the value has None.

    >>> values_at([{"a": {"b": 1}}, {}], "a.b"), values_at({"rows": [{"a": 1}, {"a": 2}]}, "rows.1.a")
    ([1, None], 2)

    Raises:
        LookupError: There is no such value.
    """
    key, _, rest = path.partition(".")
    if isinstance(document, (list, tuple)) and not key.isdecimal():
        found = [_value_or_none(item, path) for item in document]
        if all(value is None for value in found):
            raise LookupError(path)
        return found
    value = value_at(document, key)
    return values_at(value, rest) if rest else value


def _value_or_none(document: Any, path: str) -> Any:
    try:
        return values_at(document, path)
    except LookupError:
        return None


def leaves(document: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the path and value of each leaf; an empty object or list has none.

    Raises:
        RecursionError: The document is nested too deeply.
    """
    if isinstance(document, Mapping):
        items: Any = document.items()
    elif isinstance(document, (list, tuple)):
        items = enumerate(document)
    else:
        yield path, document
        return
    for key, value in items:
        yield from leaves(value, f"{path}.{key}" if path else str(key))
