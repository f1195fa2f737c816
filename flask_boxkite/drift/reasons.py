"""The reasons, as phrases, for which a variable has no verdict yet."""

from __future__ import annotations

import numpy as np

from flask_boxkite.drift.scan import MINIMUM_ROWS, State, requests_of
from flask_boxkite.drift.timeline import Timeline

__all__ = ["reason_for"]


def reason_for(state: State, timeline: Timeline, stretch: int, rows: int, trained: int) -> str:
    """Return the reason for ``unclear`` and for ``not enough data``, as a phrase; empty for other verdicts.

    Args:
        state: State of the stretch that decided.
        timeline: Counts by stretch.
        stretch: Index of the stretch that decided.
        rows: Number of the variable's rows in that stretch.
        trained: Number of its training rows.
    """
    if state in (State.WITHIN_LIMIT, State.CALLED):
        return ""
    if state == State.UNSTEADY:
        return "shares differ as much from minute to minute as from training"
    if state == State.FEW_DIFFERENT_ROWS:
        return f"few different rows among {_counted(rows, 'row')}: they cannot yet be told from repeats"
    if state == State.FEW_ROWS:
        if trained < MINIMUM_ROWS:
            return f"{_counted(trained, 'training row')}; {MINIMUM_ROWS} are needed"
        if timeline.rows is None or rows < MINIMUM_ROWS:
            return f"{_counted(rows, 'row')}; {MINIMUM_ROWS} are needed"
        return f"{_counted(rows, 'row')}, of which fewer than {MINIMUM_ROWS} are different"
    assert timeline.rows is not None
    if state == State.ONE_ROW:
        buckets = timeline.rows.buckets[stretch]
        share = buckets.max() / max(buckets.sum(), 1)
        return f"one row makes up {share:.0%} of {_counted(rows, 'row')}: it cannot yet be told from repeats"

    requests = round(float(requests_of(timeline.rows)[stretch]))
    return f"{_counted(rows, 'row')} in {_counted(requests, 'request')}"


def _counted(number: int | np.int64, thing: str) -> str:
    return f"{number:,} {thing}{'s' * (number != 1)}"
