"""Whatever becomes of the files of counts, predictions are answered and scrapes too, and what is shown is true."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import flask
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from flask_boxkite import Baseline, Boxkite, ModelMonitoringService
from flask_boxkite.live import state_directory
from tests.faults import killed


def train(path: Path, seed: int) -> Baseline:
    """Return a baseline; another seed gives other bins."""
    rng = np.random.default_rng(seed)
    return ModelMonitoringService.export_text({"x": rng.normal(size=300)}, rng.normal(size=300), path, model="m")


def make_app(baseline: Baseline, state: Path) -> flask.testing.FlaskClient:
    """Return a client of the app, as another process of the server would build it."""
    state_directory._directories.clear()
    app = flask.Flask("scoring")
    app.config.update(BOXKITE_BASELINE=baseline, BOXKITE_STATE_DIR=str(state), BOXKITE_SINK="none")
    monitor = Boxkite(app)

    @app.post("/")
    @monitor.predict
    def score() -> dict[str, float]:
        return {"output": 1.0}

    return app.test_client()


def predict(client: flask.testing.FlaskClient, number: int = 1) -> None:
    """Ask for predictions, and fail unless they are answered."""
    for _ in range(number):
        answer = client.post("/", json={"features": [0.5]})
        assert (answer.status_code, answer.json) == (200, {"output": 1.0})


def samples(client: flask.testing.FlaskClient, name: str) -> dict[tuple[tuple[str, str], ...], float]:
    """Return the samples of this name by their labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    return {
        tuple(sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name == name
    }


def answered(client: flask.testing.FlaskClient, baseline: Baseline) -> float:
    """Return how many answered predictions are shown for a baseline."""
    labels = {"model": "m", "baseline": baseline.fingerprint, "status": "ok"}
    return samples(client, "boxkite_predictions_total")[tuple(sorted(labels.items()))]


def bins(client: flask.testing.FlaskClient, baseline: Baseline) -> set[str]:
    """Return the bounds of the bins of the feature that are shown for a baseline."""
    found = [dict(labels) for labels in samples(client, "boxkite_feature_value_bucket")]
    return {labels["le"] for labels in found if labels["baseline"] == baseline.fingerprint}


def test_the_last_baseline_is_shown_beside_the_new_one(tmp_path: Path) -> None:
    """With its own bins, though this process has never seen it, right after its last process has ended."""
    old, new = train(tmp_path / "old.prom", 1), train(tmp_path / "new.prom", 2)
    state = tmp_path / "state"
    killed(lambda: predict(make_app(old, state), 3))
    client = make_app(new, state)
    for number in (1, 2):
        predict(client)
        assert (answered(client, old), answered(client, new)) == (3, number)
    assert len(bins(client, old)) > 5
    assert bins(client, old) != bins(client, new)


def with_random_bytes(path: Path) -> None:
    path.write_bytes(random.Random(0).randbytes(path.stat().st_size))


def with_nothing(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


@pytest.mark.parametrize("which", ["retired", "live-", "windows-"])
@pytest.mark.parametrize("harm", [with_random_bytes, with_nothing, cut, os.unlink])
def test_files_that_are_harmed_hurt_no_request(tmp_path: Path, which: str, harm: Callable[[Path], None]) -> None:
    """Files of dead processes, since to shorten one that a process has mapped is to kill it."""
    baseline = train(tmp_path / "histogram.prom", 1)
    state = tmp_path / "state"
    killed(lambda: predict(make_app(baseline, state), 3))
    client = make_app(baseline, state)
    assert client.get("/metrics").status_code == 200
    if which == "live-":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(state_directory.StateDirectory, "fold", lambda self, directory: None)
            killed(lambda: predict(make_app(baseline, state), 3))
    (directory,) = state.iterdir()
    own = client.application.extensions["boxkite"].monitor._store._process.file.path
    for path in directory.glob(f"{which}*"):
        if path != own:
            harm(path)
    for number in range(1, 4):
        predict(client)
        assert answered(client, baseline) in (number, number + 3)


def test_a_directory_that_is_deleted_hurts_no_request(tmp_path: Path) -> None:
    baseline = train(tmp_path / "histogram.prom", 1)
    client = make_app(baseline, tmp_path / "state")
    for number in range(1, 4):
        predict(client)
        assert answered(client, baseline) == number
        shutil.rmtree(tmp_path / "state", ignore_errors=True)  # it is made again some seconds later
