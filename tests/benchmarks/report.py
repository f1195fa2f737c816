"""The rows that a run prints: two figures, their ratio, the bar and whether it was met."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["HEADER", "Row"]

WIDTHS = (58, 21, 21, 8, 10, 4)


def _line(*cells: str) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()


HEADER = _line("what", "figure", "beside", "ratio", "bar", "")


@dataclass(frozen=True)
class Row:
    """One line of the report.

    Attributes:
        what: What was measured.
        figure: Our figure, or the figure of *who*.
        peer: The figure it is compared with, if any, and *peer_name* whose it is.
        unit: Unit of both.
        max_ratio: The bar: figure / peer must not exceed it.
        max_figure: The bar: the figure must not exceed it.
        min_figure: The bar: the figure must reach it.
    """

    what: str
    figure: float
    unit: str
    peer: float | None = None
    peer_name: str = ""
    who: str = "ours"
    max_ratio: float | None = None
    max_figure: float | None = None
    min_figure: float | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether the bar is met; None without a bar."""
        if self.max_ratio is not None and self.peer is not None:
            return self.figure <= self.max_ratio * self.peer
        if self.max_figure is not None:
            return self.figure <= self.max_figure
        if self.min_figure is not None:
            return self.figure >= self.min_figure
        return None

    def __str__(self) -> str:
        verdict = {True: "pass", False: "MISS", None: ""}[self.is_met]
        return _line(
            self.what, self._cell(self.figure, self.who), self._peer_cell(), self._ratio(), self._bar(), verdict
        )

    def _cell(self, value: float, name: str) -> str:
        return f"{value:,.{0 if abs(value) >= 1000 else 2}f} {self.unit} {name}"

    def _peer_cell(self) -> str:
        return "" if self.peer is None else self._cell(self.peer, self.peer_name)

    def _ratio(self) -> str:
        """Return figure / peer; a peer whose cost is lost in the noise has no ratio."""
        return f"{self.figure / self.peer:.3f}" if self.peer is not None and self.peer > 0 else ""

    def _bar(self) -> str:
        if self.max_ratio is not None:
            return f"≤ 1/{1 / self.max_ratio:.0f}" if self.max_ratio < 1 else f"≤ {self.max_ratio:g}"
        if self.min_figure is not None:
            return f"≥ {self.min_figure:,} {self.unit}"
        return f"≤ {self.max_figure:g} {self.unit}" if self.max_figure is not None else ""
