"""The setting `BOXKITE_VARIABLES`, laid over baselines when an app is set up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask

from flask_boxkite import Baseline, Boxkite, ModelMonitoringService
from flask_boxkite.errors import ConfigError
from flask_boxkite.monitoring.policies import judged_baselines
from flask_boxkite.policies import Policy
from tests.baseline.training.building import built

CREDIT = built({"age": np.arange(100.0), "income": np.arange(100.0)}, np.arange(100.0))
CHURN = built({"age": np.arange(100.0), "visits": np.arange(100.0)})


def app_with(baseline: Any, variables: Any) -> Flask:
    app = Flask("scoring")
    app.config.update(BOXKITE_BASELINE=baseline, BOXKITE_VARIABLES=variables, BOXKITE_SINK="none")
    Boxkite(app)
    return app


def policies(app: Flask) -> dict[str, tuple[Policy, ...]]:
    """Return the policies of an app by model."""
    models = app.extensions["boxkite"].monitor.models()
    return {model.model: model.baseline.policies for model in models}


def test_one_model_takes_them_by_name_or_by_model_and_name() -> None:
    expected = {"default": (Policy("age", True),)}
    assert policies(app_with(CREDIT, {"age": {"ignore": True}})) == expected
    assert policies(app_with(CREDIT, {"default": {"age": {"ignore": True}}})) == expected


def test_several_models_take_them_for_all_and_for_each() -> None:
    """What is for all models is for those that have the variable; what is for one wins."""
    variables = {
        "age": {"weight": 2},
        "visits": {"drifted": 0.2},
        "credit": {"age": {"weight": 3, "major": 0.5}, "income": {"ignore": True}},
    }
    assert policies(app_with({"credit": CREDIT, "churn": CHURN}, variables)) == {
        "credit": (Policy("age", None, 3.0, None, 0.5), Policy("income", True)),
        "churn": (Policy("age", None, 2.0), Policy("visits", None, None, 0.2)),
    }


def test_the_setting_wins_over_the_file_key_by_key() -> None:
    trained = CREDIT.with_policies({"age": {"ignore": True, "weight": 2}, "income": {"weight": 5}})
    found = policies(app_with(trained, {"age": {"ignore": False}, "income": {"drifted": 0.2}}))
    assert found == {"default": (Policy("age", False, 2.0), Policy("income", None, 5.0, 0.2))}


BOTH = {"credit": CREDIT, "churn": CHURN}
FAULTS: dict[str, tuple[Any, Any, str]] = {
    "unknown variable": (
        CREDIT,
        {"incom": {"weight": 3}},
        "'BOXKITE_VARIABLES' names 'incom', which the baseline does not have. Did you mean 'income'?",
    ),
    "unknown everywhere": (
        BOTH,
        {"visit": {"weight": 3}},
        "'BOXKITE_VARIABLES' names 'visit', which no baseline has. Did you mean 'visits'?",
    ),
    "unknown model": (
        BOTH,
        {"chur": {"age": {"weight": 3}}},
        "'BOXKITE_VARIABLES' names the model 'chur', which the app does not have. Did you mean 'churn'?",
    ),
    "unknown in its model": (
        BOTH,
        {"churn": {"income": {"weight": 3}}},
        "'BOXKITE_VARIABLES' does not fit the baseline of model 'churn': The baseline has no variable 'income'. "
        "There are: 'age', 'visits'.",
    ),
    "not with the file": (
        CREDIT.with_policies({"age": {"drifted": 0.2, "major": 0.3}}),
        {"age": {"drifted": 0.5}},
        "'BOXKITE_VARIABLES' does not fit the baseline of model 'default': 'age' is 'major' from a size of 0.3 on, "
        "below the 0.5 from which it is 'drifted'. Set both sizes.",
    ),
    "nothing is left": (
        CHURN,
        {"age": {"ignore": True}, "visits": {"weight": 0}},
        "'BOXKITE_VARIABLES' does not fit the baseline of model 'default': Every variable is ignored, or has the "
        "weight 0, so nothing can be judged. Leave one of them in.",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_setting_that_does_not_fit_keeps_the_app_from_starting(name: str) -> None:
    baseline, variables, message = FAULTS[name]
    with pytest.raises(ConfigError) as raised:
        app_with(baseline, variables)
    assert str(raised.value) == message
    assert raised.value.key == "BOXKITE_VARIABLES"


def test_a_file_of_which_only_ignored_variables_are_left_cannot_be_served(tmp_path: Path) -> None:
    """Boxkite's form has one output: of the others, nothing is written."""
    two = built({"age": np.arange(100.0)}, {"low": np.arange(100.0), "high": np.arange(100.0)})
    judged = two.with_policies({"age": {"ignore": True}, "low": {"ignore": True}})
    judged.dump(tmp_path / "b.prom", names="boxkite")
    assert [policy.name for policy in Baseline.load(tmp_path / "b.prom").policies] == ["age", "output"]
    with pytest.raises(ConfigError, match="Every variable is ignored"):
        app_with(tmp_path / "b.prom", None)
    assert policies(app_with(tmp_path / "b.prom", {"output": {"ignore": False}})) == {
        "default": (Policy("age", True), Policy("output", False))
    }


