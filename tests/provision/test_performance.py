"""The rules on performance, evaluated by promtool on the metrics of real services, give the numbers of Python."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flask_boxkite import Baseline
from flask_boxkite.performance.report import PerformanceReport
from flask_boxkite.provision import RuleOptions, rules_text
from flask_boxkite.provision.performance import performance_alerts
from flask_boxkite.provision.rulefile import Group, file_text
from tests.baseline.training.building import built
from tests.provision.promtool import Replica, Rules, series

pytestmark = pytest.mark.peers

ONE_WINDOW = RuleOptions(windows=("1h",), hold="0s")


@pytest.fixture
def rules(tmp_path: Path) -> Rules:
    """Return the rules of one window."""
    return Rules(tmp_path, rules_text(ONE_WINDOW))


class Population:
    """Rows of one kind of model: features, outputs and actual values, as training and live traffic draw them."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.baseline: Baseline = built(
            dict(zip("xy", self.draw(3000, 1)[0].T, strict=True)), self.draw(3000, 1)[1], **self._options()
        )

    def _options(self) -> dict[str, Any]:
        actual = self.draw(3000, 1)[2]
        return {"actual": actual, "classes": "abc"} if self.kind == "classes" else {"actual": actual}

    def draw(self, rows: int, seed: int, worse: float = 0.0) -> tuple[Any, Any, Any]:
        """Return features, outputs and actual values; *worse* makes outputs mean less."""
        random = np.random.default_rng(seed)
        features = random.normal(size=(rows, 2))
        if self.kind == "binary":
            score = 1 / (1 + np.exp(-features[:, 0]))
            truth = np.where(random.random(rows) < worse, 0.5, score)
            return features, score, (random.random(rows) < truth).astype(int)
        if self.kind == "regression":
            predicted = 50 + 10 * features[:, 0]
            return features, predicted, predicted + random.normal(0, 3 * (1 + worse), rows)
        probabilities = random.dirichlet([1, 1, 1], rows)
        classes = np.array([random.choice(3, p=row) for row in probabilities])
        actual = np.array(list("abc"))[classes]
        return features, probabilities, np.where(random.random(rows) < worse, "d", actual)  # training never had "d"

    def replica(self, rows: int, seed: int, instance: str = "a", worse: float = 0.0) -> Replica:
        """Return a server with rows of which three in four have an outcome."""
        features, outputs, actual = self.draw(rows, seed, worse)
        known = [None if row % 4 == 0 else value for row, value in enumerate(actual.tolist())]
        return Replica(self.baseline, features.tolist(), outputs.tolist(), instance=instance, actual=known)


@pytest.fixture(scope="module", params=["binary", "classes", "regression"])
def population(request: pytest.FixtureRequest) -> Population:
    return Population(request.param)


def recorded(rules: Rules, replicas: list[Replica], source: str) -> dict[str, float]:
    """Return the metrics that are recorded of a source, by name."""
    (found,) = rules.evaluate(replicas, [f'{{__name__=~"boxkite:model:.+",source="{source}",window="1h"}}'])
    return {labels["__name__"].removeprefix("boxkite:model:"): value for labels, value in found}


def metrics(report: PerformanceReport, of: str) -> dict[str, float]:
    return {metric.name: getattr(metric, of) for metric in report if getattr(metric, of) is not None}


MACRO = {"precision", "recall", "f1"}
"""Metrics of classes that the rules do not have: averages over classes."""


def test_metrics_equal_those_of_python(rules: Rules, population: Population) -> None:
    replica = population.replica(700, 5)
    report = replica.service.performance()
    for source, of, rows in (
        ("outcomes", "realised", report.outcomes),
        ("expected", "estimated", report.coverage.predictions),
    ):
        expected = metrics(report, of) | {"outcomes": rows}
        if population.kind == "classes":
            expected = {name: value for name, value in expected.items() if name not in MACRO}
        assert recorded(rules, [replica], source) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_replicas_add_up(rules: Rules, population: Population) -> None:
    """The numbers are the ones of all rows together, not averages of servers."""
    replicas = [population.replica(300, 6, "a"), population.replica(900, 7, "b", worse=0.5)]
    reports = [replica.service.performance() for replica in replicas]
    name = "mae" if population.kind == "regression" else "accuracy"
    found = recorded(rules, replicas, "outcomes")
    rows = [report.outcomes for report in reports]
    mean = sum(report[name].realised * number for report, number in zip(reports, rows, strict=True)) / sum(rows)
    assert found["outcomes"] == sum(rows)
    assert found[name] == pytest.approx(mean, rel=1e-9)


