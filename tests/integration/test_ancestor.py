"""Code and files of boxkite 0.0.5 go on working: the documented code with other imports, its files, its metrics.

Everything is compared with what boxkite itself does, in an environment of its own, with the same input.
"""

from __future__ import annotations

import json
import logging
import math
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from flask_boxkite import ModelMonitoringService
from tests.peers import FluentServer, boxkite_python, wait_for

# As boxkite documents it, but for the model.
TRAINING = """
from boxkite.monitoring.service import ModelMonitoringService

# features = [("age", [33, 23, 54, ...]), ("sex", [0, 1, 0]), ...]
features = zip(*[feature_names, X_train.T])

Y_pred = predict_all(X_train)
inference = list(Y_pred)

ModelMonitoringService.export_text(
    features=features,
    inference=inference,
    path="./histogram.prom",
)
"""

TRAINING_FROM_A_FRAME = """
from boxkite.monitoring.service import ModelMonitoringService

features = pd.DataFrame(X_train, columns=feature_names)
inference = predict_all(X_train)

ModelMonitoringService.export_text(
    features=features.items(),
    inference=inference.tolist(),
)
"""

SERVING = """
from boxkite.monitoring.service import ModelMonitoringService
from flask import Flask, Response, request

monitor = ModelMonitoringService()

app = Flask(__name__)


@app.route("/", methods=["POST"])
def predict():
    features = request.json
    score = predict_all(np.array([features]))[0]
    pid = monitor.log_prediction(
        request_body=request.json,
        features=features,
        output=score,
    )
    return {"result": score, "prediction_id": pid}


@app.route("/metrics", methods=["GET"])
def metrics():
    body, content_type = monitor.export_http(
        params=request.args.to_dict(flat=False),
        headers=request.headers,
    )
    return Response(body, content_type=content_type)
"""

FEATURE_NAMES = ["age", "sex", "bmi"]


def predict_all(rows: Any) -> Any:
    """Stand in for a model."""
    return np.asarray(rows)[:, 0] * 2 + np.asarray(rows)[:, 2]


def migrated(source: str) -> str:
    """Change the import lines, and nothing else."""
    return source.replace("from boxkite.monitoring.service import", "from flask_boxkite import")


def run(source: str, default_path: Path | None = None, **names: Any) -> dict[str, Any]:
    """Run documented code after its migration; return its names.

    Args:
        source: The code.
        default_path: Path of baselines that no path is given for; None for the real one.
        **names: Names that the code knows.
    """
    source = migrated(source)
    if default_path is not None:
        names["ModelMonitoringService"] = type("Service", (ModelMonitoringService,), {"_default_path": default_path})
        source = source.replace("from flask_boxkite import ModelMonitoringService\n", "")
    namespace = {
        "__name__": __name__,
        "np": np,
        "pd": pd,
        "predict_all": predict_all,
        "feature_names": FEATURE_NAMES,
        **names,
    }
    exec(compile(source, "documented.py", "exec"), namespace)
    return namespace


def training_rows(rng: np.random.Generator, size: int = 500) -> np.ndarray[Any, Any]:
    """Return an array of ages, sexes and a measure around zero."""
    return np.column_stack([rng.integers(18, 90, size), rng.integers(0, 2, size), rng.normal(0, 0.05, size)])


@pytest.fixture
def default_path(tmp_path: Path) -> Path:
    """Return a path where a test may write, for use as the default path of baselines."""
    path = tmp_path / "artefact" / "histogram.prom"
    path.parent.mkdir()
    return path


def families(text: str) -> dict[str, Metric]:
    """Parse metrics; return the families by name."""
    return {family.name: family for family in text_string_to_metric_families(text)}


