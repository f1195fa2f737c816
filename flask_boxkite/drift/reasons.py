"""The reasons, as phrases, for which a variable has no verdict yet."""

from __future__ import annotations

from flask_boxkite.drift.scan import MINIMUM_ROWS, State, requests_of
from flask_boxkite.drift.timeline import Timeline
from flask_boxkite.suggestion import counted

__all__ = ["reason_for"]


def reason_for(state: State, timeline: Timeline, stretch: int, rows: int, trained: int) -> str:
    """Return the reason for ``unclear`` and for ``not enough data``, as a phrase; empty for other verdicts.

    The reason for ``unclear`` ends with a remedy.

    Args:
        state: State of the stretch that decided.
        timeline: Counts by stretch.
        stretch: Index of the stretch that decided.
        rows: Number of the variable's rows in that stretch.
        trained: Number of its training rows.
    """
    if state in (State.WITHIN_LIMIT, State.CALLED):
        return ""
    slot = timeline.slot
    if state == State.UNSTEADY:
        longer = "the last hour" if slot == "minute" else "more days"
        return f"shares differ as much from {slot} to {slot} as from training: look at {longer}"
    if state == State.FEW_DIFFERENT_ROWS:
        return f"few different rows among {counted(rows, 'row')}, which may be repeats: wait some {slot}s"
    if state == State.FEW_ROWS:
        if trained < MINIMUM_ROWS:
            return f"{counted(trained, 'training row')}; {MINIMUM_ROWS} are needed"
        if timeline.rows is None or rows < MINIMUM_ROWS:
            return f"{counted(rows, 'row')}; {MINIMUM_ROWS} are needed"
        return f"{counted(rows, 'row')}, of which fewer than {MINIMUM_ROWS} are different"
    assert timeline.rows is not None
    if state == State.ONE_ROW:
        buckets = timeline.rows.buckets[stretch]
        share = buckets.max() / max(buckets.sum(), 1)
        return (
            f"one row makes up {share:.0%} of {counted(rows, 'row')}: wait some {slot}s, and see which client sends it"
        )
    requests = float(requests_of(timeline.rows)[stretch])
    if requests >= MINIMUM_ROWS:
        return f"{_in_requests(rows, requests)}, whose rows may be alike: wait for two more {slot}s of requests"
    return f"{_in_requests(rows, requests)}: wait for a second {slot}, or send smaller parts"


def _in_requests(rows: int, requests: float) -> str:
    """Say how dependent rows are, by the effective number of their requests, which is the true one for equal sizes."""
    if round(requests) > 1:
        return f"{counted(rows, 'row')}, as in {round(requests)} requests of one size"
    return f"{'most of ' * (requests > 1)}{counted(rows, 'row')} in 1 request"
