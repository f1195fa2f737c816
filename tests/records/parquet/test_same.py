"""Records are the same in every store: all fields, all counts, all verdicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flask_boxkite import Baseline
from flask_boxkite.records import Records
from tests.records.parquet.kinds import KINDS, STORES

OTHERS = [name for name in STORES if name != "lines"]


ORDER = [("entity_id", "ascending"), ("prediction_id", "ascending")]
COLUMNS = {
    "numbers": ["age", "size", "output", "server_id", "more"],
    "mixed": ["city", "when", "kind", "part"],
    "classes": ["far", "low", "version"],
    "derived": ["age"],
}
"""Columns by which rows are segmented; more values than can be counted are in "size"."""

PERIODS: dict[str, dict[str, Any]] = {
    "all": {},
    "some": {"start": "2026-03-01T23:53:20", "end": "2026-03-02T00:04:10"},
    "version": {"version": "v1", "end": "2026-03-02T00:01"},
}


def plain(value: Any) -> Any:
    """Return values that compare: the same text for the same number, NaN too."""
    return repr(value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", OTHERS)
def test_each_record_comes_back_as_it_was(kinds: Any, stored: Any, kind: str, name: str) -> None:
    lines, other = Records(stored(kind, "lines")), Records(stored(kind, name))
    expected = {item["entity_id"]: plain(item) for item in lines}
    found = [(item["entity_id"], plain(item)) for item in other]
    assert len(found) == len(expected) > 90
    assert dict(found) == expected
    if name != "both":  # there, each record comes twice, and is read once
        assert_same_counts(other, lines)


def assert_same_counts(other: Records, lines: Records) -> None:
    for field in ("records", "rows", "duplicates", "damaged", "rows_by_baseline", "models"):
        assert getattr(other.counts, field) == getattr(lines.counts, field), field


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("kind", KINDS)
def test_drift_is_the_same(kinds: Any, stored: Any, kind: str, period: str) -> None:
    for name in OTHERS:
        compare_drift(kinds(kind).baseline, stored, kind, name, period)


def without_notes(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of a report without examples of invalid values: those are the first ones that were read."""
    return [{name: value for name, value in row.items() if name != "note"} for row in rows]


def compare_drift(baseline: Baseline, stored: Any, kind: str, name: str, period: str) -> None:
    lines, other = (Records(stored(kind, each), **PERIODS[period]) for each in ("lines", name))
    expected, found = lines.observed(baseline), other.observed(baseline)
    assert found[1].tolist() == expected[1].tolist()
    assert plain(without_notes(found[0].to_rows())) == plain(without_notes(expected[0].to_rows()))
    assert found[0].window == expected[0].window
    assert str(found[2]) == str(expected[2])
    assert np.sum(expected[1]) > 100 or (kind, period) == ("derived", "version")
    if name != "both":
        assert_same_counts(other, lines)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", OTHERS)
def test_segments_are_the_same(kinds: Any, stored: Any, kind: str, name: str) -> None:
    baseline = kinds(kind).baseline
    lines, other = (Records(stored(kind, each)) for each in ("lines", name))
    for by in COLUMNS[kind]:
        expected = lines.drift(baseline, by=by)
        assert plain(other.drift(baseline, by=by).to_rows()) == plain(expected.to_rows()), by
        assert len(expected.segments) > 1


@pytest.mark.parametrize("kind", ["numbers", "mixed", "classes"])
@pytest.mark.parametrize("key", ["prediction_id", "entity_id", "key"])
def test_performance_is_the_same(kinds: Any, stored: Any, kind: str, key: str) -> None:
    chosen = kinds(kind)
    actual = ["low", "mid", "high", "low"] if kind == "classes" else [0, 1, 1, 0]
    names = [item.get(key) for item in chosen.records[::3]]
    names += [f"{item.get(key)}/1" for item in chosen.records[::4] if item.get(key)]
    names += [f"{item.get(key)}/0" for item in chosen.records[::7] if item.get(key)]
    names = [text[:-2] if text and key == "key" and text.endswith(".0") else text for text in names]
    outcomes = {key: names, "actual": [actual[place % 4] for place in range(len(names))]}
    expected = Records(stored(kind, "lines")).performance(chosen.baseline, outcomes=outcomes, key=key)
    for name in OTHERS:
        found = Records(stored(kind, name)).performance(chosen.baseline, outcomes=outcomes, key=key)
        assert plain(found.to_dict()) == plain(expected.to_dict()), name
    assert expected.outcomes > 25


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", OTHERS)
def test_baselines_and_frames_are_the_same(kinds: Any, stored: Any, kind: str, name: str) -> None:
    known = kinds(kind).baseline
    lines, other = (Records(stored(kind, each)) for each in ("lines", name))
    assert other.to_baseline(None, known).fingerprint == lines.to_baseline(None, known).fingerprint
    for baseline in (known, None):
        expected, found = (
            records.to_frame("pyarrow", baseline)
            .read_all()
            .sort_by([("entity_id", "ascending"), ("prediction_id", "ascending")])
            for records in (lines, other)
        )
        assert found.schema == expected.schema
        assert plain(found.to_pydict()) == plain(expected.to_pydict())
