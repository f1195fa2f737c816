"""Counts of the features of failed requests by their oddities.

A request that ends in 5xx adds nothing to the bins of answered rows, which drift judges. Each of its features is
counted in one of `FAILED_STATES` instead, five cells a feature, so that users see which input breaks a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Distribution
from flask_boxkite.live.increments import Increments
from flask_boxkite.live.model_cells import ModelCells
from flask_boxkite.naming import ABOVE, BELOW, FAILED_STATES, INVALID, MISSING, STATUSES, UNSEEN

__all__ = ["FailedCells", "Failures", "OddFeature", "failures_of"]

_STATES = {
    MISSING: FAILED_STATES.index("missing"),
    INVALID: FAILED_STATES.index("invalid"),
    UNSEEN: FAILED_STATES.index("unseen"),
    BELOW: FAILED_STATES.index("out_of_range"),
    ABOVE: FAILED_STATES.index("out_of_range"),
}
_USUAL = FAILED_STATES.index("usual")

_LEAST_SHARE = 0.1
"""Least share of the failed rows for a state to explain them."""

_LEAST_RATIO = 2.0
"""A state stands out if its share is at least this many times its share of answered rows."""


class FailedCells:
    """Translates the increments of an answered request for a failed one; any thread may use it.

    Args:
        layout: The layout of the model's counts.
    """

    def __init__(self, layout: ModelCells) -> None:
        self._start = layout.failed_start
        self._failed_cells = _failed_cells(layout.features)

    def increments(self, answered: Increments) -> Increments:
        """Return the increments of a failed request.

        Args:
            answered: Increments of the request, had it been answered.
        """
        counts = np.zeros(len(self._failed_cells), np.int64)
        cells = [cell for cell in answered.cells if cell < len(counts)]
        if answered.wide is not None:
            cells += [cell for cell in answered.wide.tolist() if cell < len(counts)]
        np.add.at(counts, np.array(cells, np.intp), 1)
        if answered.block is not None:
            counts += answered.block[: len(counts)]
        failed = Increments()
        for cell in np.flatnonzero(counts).tolist():
            failed.amounts.append((self._start + int(self._failed_cells[cell]), int(counts[cell])))
        return failed


class OddFeature(NamedTuple):
    """A feature that was odd in failed requests, more often than in answered ones.

    Attributes:
        feature: Name of the feature.
        state: Oddity of the feature, one of `FAILED_STATES`.
        rows: Number of failed rows with this state.
        share: Share of failed rows, of those whose features were read, with this state.
        share_answered: Share of answered rows with this state.
    """

    feature: str
    state: str
    rows: int
    share: float
    share_answered: float


class Failures(NamedTuple):
    """Failed rows of one window.

    Attributes:
        rows: Number of failed rows.
        unread: Number of failed rows whose features were not read, or not matched.
        odd: Features that stand out, the largest difference of shares first.
    """

    rows: int
    unread: int
    odd: tuple[OddFeature, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values, as the drift page has them."""
        return {"rows": self.rows, "unread": self.unread, "features": [item._asdict() for item in self.odd]}


def failures_of(layout: ModelCells, cells: NDArray[np.int64]) -> Failures:
    """Return the odd features of failed requests.

    Args:
        layout: The layout of the counts.
        cells: The counts, shape (layout.size,).
    """
    failed_rows = int(cells[layout.statuses_start + STATUSES.index("error")])
    if not failed_rows or not layout.features:
        return Failures(failed_rows, 0, ())
    failed = cells[layout.failed_start : layout.classes_start].reshape(len(layout.features), len(FAILED_STATES))
    answered = np.bincount(_failed_cells(layout.features), cells[: layout.outputs_start], failed.size)
    read = int(failed[0].sum())
    return Failures(
        failed_rows, max(failed_rows - read, 0), _odd(layout.features, failed, answered.reshape(failed.shape))
    )


def _odd(features: Sequence[Distribution], failed: NDArray[np.int64], answered: NDArray[Any]) -> tuple[OddFeature, ...]:
    shares, others = (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) for counts in (failed, answered))
    is_odd = (shares >= _LEAST_SHARE) & (shares >= _LEAST_RATIO * others)
    is_odd[:, _USUAL] = False
    odd = []
    for index, state in np.argwhere(is_odd).tolist():
        pair = float(shares[index, state]), float(others[index, state])
        odd.append(OddFeature(features[index].name, FAILED_STATES[state], int(failed[index, state]), *pair))
    return tuple(sorted(odd, key=lambda item: item.share_answered - item.share))


def _failed_cells(features: Sequence[Distribution]) -> NDArray[np.intp]:
    """Return the cell in which failed requests count each cell of the features, from their first cell on."""
    failed_cells: list[int] = []
    for number, feature in enumerate(features):
        own = [_USUAL] * len(feature.cells)
        for group in feature.groups:
            own[group.start : group.stop] = [_STATES.get(group.name, _USUAL)] * (group.stop - group.start)
        failed_cells += [number * len(FAILED_STATES) + state for state in own]
    return np.array(failed_cells, dtype=np.intp)
