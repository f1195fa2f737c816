"""Help for users' own tests: a sink that keeps the records in memory.

sink = RecordingSink()
app.config["BOXKITE_SINK"] = sink
...
app.test_client().post("/score", json={"age": 41})
(record,) = sink.wait_for(1)
assert record["features"] == {"age": 41}
"""

from __future__ import annotations

import threading
from typing import Any

__all__ = ["RecordingSink"]


class RecordingSink:
    """Keeps every record it receives; a test sets it as ``BOXKITE_SINK``. Thread-safe.

    Records arrive in the order of logging, a moment later: use `wait_for`. In a forked process the sink begins with the
    records from before the fork, and the parent does not see later ones.
    """

    def __init__(self) -> None:
        self._records: list[dict[str, Any]] = []
        self._changed = threading.Condition()

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records so far, oldest first, in a list of their own."""
        with self._changed:
            return list(self._records)

    def emit_batch(self, records: list[dict[str, Any]]) -> None:
        """Take records; called by the recorder."""
        with self._changed:
            self._records += records
            self._changed.notify_all()

    def wait_for(self, number: int, timeout: float = 10.0) -> list[dict[str, Any]]:
        """Wait until there are at least *number* records, and return all.

        Raises:
            AssertionError: There are fewer after *timeout* seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._records) >= number, timeout):
                msg = f"Waited {timeout:g} s for {number} records, got {len(self._records)}."
                raise AssertionError(msg)
            return list(self._records)

    def clear(self) -> None:
        """Forget the records so far."""
        with self._changed:
            self._records.clear()
