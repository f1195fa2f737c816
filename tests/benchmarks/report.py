"""The rows that a run prints: two figures, their ratio, the bar and whether it was met."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

__all__ = ["HEADER", "Row", "medians"]

WIDTHS = (58, 21, 21, 8, 10, 4, 14, 8)


def _line(*cells: str) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()


HEADER = _line("what", "figure", "beside", "ratio", "bar", "", "earlier", "ratio")


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
        before: Figure of an earlier checkout of ours, if one was measured in turn.
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
    before: float | None = None

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

    @property
    def ratio(self) -> float | None:
        """The figure in parts of the peer's; a peer whose cost is lost in the noise has none."""
        return self.figure / self.peer if self.peer is not None and self.peer > 0 else None

    @property
    def ratio_to_before(self) -> float | None:
        """The figure in parts of the earlier checkout's."""
        return self.figure / self.before if self.before is not None and self.before > 0 else None

    def __str__(self) -> str:
        verdict = {True: "pass", False: "MISS", None: ""}[self.is_met]
        return _line(
            self.what,
            self._cell(self.figure, self.who),
            "" if self.peer is None else self._cell(self.peer, self.peer_name),
            _ratio_cell(self.ratio),
            self._bar(),
            verdict,
            "" if self.before is None else self._cell(self.before, ""),
            _ratio_cell(self.ratio_to_before),
        )

    def _cell(self, value: float, name: str) -> str:
        return f"{value:,.{0 if abs(value) >= 1000 else 2}f} {self.unit} {name}"

    def _bar(self) -> str:
        if self.max_ratio is not None:
            return f"≤ 1/{1 / self.max_ratio:.0f}" if self.max_ratio < 1 else f"≤ {self.max_ratio:g}"
        if self.min_figure is not None:
            return f"≥ {self.min_figure:,} {self.unit}"
        return f"≤ {self.max_figure:g} {self.unit}" if self.max_figure is not None else ""


def _ratio_cell(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.3f}"


def medians(runs: Iterable[Iterable[Row]]) -> Iterator[str]:
    """Yield a line for each row of several runs: the median of its ratios, the least and the greatest of them."""
    alike: dict[tuple[str, str], list[Row]] = {}
    for row in chain.from_iterable(runs):
        alike.setdefault((row.what, row.peer_name), []).append(row)

    yield _line("median of each ratio", "to the peer", "peer", "least", "greatest", "", "to the earlier", "")
    for (what, peer), rows in alike.items():
        ratios = [row.ratio for row in rows if row.ratio is not None]
        earlier = [row.ratio_to_before for row in rows if row.ratio_to_before is not None]
        if ratios or earlier:
            beside = _spread(ratios)
            yield _line(what, beside[0], peer, *beside[1:], "", " ".join(_spread(earlier)), "")


def _spread(ratios: Sequence[float]) -> tuple[str, str, str]:
    """Return the median, the least and the greatest, as they are printed."""
    if not ratios:
        return "", "", ""
    return _ratio_cell(statistics.median(ratios)), _ratio_cell(min(ratios)), _ratio_cell(max(ratios))
