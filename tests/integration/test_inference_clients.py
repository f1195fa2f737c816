"""The clients of KServe, Triton, MLServer and MLflow send training's rows; they fall in the groups of training.

Each client runs in an environment of its own, posts to a real server in every way that it has, and reads the answer.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flask import Flask
from werkzeug.serving import make_server

from flask_boxkite import Baseline, Boxkite
from flask_boxkite.baseline.training.build import build_baseline
from tests.integration.test_round_trip import FRAME, NAMES, ROWS, plain_value
from tests.peers import clients_python, library

pytestmark = pytest.mark.peers

SCRIPT = Path(__file__).with_name("inference_clients.py")
OUTPUTS = [place / ROWS for place in range(ROWS)]
MATRIX = ["float32", "float32 few"]


def mlflow_python() -> Path:
    library("mlflow")
    return Path(sys.executable)


WITHOUT_FLOAT16, WITHOUT_GAPS = ([name for name in NAMES if name != left_out] for left_out in ("float16", "gaps"))
CLIENTS: dict[str, tuple[Callable[[], Path], dict[str, list[str]]]] = {
    "kserve": (
        clients_python,
        {"kserve-v2": WITHOUT_FLOAT16, "kserve-v2-binary": NAMES, "kserve-v1": NAMES},
    ),
    "tritonclient": (clients_python, {"triton": NAMES, "triton-json": WITHOUT_FLOAT16}),
    "mlserver": (
        clients_python,
        {"mlserver": WITHOUT_GAPS, "mlserver-base64": WITHOUT_GAPS, "mlserver-matrix": MATRIX},
    ),
    "mlflow": (mlflow_python, {"mlflow": NAMES, "mlflow-matrix": MATRIX}),
}
"""By name of the client: its Python, and by its ways the columns that it can send so."""


def described(frame: pd.DataFrame) -> dict[str, Any]:
    """Return columns as the script reads them: numbers and booleans of their width, all else as texts or None."""
    found = {}
    for name in frame:
        values = [plain_value(value) for value in frame[name]]
        is_plain = isinstance(frame[name].dtype, np.dtype) and frame[name].dtype.kind in "biuf"
        found[name] = {"dtype": frame[name].dtype.str if is_plain else "O", "values": values}
    return found


def make_app(ways: dict[str, list[str]]) -> tuple[Flask, Boxkite]:
    """Return an app with a model for each way, all with the same answer."""
    whole, matrix = build_baseline(FRAME, OUTPUTS), build_baseline(FRAME[MATRIX], OUTPUTS)
    baselines: dict[str, Baseline] = {way: matrix if names == MATRIX else whole for way, names in ways.items()}
    app = Flask("scoring")
    app.config.update(BOXKITE_BASELINE=baselines, BOXKITE_SINK="none", BOXKITE_MAX_BODY_BYTES=2**20)
    monitor = Boxkite(app)
    output = {"name": "output", "shape": [ROWS], "datatype": "FP64", "data": OUTPUTS}
    for way in ways:

        def score(way: str = way) -> dict[str, Any]:
            if way.startswith("mlflow"):
                return {"predictions": OUTPUTS}
            return {"model_name": "m", "model_version": "1", "id": "1", "outputs": [output]}

        view = monitor.predict(score, model=way)
        for path in ("invocations", "v1/models/m:predict", "v2/models/m/infer"):
            app.add_url_rule(f"/{way}/{path}", f"{way}/{path}", view, methods=["POST"])
    return app, monitor


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """Serve an app, and yield its URL."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("client", CLIENTS)
def test_rows_of_training_by_real_clients_fall_where_training_put_them(client: str, tmp_path: Path) -> None:
    find_python, ways = CLIENTS[client]
    python = find_python()
    app, monitor = make_app(ways)
    columns = tmp_path / "columns.json"
    columns.write_text(json.dumps(described(FRAME)))
    with served(app) as url:
        done = subprocess.run(
            [python, SCRIPT, client, url, columns], capture_output=True, text=True, timeout=300, cwd=tmp_path
        )
    assert done.returncode == 0, done.stderr

    for way, names in ways.items():
        with app.app_context():
            report = monitor.drift(way)
        wrong = {item.name: (item.before, item.now) for item in report if item.before != item.now}
        assert {name: groups for name, groups in wrong.items() if name in [*names, "output"]} == {}, way
    monitor.close()
