"""Outcomes that cannot be read, or are still to come: whether they could change a verdict."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.live.model_cells import ModelCells
from flask_boxkite.live.outcome_cells import OutcomeCells
from flask_boxkite.performance import comparisons
from flask_boxkite.performance.doubt import extremes_of_shares, is_sure
from flask_boxkite.performance.report import PerformanceReport, performance_report
from flask_boxkite.performance.verdict import judge
from flask_boxkite.performance.wording import verdict_line
from flask_boxkite.records import Records
from tests.baseline.training.building import built
from tests.performance.validations import binary_of, bins_of

ROWS = 1000
NAMES = np.array(["ham", "spam"])


def mail(random: np.random.Generator, rows: int) -> tuple[Any, Any]:
    """Return scores, and actual values that come true with the probability that a score names."""
    scores = random.beta(0.3, 0.7, rows)
    return scores, (random.random(rows) < scores).astype(int)


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    scores, actual = mail(np.random.default_rng(0), 4000)
    return built({"x": np.arange(4000)}, scores, actual=NAMES[actual])


def served(
    baseline: Baseline, scores: Any, actual: list[Any], **options: Any
) -> tuple[ModelMonitoringService, list[str]]:
    """Return a service with these predictions and outcomes, and the ids of the predictions."""
    service = ModelMonitoringService(baseline, **(options if "log_dir" in options else {"sink": "none", **options}))
    ids = [service.log_prediction(features=[0], output=score) for score in scores.tolist()]
    for prediction_id, value in zip(ids, actual, strict=True):
        service.log_outcome(prediction_id, value)
    return service, ids


def test_no_verdict_stands_on_outcomes_in_another_spelling(baseline: Baseline) -> None:
    """All positives cannot be read, so no outcome is positive; once they are sent again, all is as validated."""
    scores, actual = mail(np.random.default_rng(1), ROWS)
    service, ids = served(baseline, scores, np.array(["ham", "Spam"])[actual].tolist())
    report, unread = service.performance(), int(actual.sum())
    line = verdict_line(report.to_dict())

    assert (report.verdict, report.coverage.rejected["invalid"]) == ("not enough data", unread)
    assert report.to_dict()["comparisons"] == []
    said = f"{unread} of 1,000 outcomes could not be read, too many for a verdict: "
    assert line.startswith(f"No verdict by outcomes since the start: {said}")
    assert line.count("could not be read") == 1
    assert line.endswith(
        "texts like 'aaaa' (9: any digit, a: any letter), where validation had 'ham' and 'spam'. Did you mean 'spam'?"
    )

    for prediction_id, value in zip(ids, NAMES[actual].tolist(), strict=True):
        service.log_outcome(prediction_id, value)
    report = service.performance()
    assert (report.outcomes, report.coverage.rejected["invalid"]) == (ROWS, unread)
    assert report.verdict == "as validated"


def test_all_views_of_unread_outcomes_agree(baseline: Baseline, tmp_path: Path) -> None:
    scores, actual = mail(np.random.default_rng(1), ROWS)
    values = np.array(["ham", "Spam"])[actual].tolist()
    service, ids = served(baseline, scores, values, log_dir=tmp_path)
    live = service.performance()
    service.close()
    assert "Did you mean 'spam'?" in live.reason
    outcomes = {"prediction_id": ids, "actual": values}
    report = Records(tmp_path).performance(baseline, outcomes=outcomes)
    assert (report.reason, report.verdict) == (live.reason, "not enough data")


@pytest.mark.parametrize(
    ("redact", "seen"), [("output", "texts, where"), ("x", "texts like 'aaaa' (9: any digit, a: any letter), where")]
)
def test_values_are_shown_as_far_as_redaction_allows(baseline: Baseline, redact: str, seen: str) -> None:
    scores, actual = mail(np.random.default_rng(1), 200)
    service, _ = served(baseline, scores, np.array(["ham", "Spam"])[actual].tolist(), sink="none", redact=redact)
    assert service.performance().reason.endswith(f"too many for a verdict: {seen} validation had 'ham' and 'spam'.")


def test_too_few_outcomes_that_can_be_read_are_said_to_be_unread(baseline: Baseline) -> None:
    """With less than 30 outcomes of any kind, they are too few."""
    scores = np.full(29, 0.4)
    service, _ = served(baseline, scores, ["Ham"] * 29)
    assert service.performance().reason == "0 outcomes, where 30 are needed"
    service.log_outcome(service.log_prediction(features=[0], output=0.4), "Ham")
    assert service.performance().reason.startswith("30 of 30 outcomes could not be read, too many for a verdict: ")
    assert service.performance().reason.endswith(" Did you mean 'ham'?")


def test_missing_values_are_called_so(baseline: Baseline) -> None:
    scores, actual = mail(np.random.default_rng(1), 200)
    service, _ = served(baseline, scores, [None if value else "ham" for value in actual.tolist()])
    assert service.performance().reason.endswith(
        "for a verdict: missing values, where validation had 'ham' and 'spam'."
    )


@pytest.mark.parametrize(("share", "verdict"), [(0.005, "much worse"), (0.05, "much worse"), (0.5, "not enough data")])
def test_a_verdict_stands_that_the_others_cannot_change(baseline: Baseline, share: float, verdict: str) -> None:
    """Seven of ten rows are wrong, where a fifth was: 50 right ones more are no excuse, 1,000 are."""
    random = np.random.default_rng(2)
    scores, _ = mail(random, ROWS)
    actual = NAMES[np.where(random.random(ROWS) < 0.7, scores < 0.5, scores >= 0.5).astype(int)]
    unread = random.random(ROWS) < share
    service, _ = served(baseline, scores, np.where(unread, "?", actual).tolist())
    assert service.performance().verdict == verdict


@pytest.mark.parametrize(("unread", "verdict"), [(4, "as validated"), (200, "not enough data")])
def test_a_few_unread_values_cost_no_verdict(baseline: Baseline, unread: int, verdict: str) -> None:
    scores, actual = mail(np.random.default_rng(3), ROWS)
    service, _ = served(baseline, scores, ["?"] * unread + NAMES[actual].tolist()[unread:])
    assert service.performance().verdict == verdict


def test_a_number_that_cannot_be_read_may_have_any_error() -> None:
    random = np.random.default_rng(4)
    actual = random.normal(200, 50, 2000)
    baseline = built({"x": np.arange(2000)}, actual + random.normal(0, 9, 2000), actual=actual)

    def verdict(unread: int, size: float) -> str:
        live = random.normal(200, 50, 500)
        values = [*["about 200"] * unread, *live.tolist()[unread:]]
        service, _ = served(baseline, live + random.normal(0, size, 500), values)
        report = service.performance()
        assert ("validation had numbers." in verdict_line(report.to_dict())) == (report.verdict == "not enough data")
        return report.verdict

    assert verdict(2, 9) == "as validated"
    assert verdict(60, 9) == "not enough data"
    assert verdict(60, 40) == "much worse"
    assert verdict(400, 15) == "not enough data"


@pytest.mark.parametrize("seed", range(20))
def test_no_completion_of_the_outcomes_is_beyond_the_extremes(seed: int) -> None:
    """Each unknown row gets a bin and an actual value, at random or always the same, and all are compared again."""
    random = np.random.default_rng(seed)
    scores, actual = mail(random, 3000)
    validation = binary_of(scores, actual)
    live, came_true = mail(random, int(random.integers(100, 400)))
    at, bins = bins_of(live, validation.upper_bounds), len(validation.upper_bounds) + 1
    counts = np.zeros((bins, 2), dtype=np.int64)
    np.add.at(counts, (at, came_true), 1)
    unknown = int(random.integers(1, 200))
    found = comparisons.of_binary(validation, counts)
    best, worst = extremes_of_shares(validation, counts, found, unknown, 1.0)

    filled = np.flatnonzero(np.sum([validation.negatives, validation.positives], axis=0))
    for number in range(60):
        more = counts.copy()
        if number < 20:
            places = random.choice(filled, unknown), random.integers(0, 2, unknown)
        else:
            places = np.full(unknown, random.choice(filled)), np.full(unknown, number % 2)
        np.add.at(more, places, 1)
        for item, low, high in zip(comparisons.of_binary(validation, more), best, worst, strict=False):
            change, limits = item.now - item.before, (low.now - low.before, high.now - high.before)
            if item.subject == "wrong rows":
                assert limits[0] - 1e-12 <= change <= limits[1] + 1e-12
            elif item.subject == "positives":
                assert abs(limits[0]) - 1e-12 <= abs(change) <= abs(limits[1]) + 1e-12


def test_the_more_is_unknown_the_less_is_sure() -> None:
    """Without unknown outcomes both extremes are the comparisons themselves, and they part from there."""
    random = np.random.default_rng(5)
    scores, actual = mail(random, 3000)
    validation = binary_of(scores, actual)
    live, came_true = mail(random, 500)
    counts = np.zeros((len(validation.upper_bounds) + 1, 2), dtype=np.int64)
    np.add.at(counts, (bins_of(live, validation.upper_bounds), came_true), 1)
    found = comparisons.of_binary(validation, counts)
    steps = [extremes_of_shares(validation, counts, found, unknown, 1.0) for unknown in (0, 1, 10, 100)]

    for own, *both in zip(found, *steps[0], strict=True):
        for each in both:
            assert (each.subject, each.before) == (own.subject, own.before)
            assert (each.z, each.now) == pytest.approx((own.z, own.now), abs=1e-12)
    for (best, worst), (lower, higher) in pairwise(steps):
        assert all(after.z <= before.z + 1e-12 for before, after in zip(best[:2], lower[:2], strict=True))
        assert all(after.z >= before.z - 1e-12 for before, after in zip(worst[:2], higher[:2], strict=True))
    judgement = judge(found, 500, alpha=1e-5)
    assert [is_sure(judgement, each, 500, alpha=1e-5) for each in steps] == [True, True, True, False]


# --- slow outcomes ---------------------------------------------------------------------------------------------------


def early(baseline: Baseline, predictions: int, outcomes: int, wrong: float = 0.0) -> PerformanceReport:
    """Return the report one day after the first prediction, where the outcomes took up to a day."""
    random = np.random.default_rng(6)
    validation = baseline.validation
    layout, model = OutcomeCells(validation), ModelCells.of(baseline)
    scores, actual = mail(random, predictions)
    actual = np.where(random.random(predictions) < wrong, scores < 0.5, actual).astype(int)
    at = bins_of(scores, validation.upper_bounds)

    cells, counted = np.zeros(model.size, dtype=np.int64), np.zeros(layout.size, dtype=np.int64)
    output = next(item for item in model.variables if item.side == "output")
    np.add.at(cells[output.cells], at, 1)
    np.add.at(layout.counts(counted), (at[:outcomes], actual[:outcomes]), 1)
    layout.lags(counted)[10] = outcomes
    counted[layout.first_cell] = 1_000_000
    return performance_report("m", baseline, model, cells, layout, counted, alpha=1e-5, now=1_000_000 + 86400)


@pytest.mark.parametrize("outcomes", [820, 818])
def test_outcomes_that_are_all_in_are_judged(baseline: Baseline, outcomes: int) -> None:
    """They took as long as they have been coming, but no slow one that matters can be missing."""
    assert early(baseline, 820, outcomes).verdict == "as validated"


def test_slow_outcomes_are_awaited_while_they_could_change_the_verdict(baseline: Baseline) -> None:
    report = early(baseline, 820, 500)
    assert report.verdict == "not enough data"
    assert report.reason == "outcomes take about as long as they have been coming: slow ones are still missing"
    assert early(baseline, 820, 780, wrong=0.7).verdict == "much worse"
    assert early(baseline, 820, 300, wrong=0.7).verdict == "not enough data"
