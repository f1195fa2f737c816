"""The rows that a run prints: two figures, their ratio, the bars and whether they were met."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

__all__ = ["HEADER", "Row", "are_met", "medians"]

WIDTHS = (58, 21, 21, 8, 10, 4, 21, 8, 7, 4)


def _line(*cells: str) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()


HEADER = _line("what", "figure", "beside", "ratio", "bar", "", "earlier", "ratio", "bar", "")


@dataclass(frozen=True)
class Row:
    """One line of the report.

    Attributes:
        what: What was measured.
        figure: Our figure, or the figure of *who*.
        peer: The figure it is compared with, if any, and *peer_name* whose it is.
        unit: Unit of both.
        max_ratio: The bar: figure / peer must not exceed it.
        min_ratio: The bar: figure / peer must reach it.
        max_figure: The bar: the figure must not exceed it.
        min_figure: The bar: the figure must reach it.
        before: Figure of an earlier checkout of ours, if one was measured in turn.
        max_ratio_to_before: A bar of its own: figure / before must not exceed it.
    """

    what: str
    figure: float
    unit: str
    peer: float | None = None
    peer_name: str = ""
    who: str = "ours"
    max_ratio: float | None = None
    min_ratio: float | None = None
    max_figure: float | None = None
    min_figure: float | None = None
    before: float | None = None
    max_ratio_to_before: float | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether the bar is met; None without a bar."""
        if self.max_ratio is not None and self.peer is not None:
            return self.figure <= self.max_ratio * self.peer
        if self.min_ratio is not None and self.peer is not None:
            return self.figure >= self.min_ratio * self.peer
        if self.max_figure is not None:
            return self.figure <= self.max_figure
        if self.min_figure is not None:
            return self.figure >= self.min_figure
        return None

    @property
    def is_met_to_before(self) -> bool | None:
        """Whether the bar to the earlier checkout is met; None without a bar, or where none was measured."""
        if self.max_ratio_to_before is None or self.before is None:
            return None
        return self.figure <= self.max_ratio_to_before * self.before

    @property
    def ratio(self) -> float | None:
        """The figure in parts of the peer's; a peer whose cost is lost in the noise has none."""
        return self.figure / self.peer if self.peer is not None and self.peer > 0 else None

    @property
    def ratio_to_before(self) -> float | None:
        """The figure in parts of the earlier checkout's."""
        return self.figure / self.before if self.before is not None and self.before > 0 else None

    def __str__(self) -> str:
        return _line(
            self.what,
            self._cell(self.figure, self.who),
            "" if self.peer is None else self._cell(self.peer, self.peer_name),
            _ratio_cell(self.ratio),
            self.bar,
            _verdict(self.is_met),
            "" if self.before is None else self._cell(self.before, ""),
            _ratio_cell(self.ratio_to_before),
            self.bar_to_before,
            _verdict(self.is_met_to_before),
        )

    def _cell(self, value: float, name: str) -> str:
        return f"{value:,.{0 if abs(value) >= 1000 else 2}f} {self.unit} {name}"

    @property
    def bar(self) -> str:
        """The bar as it is printed."""
        if self.max_ratio is not None:
            return _at_most(self.max_ratio)
        if self.min_ratio is not None:
            return f"≥ {self.min_ratio:g}"
        if self.min_figure is not None:
            return f"≥ {self.min_figure:,} {self.unit}"
        return f"≤ {self.max_figure:g} {self.unit}" if self.max_figure is not None else ""

    @property
    def bar_to_before(self) -> str:
        """The bar to the earlier checkout as it is printed; empty where none was measured."""
        if self.max_ratio_to_before is None or self.before is None:
            return ""
        return _at_most(self.max_ratio_to_before)


def _verdict(is_met: bool | None) -> str:
    return {True: "pass", False: "MISS", None: ""}[is_met]


def _at_most(ratio: float) -> str:
    """Return a bar as a fraction of one where it is one, such as 1/8, else as a decimal."""
    parts = round(1 / ratio)
    return f"≤ 1/{parts}" if parts > 2 and abs(parts * ratio - 1) < 1e-9 else f"≤ {ratio:g}"


def _ratio_cell(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.3f}"


def _alike(runs: Iterable[Iterable[Row]]) -> dict[tuple[str, str, str], list[Row]]:
    """Return the rows of several runs by what they measure."""
    alike: dict[tuple[str, str, str], list[Row]] = {}
    for row in chain.from_iterable(runs):
        alike.setdefault((row.what, row.who, row.peer_name), []).append(row)
    return alike


def _most(verdicts: Iterable[bool | None]) -> bool | None:
    """Return whether more than half of the runs met a bar, as the median of an odd number of runs then does."""
    judged = [verdict for verdict in verdicts if verdict is not None]
    return 2 * sum(judged) > len(judged) if judged else None


def are_met(runs: Iterable[Iterable[Row]]) -> bool:
    """Return whether more than half of the runs met each bar."""
    return all(
        _most(row.is_met for row in rows) is not False and _most(row.is_met_to_before for row in rows) is not False
        for rows in _alike(runs).values()
    )


def medians(runs: Iterable[Iterable[Row]]) -> Iterator[str]:
    """Yield a line for each row of several runs: the median, the least and the greatest of its ratios."""
    yield _line(
        "median of each ratio (least, greatest)", "to the peer", "peer", "", "bar", "", "to earlier", "", "bar", ""
    )
    for (what, _, peer), rows in _alike(runs).items():
        ratios = [row.ratio for row in rows if row.ratio is not None]
        earlier = [row.ratio_to_before for row in rows if row.ratio_to_before is not None]
        if ratios or earlier:
            yield _line(
                what,
                _spread(ratios),
                peer,
                "",
                rows[0].bar,
                _verdict(_most(row.is_met for row in rows)),
                _spread(earlier),
                "",
                rows[0].bar_to_before,
                _verdict(_most(row.is_met_to_before for row in rows)),
            )


def _spread(ratios: Sequence[float]) -> str:
    """Return the median, and in brackets the least and the greatest."""
    if not ratios:
        return ""
    median, least, greatest = (_ratio_cell(ratio) for ratio in (statistics.median(ratios), min(ratios), max(ratios)))
    return f"{median} ({least}, {greatest})"
