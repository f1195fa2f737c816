"""What is counted from records is what was counted live, whatever was sent."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.baseline.pairs import Pair
from flask_boxkite.drift.report import DriftReport
from flask_boxkite.live.model_cells import ModelCells
from flask_boxkite.records import Records

NOT_COUNTS = (
    "g",
    "note",
    "dispersion",
    "recurrence",
    "psi_noise",
    "psi_error",
    "psi_limit",
    "size",
    "limit",
    "reason",
    "verdict",
)
"""What depends on time too, or on which rows are equal."""


def counted(report: DriftReport) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what follows from the counts of each variable alone."""
    rows = {(row["side"], row["name"]): row for row in report.to_rows()}
    return {key: {name: row[name] for name in row if name not in NOT_COUNTS} for key, row in rows.items()}


def baseline(*, textual: bool = True, outputs: int = 1) -> Baseline:
    """Train on numbers, categories and, if asked for, texts."""
    rng = np.random.default_rng(5)
    features: dict[str, Any] = {"amount": rng.normal(size=500), "visits": rng.integers(0, 4, 500)}
    if textual:
        features["city"] = rng.choice(["Oslo", "Rome", "1", "true"], 500).tolist()
    inference: Any = rng.random(500)
    if outputs > 1:
        inference = {"low": rng.random(500), "high": rng.random(500)}
    with tempfile.TemporaryDirectory() as directory:
        return ModelMonitoringService.export_text(features, inference, f"{directory}/baseline.prom")


def paired(known: Baseline) -> Baseline:
    """Return a baseline that watches each two of its variables as a pair."""
    places = range(len(known.distributions))
    pairs = [Pair(first, second, (30, *[31] * 14, 36)) for second in places for first in range(second)]
    return replace(known, pairs=tuple(pairs))


BASELINES = {
    "numbers": paired(baseline(textual=False)),
    "numbers and texts": paired(baseline()),
    "two outputs": paired(baseline(outputs=2)),
}

ONLY_OUTPUTS = paired(Baseline((), BASELINES["two outputs"].outputs, 500))
ONE_OUTPUT = Baseline((), BASELINES["numbers and texts"].outputs, 500)

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(-3, 3),
    st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e300, -0.0, "1", " 2 ", "x", "", "Oslo", "ö", "nan"]),
    st.sampled_from([np.float32(0.7), np.int8(3), np.bool_(True)]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from("ab"), st.integers(), max_size=1),
)
NAMES = st.sampled_from(["amount", "visits", "city", "colour"])
FIRST = VALUES.filter(lambda value: not isinstance(value, (list, dict)))
"""A list or object in the first place makes a row look like several."""

BY_POSITION = st.tuples(FIRST, VALUES, VALUES).map(list) | st.tuples(FIRST, VALUES).map(list)
# Columns without values are an empty batch, of which there is no record.
BY_NAME = st.dictionaries(NAMES, VALUES, min_size=1, max_size=4).filter(
    lambda row: not all(isinstance(value, (list, dict)) and not value for value in row.values())
)
BATCHES = st.integers(2, 4).flatmap(
    lambda n: st.lists(st.lists(FIRST, min_size=n, max_size=n), min_size=1, max_size=20)
)
OUTPUTS = st.one_of(
    # A record has null for NaN, and for an output that was not found.
    VALUES.filter(lambda value: value == value),
    st.lists(FIRST, max_size=3),
    st.dictionaries(st.sampled_from(["low", "high", "other"]), VALUES | st.lists(FIRST, max_size=2), max_size=3),
    st.lists(st.dictionaries(st.sampled_from(["low", "high"]), FIRST, min_size=1), max_size=3),
)
FEATURES = st.one_of(
    BY_POSITION, BY_NAME, BATCHES, st.lists(BY_NAME, min_size=1, max_size=20), st.none(), st.just("text")
)


@pytest.mark.parametrize("known", BASELINES.values(), ids=BASELINES)
@settings(max_examples=60)
@given(predictions=st.lists(st.tuples(FEATURES, OUTPUTS), min_size=1, max_size=12))
def test_records_give_the_counts_that_were_counted_live(known: Baseline, predictions: list[tuple[Any, Any]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        service = ModelMonitoringService(known, sink="file", log_dir=directory)
        for features, output in predictions:
            service.log_prediction(features=features, output=output)
        live = service.drift()
        service.close()
        records = Records(directory)
        assert counted(records.drift(known)) == counted(live)
        assert records.counts.records == len(predictions)


NARROW = {np.float32}
"""Live they are other numbers than those with their shortest decimals, which records have."""


def is_narrow(value: Any) -> bool:
    """Say whether there is a narrow float anywhere in a value."""
    if isinstance(value, (list, dict)):
        return any(map(is_narrow, value.values() if isinstance(value, dict) else value))
    return type(value) in NARROW


@pytest.mark.parametrize(
    "known", [*BASELINES.values(), ONLY_OUTPUTS, ONE_OUTPUT], ids=[*BASELINES, "outputs only", "one output"]
)
@settings(max_examples=60)
@given(
    predictions=st.lists(
        st.tuples(FEATURES, OUTPUTS).filter(lambda both: not any(map(is_narrow, both))), min_size=1, max_size=12
    )
)
def test_records_tell_rows_apart_and_pair_values_as_live_counts_do(
    known: Baseline, predictions: list[tuple[Any, Any]]
) -> None:
    layout = ModelCells.of(known)
    with tempfile.TemporaryDirectory() as directory:
        service = ModelMonitoringService(known, sink="file", log_dir=directory)
        for features, output in predictions:
            service.log_prediction(features=features, output=output)
        cells = service.monitor.observe().cells
        live, pairs = cells[layout.buckets_start : layout.squares + 1], cells[layout.pairs_start :]
        service.close()
        counter = Records(directory)._counted(known, None)[0].counter
        slots = counter.segments[""].slots.values()
    assert sum(slot.buckets for slot in slots).tolist() == live[:-1].tolist()
    assert sum(slot.squares for slot in slots) == live[-1] >= live[:-1].sum()
    assert sum(slot.pairs for slot in slots).tolist() == pairs.tolist()
