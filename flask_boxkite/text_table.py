"""Tables of plain text, whose columns never touch."""

from __future__ import annotations

from collections.abc import Collection, Sequence

__all__ = ["text_table"]

_GAP = "  "


def text_table(rows: Sequence[Sequence[str]], least: Sequence[int] = (), *, right: Collection[int] = ()) -> list[str]:
    """Return the lines of a table; each column is as wide as its longest cell, and two spaces from the next.

    Args:
        rows: Cells of each row, the heading first; all rows have the same number of cells.
        least: Least widths of the first columns, so that tables with usual numbers look alike.
        right: Indices of the columns that are aligned to the right.

    >>> text_table([("metric", "value"), ("accuracy", "0.9")], right=[1])
    ['metric    value', 'accuracy    0.9']
    """
    longest = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths = [max(width, *least[place : place + 1], 0) for place, width in enumerate(longest)]
    return [
        _GAP.join(
            f"{cell:>{width}}" if place in right else f"{cell:<{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
