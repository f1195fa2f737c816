"""Metric families as text: labels are rendered once, and each scrape fills in the numbers.

Every number is the sum of a run of neighbouring cells, so one running sum over all cells and one ``%`` give a whole
family: about 1 ms for 100 features, where formatting sample by sample takes 56 ms.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flask_boxkite.naming import escape_help, escape_label

__all__ = ["Family", "SampleLines", "label_text", "running_sum"]


class Family(NamedTuple):
    """Name, type and help of a metric family; *name* is the OpenMetrics name, without ``_total``."""

    name: str
    type: str
    help: str

    @property
    def sample_name(self) -> str:
        """The name of the family's samples, where they all have the same."""
        return f"{self.name}_total" if self.type == "counter" else self.name

    def header(self, *, openmetrics: bool) -> str:
        """Return the HELP and TYPE lines."""
        name = self.name if openmetrics else self.sample_name
        return f"# HELP {name} {escape_help(self.help)}\n# TYPE {name} {self.type}\n"


class SampleLines:
    """Sample lines of one family, each the sum of a run of cells.

    Args:
        lines: Text of each sample without its value, and its run of cells: start, stop (exclusive).
    """

    def __init__(self, lines: Iterable[tuple[str, int, int]]) -> None:
        heads: list[str] = []
        starts: list[int] = []
        stops: list[int] = []
        for head, start, stop in lines:
            heads.append(head.replace("%", "%%") + " %d\n")
            starts.append(start)
            stops.append(stop)
        self._template = "".join(heads).encode()
        self._starts = np.array(starts, dtype=np.intp)
        self._stops = np.array(stops, dtype=np.intp)

    def render(self, running: NDArray[np.int64]) -> bytes:
        """Fill in the numbers; *running* is the `running_sum` of all cells.

        Bytes are formatted in a third of the time of text, and the lines of 1,000 features take megabytes.
        """
        return self._template % tuple((running[self._stops] - running[self._starts]).tolist())


def running_sum(cells: ArrayLike) -> NDArray[np.int64]:
    """Return the sums of the first 0, 1, 2, … cells along the last axis, so that any run's sum is one difference."""
    counts = np.asarray(cells)
    running = np.zeros((*counts.shape[:-1], counts.shape[-1] + 1), dtype=np.int64)
    np.cumsum(counts, axis=-1, out=running[..., 1:])
    return running


def label_text(**labels: str | None) -> str:
    """Write labels as they stand in braces; labels whose value is None are left out."""
    return ",".join(f'{name}="{escape_label(value)}"' for name, value in labels.items() if value is not None)
