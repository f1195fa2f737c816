"""The panels on performance, evaluated by promtool on the metrics of real services, show the numbers of Python."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from flask_boxkite.performance.report import PerformanceReport
from flask_boxkite.provision import rules_text
from flask_boxkite.provision.grafana import dashboard_text
from tests.provision.promtool import Rules
from tests.provision.test_performance import MACRO, ONE_WINDOW, Population, metrics

pytestmark = pytest.mark.peers

CHOICES = {"model": "default", "job": "app", "namespace": ".*", "baseline": ".*", "window": "1h", "__range": "1h"}
TITLES = {
    **{"Accuracy": "accuracy", "F1": "f1", "AUC": "auc"},
    **{"Mean absolute error": "mae", "Root mean squared error": "rmse"},
}
"""Titles of the panels that show a metric, with its name."""


def expressions() -> dict[tuple[str, str], str]:
    """Return the expressions of the panels, by title and legend, as Grafana fills them in."""
    panels = json.loads(dashboard_text(ONE_WINDOW, title="Drift"))["panels"]
    titles = [panel["title"] for panel in panels]
    return {
        (panel["title"], target["legendFormat"]): re.sub(
            r"\$\{?(\w+)(:\w+)?\}?", lambda match: CHOICES[match[1]], target["expr"]
        )
        for panel in panels[titles.index("Performance") + 1 : titles.index("Traffic")]
        for target in panel["targets"]
    }


def shown(rules: Rules, population: Population) -> tuple[dict[tuple[str, str], float], PerformanceReport]:
    """Return the number that each panel shows, by title and legend, and the report of the only replica."""
    replica = population.replica(700, 5)
    wanted = expressions()
    found = rules.evaluate([replica], list(wanted.values()))
    for samples in found:
        assert len(samples) <= 1, "one line for each legend"
    numbers = {place: samples[0][1] for place, samples in zip(wanted, found, strict=True) if samples}
    return numbers, replica.service.performance()


@pytest.mark.parametrize("kind", ["binary", "classes", "regression"])
def test_panels_show_the_numbers_of_python(tmp_path: Path, kind: str) -> None:
    population = Population(kind)
    numbers, report = shown(Rules(tmp_path, rules_text(ONE_WINDOW)), population)

    for legend, of in (("outcomes", "realised"), ("expected", "estimated"), ("validated", "validated")):
        expected = {name: value for name, value in metrics(report, of).items() if name in TITLES.values()}
        if kind == "classes" and of != "validated":
            expected = {name: value for name, value in expected.items() if name not in MACRO}
        found = {TITLES[title]: value for (title, own), value in numbers.items() if own == legend and title in TITLES}
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-9), legend

    assert numbers["Outcomes", "outcomes"] == report.outcomes == 525
    assert numbers["Coverage", "coverage"] == pytest.approx(0.75, abs=1e-6)
    assert numbers["Is it worse than validated?", "limit"] == 4.265
    assert (("Is it worse than validated?", "z") in numbers) == (kind != "regression")


def test_outcomes_of_a_class_that_training_never_had_are_shown(tmp_path: Path) -> None:
    population = Population("classes")
    rules, expr = Rules(tmp_path, rules_text(ONE_WINDOW)), expressions()["Outcomes", "unseen class"]
    good, bad = population.replica(200, 5), population.replica(400, 6, worse=0.5)
    assert rules.evaluate([good], [expr]) == [[]]
    (found,) = rules.evaluate([bad], [expr])
    assert found == [({}, pytest.approx(bad.service.performance().coverage.unseen))]


def test_rejected_outcomes_are_shown_by_reason(tmp_path: Path) -> None:
    population = Population("binary")
    replica = population.replica(4, 5)
    grown = {
        series: re.sub(r"0(\.0)?$", "3", values) if 'reason="late"' in series else values
        for series, values in replica.series(60).items()
    }
    rules = Rules(tmp_path, rules_text(ONE_WINDOW))
    (found,) = rules.evaluate([grown], [expressions()["Rejected outcomes", "{{reason}}"]])
    assert found == [({"reason": "late"}, 3.0)]
