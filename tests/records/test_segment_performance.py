"""Performance by segment: each segment's report is the one of its records alone, and scikit-learn's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from sklearn.metrics import accuracy_score, mean_absolute_error

from flask_boxkite import Baseline
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.records import Records, SegmentPerformanceReport
from tests.baseline.training.building import built
from tests.records.archives import record, write

ALPHA = 1e-5
COUNTRIES = np.array(["AT", "CH", "DE"])
CLASSES = ["a", "b", "c"]


@dataclass
class World:
    """Records of one model.

    Attributes:
        baseline: Baseline of the model.
        lines: Records; with ``plan`` among their features, which the model does not read.
        outcomes: Outcomes by ``entity_id``, of one country wrong more often.
        predicted: Predictions of all rows in the form of actual values.
    """

    baseline: Baseline
    lines: list[dict[str, Any]]
    outcomes: pandas.DataFrame
    predicted: pandas.Series

    def records(self, folder: Path, **features: Any) -> Records:
        """Write the records with these features, or all."""
        lines = [line for line in self.lines if features.items() <= line["features"].items()]
        write(folder, *lines)
        return Records(folder)

    def own(self, **features: Any) -> pandas.DataFrame:
        """Return the outcomes of the rows with these features."""
        ids = [line["entity_id"] for line in self.lines if features.items() <= line["features"].items()]
        return self.outcomes[self.outcomes["entity_id"].isin(ids)]


def world_of(kind: str) -> World:
    rng = np.random.default_rng(8)
    rows = 1500
    x, country = rng.random(2 * rows), rng.choice(COUNTRIES, 2 * rows, p=[0.2, 0.3, 0.5])
    score = rng.random(2 * rows)
    if kind == "binary":
        output, actual = score, (rng.random(2 * rows) < score).astype(int)
        other = 1 - actual
        predicted = (score >= 0.5).astype(int)
    elif kind == "regression":
        output, actual = 10 * score, 10 * score + rng.normal(size=2 * rows)
        other, predicted = actual + 3, output
    else:
        output = rng.dirichlet([0.5, 0.5, 0.5], 2 * rows)
        actual = np.array(CLASSES)[[rng.choice(3, p=row) for row in output]]
        other, predicted = np.roll(actual, 1), np.array(CLASSES)[output.argmax(axis=1)]
    trained = dict(zip(CLASSES, output[:rows].T, strict=True)) if kind == "classes" else output[:rows]
    baseline = built({"x": x[:rows], "country": country[:rows]}, trained, actual=actual[:rows])

    is_wrong = (country == "CH") & (rng.random(2 * rows) < 0.5)
    came_true = np.where(is_wrong, other, actual)
    lines = []
    for row in range(rows, 2 * rows):
        features = {"x": x[row], "country": str(country[row]), "plan": row % 2}
        one = dict(zip(CLASSES, output[row].tolist(), strict=True)) if kind == "classes" else float(output[row])
        lines.append(record(features, output=one, entity_id=f"e-{row}"))
    known = [row for row in range(rows, 2 * rows) if row % 5]
    outcomes = pandas.DataFrame({"entity_id": [f"e-{row}" for row in known], "actual": came_true[known]})
    index = [f"e-{row}" for row in range(2 * rows)]
    return World(baseline, lines, outcomes, pandas.Series(predicted, index=index))


@pytest.fixture(scope="module")
def worlds() -> dict[str, World]:
    return {kind: world_of(kind) for kind in ("binary", "classes", "regression")}


def report_of(world: World, folder: Path, by: str = "country", **options: Any) -> SegmentPerformanceReport:
    given = {"outcomes": world.outcomes, "key": "entity_id", **options}
    return world.records(folder).performance(world.baseline, by=by, **given)


@pytest.mark.parametrize("kind", ["binary", "classes", "regression"])
def test_a_segment_has_the_report_of_its_records(worlds: dict[str, World], kind: str, tmp_path: Path) -> None:
    world = worlds[kind]
    report = report_of(world, tmp_path / "all")
    assert [segment.name for segment in report.worse] == ["CH"]
    assert (report.kind, report.verdict) == (kind, report["CH"].verdict)
    for country in COUNTRIES.tolist():
        alone = world.records(tmp_path / country, country=country)
        own = world.own(country=country)
        expected = alone.performance(world.baseline, outcomes=own, key="entity_id", alpha=ALPHA / 3)
        assert report[country].report.to_dict() == expected.to_dict()
        assert report[country].rows == sum(line["features"]["country"] == country for line in world.lines)
        metric = mean_absolute_error if kind == "regression" else accuracy_score
        realised = expected.metrics[0].realised
        assert realised == pytest.approx(metric(own["actual"], world.predicted[own["entity_id"]]), abs=1e-6)


def test_segments_go_by_a_value_that_the_model_does_not_read(worlds: dict[str, World], tmp_path: Path) -> None:
    world = worlds["binary"]
    report = report_of(world, tmp_path, by="plan")
    assert {segment.name: segment.report.outcomes for segment in report} == {
        str(plan): len(world.own(plan=plan)) for plan in (0, 1)
    }


def test_the_key_may_be_another_such_value(worlds: dict[str, World], tmp_path: Path) -> None:
    world = worlds["binary"]
    lines = [{**line, "features": {**line["features"], "order": line["entity_id"]}} for line in world.lines]
    write(tmp_path / "orders", *lines)
    outcomes = world.outcomes.rename(columns={"entity_id": "order"})
    for by in ("plan", "country", "order"):
        found = Records(tmp_path / "orders").performance(world.baseline, outcomes=outcomes, key="order", by=by)
        assert sum(segment.report.outcomes for segment in found) == len(outcomes)
        if by != "order":
            assert found.to_rows() == report_of(world, tmp_path / by, by=by).to_rows()


def test_rows_of_a_batch_are_shared_out(worlds: dict[str, World], tmp_path: Path) -> None:
    world = worlds["binary"]
    rows = [{"x": 0.5, "country": country} for country in ("AT", "DE", "DE")]
    write(tmp_path, record(rows, output=[0.9, 0.1, 0.2], rows=3, entity_id="e"))
    outcomes = {"entity_id": ["e/0", "e/1", "e/2", "e/3"], "actual": [1, 1, "?", 0]}
    report = Records(tmp_path).performance(world.baseline, outcomes=outcomes, key="entity_id", by="country")
    assert {segment.name: (segment.rows, segment.report.outcomes) for segment in report} == {"AT": (1, 1), "DE": (2, 1)}
    assert (report["AT"].report["accuracy"].realised, report["DE"].report["accuracy"].realised) == (1.0, 0.0)
    assert report.rejected == {"unknown": 1, "repeated": 0, "late": 0, "invalid": 1, "failed": 0}
    assert report["DE"].report.coverage.rejected["invalid"] == 1


@pytest.mark.parametrize("kind", ["binary", "classes"])
def test_further_segments_are_one(worlds: dict[str, World], kind: str, tmp_path: Path) -> None:
    world = worlds[kind]
    report = report_of(world, tmp_path, most_segments=1)
    whole = Records(tmp_path).performance(world.baseline, outcomes=world.outcomes, key="entity_id")
    assert {segment.name for segment in report} == {"DE", "__rare__"}
    assert sum(segment.report.outcomes for segment in report) == whole.outcomes
    assert sum(segment.report.coverage.predictions for segment in report) == whole.coverage.predictions == 1500


def test_without_outcomes_each_segment_has_an_expectation(worlds: dict[str, World], tmp_path: Path) -> None:
    report = report_of(worlds["binary"], tmp_path, outcomes=None)
    assert {segment.verdict for segment in report} == {"not enough data"}
    assert all(segment.report["accuracy"].estimated for segment in report)
    assert str(report).startswith("No verdict by outcomes from 2026-01-01T08:00:00Z")


def test_a_report_is_text_json_and_rows(worlds: dict[str, World], tmp_path: Path) -> None:
    report = report_of(worlds["binary"], tmp_path)
    lines = str(report).splitlines()
    assert max(map(len, lines)) <= 100
    joined = " ".join(str(report).split())
    assert "the model is worse than validated in 1 of 3 segments by 'country'. Model 'credit'" in joined
    assert "CH: Of pairs of rows with such outputs, 19% were in the wrong order in validation, 44% are now." in joined
    content = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert content["segments"][0]["performance"] == report["CH"].report.to_dict()
    assert report.to_rows()[0] == {
        "segment": "CH",
        "segment_rows": report["CH"].rows,
        "verdict": report["CH"].verdict,
        **report["CH"].report.to_rows()[0],
    }
    assert sum(line.startswith("|") for line in report.to_markdown().splitlines()) == 2 + 3
    with pytest.raises(KeyError, match="No segment 'DD'"):
        report["DD"]


def test_a_column_of_outcomes_is_no_segment(worlds: dict[str, World], tmp_path: Path) -> None:
    world = worlds["binary"]
    outcomes = world.outcomes.assign(gender="F", plan=7)
    with pytest.raises(BoxkiteError, match=r"^No record has a value of 'gender'\. It is a column of the outcomes, by "):
        report_of(world, tmp_path / "gender", by="gender", outcomes=outcomes)
    assert {segment.name for segment in report_of(world, tmp_path / "plan", by="plan", outcomes=outcomes)} == {"0", "1"}


def test_a_misspelt_column_is_refused_with_the_one_that_was_meant(worlds: dict[str, World], tmp_path: Path) -> None:
    """Else all rows would be one segment of missing values, and the report would look right."""
    world = worlds["binary"]
    records, message = world.records(tmp_path), r"^No record has a value of 'contry'\. Did you mean 'country'\?$"
    for judge in (records.drift, records.performance, records.fairness):
        with pytest.raises(BoxkiteError, match=message):
            judge(world.baseline, by="contry")
    with pytest.raises(BoxkiteError, match=message):
        records.drift(world.baseline, by="contry", against=records)
    with pytest.raises(BoxkiteError, match=r"There are: .*'server_id'\. A feature beside these must come by name\.$"):
        records.drift(world.baseline, by="nothing")
    assert {segment.name for segment in records.drift(world.baseline, by="plan")} == {"0", "1"}
    assert len(Records(tmp_path, end="2020-01-01").drift(world.baseline, by="contry").segments) == 0


def test_a_column_that_cannot_segment_is_refused(worlds: dict[str, World], tmp_path: Path) -> None:
    with pytest.raises(BoxkiteError, match=r"^Rows cannot be segmented by 'status'\."):
        report_of(worlds["binary"], tmp_path, by="status")
    with pytest.raises(BoxkiteError, match=r"^'most_segments' must be an integer >= 1, got 0\.$"):
        report_of(worlds["binary"], tmp_path, most_segments=0)
