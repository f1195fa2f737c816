"""The features of failed requests: every row in one state of each feature, and only what stands out is named."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from flask_boxkite import Baseline
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.live.batches import BULK_ROWS
from flask_boxkite.live.cells import cells_of
from flask_boxkite.live.counting import VariableCounter
from flask_boxkite.live.failed import FailedCells, Failures, OddFeature, failures_of
from flask_boxkite.live.increments import Increments
from flask_boxkite.live.model_cells import ModelCells
from flask_boxkite.live.row_cells import RowCells
from flask_boxkite.naming import FAILED_STATES, STATUSES
from flask_boxkite.payloads import as_table

USUAL = {"age": 50.0, "city": "Paris"}
CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    "usual": (USUAL, "age", "usual"),
    "missing": ({"city": "Paris"}, "age", "missing"),
    "NaN": (USUAL | {"age": float("nan")}, "age", "missing"),
    "invalid": (USUAL | {"age": "old"}, "age", "invalid"),
    "below": (USUAL | {"age": -1e9}, "age", "out_of_range"),
    "above": (USUAL | {"age": 1e9}, "age", "out_of_range"),
    "unseen": (USUAL | {"city": "Atlantis"}, "city", "unseen"),
    "missing category": ({"age": 50.0}, "city", "missing"),
}


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return build_baseline({"age": [float(i) for i in range(100)], "city": ["Paris", "Rome"] * 50}, list(range(100)))


def counted(baseline: Baseline, rows: list[dict[str, Any]]) -> NDArray[np.int64]:
    """Return what failed requests of these rows leave in the cells, with what they would have added to outputs."""
    layout = ModelCells.of(baseline)
    would = VariableCounter(layout.features, 0, layout.size, buckets=layout.buckets_start).count(_table(rows))
    outputs = VariableCounter(layout.outputs, layout.outputs_start, layout.size)
    outputs.count(as_table([[0.5]] * len(rows)), would)  # type: ignore[arg-type]
    cells = np.zeros(layout.size, np.int64)
    for cell, amount in FailedCells(layout).increments(would).amounts:
        cells[cell] += amount
    return cells


def _table(rows: list[dict[str, Any]]) -> Any:
    return as_table(rows[0] if len(rows) == 1 else rows)


def states(layout: ModelCells, cells: NDArray[np.int64], feature: str) -> dict[str, int]:
    """Return the rows of a feature by state, without zeros."""
    at = layout.failed_start + [item.name for item in layout.features].index(feature) * len(FAILED_STATES)
    found = dict(zip(FAILED_STATES, cells[at : at + len(FAILED_STATES)].tolist(), strict=True))
    return {state: rows for state, rows in found.items() if rows}


@pytest.mark.parametrize("number", [1, 3, BULK_ROWS], ids=["row", "rows", "batch"])
@pytest.mark.parametrize(("row", "feature", "state"), CASES.values(), ids=CASES)
def test_each_row_is_in_one_state(
    baseline: Baseline, row: dict[str, Any], feature: str, state: str, number: int
) -> None:
    layout = ModelCells.of(baseline)
    cells = counted(baseline, [row] * number)

    assert states(layout, cells, feature) == {state: number}
    assert cells.sum() == number * len(layout.features)
    assert cells[: layout.failed_start].sum() == 0


def test_a_wide_row_is_counted_by_its_array(rng: np.random.Generator) -> None:
    """A row of many numbers comes as an array of cells, not as a list."""
    baseline = build_baseline({f"f{i}": rng.normal(size=200) for i in range(10)}, rng.random(200))
    layout = ModelCells.of(baseline)
    starts = accumulate((len(feature.cells) for feature in layout.features), initial=0)
    rows = RowCells([cells_of(*each) for each in zip(layout.features, starts, strict=False)], None)
    would = Increments()
    rows.count([1e9] * 10, would)
    assert would.wide is not None
    found = FailedCells(layout).increments(would)
    assert [amount for _, amount in found.amounts] == [1] * 10


def test_without_features_nothing_is_added() -> None:
    assert FailedCells(ModelCells.of(None)).increments(Increments([3, 4])).amounts == []


def test_what_stands_out_is_named_with_its_share_of_answered_rows(baseline: Baseline) -> None:
    layout = ModelCells.of(baseline)
    cells = counted(baseline, [{"city": "Paris"}] * 60) + counted(baseline, [USUAL] * 20)
    cells[layout.statuses_start + STATUSES.index("error")] = 85
    answered = [USUAL] * 90 + [{"city": "Paris"}] * 10
    block = VariableCounter(layout.features, 0, layout.size).count(_table(answered)).block
    assert block is not None

    assert failures_of(layout, cells + block) == Failures(85, 5, (OddFeature("age", "missing", 60, 0.75, 0.1),))


def test_what_is_as_odd_in_answered_rows_does_not_stand_out(baseline: Baseline) -> None:
    layout = ModelCells.of(baseline)
    rows = [{"city": "Paris"}] * 30 + [USUAL] * 30
    block = VariableCounter(layout.features, 0, layout.size).count(_table(rows)).block
    assert block is not None
    assert failures_of(layout, counted(baseline, rows) + block).odd == ()


def test_what_is_rare_in_failed_rows_does_not_stand_out(baseline: Baseline) -> None:
    layout = ModelCells.of(baseline)
    assert failures_of(layout, counted(baseline, [USUAL] * 95 + [{"city": "Paris"}] * 5)).odd == ()
