"""What a performance report tells people in its first line."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from scipy import stats

from flask_boxkite import ModelMonitoringService
from flask_boxkite.performance.report import PerformanceReport
from flask_boxkite.performance.wording import METRIC_NAMES, number_text, verdict_line
from tests.baseline.training.building import built


def report_on(outputs: Any, actual: Any, live: Any, came_true: Any) -> PerformanceReport:
    """Return the report on live outputs, all with an outcome, of a model with these validation rows."""
    service = ModelMonitoringService(built({"x": np.arange(len(outputs))}, outputs, actual=actual), sink="none")
    for output, value in zip(live.tolist(), came_true.tolist(), strict=True):
        prediction = service.log_prediction(features=[0], output=output)
        assert service.log_outcome(prediction, value)
    return service.performance()


def drawn(random: np.random.Generator, scores: Any) -> Any:
    """Return actual values that come true with the probability that a score names."""
    return (random.random(len(scores)) < scores).astype(int)


def test_right_scores_that_have_become_unsure_are_no_good_news() -> None:
    """Accuracy falls from .80 to .68, though each score still means what it meant."""
    random = np.random.default_rng(0)
    sure, unsure = random.beta(0.6, 0.6, 4000), random.beta(2, 2, 1000)
    report = report_on(sure, drawn(random, sure), unsure, drawn(random, unsure))
    assert report.verdict == "as validated"
    assert " ".join(str(report).split()).startswith(
        "By outcomes since the start, outputs are as right as such outputs were in validation, "
        "but worse ones have become more frequent. Model 'default'"
    )
    assert "By its outputs, the model is expected to be much worse than validated: accuracy 0.8" in str(report)


def test_what_is_as_in_validation_is_said_so() -> None:
    random = np.random.default_rng(1)
    sure, again = random.beta(0.6, 0.6, 4000), random.beta(0.6, 0.6, 500)
    report = report_on(sure, drawn(random, sure), again, drawn(random, again))
    assert str(report).startswith(
        "By outcomes since the start, outputs are as right as such outputs were in validation. Model"
    )
    assert not any(line.endswith(" ") for line in str(report).splitlines())


def test_errors_no_larger_than_in_validation() -> None:
    random = np.random.default_rng(2)
    actual, again = random.normal(200, 50, 1000), random.normal(200, 50, 200)
    report = report_on(actual + random.normal(0, 9, 1000), actual, again + random.normal(0, 9, 200), again)
    assert str(report).startswith("By outcomes since the start, errors are no larger than in validation. Model")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\N{EN DASH}"),
        (0.0, "0.000"),
        (0.74251, "0.743"),
        (99.9994, "99.999"),
        (99994.4, "99,990"),
        (-1234567.8, "-1,235,000"),
        (0.000237, "0.000237"),
    ],
)
def test_metrics_are_written_as_people_write_numbers(value: float | None, text: str) -> None:
    assert number_text(value) == text


def test_columns_of_large_numbers_never_touch() -> None:
    random = np.random.default_rng(2)
    actual, again = random.normal(2e6, 5e5, 1000), random.normal(2e6, 5e5, 200)
    report = report_on(actual + random.normal(0, 99999, 1000), actual, again + random.normal(0, 99999, 200), again)
    table = [line for line in str(report).splitlines() if line.startswith(("metric", "mean", "root", "bias"))]

    assert "e+" not in str(report)
    places = [[cell.start() for cell in re.finditer(r"(?<=  )\S", line)] for line in table]
    assert [len(line) for line in places] == [3, 3, 3, 3]
    assert len({line[-1] for line in places}) == 1


@pytest.mark.parametrize(
    ("rows", "factor", "end"), [(150, 1.3, "with too few large errors for a verdict"), (3000, 1.06, "by less than 10%")]
)
def test_a_larger_mean_error_is_never_said_to_be_no_larger(rows: int, factor: float, end: str) -> None:
    """Errors are quantiles of the normal distribution, so their means are known: 0.8 of the deviation."""
    random = np.random.default_rng(2)
    actual, again = random.normal(200, 50, 2000), random.normal(200, 50, rows)
    errors = stats.norm.ppf((np.arange(2000) + 0.5) / 2000), stats.norm.ppf((np.arange(rows) + 0.5) / rows)
    report = report_on(actual + 10 * errors[0], actual, again + 10 * factor * errors[1], again)
    line, mae = " ".join(verdict_line(report.to_dict()).split()), report["mae"]
    assert report.verdict == "as validated"
    assert line == (
        f"By outcomes since the start, the mean absolute error was {mae.validated:.3f} in validation, and is "
        f"{mae.realised:.3f} ({mae.realised_low:.3f} to {mae.realised_high:.3f}) now: larger, but {end}."
    )


def test_unread_outcomes_that_could_change_the_verdict_are_its_reason() -> None:
    """500 outcomes are as validated; with 8 more that are wrong they still are, with 145 they are not."""
    random = np.random.default_rng(1)
    sure, again = random.beta(0.6, 0.6, 4000), random.beta(0.6, 0.6, 500)
    baseline = built({"x": np.arange(4000)}, sure, actual=drawn(random, sure))
    service = ModelMonitoringService(baseline, sink="none")
    for output, value in zip(again.tolist(), drawn(random, again).tolist(), strict=True):
        service.log_outcome(service.log_prediction(features=[0], output=output), value)

    def first_line(unread: int) -> str:
        for _ in range(unread - service.performance().coverage.rejected["invalid"]):
            service.log_outcome(service.log_prediction(features=[0], output=0.9), "SIRA")
        text = " ".join(str(service.performance()).split())
        assert f"not counted: {unread} with a value that cannot be read." in text
        return text.partition(" Model 'default'")[0]

    assert first_line(8) == ("By outcomes since the start, outputs are as right as such outputs were in validation.")
    assert first_line(145).startswith(
        "No verdict by outcomes since the start: 145 of 645 outcomes could not be read, too many for a verdict: "
    )


def test_unread_outcomes_stand_beside_every_verdict() -> None:
    random = np.random.default_rng(2)
    actual = random.normal(200, 50, 1000)
    baseline = built({"x": np.arange(1000)}, actual + random.normal(0, 9, 1000), actual=actual)
    service = ModelMonitoringService(baseline, sink="none")

    def first_line(rows: int, size: float) -> str:
        for value in random.normal(200, 50, rows).tolist():
            service.log_outcome(service.log_prediction(features=[0], output=value + random.normal(0, size)), value)
        return " ".join(str(service.performance()).split()).partition(" Model 'default'")[0]

    for _ in range(145):
        service.log_outcome(service.log_prediction(features=[0], output=1.0), "about 200")
    begin = "No verdict by outcomes since the start"
    assert first_line(5, 9).startswith(f"{begin}: 145 of 150 outcomes could not be read, too many for a verdict: ")
    assert first_line(50, 9).startswith(f"{begin}: 145 of 200 outcomes could not be read, too many for a verdict: ")
    assert first_line(300, 90).endswith(" now. 145 of 500 outcomes could not be read.")


def test_large_numbers_stay_in_their_columns() -> None:
    random = np.random.default_rng(3)
    actual, again = random.normal(9e4, 5e4, 1000), random.normal(9e4, 5e4, 40)
    report = report_on(actual + random.normal(-999, 99, 1000), actual, again + random.normal(-999, 99, 40), again)
    lines = str(report).splitlines()
    head, bias = (next(line for line in lines if line.startswith(word)) for word in ("metric", "bias"))
    assert bias[head.index("expected") - 2 : head.index("realised")].strip().count("(") == 1
    assert bias[head.index("realised") - 1] == " "
    assert bias[head.index("realised")] == "-"
    assert max(map(len, lines)) <= 100


def test_one_of_a_kind_is_not_several() -> None:
    random = np.random.default_rng(4)
    scores = random.random(400)
    report = report_on(scores, drawn(random, scores), scores[:1], drawn(random, scores[:1]))
    assert "by outcomes since the start: 1 outcome, where 30 are needed." in str(report)
    assert "1 prediction, 1 outcome (100%)" in " ".join(str(report).split())


def test_few_outcomes_promise_nothing() -> None:
    """Three right rows have no share of wrong ones; the losses of the next three may be ten times as large."""
    random = np.random.default_rng(5)
    scores = random.random(600)
    few, right = np.full(3, 0.9), np.ones(3, dtype=int)
    report = report_on(scores, drawn(random, scores), few, right)
    for metric in report:
        is_of_shares = metric.name in ("accuracy", "precision", "recall", "f1")
        assert (metric.realised_low is not None) == is_of_shares, metric.name


def test_a_metric_is_found_by_its_name_in_the_text() -> None:
    """A reader of the table asks for a line of it."""
    random = np.random.default_rng(3)
    scores, again, actual = random.beta(0.6, 0.6, 500), random.beta(0.6, 0.6, 40), random.normal(200, 50, 500)
    reports = (
        report_on(scores, drawn(random, scores), again, drawn(random, again)),
        report_on(actual + 1, actual, actual[:40], actual[:40]),
    )
    found = []
    for report in reports:
        names = [line.partition("  ")[0] for line in str(report).splitlines() if "  " in line]
        found += [report[name].name for name in names if name in METRIC_NAMES.values()]
        assert [report[metric.name] for metric in report] == list(report.metrics)
    assert {"auc", "brier", "f1", "mae", "rmse"} <= set(found)
    with pytest.raises(KeyError, match="No metric 'AUC'"):
        reports[1]["AUC"]
