"""Texts that are almost a label, such as ``Spam`` where training had ``spam``: another spelling, and no other class."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["NearLabels"]


class NearLabels:
    """Texts that differ from a label by case, or by blanks at their ends; a label itself is one, too.

    Args:
        labels: Labels, as a baseline writes them.

    >>> "Spam " in NearLabels(["spam", "ham"]), "eggs" in NearLabels(["spam", "ham"])
    (True, False)
    """

    def __init__(self, labels: Iterable[str]) -> None:
        self._folded = frozenset(map(_folded, labels))

    def __contains__(self, value: object) -> bool:
        return isinstance(value, str) and _folded(value) in self._folded


def _folded(text: str) -> str:
    return text.strip().strip('"').strip().casefold()
