"""No verdict on a challenger stands that outcomes which cannot be read could change."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from flask_boxkite.performance.challenge import ChallengeReport, Contestant, challenge_report
from flask_boxkite.performance.challenge_doubt import completions
from flask_boxkite.performance.pair_reader import KnownRows, PairReader
from flask_boxkite.performance.paired import of_binary, of_classes, of_regression
from flask_boxkite.values.unread import unread_value
from tests.baseline.training.building import built

Floats = NDArray[np.float64]


def reader_of(kind: str) -> PairReader:
    rng = np.random.default_rng(0)
    x = rng.random(600)
    if kind == "binary":
        outputs, actual = x, (rng.random(600) < x).astype(int)
        return PairReader(*(built({"x": x}, outputs, actual=actual, version=each) for each in "12"))
    if kind == "classes":
        labels = rng.choice(["a", "b", "c"], 600)
        return PairReader(*(built({"x": x}, labels, actual=labels, version=each) for each in "12"))
    return PairReader(*(built({"x": x}, x, actual=x + rng.normal(0, 0.1, 600), version=each) for each in "12"))


def drawn(kind: str, rng: np.random.Generator, rows: int) -> tuple[Floats, list[Any]]:
    """Return the outputs of two models and the actual values."""
    if kind == "classes":
        return np.stack([rng.integers(0, 3, rows) * 1.0 for _ in "12"]), [0] * rows
    first = rng.random(rows)
    values = np.stack([first, np.clip(first + rng.normal(0, 0.2, rows), 0, 1)])
    actual = rng.random(rows) < first if kind == "binary" else first + rng.normal(0, 0.2, rows)
    return values, actual.tolist()


def known_of(reader: PairReader, values: Floats, actual: list[Any], rng: np.random.Generator) -> KnownRows:
    known = KnownRows()
    for place, (outputs, each) in enumerate(zip(values.T.tolist(), actual, strict=True)):
        label = int(each) if reader.kind == "binary" else int(rng.integers(0, 3))
        label = 0 if reader.kind == "regression" else label
        known.add(place, reader.supposed(outputs, label, float(each)))
    return known


def differences(reader: PairReader, values: Floats, predicted: Any, rows: KnownRows) -> dict[str, float]:
    """Return the difference in each metric."""
    own = values[:, rows.places]
    if reader.kind == "regression":
        found = of_regression(*rows.losses(1))
    elif reader.kind == "classes":
        found = of_classes(predicted[:, rows.places], rows.labels, len(reader.labels) + 1)
    else:
        found = of_binary(own, predicted[:, rows.places] == 1, rows.labels == 1, rows.losses(2))
    return {each.name: each.difference.value for each in found if each.difference.value is not None}


@pytest.mark.parametrize("kind", ["binary", "classes", "regression"])
@pytest.mark.parametrize("seed", range(3))
def test_no_completion_of_the_outcomes_is_beyond_the_extremes(kind: str, seed: int) -> None:
    rng, reader, rows, unread = np.random.default_rng(seed), reader_of(kind), 60, 5
    values, actual = drawn(kind, rng, rows + unread)
    known = known_of(reader, values[:, :rows], actual[:rows], rng)
    predicted = None if kind == "regression" else reader.predicted(values)
    places = np.arange(rows, rows + unread)
    ends: dict[str, list[float]] = {}
    for completed, names in completions(reader, values, predicted, known, places):
        assert len(completed) == rows + unread
        for name, value in differences(reader, values, predicted, completed).items():
            if name in names:
                ends.setdefault(name, []).append(value)

    actuals = values[0, :rows] - known.losses(1)[0, 0] if kind == "regression" else np.zeros(1)
    low, high = min(actuals.min(), values[:, rows:].min()), max(actuals.max(), values[:, rows:].max())
    choices = [0, 1] if kind == "binary" else [0, 1, 2] if kind == "classes" else np.linspace(low, high, 4).tolist()
    exact = {"accuracy", "brier", "log_loss", "mae"}
    assert exact & ends.keys()
    for chosen in itertools.product(choices, repeat=unread):
        completed = known.copy()
        for place, each in zip(places.tolist(), chosen, strict=True):
            label = 0 if kind == "regression" else int(each)
            completed.add(place, reader.supposed(values[:, place].tolist(), label, float(each)))
        for name, value in differences(reader, values, predicted, completed).items():
            if name in exact:
                assert min(ends[name]) - 1e-9 <= value <= max(ends[name]) + 1e-9, (name, chosen)
    assert len(known) == rows


def report_of(known: int, unread: int, *, gap: float = 0.35, lost: int = 0) -> ChallengeReport:
    """Return the report on a challenger that is right more often, of some rows whose outcomes cannot be read."""
    rng, reader = np.random.default_rng(1), reader_of("binary")
    truth = rng.random(known + unread) < 0.5
    good = np.where(rng.random(known + unread) < 0.9, truth, ~truth)
    bad = np.where(rng.random(known + unread) < 0.9 - gap, truth, ~truth)
    values = np.stack([np.where(bad, 0.9, 0.1), np.where(good, 0.9, 0.1)])
    rows = known_of(reader, values[:, :known], truth[:known].tolist(), rng)
    sides = [Contestant("m", "0" * 12, None, known + unread + lost, lost, 0, 0, 0, lost)] * 2
    return challenge_report(
        (sides[0], sides[1]),
        reader,
        values,
        rows,
        {"invalid": unread},
        alpha=0.01,
        key="key",
        window="2026-01-01T00:00:00Z/2026-01-02T00:00:00Z",
        unread=range(known, known + unread),
        examples=[unread_value("maybe")] * bool(unread),
    )


def test_few_unread_outcomes_cost_no_verdict_and_are_said() -> None:
    assert report_of(400, 0).verdict == "better"
    assert report_of(400, 0).note == ""
    report = report_of(400, 8)
    assert {metric.verdict for metric in report} == {"better"}
    start = "8 of 408 outcomes could not be read: texts like 'aaaaa'"
    assert report.note.startswith(start)
    assert report.to_dict()["note"] == report.note
    for text in (str(report), report.to_markdown()):
        assert start in " ".join(text.replace("\\", "").split())


def test_many_unread_outcomes_leave_no_verdict() -> None:
    report = report_of(400, 300)
    assert report.verdict == "not enough data"
    assert {metric.verdict for metric in report} == {"not enough data"}
    assert report.reason.startswith("300 of 700 outcomes could not be read, too many for a verdict: texts like 'aaaaa'")
    assert report.note == ""
    assert str(report).count("could not be read") == 1
    assert str(report).startswith("No verdict from 2026-01-01")


def test_a_metric_that_stands_is_told_from_others() -> None:
    """Between both, some verdicts stand, and the note names the others."""
    report = next(found for unread in range(20, 200, 5) if (found := report_of(400, unread)).note.count("change"))
    doubtful = [metric.name for metric in report if metric.verdict == "not enough data"]
    assert 0 < len(doubtful) < len(report.metrics)
    assert report.verdict == "better"
    names = {"accuracy": "accuracy", "f1": "F1", "auc": "AUC", "brier": "Brier score", "log_loss": "log loss"}
    listed = ", ".join(names.get(name, name) for name in doubtful)
    assert report.note.endswith(f" They could change the verdict on {listed}.")


def test_too_few_known_outcomes_are_said_to_be_unread() -> None:
    assert "could not be read, too many for a verdict" in report_of(20, 20).reason
    assert report_of(10, 5).reason == "10 outcomes of rows that both models answered, where 30 are needed"


@pytest.mark.parametrize(("lost", "verdict"), [(29, "better"), (44, "better"), (45, "not enough data")])
def test_unread_outputs_beyond_a_tenth_leave_no_verdict(lost: int, verdict: str) -> None:
    report = report_of(400, 0, lost=lost)
    assert report.verdict == verdict
    reason = "the outputs of 45 of 445 rows of the champion cannot be read, too many for a verdict"
    assert report.reason == (reason if lost == 45 else "")
