"""Where each count stands."""

from __future__ import annotations

from hypothesis import given

from flask_boxkite import Baseline
from flask_boxkite.live.layout import DURATION_BOUNDS, Layout
from flask_boxkite.naming import CAPTURE_REASONS, STATUSES
from tests.baseline.strategies import baselines


@given(baselines())
def test_sections_follow_each_other_without_gaps(baseline: Baseline) -> None:
    layout = Layout.of(baseline)

    assert layout.outputs_start == sum(len(item.cells) for item in baseline.features)
    assert layout.statuses_start - layout.outputs_start == sum(len(item.cells) for item in baseline.outputs)
    assert layout.durations_start - layout.statuses_start == len(STATUSES)
    assert layout.captures_start - layout.durations_start == len(DURATION_BOUNDS) + 1
    assert layout.size - layout.captures_start == len(CAPTURE_REASONS)
    assert layout.sums_size == 2 * len(baseline.outputs) + 1
    assert layout.duration_sum == layout.sums_size - 1


def test_without_a_baseline_only_requests_are_counted() -> None:
    layout = Layout.of(None)

    assert (layout.features, layout.outputs, layout.statuses_start, layout.duration_sum) == ((), (), 0, 0)
