"""Shares drawn as letters."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["bar", "column_chart", "narrowed", "sparkline"]

_RISING = " ▁▂▃▄▅▆▇█"
_GROWING = " ▏▎▍▌▋▊▉█"
_EIGHTHS = 8


def sparkline(shares: ArrayLike, width: int) -> str:
    """Draw shares as columns one letter high, at most *width* of them."""
    return column_chart(narrowed(shares, width), 1)[0]


def column_chart(shares: ArrayLike, height: int, letters: int = 1) -> list[str]:
    """Draw shares as columns, the largest up to the top; any share above zero is visible.

    Args:
        shares: Shape (n,).
        height: Height of the chart, in lines.
        letters: Width of a column, in letters.
    """
    values = np.asarray(shares, dtype=np.float64)
    full = height * _EIGHTHS
    highest = float(values.max(initial=0.0)) or 1.0
    eighths = np.where(values > 0, np.maximum(np.rint(values / highest * full), 1), 0).astype(int)
    lines = []
    for line in range(height - 1, -1, -1):
        parts = np.clip(eighths - line * _EIGHTHS, 0, _EIGHTHS)
        lines.append("".join(_RISING[part] * letters for part in parts))
    return lines


def bar(share: float, width: int) -> str:
    """Draw a share in [0, 1] as a line to the right, *width* letters long for 1; any share above zero is visible."""
    eighths = round(share * width * _EIGHTHS) or (share > 0)
    whole, part = divmod(int(eighths), _EIGHTHS)
    return "█" * whole + (_GROWING[part] if part else "")


def narrowed(shares: ArrayLike, width: int) -> NDArray[np.float64]:
    """Add up equal numbers of neighbours, so that at most *width* shares remain; the last may have fewer neighbours."""
    values = np.asarray(shares, dtype=np.float64)
    together = -(-len(values) // max(width, 1)) if len(values) else 1
    padded = np.pad(values, (0, -len(values) % together))
    summed: NDArray[np.float64] = padded.reshape(-1, together).sum(axis=1)
    return summed
