"""Values in nested objects and lists, named by their paths: ``address.zip``, ``readings.0``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["leaves", "value_at"]


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