def test_without_a_baseline_there_is_nothing_to_judge() -> None:
    """Only the default path may be absent, as where the app is developed."""
    assert judged_baselines({None: (Policy("age", True),)}, {"default": None}) == {"default": None}


def test_the_environment_has_it_as_json_or_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"income": {"weight": 3, "drifted": 0.15}}
    monkeypatch.setenv("FLASK_BOXKITE_VARIABLES", json.dumps(given))
    monkeypatch.setenv("FLASK_BOXKITE_VARIABLES__age__ignore", "true")
    app = Flask("scoring")
    app.config.from_prefixed_env()
    app.config.update(BOXKITE_BASELINE=CREDIT, BOXKITE_SINK="none")
    Boxkite(app)
    assert policies(app) == {"default": (Policy("age", True), Policy("income", None, 3.0, 0.15))}


def test_a_service_takes_it_as_an_argument() -> None:
    service = ModelMonitoringService(CREDIT, sink="none", variables={"age": {"weight": 3}})
    assert service.baseline is not None
    assert service.baseline.policies == (Policy("age", None, 3.0),)
    assert CREDIT.policies == ()
    with pytest.raises(ConfigError, match="'BOXKITE_VARIABLES' names 'agee'"):
        ModelMonitoringService(CREDIT, sink="none", variables={"agee": {"weight": 3}})


def test_of_processes_that_judge_differently_the_live_one_describes_its_counts(tmp_path: Path) -> None:
    """A server was restarted with other settings; its state directory has counts of both."""
    from flask_boxkite.cli.state_dir import app_of

    names = []
    for variables in ({"age": {"ignore": True}}, {"income": {"ignore": True}}):
        service = ModelMonitoringService(CREDIT, sink="none", state_dir=str(tmp_path), variables=variables)
        for number in range(40):
            service.log_prediction(features={"age": float(number), "income": float(number)}, output=1.0)
        (model,) = app_of(tmp_path, model=None, window=None, alpha=1e-5).models
        names.append([view.drift.name for view in model.variables if view.drift.verdict == "ignored"])
        if len(names) == 2:
            assert model.rows == 80
    assert names == [["age"], ["income"]]


def test_an_ignored_variable_of_another_type_is_no_problem() -> None:
    """Texts where training had numbers are what the page warns of."""
    found = []
    for variables in ({}, {"income": {"ignore": True}}):
        service = ModelMonitoringService(CREDIT, sink="none", variables=variables)
        for _ in range(40):
            service.log_prediction(features={"age": 1.0, "income": "many"}, output=1.0)
        found.append(service.monitor.observe().unreadable)
    assert found == [["income"], []]


def test_the_course_has_the_limit_of_the_variable() -> None:
    limits = []
    for variables in ({}, {"income": {"drifted": 0.3, "major": 0.5}}):
        service = ModelMonitoringService(CREDIT, sink="none", variables=variables)
        for number in range(100):
            service.log_prediction(features={"age": 1.0, "income": float(number)}, output=1.0)
        (point,) = service.monitor.course("feature", CREDIT.features[1].name).points
        limits.append(point.limit)
    assert limits[1] - limits[0] == pytest.approx(0.2)


def test_a_new_baseline_of_records_is_judged_as_the_old_one(tmp_path: Path) -> None:
    from flask_boxkite.records import Records

    trained = CREDIT.with_policies({"age": {"weight": 3}, "income": {"ignore": True}})
    service = ModelMonitoringService(trained, log_dir=str(tmp_path))
    for number in range(100):
        service.log_prediction(features={"age": float(number), "income": float(number)}, output=float(number))
    service.close()

    made = Records(tmp_path).to_baseline(baseline=trained, weights={"age": 4})
    assert made.policies == (Policy("age", None, 4.0), Policy("income", True))
    assert Records(tmp_path).to_baseline(baseline=trained, exclude=["income"]).policies == (Policy("age", None, 3.0),)
    assert isinstance(made, Baseline)