def test_a_model_that_is_worse_raises_the_alert(rules: Rules, population: Population) -> None:
    good, bad = population.replica(2000, 8), population.replica(2000, 9, worse=0.6)
    assert rules.alerts([good], "BoxkiteModelWorse", minutes=60) == []
    ((labels, texts),) = rules.alerts([bad], "BoxkiteModelWorse", minutes=60)
    assert labels["model"] == "default"
    assert "source" not in labels
    assert bad.service.performance().verdict in ("worse", "much worse")
    assert numbers_of(texts["description"]) == pytest.approx(worse_numbers(bad), rel=2e-3)


def numbers_of(text: str) -> list[float]:
    """Return the numbers in the text of an alert: the metric, its validated value and, of classes, the excess."""
    if "absolute error" in text:
        found = re.search(r": over the last 1h, the mean absolute error is (\S+), (\S+) in validation\. The page", text)
    else:
        found = re.search(
            r": over the last 1h, accuracy is (\S+)%, (\S+)% in validation\. "
            r"At the same outputs, (\S+)% more of the outcomes are wrong\. The page",
            text,
        )
    assert found, text
    return list(map(float, found.groups()))


def worse_numbers(replica: Replica) -> list[float]:
    """Return the same numbers of Python."""
    report = replica.service.performance()
    if report.kind == "regression":
        return [report["mae"].realised, report["mae"].validated]
    excess = next(item for item in report.judgement.comparisons if item.subject == "wrong rows")
    accuracy = report["accuracy"]
    return [100 * number for number in (accuracy.realised, accuracy.validated, excess.now - excess.before)]


def test_the_statistic_of_wrong_rows_is_the_one_of_python(rules: Rules) -> None:
    population = Population("binary")
    replica = population.replica(1500, 10, worse=0.2)
    comparison = next(
        item for item in replica.service.performance().judgement.comparisons if item.subject == "wrong rows"
    )
    (excess,), (z,) = rules.evaluate(
        [replica], ['boxkite:model:wrong_excess{window="1h"}', 'boxkite:model:wrong_z{window="1h"}']
    )
    assert excess[1] == pytest.approx(comparison.now - comparison.before, abs=1e-9)
    assert z[1] == pytest.approx(comparison.z, rel=0.05)  # Python's allows for the skewness of few rows


def test_unread_outcomes_that_could_explain_it_raise_no_alert(rules: Rules, population: Population) -> None:
    """Half of the outcomes cannot be read; if a hundredth cannot, the model is worse even if these were right."""
    for every, is_raised in ((2, False), (100, True)):
        features, outputs, actual = population.draw(2000, 9, 0.6)
        known = [[] if row % every == 0 else value for row, value in enumerate(actual.tolist())]
        replica = Replica(population.baseline, features.tolist(), outputs.tolist(), actual=known)
        report = replica.service.performance()
        (unread,) = rules.evaluate([replica], ['boxkite:model:unread{window="1h"}'])
        assert unread[0][1] == report.coverage.rejected["invalid"] == 2000 / every
        assert report.judgement.is_worse == is_raised
        assert bool(rules.alerts([replica], "BoxkiteModelWorse", minutes=60)) == is_raised


def test_outputs_outside_of_validation_raise_no_expectation(rules: Rules) -> None:
    """A third of the numbers is far above or below all of validation; a few are no reason for silence."""
    population = Population("regression")
    random = np.random.default_rng(4)
    for far, share, is_raised in ((15_000.0, 0.36, False), (-15_000.0, 0.36, False), (15_000.0, 0.02, True)):
        outputs = random.choice([20.0, 80.0], 1500) + random.normal(0, 1, 1500)
        outputs[: round(share * 1500)] = far
        baseline = wide_at_the_ends(population.baseline)
        replica = Replica(baseline, random.normal(size=(1500, 2)).tolist(), outputs.tolist())
        report = replica.service.performance()
        (outside,) = rules.evaluate([replica], ['boxkite:model:outside{window="1h"}'])
        assert outside[0][1] == pytest.approx(report.outside, abs=1e-12)
        assert report.expectation.is_worse == is_raised
        assert bool(rules.alerts([replica], "BoxkiteExpectedWorse", minutes=60)) == is_raised


def wide_at_the_ends(baseline: Baseline) -> Baseline:
    """Return a baseline of the same kind whose errors are larger, the further an output is from the middle."""
    random = np.random.default_rng(5)
    predicted = random.normal(50, 20, 3000)
    actual = predicted + random.normal(0, 1, 3000) * (1 + np.abs(predicted - 50) / 5)
    names = [item.name for item in baseline.features]
    return built(dict(zip(names, random.normal(size=(2, 3000)), strict=True)), predicted, actual=actual)


