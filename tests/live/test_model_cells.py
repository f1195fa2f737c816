"""Where each count stands."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite import Baseline
from flask_boxkite.baseline.pairs import CELLS
from flask_boxkite.delivery import RecorderCounts
from flask_boxkite.live.model_cells import DURATION_BOUNDS, ModelCells
from flask_boxkite.live.sink_cells import (
    ACCEPTED,
    BACKOFF_MS,
    DELIVERED,
    DROPPED,
    RETRIES,
    SINK_CELLS,
    TAKEN_OVER,
    WAITING_BYTES,
    count_lost_records,
    waiting_of_process,
)
from flask_boxkite.naming import CAPTURE_REASONS, FAILED_STATES, STATUSES
from flask_boxkite.values.rowhash import ROW_BUCKETS
from tests.baseline.strategies import baselines


@given(baselines())
def test_sections_follow_each_other_without_gaps(baseline: Baseline) -> None:
    layout = ModelCells.of(baseline)

    assert layout.outputs_start == sum(len(item.cells) for item in baseline.features)
    assert layout.buckets_start - layout.outputs_start == sum(len(item.cells) for item in baseline.outputs)
    assert layout.squares - layout.buckets_start == ROW_BUCKETS
    assert layout.statuses_start - layout.squares == 1
    assert layout.durations_start - layout.statuses_start == len(STATUSES)
    assert layout.captures_start - layout.durations_start == len(DURATION_BOUNDS) + 1
    assert layout.failed_start - layout.captures_start == len(CAPTURE_REASONS)
    assert layout.classes_start - layout.failed_start == len(FAILED_STATES) * len(baseline.features)
    assert layout.size - layout.pairs_start == CELLS * len(baseline.pairs)
    assert layout.sums_size == 2 * len(baseline.outputs) + 1
    assert layout.duration_sum == layout.sums_size - 1


def test_without_a_baseline_only_requests_are_counted() -> None:
    layout = ModelCells.of(None)

    assert (layout.features, layout.outputs, layout.duration_sum) == ((), (), 0)
    assert (layout.buckets_start, layout.squares, layout.statuses_start) == (0, ROW_BUCKETS, ROW_BUCKETS + 1)


def sink_cells(waiting: int, *, taken_over: int = 0) -> list[int]:
    """Return the cells of a sink of a process in which so many records wait."""
    cells = [0] * SINK_CELLS
    cells[ACCEPTED], cells[TAKEN_OVER] = 20 + waiting, taken_over
    cells[DELIVERED], cells[DROPPED["queue_full"]], cells[DROPPED["refused"]] = 15 + taken_over, 4, 1
    cells[WAITING_BYTES], cells[BACKOFF_MS], cells[RETRIES] = 700, 5000, 3
    return cells


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_of_a_dead_process_just_what_is_on_disk_still_waits(waiting: int, spooled: int, taken_over: int) -> None:
    """It may have been killed after it had written a record, and before it counted it; then it is counted now."""
    cells = sink_cells(waiting, taken_over=taken_over)
    assert waiting_of_process(cells) == waiting
    assert count_lost_records(cells, spooled) == max(waiting - spooled, 0)
    assert waiting_of_process(cells) == spooled
    assert cells[DROPPED["process_died"]] == max(waiting - spooled, 0)
    assert cells[ACCEPTED] == 20 + max(waiting, spooled)
    assert (cells[TAKEN_OVER], cells[DELIVERED], cells[RETRIES]) == (taken_over, 15 + taken_over, 3)
    assert (cells[WAITING_BYTES], cells[BACKOFF_MS]) == (0, 0)


def test_those_of_a_dead_process_that_another_delivers_are_in_the_sum_once() -> None:
    dead, alive = sink_cells(5), sink_cells(0, taken_over=5)
    count_lost_records(dead, 5)
    counts = RecorderCounts.of([a + b for a, b in zip(dead, alive, strict=True)])
    assert (counts.accepted, counts.delivered, counts.waiting) == (45, 35, 0)
    assert sum(counts.dropped.values()) == 10