def values(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Parse metrics; return every sample's value by its name and labels, ``le`` among them as a number."""
    return {
        (
            item.name,
            tuple(sorted((key, _bound(value) if key == "le" else value) for key, value in item.labels.items())),
        ): (item.value)
        for family in text_string_to_metric_families(text)
        for item in family.samples
    }


def _bound(text: str) -> str:
    # boxkite writes one bound in two ways, 1000000.0 when trained and 1e+06 when serving.
    return repr(float(text))


# --- The documented code --------------------------------------------------------------------------------------------


def test_documented_training_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    monkeypatch.chdir(tmp_path)
    run(TRAINING, X_train=training_rows(rng))
    text = (tmp_path / "histogram.prom").read_text()
    assert re.findall(r'boxkite_feature_info\{.*feature="(\w+)"', text) == FEATURE_NAMES
    assert "boxkite_inference_value_baseline_bucket{" in text


def test_documented_training_from_a_frame_writes_to_the_default_path(
    default_path: Path, rng: np.random.Generator
) -> None:
    run(TRAINING_FROM_A_FRAME, default_path, X_train=training_rows(rng))
    assert re.findall(r'boxkite_feature_info\{.*feature="(\w+)"', default_path.read_text()) == FEATURE_NAMES


def test_documented_serving_runs(default_path: Path, rng: np.random.Generator) -> None:
    run(TRAINING_FROM_A_FRAME, default_path, X_train=training_rows(rng))
    client = client_of(run(SERVING, default_path))
    answer = client.post("/", json=[40.0, 1.0, 0.5]).get_json()
    assert answer["result"] == 80.5
    assert re.fullmatch(r"unknown-server/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/[0-9a-f-]{36}", answer["prediction_id"])

    scrape = client.get("/metrics")
    assert scrape.content_type.startswith("text/plain")
    counted = families(scrape.text)
    assert sample(counted, "boxkite_feature_value", "_bucket", feature="age", le="+Inf") == 1
    assert sample(counted, "boxkite_feature_category", "_total", feature="sex", category="1.0") == 1
    assert sample(counted, "boxkite_inference_value", "_bucket", output="output", le="+Inf") == 1
    assert sample(counted, "boxkite_predictions", "_total", status="ok") == 1

    only = client.get("/metrics?name[]=boxkite_predictions_total")
    assert families(only.text).keys() & {"boxkite_predictions", "boxkite_feature_value"} == {"boxkite_predictions"}
    openmetrics = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert openmetrics.content_type.startswith("application/openmetrics-text")
    assert openmetrics.text.endswith("# EOF\n")


def test_documented_serving_runs_without_a_baseline(default_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        client = client_of(run(SERVING, default_path))
    (message,) = caplog.messages
    assert message.startswith(f"There is no baseline at '{default_path}'")
    assert client.post("/", json=[40.0, 1.0, 0.5]).get_json()["result"] == 80.5
    assert sample(families(client.get("/metrics").text), "boxkite_predictions", "_total", status="ok") == 1


def client_of(namespace: Mapping[str, Any]) -> FlaskClient:
    """Return a client of the documented app."""
    app = namespace["app"]
    assert isinstance(app, Flask)
    app.testing = True
    return app.test_client()


def sample(found: Mapping[str, Metric], family: str, suffix: str, **labels: str) -> float:
    """Return the value of the only sample with these labels."""
    (value,) = (
        item.value
        for item in found[family].samples
        if item.name == family + suffix and labels.items() <= item.labels.items()
    )
    return value


# --- Counting, beside boxkite ---------------------------------------------------------------------------------------

# Reads columns, and writes boxkite's baseline file.
THEIR_TRAINING = """
import json, sys

from boxkite.monitoring.service import ModelMonitoringService

columns, inference, path = json.load(sys.stdin)
ModelMonitoringService.export_text(features=columns.items(), inference=inference, path=path)
"""

# Reads predictions, and writes boxkite's metrics of them.
THEIR_COUNTING = """
import json, sys

from boxkite.monitoring.collector import BaselineMetricCollector
from boxkite.monitoring.exporter.type import LogExporter
from boxkite.monitoring.service import ModelMonitoringService


class NoExporter(LogExporter):
    def emit(self, prediction):
        pass


path, predictions = json.load(sys.stdin)
monitor = ModelMonitoringService(log_exporter=NoExporter(), baseline_collector=BaselineMetricCollector(path=path))
for features, output in predictions:
    monitor.log_prediction(request_body="", features=features, output=output)
sys.stdout.write(monitor.export_http()[0].decode())
"""


def boxkite(program: str, *given: Any, env: Mapping[str, str] | None = None) -> str:
    """Run a program with boxkite; return what it writes."""
    result = subprocess.run(
        # Isolated: this project and its dependencies must not come between.
        [boxkite_python(), "-I", "-c", program],
        input=json.dumps(given),
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


Case = tuple[dict[str, list[Any]], list[Any], list[tuple[list[Any], Any]]]


def columns_of(rng: np.random.Generator, size: int) -> dict[str, list[Any]]:
    """Return training columns of all kinds that boxkite takes."""
    holes: list[Any] = rng.normal(0, 1, size).tolist()
    holes[::10] = [None] * len(holes[::10])
    holes[1::10] = [math.nan] * len(holes[1::10])
    holes[2::50] = [math.inf] * len(holes[2::50])
    few: list[Any] = rng.integers(-1, 4, size).astype(float).tolist()
    few[::20] = [math.nan] * len(few[::20])
    return {
        "age": rng.integers(18, 90, size).astype(float).tolist(),
        "negative": rng.normal(-50, 3, size).tolist(),
        "large": rng.lognormal(16, 1, size).tolist(),
        "tiny": rng.lognormal(-16, 1, size).tolist(),
        'with "holes"': holes,
        "few": few,
        "flag": rng.integers(0, 2, size).tolist(),
        "constant": [7.0] * size,
    }


def predictions_of(
    rng: np.random.Generator,
    columns: Mapping[str, Sequence[Any]],
    bounds: Sequence[Sequence[float]],
    outputs: Sequence[Any],
) -> list[tuple[list[Any], Any]]:
    """Make up predictions: known and shifted values, each bound itself, and oddities."""
    odd = [None, math.nan, math.inf, -math.inf, -1e300, 1e300, 0.0, -0.0, "12.5", "abc", 12, True]
    found = []
    for number in range(600):
        features = []
        for column, ends in zip(columns.values(), bounds, strict=True):
            known = column[int(rng.integers(len(column)))]
            # boxkite tells a missing category from one that is not a number, which its own training does not.
            value: Any = known if known is not None else 0.0
            if ends and number % 3 == 1:
                value = ends[int(rng.integers(len(ends)))]
            elif ends and number % 3 == 2:
                value = odd[int(rng.integers(len(odd)))]
            features.append(value)
        found.append((features, outputs[int(rng.integers(len(outputs)))]))
    return found


OUTPUTS = {
    "scores": lambda rng, size: rng.beta(2, 5, size).tolist(),
    "classes": lambda rng, size: rng.integers(0, 3, size).tolist(),
    "labels": lambda rng, size: rng.choice(["no", "yes", 'may"be'], size).tolist(),
}


@pytest.mark.peers
@pytest.mark.parametrize("outputs", OUTPUTS)
@pytest.mark.parametrize("writer", ["boxkite", "flask-boxkite"])
def test_both_count_alike_from_one_file(tmp_path: Path, rng: np.random.Generator, outputs: str, writer: str) -> None:
    columns = columns_of(rng, 1500)
    inference = OUTPUTS[outputs](rng, 1500)
    path = str(tmp_path / "histogram.prom")
    if writer == "boxkite":
        boxkite(THEIR_TRAINING, columns, inference, path)
    else:
        ModelMonitoringService.export_text(columns, inference, path, names="boxkite")
    bounds = bounds_of(Path(path).read_text(), len(columns))
    predictions = predictions_of(rng, columns, bounds, inference)

    monitor = ModelMonitoringService(path, metric_names="boxkite")
    for features, output in predictions:
        monitor.log_prediction(request_body="", features=features, output=output)
    ours = monitor.export_http()[0].decode()
    theirs = boxkite(THEIR_COUNTING, path, predictions)

    check_same_counts(ours, theirs, Path(path).read_text())
    check_same_descriptions(ours, theirs)


def bounds_of(text: str, number: int) -> list[list[float]]:
    """Return the bounds of each feature in a baseline file; none for a discrete one."""
    bounds: list[list[float]] = [[] for _ in range(number)]
    for index, bound in re.findall(r'^feature_(\d+)_value_baseline_bucket\{le="(.*)"\}', text, re.M):
        bounds[int(index)].append(float(bound))
    return bounds


def check_same_counts(ours: str, theirs: str, baseline: str) -> None:
    """Compare every bucket, and every category that the baseline knows: of training and of production."""
    trained = values(baseline).keys()
    wanted = {
        (name, labels): value
        for (name, labels), value in values(theirs).items()
        if name.endswith("_bucket") or (name.endswith("_total") and (in_training(name), labels) in trained)
    }
    assert len({name.rpartition("_")[0] for name, _ in wanted}) == 2 * 9
    found = values(ours)
    different = {key: (found.get(key), value) for key, value in wanted.items() if found.get(key) != value}
    assert different == {}
    # A dashboard draws the two against each other by their labels, here as they are written.
    lines = set(re.findall(r"^(?:feature_\d+|inference)_value.*(?:_bucket|_total)\{.*\}", ours, re.M))
    live = {line for line in lines if "_baseline" not in line}
    assert lines - live <= {in_training(line) for line in live}


def in_training(name: str) -> str:
    """Return the name of the training counts that belong to live ones."""
    return name if "_value_baseline" in name else name.replace("_value", "_value_baseline", 1)


def check_same_descriptions(ours: str, theirs: str) -> None:
    """Compare names, types and help, by which dashboards find their way, and the table of names."""
    wanted_descriptions, descriptions = descriptions_of(theirs), descriptions_of(ours)
    assert len(wanted_descriptions) == 2 * 9
    assert descriptions == wanted_descriptions
    table = "baseline_metrics_info"
    wanted = {key: value for key, value in values(theirs).items() if key[0] == table}
    assert {key: value for key, value in values(ours).items() if key[0] == table} == wanted


def descriptions_of(text: str) -> dict[str, tuple[str, str]]:
    """Return type and help of the variables' families; without the times of creation that boxkite's client adds."""
    return {
        name: (family.type, family.documentation)
        for name, family in families(text).items()
        if re.fullmatch(r"(feature_\d+|inference)_value(_baseline)?", name)
    }


# --- Records, beside boxkite ----------------------------------------------------------------------------------------

THEIR_RECORDS = """
import json, sys

from boxkite.monitoring.service import ModelMonitoringService

(predictions,) = json.load(sys.stdin)
monitor = ModelMonitoringService()
for body, features, output in predictions:
    print(monitor.log_prediction(request_body=body, features=features, output=output))
# It sends in a thread, and forgets what that has not sent when the program ends.
monitor._log_exporter._sender.close()
"""


@pytest.mark.peers
def test_both_send_the_same_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of its environment name the same things."""
    with FluentServer(tmp_path / "fluentd") as fluentd:
        env = {
            "BEDROCK_FLUENTD_ADDR": fluentd.addr,
            "BEDROCK_FLUENTD_PREFIX": "models.served",
            "BEDROCK_ENDPOINT_ID": "credit",
            "BEDROCK_SERVER_ID": "server-7",
            "BEDROCK_POD_NAME": "pod-3",
        }
        predictions: list[tuple[str, list[Any], Any]] = [
            ("[1.5, 2]", [1.5, 2], 0.25),
            ('{"a": "x"}', ["x", None, True], "yes"),
            ("", [], 1),
        ]
        their_ids = boxkite(THEIR_RECORDS, predictions, env=env).split()
        theirs = wait_for(lambda: len(fluentd.records()) == 3 and fluentd.records(), what="boxkite's records")

        for name, value in env.items():
            monkeypatch.setenv(name, value)
        monitor = ModelMonitoringService()
        our_ids = [
            monitor.log_prediction(request_body=body, features=features, output=output)
            for body, features, output in predictions
        ]
        assert monitor.flush(30) == 0
        ours = fluentd.records()[3:]
        monitor.close()

    identifier = re.compile(r"server-7/(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)/([0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f-]{21})")
    for prediction_id, entry in zip(their_ids + our_ids, theirs + ours, strict=True):
        match = identifier.fullmatch(prediction_id)
        assert match
        assert match[2] == entry["record"].pop("entity_id")
        created_at = entry["record"].pop("created_at")
        assert pd.Timestamp(match[1]).timestamp() == created_at == entry["time"] // 1_000_000_000
    for our, their in zip(ours, theirs, strict=True):
        assert our["tag"] == their["tag"] == "models.served.credit.pod-3"
        assert their["record"].keys() == {"features", "request_body", "server_id", "output"}
        assert {name: our["record"][name] for name in their["record"]} == their["record"]
