"""Keys and outputs that ``BOXKITE_REDACT`` hides in records, though a report needs them, and rows without a key."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from flask_boxkite.errors import BoxkiteError
from flask_boxkite.naming import REDACTED

__all__ = ["Hidden", "hides"]

logger = logging.getLogger("flask_boxkite")

_KEY = "Join by another key, such as 'prediction_id', or take it out of that setting."
_OUTPUT = "Ask monitor.performance(), since counts are not redacted, or take it out of that setting."


def hides(output: Any) -> bool:
    """Say whether a value in an output is hidden."""
    if isinstance(output, str):
        return output == REDACTED
    if isinstance(output, dict):
        return any(map(hides, output.values()))
    return isinstance(output, list) and any(map(hides, output))


class Hidden:
    """Counts the answered rows whose key or judged output is hidden, and the ones without a key.

    Attributes:
        keyless: Number of rows without a key; rows whose keys were not asked for have one.

    Args:
        key: Name of the key.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._rows = self._keys = self._outputs = self.keyless = 0

    def see(self, rows: int, names: Sequence[str | None], output: Any, values: Sequence[float | None]) -> None:
        """Count the rows of a record.

        Args:
            rows: Number of its rows.
            names: Keys of the rows, as far as they were read.
            output: Output in the record.
            values: Numbers that stand for the outputs, as far as these were read.
        """
        self._rows += rows
        self._keys += names.count(REDACTED)
        self.keyless += names.count(None)
        if hides(output):
            self._outputs += rows - len(values) + values.count(None)

    def pass_over(self, rows: int, keyless: int) -> None:
        """Count rows of which neither key nor output is hidden, some of them without a key."""
        self._rows += rows
        self.keyless += keyless

    def join(self, other: Hidden) -> None:
        """Add the counts of another reading."""
        self._rows += other._rows
        self._keys += other._keys
        self._outputs += other._outputs
        self.keyless += other.keyless

    def check(self) -> None:
        """Warn if some keys or outputs are hidden.

        Raises:
            BoxkiteError: All of them are.
        """
        for what, number, remedy in ((f"key {self._key!r}", self._keys, _KEY), ("output", self._outputs, _OUTPUT)):
            if number and number == self._rows:
                msg = f"The {what} is hidden in all records, by 'BOXKITE_REDACT' of the server. {remedy}"
                raise BoxkiteError(msg)
            if number:
                text = "The %s is hidden in %d of %d rows, by 'BOXKITE_REDACT' of the server; they are left aside. %s"
                logger.warning(text, what, number, self._rows, remedy)
