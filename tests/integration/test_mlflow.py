"""A baseline as an artifact of a run, in MLflow's own store of local files."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from flask_boxkite import Baseline, Boxkite
from flask_boxkite.errors import BaselineError
from tests.peers import Gunicorn, fetch

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/mlflow"
PATIENT = [59, 2, 32.1, 101, 157, 93.2, 38, 4, 4.86, 87]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment variables by which MLflow finds a store."""
    directory = tmp_path_factory.mktemp("mlflow") / "store"  # which MLflow makes
    return {
        "MLFLOW_TRACKING_URI": directory.as_uri(),
        "MLFLOW_ALLOW_FILE_STORE": "true",  # users have a server
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


@pytest.fixture(scope="module")
def run_id(store: dict[str, str]) -> str:
    """Train as the example does, and return the id of the run."""
    env = {**os.environ, **store, "PYTHONPATH": str(EXAMPLE.parents[1])}
    done = subprocess.run([sys.executable, EXAMPLE / "train.py"], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def reachable(store: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tell MLflow in this process where the store is."""
    for name, value in store.items():
        monkeypatch.setenv(name, value)
    yield
    gc.collect()  # what MLflow downloads with has threads, until it is collected


def test_the_example_serves_the_model_with_its_baseline(store: dict[str, str], run_id: str, tmp_path: Path) -> None:
    env = {**store, "RUN_ID": run_id}
    with Gunicorn("app:app", tmp_path, env=env, pythonpath=[EXAMPLE]) as server:
        answer = fetch(f"{server.url}/score", json_body={"instances": [PATIENT]})
        metrics = fetch(f"{server.url}/metrics").text

    assert answer.status == 200
    assert len(answer.json()["predictions"]) == 1
    assert 'model="diabetes",baseline="' in metrics
    assert f'version="{run_id}"' in metrics
    assert 'boxkite_feature_value_count{model="diabetes",baseline="' in metrics


@pytest.mark.usefixtures("reachable")
def test_a_baseline_is_loaded_by_the_id_of_its_run(run_id: str) -> None:
    baseline = Baseline.load(f"runs:/{run_id}/baseline.prom")
    assert (baseline.model, baseline.version, baseline.rows) == ("diabetes", run_id, 442)


@pytest.mark.usefixtures("reachable")
@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("runs:/{run}/none.prom", "MLflow does not give 'runs:/{run}/none.prom': Failed to download artifacts"),
        (
            "runs:/none/baseline.prom",
            "MLflow does not give 'runs:/none/baseline.prom': Run 'none' not found. Does MLFLOW",
        ),
        ("models:/none/1/baseline.prom", "MLflow does not give 'models:/none/1/baseline.prom': "),
        ("runs:/{run}/model.pickle", "model.pickle', line 1: it is not UTF-8 text"),
    ],
    ids=["no artifact", "no run", "no model", "no baseline"],
)
def test_what_cannot_be_had_ends_the_set_up(run_id: str, uri: str, reason: str) -> None:
    app = Flask("scoring")
    app.config["BOXKITE_BASELINE"] = uri.format(run=run_id)
    with pytest.raises(BaselineError) as caught:
        Boxkite(app)
    assert reason.format(run=run_id) in str(caught.value)


def test_without_mlflow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.artifacts", None)
    with pytest.raises(BaselineError) as caught:
        Baseline.load("runs:/a/baseline.prom")
    assert str(caught.value) == "'runs:/a/baseline.prom' needs MLflow. Run: pip install 'mlflow-skinny>=2.14'"
