"""The examples, run as their README says."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from flask_boxkite import Baseline
from tests.peers import Gunicorn, fetch, library, require, wait_for

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CUSTOM_SINK = EXAMPLES / "custom_sink"


def serve(directory: Path, database: Path, *, preload: bool = False) -> Gunicorn:
    """Serve the app of the custom sink with two workers."""
    env = {"DATABASE": str(database)}
    return Gunicorn("app:app", directory, workers=2, preload=preload, env=env, pythonpath=[CUSTOM_SINK])


def rows(database: Path) -> list[tuple[Any, ...]]:
    """Return what the database has of each prediction: its id, answer and record."""
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute("SELECT entity_id, output, record FROM predictions").fetchall()
    return [(entity_id, json.loads(output), json.loads(record)) for entity_id, output, record in found]


@pytest.mark.parametrize("preload", [False, True], ids=["each loads", "preload"])
def test_the_custom_sink_stores_each_prediction_once(tmp_path: Path, preload: bool) -> None:
    database = tmp_path / "predictions.sqlite"

    def ask(age: int) -> tuple[str, float]:
        answer = fetch(f"{server.url}/score", json_body={"age": age})
        return answer.headers["Boxkite-Prediction-Id"].rpartition("/")[2], answer.json()["score"]

    with serve(tmp_path / "app", database, preload=preload) as server:
        with ThreadPoolExecutor(4) as pool:
            answered = dict(pool.map(ask, range(200)))
        wait_for(lambda: len(rows(database)) >= 200, what="all rows")
        metrics = fetch(f"{server.url}/metrics").text
        assert server.stop() == 0
    assert 'boxkite_log_records_total{sink="sqlite",outcome="accepted"} 200' in metrics
    found = rows(database)
    assert len(found) == len(answered) == 200
    assert {entity_id: output for entity_id, output, _ in found} == answered
    for entity_id, output, record in found:
        assert record["entity_id"] == entity_id
        assert output == pytest.approx(0.1 * record["features"]["age"] - 2)


def test_records_wait_for_a_database_that_is_locked(tmp_path: Path) -> None:
    database = tmp_path / "predictions.sqlite"
    with serve(tmp_path / "app", database) as server:
        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            for age in range(20):
                assert fetch(f"{server.url}/score", json_body={"age": age}).status == 200
            wait_for(lambda: "the database does not take records: database is locked" in server.log(), what="a refusal")
            other.execute("ROLLBACK")
        wait_for(lambda: len(rows(database)) == 20, what="all rows")


def test_the_custom_sink_stores_a_batch_that_comes_again_only_once(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TWICE, tmp_path / "predictions.sqlite"],
        cwd=CUSTOM_SINK,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_the_custom_sink_can_be_made_by_many_at_once(tmp_path: Path) -> None:
    """As the workers of a server do that starts with no database yet."""
    done = subprocess.run(
        [sys.executable, "-c", AT_ONCE, tmp_path], cwd=CUSTOM_SINK, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


AT_ONCE = """
import sqlite3, sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier
from sqlite_sink import SQLiteSink

WORKERS = 8
barrier = Barrier(WORKERS)

def make(path):
    barrier.wait()
    SQLiteSink(path)

with ThreadPoolExecutor(WORKERS) as pool:
    for number in range(30):
        path = f"{sys.argv[1]}/{number}.sqlite"
        list(pool.map(make, [path] * WORKERS))
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert connection.execute("SELECT count(*) FROM predictions").fetchone() == (0,)
"""


TWICE = """
import sqlite3, sys
from sqlite_sink import SQLiteSink

def record(entity_id, created_at=1):
    return {"entity_id": entity_id, "created_at": created_at, "model": "m", "output": 1.5}

sink = SQLiteSink(sys.argv[1])
sink.emit_batch([record("a"), record("b")])
sink.emit_batch([record("b"), record("c")])
names = lambda: [name for name, in sqlite3.connect(sys.argv[1]).execute("SELECT entity_id FROM predictions ORDER BY 1")]
assert names() == ["a", "b", "c"], names()
try:
    sink.emit_batch([record("d"), record({})])  # a value that the database has no type for
except sqlite3.Error:
    pass
assert names() == ["a", "b", "c"], names()  # of a batch that fails, nothing is stored
"""


def test_the_records_example_finds_who_has_moved(tmp_path: Path) -> None:
    directory = tmp_path / "records"
    shutil.copytree(EXAMPLES / "records", directory, ignore=shutil.ignore_patterns("run"))
    env = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
    told = ""
    for script in ("predict.py", "analyse.py"):
        command = [sys.executable, directory / script]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
        told += done.stdout

    assert "Logged 5000 predictions." in told
    assert re.search(r"^income +shifted ", told, re.M)
    assert re.search(r"^CH +\d+ major +2/3 +income ", told, re.M)
    assert len(re.findall(r"^(AT|DE) +\d+ stable +0/3 ", told, re.M)) == 2
    assert len(re.findall(r"^│ (AT|CH) ", told, re.M)) == 8
    assert "A new baseline of 5000 predictions" in told
    new = Baseline.load(directory / "run/new.prom")
    assert [variable.name for variable in new.features] == ["age", "income", "country"]


@pytest.mark.parametrize(
    ("script", "rows", "variables"),
    [
        ("scikit_learn", 20_000, ["age", "income", "country", "output"]),
        ("batches", 100_000, ["temperature", "pressure", "vibration", "fault"]),
        ("spark", 20_000, ["distance", "hour", "payment", "fare"]),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_the_training_examples_write_a_baseline(tmp_path: Path, script: str, rows: int, variables: list[str]) -> None:
    if script == "spark":
        require("java")
        library("pyspark.sql")
    directory = tmp_path / "training"
    shutil.copytree(EXAMPLES / "training", directory, ignore=shutil.ignore_patterns("run"))
    env = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
    command = [sys.executable, directory / f"{script}.py"]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr

    (path,) = (directory / "run").iterdir()
    baseline = Baseline.load(path)
    assert [variable.name for variable in (*baseline.features, *baseline.outputs)] == variables
    assert {variable.rows for variable in baseline.features} == {rows}
    assert baseline.fingerprint in done.stdout