def test_scores_that_move_to_the_unsure_middle_raise_the_expectation_alert(rules: Rules) -> None:
    population = Population("binary")
    random = np.random.default_rng(3)
    middle = random.uniform(0.4, 0.6, 1500)
    replica = Replica(population.baseline, random.normal(size=(1500, 2)).tolist(), middle.tolist())
    ((labels, texts),) = rules.alerts([replica], "BoxkiteExpectedWorse", minutes=60)
    assert labels["model"] == "default"
    found = re.search(
        r"validation: over the last 1h, accuracy is (\S+)%, (\S+)% in validation\. This", texts["description"]
    )
    accuracy = replica.service.performance()["accuracy"]
    assert found
    numbers = [100 * accuracy.estimated, 100 * accuracy.validated]
    assert list(map(float, found.groups())) == pytest.approx(numbers, rel=2e-3)
    assert replica.service.performance().expectation.verdict == "much worse"


# --- outcomes that stop ----------------------------------------------------------------------------------------------

DAY = 24 * 60


def nightly(day: int) -> list[int]:
    """Return the minutes at which a job of a night sends outcomes, up to 15 minutes late."""
    return [day * DAY + 120 + day * 7 % 16]


SCHEDULES: dict[str, tuple[Callable[[int], list[int]], int]] = {
    # (minutes of a day at which outcomes come, hours after the last one in which the alert comes)
    "nightly": (nightly, 37),
    "working days": (lambda day: nightly(day) if day % 7 < 5 else [], 109),
    "hourly": (lambda day: list(range(day * DAY, (day + 1) * DAY, 60)), 3),
    "all day": (lambda day: list(range(day * DAY, (day + 1) * DAY, 2)), 2),
    "daytime": (lambda day: list(range(day * DAY + 480, day * DAY + 1080, 10)), 23),
}


def outcomes_of(come: Callable[[int], list[int]], stop: int, end: int) -> dict[str, str]:
    """Return the series of a counter of outcomes that come until a day, and of one that stands still."""
    moments = sorted(minute for day in range(stop) for minute in come(day))
    values, last = [], -1
    for number, minute in enumerate(moments):
        values += [f"{number}+0x{minute - last - 2}"] if minute > last + 1 else []
        values.append(str(number + 1))
        last = minute
    values.append(f"{len(moments)}+0x{end - last}")
    labels = {"job": "app", "namespace": "prod", "model": "m"}
    return {
        series("boxkite_outcomes_total", **labels, baseline="new", bin="1"): " ".join(values),
        series("boxkite_outcomes_total", **labels, baseline="old", bin="1"): f"9+0x{end}",
    }


def alert_rules(directory: Path) -> Rules:
    """Return the alerts on performance alone, evaluated each quarter of an hour."""
    options = RuleOptions(windows=("2h",), scrape_interval="5m", hold="0s")
    return Rules(
        directory, file_text("", [Group("boxkite-performance", "", "5m", [*performance_alerts(options)])]), "15m"
    )


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_alert_on_outcomes_knows_when_they_usually_come(schedule: str, tmp_path: Path) -> None:
    """It never fires while they do, weekends and a late job included; then within the time that the docs state."""
    come, hours = SCHEDULES[schedule]
    rules = alert_rules(tmp_path)
    last = max(minute for day in range(17) for minute in come(day))
    sooner, late = last + (hours - 2) * 60 + 30, last + (hours + 1) * 60
    minutes = [*range(8 * DAY, last, 120), sooner, late, late + DAY]
    fired = rules.alerts_at([outcomes_of(come, 17, minutes[-1])], "BoxkiteOutcomesStopped", minutes)
    assert [minute for minute, alerts in fired.items() if alerts] == minutes[-2:]
    ((labels, annotations),) = fired[late]
    assert labels["model"] == "m"
    assert "baseline" not in labels
    assert annotations["description"].startswith("No outcome of model m has come for ")
    assert "the alert comes after 1.5 times as long, and an hour." in annotations["description"]


def test_a_server_that_is_gone_is_no_job_that_stopped(tmp_path: Path) -> None:
    rules = alert_rules(tmp_path)
    given = outcomes_of(nightly, 16, 16 * DAY)
    assert rules.alerts([given], "BoxkiteOutcomesStopped", minutes=18 * DAY) == []
