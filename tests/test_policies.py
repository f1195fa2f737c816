"""Decisions of users on how variables are judged: their forms, their checks, and their place in the file."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.baseline import Continuous, Discrete
from flask_boxkite.errors import BaselineError, BinMismatchError
from flask_boxkite.policies import Policy
from tests.baseline.training.building import built

AGE = Continuous("age", (0.0, 1.0, 2.0), (0, 500, 500, 0), (0.0, 1.0, 2.0))
CITY = Discrete("city", ("Bonn", "Ulm"), (500, 500))
SCORE = Continuous("score", (0.0, 1.0, 2.0), (0, 500, 500, 0), (0.0, 1.0, 2.0))
BASELINE = Baseline((AGE, CITY), (SCORE,), 1000)
COLUMNS = {"age": np.arange(100.0), "city": ["a", "b"] * 50}
SCORES = np.arange(100.0) / 100

FAULTS: dict[str, tuple[Any, str]] = {
    "unknown variable": (
        {"citty": {"ignore": True}},
        "The baseline has no variable 'citty'. Did you mean 'city'?",
    ),
    "unknown decision": ({"age": {"wieght": 3}}, "'age' has no 'wieght' to set. Did you mean 'weight'?"),
    "no text": ({"age": {3: 1}}, "'age' has no 3 to set. There are: 'ignore', 'weight', 'drifted', 'major'."),
    "no mapping of one": ({"age": 3}, "'age' needs a mapping such as {'weight': 3} or {'ignore': True}, got 3."),
    "no mapping": (
        ["age"],
        "Decisions on variables must be a mapping by name, such as {'age': {'ignore': True}}, got ['age'].",
    ),
    "no boolean": ({"age": {"ignore": 1}}, "'ignore' of 'age' must be true or false, got 1."),
    "negative": (
        {"age": {"weight": -0.5}},
        "'weight' of 'age' must be a number from 0 to 1e+12, got -0.5. Of coefficients, give the absolute values; of "
        "importances below 0, give 0.",
    ),
    "no number": ({"age": {"weight": "3"}}, "'weight' of 'age' must be a number from 0 to 1e+12, got '3'."),
    "true": ({"age": {"weight": True}}, "'weight' of 'age' must be a number from 0 to 1e+12, got True."),
    "NaN": ({"age": {"weight": np.nan}}, "'weight' of 'age' must be a number from 0 to 1e+12, got nan."),
    "infinite": ({"age": {"weight": np.inf}}, "'weight' of 'age' must be a number from 0 to 1e+12, got inf."),
    "too large": ({"age": {"weight": 10**400}}, f"'weight' of 'age' must be a number from 0 to 1e+12, got {10**400}."),
    "size 0": ({"age": {"drifted": 0}}, "'drifted' of 'age' must be a number above 0, got 0."),
    "infinite size": ({"age": {"major": np.inf}}, "'major' of 'age' must be a number above 0, got inf."),
    "sizes out of order": (
        {"age": {"drifted": 0.3}},
        "'age' is 'major' from a size of 0.25 on, below the 0.3 from which it is 'drifted'. Set both sizes.",
    ),
    "weight 0 judged": (
        {"age": {"ignore": False, "weight": 0}},
        "'age' is not to be ignored, but its weight is 0, which ignores it. Set its weight.",
    ),
    "all ignored": (
        {"age": {"ignore": True}, "city": {"weight": 0}, "score": {"ignore": True}},
        "Every variable is ignored, or has the weight 0, so nothing can be judged. Leave one of them in.",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_decision_without_sense_is_refused_with_the_remedy(name: str) -> None:
    variables, message = FAULTS[name]
    with pytest.raises(BaselineError) as raised:
        BASELINE.with_policies(variables)
    assert str(raised.value) == message


OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "a text": ({"ignore": "age"}, "'ignore' must be a list of names, got 'age'."),
    "nothing": ({"ignore": None}, "'ignore' must be a list of names, got None."),
    "no names": ({"ignore": [3]}, "'ignore' must be a list of names, got [3]."),
    "an array": (
        {"weights": [0.5, 0.5]},
        "'weights' must map names to importances, such as {'income': 3} or "
        "dict(zip(names, model.feature_importances_)), got [0.5, 0.5].",
    ),
    "positions": (
        {"drift_sizes": {0: 0.2}},
        "'drift_sizes' must map names to sizes, such as {'age': 0.2} or {'age': (0.2, 0.5)}, got {0: 0.2}.",
    ),
    "three sizes": (
        {"drift_sizes": {"age": (1, 2, 3)}},
        "'drift_sizes' of 'age' must be the size of 'drifted', or of 'drifted' and 'major', got (1, 2, 3).",
    ),
    "unknown": (
        {"ignore": ["x"], "weights": {"y": 1}, "drift_sizes": {"z": 0.2}},
        "'ignore' names 'x', which the data does not have. 'weights' names 'y', which the data does not have. "
        "'drift_sizes' names 'z', which the data does not have. Known: 'age', 'city', 'output'.",
    ),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_of_training_without_sense_is_refused(name: str) -> None:
    options, message = OPTIONS[name]
    with pytest.raises(BaselineError) as raised:
        built(COLUMNS, SCORES, **options)
    assert str(raised.value) == message


def test_options_of_training_are_policies() -> None:
    options: dict[str, Any] = {
        "ignore": ["city", "city"],
        "weights": pd.Series([np.float32(0.5), np.int64(2)], index=["age", "output"]),
        "drift_sizes": {"age": 0.2, "output": [0.15, 0.4]},
    }
    expected = (Policy("age", None, 0.5, 0.2), Policy("city", True), Policy("output", None, 2.0, 0.15, 0.4))
    assert built(COLUMNS, SCORES, **options).policies == expected
    table = {**COLUMNS, "output": SCORES}
    assert Baseline.from_chunks([table, table], "output", **options).policies == expected


def test_options_may_name_columns_that_are_left_out() -> None:
    """Importances come for all columns."""
    found = built(COLUMNS, SCORES, exclude=["city"], weights={"age": 2, "city": 3}, ignore=["city"])
    assert found.policies == (Policy("age", None, 2.0),)


def test_decisions_win_key_by_key() -> None:
    first = BASELINE.with_policies({"city": {"weight": 3, "drifted": 0.2}, "age": {"ignore": True}})
    second = first.with_policies({"city": {"drifted": 0.15}, "age": {"ignore": False}, "score": {}})
    assert second.policies == (Policy("age", False), Policy("city", None, 3.0, 0.15))


def test_the_file_keeps_policies_and_its_identity(tmp_path: Path) -> None:
    policies = {"age": {"weight": 1e-9, "drifted": 0.2, "major": 0.5}, "city": {"ignore": True}}
    baseline = BASELINE.with_policies(policies)
    for names in ("labels", "boxkite"):
        baseline.dump(tmp_path / "b.prom", names=names)
        assert Baseline.load(tmp_path / "b.prom").policies == baseline.policies
    baseline.dump(tmp_path / "b.prom")
    text = (tmp_path / "b.prom").read_text()

    assert Baseline.load(tmp_path / "b.prom") == baseline
    assert baseline.fingerprint == BASELINE.fingerprint
    BASELINE.dump(tmp_path / "plain.prom")
    plain = (tmp_path / "plain.prom").read_text()
    # Only comments differ, which earlier releases pass over.
    assert [line for line in text.splitlines() if not line.startswith("# flask_boxkite policy_")] == plain.splitlines()
    assert '# flask_boxkite policy_1 {"name": "city", "ignore": true}' in text.splitlines()


def test_the_output_of_a_file_with_the_names_of_boxkite_keeps_its_policy(tmp_path: Path) -> None:
    """It is called output there."""
    BASELINE.with_policies({"score": {"weight": 2}}).dump(tmp_path / "b.prom", names="boxkite")
    assert Baseline.load(tmp_path / "b.prom").policies == (Policy("output", None, 2.0),)


DAMAGE = {
    "no JSON": ("{", "the comment 'policy_0' is damaged: '{'. Export the file again."),
    "a list": ("[1]", "the comment 'policy_0' is damaged: '[1]'. Export the file again."),
    "a number": (
        '{"name": 3, "weight": 1}',
        "the comment 'policy_0' is damaged, or from a later release: Decisions on variables must be a mapping by name, "
        "such as {'age': {'ignore': True}}, got {3: {'weight': 1}}.",
    ),
    "no name": ('{"weight": 1}', "the comment 'policy_0' is damaged: '{\"weight\": 1}'. Export the file again."),
    "later release": (
        '{"name": "age", "owner": "me"}',
        "the comment 'policy_0' is damaged, or from a later release: 'age' has no 'owner' to set. "
        "There are: 'ignore', 'weight', 'drifted', 'major'.",
    ),
    "another variable": (
        '{"name": "x", "weight": 1}',
        "The baseline has no variable 'x'. There are: 'age', 'city', 'score'.",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_policy_is_no_policy(name: str, tmp_path: Path) -> None:
    comment, message = DAMAGE[name]
    path = tmp_path / "b.prom"
    BASELINE.dump(path)
    path.write_text(f"# flask_boxkite policy_0 {comment}\n{path.read_text()}")
    with pytest.raises(BaselineError) as raised:
        Baseline.load(path)
    assert str(raised.value) == f"Baseline file '{path}': {message}"


def test_baselines_add_up_with_their_policies() -> None:
    left, right = BASELINE.with_policies({"city": {"weight": 2}}), BASELINE.with_policies({"age": {"ignore": True}})
    assert left.merge(right).policies == right.merge(left).policies == (Policy("age", True), Policy("city", None, 2.0))
    with pytest.raises(BinMismatchError) as raised:
        left.merge(BASELINE.with_policies({"city": {"weight": 3}}))
    assert str(raised.value) == "The baselines judge 'city' differently: {'weight': 2.0} and {'weight': 3.0}."


def test_a_baseline_with_policies_is_a_value_like_any() -> None:
    baseline = BASELINE.with_policies({"age": {"weight": 2}})
    assert pickle.loads(pickle.dumps(baseline)) == copy.deepcopy(baseline) == baseline
    assert hash(baseline) != hash(BASELINE)


def test_the_summary_names_them() -> None:
    policies = {"city": {"ignore": True}, "age": {"weight": 3}, "score": {"drifted": 0.2, "major": 0.5}}
    assert repr(BASELINE.with_policies(policies)).splitlines()[-3:] == [
        "  ignored: city",
        "  weights: age 3",
        "  drifted and major from: score 0.2 and 0.5",
    ]


def test_importances_of_a_fitted_model_are_weights(tmp_path: Path) -> None:
    from sklearn.tree import DecisionTreeClassifier

    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(300, 3)), columns=["a", "b", "c"])
    model = DecisionTreeClassifier(max_depth=1).fit(frame, frame["b"] > 0)
    baseline = ModelMonitoringService.export_text(
        frame, path=tmp_path / "b.prom", weights=dict(zip(frame.columns, model.feature_importances_ * 3, strict=True))
    )
    assert [policy.weight for policy in baseline.policies] == [0, 3, 0]
    assert [policy.is_ignored for policy in baseline.policies] == [True, False, True]
