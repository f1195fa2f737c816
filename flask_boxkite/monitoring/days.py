"""A model in the last days, in the form in which the page and reports take a model in the last minutes."""

from __future__ import annotations

import numpy as np

from flask_boxkite.baseline import Baseline
from flask_boxkite.drift.tables import Trained
from flask_boxkite.history.past import Past
from flask_boxkite.history.timeline import parts_of_window, timeline_of
from flask_boxkite.live.model_cells import ModelCells
from flask_boxkite.monitoring.observation import Observation

__all__ = ["observed_days"]


def observed_days(
    model: str, baseline: Baseline | None, past: Past | None, days: int, now: float, alpha: float
) -> Observation:
    """Return a model in the last days; its cells are groups.

    Args:
        model: Name of the model.
        baseline: Baseline with one cell for each group (`coarse`); None if there is none.
        past: Totals of its predictions; None if there are none.
        days: Number of days.
        now: Present Unix time.
        alpha: False-alarm probability of one check of the whole model.
    """
    layout = ModelCells.of(baseline)
    parts = [] if past is None else parts_of_window(past, days, now)
    timeline = timeline_of(parts, layout.buckets_start, now)
    since = np.zeros((len(parts) + 1, layout.size), dtype=np.int64)
    for place, part in enumerate(reversed(parts), start=1):
        since[-1 - place] = since[-place] + part.numbers
    whole = since[0]
    return Observation(
        model,
        baseline,
        f"{days}d",
        alpha,
        layout,
        whole,
        None if baseline is None else timeline,
        whole,
        {part.start: whole - cells for part, cells in zip(parts, since, strict=False)},
        None if baseline is None else Trained(baseline.variables),
    )
