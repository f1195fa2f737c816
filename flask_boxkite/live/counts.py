"""One section of a store: this process counts in it, and reads the counts of all processes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from flask_boxkite.live.increments import Increments
from flask_boxkite.live.process_counts import ProcessCounts
from flask_boxkite.live.section import Section
from flask_boxkite.live.store import Store
from flask_boxkite.live.totals import Totals
from flask_boxkite.live.windows import History, Slots
from flask_boxkite.system.faults import warn_of
from flask_boxkite.system.throttle import Throttle

__all__ = ["Counts"]

_RETRY_SECONDS = 10.0


class Counts:
    """One section of a store, to count in and to read.

    Args:
        store: Store of the counts.
        section: Description of the section.
        keep: Keeps the hour that is over in the history, before the next count; None for a section without history.
    """

    def __init__(self, store: Store, section: Section, keep: Callable[[], None] | None = None) -> None:
        self.section = section
        self._keep = keep
        self._store = store
        self._clock = store.clock
        self._throttle = Throttle()
        self._block = store.block(section)

    def add(self, increments: Increments) -> None:
        """Add increments; readers in this process see all or none. Other processes never make this raise."""
        block = self._block
        if not block.mark[0]:
            block = self._block = self._store.block(self.section)
        if self._clock() >= block.slot_ends:
            self._begin_slot(block)
        with block.lock:  # as `block.add`, without its call
            block.raise_counts(increments)

    def _begin_slot(self, block: ProcessCounts) -> None:
        """Share the block with other processes, and take the snapshots that are due."""
        if block.slot_ends:  # other threads go on; but the first share comes before the first count
            block.slot_ends = self._clock() + _RETRY_SECONDS
        try:
            self._store.share()
            totals = partial(self._store.totals_since, self.section)
            block.slot_ends = self._store.windows(self.section).begin_slot(totals)
        except Exception as error:  # no failure here may cost a prediction
            block.slot_ends = self._clock() + _RETRY_SECONDS
            if self._throttle.allows():
                warn_of(error, "The counts of the last minutes and hours cannot be kept.")
        if self._store.on_slot is not None:
            self._store.on_slot()
        if self._keep is not None:
            self._keep()

    def totals(self) -> Totals:
        """Return the counts of all processes.

        Raises:
            OSError: They cannot be read just now.
        """
        return self._store.totals(self.section)

    def history(self) -> tuple[History, Totals]:
        """Return the snapshots of the last day, and the totals read just after them; see `Windows.history`.

        Raises:
            OSError: They cannot be read.
        """
        history = self._store.windows(self.section).history()
        return history, self.totals()

    def slots(self, name: str) -> Slots:
        """Return the counts of all processes in the last ``5m``, ``1h`` or ``24h``, slot by slot.

        Raises:
            OSError: They cannot be read.
        """
        history, totals = self.history()
        return history.slots(name, totals)
