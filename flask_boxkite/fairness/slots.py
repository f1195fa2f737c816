"""Hits and rows by slots of time, from which follows how many rows count as one."""

from __future__ import annotations

from flask_boxkite.performance.significance import dispersion_of

__all__ = ["SlotSeries"]

MOST_SLOTS = 256
"""Most slots that are held; of more, neighbours are joined. Half as many tell dispersion to a tenth."""

_SHORTEST_SECONDS = 10


class SlotSeries:
    """Counts of one share by slots of equal length: 10 seconds, then 20, 40, …, so that there are at most `MOST_SLOTS`.

    Rows of one batch, or of one user within a short while, may be alike. Then slots differ by more than chance.
    """

    def __init__(self) -> None:
        self._length = _SHORTEST_SECONDS
        self._slots: dict[int, list[int]] = {}

    def add(self, seconds: float, hits: int, rows: int = 1) -> None:
        """Add rows of one time.

        Args:
            seconds: Their time, in Unix seconds.
            hits: Number of hits among them.
            rows: Number of rows.
        """
        slot = self._slots.setdefault(int(seconds // self._length), [0, 0])
        slot[0] += hits
        slot[1] += rows
        while len(self._slots) > MOST_SLOTS:
            self._widen()

    def join(self, other: SlotSeries) -> None:
        """Add the counts of another series."""
        while self._length < other._length:
            self._widen()
        for place, (hits, rows) in other._slots.items():
            self.add(place * other._length, hits, rows)

    def _widen(self) -> None:
        slots, self._slots = self._slots, {}
        self._length *= 2
        for place, (hits, rows) in slots.items():
            slot = self._slots.setdefault(place // 2, [0, 0])
            slot[0] += hits
            slot[1] += rows

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def dispersion(self) -> float:
        """The number of rows that count as one, at least 1; 1 if there are few slots."""
        counts = [self._slots[place] for place in sorted(self._slots)]
        return dispersion_of([hits for hits, _ in counts], [rows for _, rows in counts])
