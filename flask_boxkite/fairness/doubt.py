"""Rows that cannot be read: a verdict stands if none of their values could change it.

They are a selection: all selected rows may be among them. Of n rows, of which s are selected, and u more without an
output that can be read, the selection rate is between s/(n + u) and (s + u)/(n + u). A row with an outcome may be a
true positive, which raises the true positive rate, or an actual positive that was not selected, which lowers it.
"""

from __future__ import annotations

from flask_boxkite.fairness.counts import GroupCounts
from flask_boxkite.fairness.shares import Share

__all__ = ["Ends", "ends_of_selected", "ends_of_true_positives"]

Ends = tuple[Share, Share]
"""The lowest and the highest share that a group may have."""


def ends_of_selected(group: GroupCounts) -> Ends:
    """Return the selection rates if no row without a readable output is selected, and if all are."""
    rows = group.rows + group.unread
    low, high = (Share(hits, rows, group.dispersion) for hits in (group.selected, group.selected + group.unread))
    return low, high


def ends_of_true_positives(group: GroupCounts) -> Ends:
    """Return the true positive rates if rows that cannot be read speak against the model, and if they speak for it."""
    hits, rows, dispersion = group.true_positives, group.positives, group.positive_dispersion
    more = group.maybe_found
    return Share(hits, rows + group.maybe_missed, dispersion), Share(hits + more, rows + more, dispersion)
