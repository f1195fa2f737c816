"""Processes that come and go leave their counts, and nothing else: no file of theirs outlives them for long."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.integration.load import RowMaker, Sent, check_counts, check_histograms, parse, row_totals, score, train

AT_ONCE = 4

WATCHERS = 2

SCRIPT = """
import json
import os
import signal
import sys

from flask_boxkite import ModelMonitoringService

baseline, state, plan, at_once, watchers, kind = sys.argv[1:]
predictions = json.loads(open(plan).read())
watched = ["boxkite_predictions_total", "boxkite_feature_group_total", "boxkite_inference_sum_total"]


def make_service():
    return ModelMonitoringService(baseline, sink="none", state_dir=state)


def fork(run, *arguments):
    child = os.fork()
    if child == 0:
        try:
            run(*arguments)
            os._exit(0)
        finally:
            os._exit(1)
    return child


def predict(number):
    service = inherited or make_service()
    for row, output in predictions[number]:
        service.log_prediction("", row, output)
    if number % 2:
        os.kill(os.getpid(), signal.SIGKILL)


def scrape():
    text = (inherited or make_service()).export_http()[0].decode()
    os.write(1, json.dumps([len(ends), text]).encode() + b"\\n")


# Others fold at the same time, also in the midst of a scrape.
def watch(number):
    service = inherited or make_service()
    seen, falls, scrapes = {}, [], 0
    while scrapes < 20 or not os.path.exists("all have ended"):
        lines = service.export_http({"name[]": watched})[0].decode().splitlines()
        parts = [line.rpartition(" ") for line in lines if line.startswith("boxkite")]
        values = {name: float(value) for name, _, value in parts}
        falls += [(name, before, values.get(name)) for name, before in seen.items() if values.get(name, 0) < before]
        seen = values
        scrapes += 1
    with open(f"watched-{number}.json", "w") as file:
        json.dump({"falls": falls, "scrapes": scrapes}, file)


def files():
    return sum(len(names) for _, _, names in os.walk(state))


inherited = make_service() if kind == "inherited" else None
watching = [fork(watch, number) for number in range(int(watchers))]
ends, most = [], 0
for first in range(0, len(predictions), int(at_once)):
    children = [fork(predict, number) for number in range(first, min(first + int(at_once), len(predictions)))]
    ends += [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    most = max(most, files())
    if first % 40 == 0:
        os.waitpid(fork(scrape), 0)
open("all have ended", "w").close()
for watcher in watching:
    os.waitpid(watcher, 0)
scrape()
with open("found.json", "w") as file:
    json.dump({"ends": ends, "most": most, "left": files()}, file)
"""


@pytest.mark.parametrize(
    ("kind", "children"),
    [
        pytest.param("inherited", 240, id="240 with what they inherited"),
        pytest.param("own", 120, id="120 with a service of their own"),
    ],
)
def test_ended_processes_leave_counts_and_no_files(
    tmp_path: Path, rng: np.random.Generator, kind: str, children: int
) -> None:
    """Half of them exit, half are killed; others scrape all the while."""
    baseline = train(tmp_path / "histogram.prom", rng)
    maker = RowMaker(baseline, seed=0)
    requests = [[Sent((maker.row(),)) for _ in range(1 + number % 3)] for number in range(children)]
    scrapes, found = run(tmp_path, requests, kind)
    assert found["ends"] == [0, -signal.SIGKILL] * (children // 2)
    assert len(scrapes) >= children / 40
    for ended, text in scrapes:
        samples = parse(text)
        check_histograms(samples)
        check_counts(samples, baseline, [], by_hand=[sent for process in requests[:ended] for sent in process])
    for number in range(WATCHERS):
        watched = json.loads((tmp_path / f"watched-{number}.json").read_text())
        assert watched["falls"] == []
        assert watched["scrapes"] >= 20
    live, baselines = 1, 1
    assert found["left"] <= live + 2 + baselines
    # Files of processes that have just ended stay until the next scrape.
    assert found["most"] <= 60


def run(tmp_path: Path, requests: list[list[Sent]], kind: str) -> tuple[list[tuple[int, str]], dict[str, Any]]:
    """Run the script; return its scrapes, each with how many processes had ended, and what it saw of them."""
    document = [[(sent.rows[0], score(sent.rows[0])) for sent in process] for process in requests]
    (tmp_path / "plan.json").write_text(json.dumps(document))
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "state").mkdir()
    arguments = ["histogram.prom", "state", "plan.json", str(AT_ONCE), str(WATCHERS), kind]
    result = subprocess.run(
        [sys.executable, "script.py", *arguments],
        cwd=tmp_path,
        capture_output=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr.decode()
    scrapes = [tuple(json.loads(line)) for line in result.stdout.splitlines()]
    return scrapes, json.loads((tmp_path / "found.json").read_text())


FORKING_SCRIPT = """
import ctypes
import os
import sys

from flask_boxkite import ModelMonitoringService

baseline, kind, children, predictions = sys.argv[1:]
# Held through the call, as a server does that forks in C: the child goes on with this thread.
fork = os.fork if kind == "os.fork" else ctypes.PyDLL(None).fork
service = ModelMonitoringService(baseline, sink="none")


def predict():
    for _ in range(int(predictions)):
        service.log_prediction("", {"amount": 12.5, "temperature": None, "visits": 2, "city": "Oslo"}, 0.25)


predict()
pids = []
for _ in range(int(children)):
    pids.append(fork())
    if pids[-1] == 0:
        predict()
        os._exit(0)
for pid in pids:
    os.waitpid(pid, 0)
os.write(1, service.export_http()[0])
"""


@pytest.mark.parametrize("kind", ["os.fork", "fork"])
def test_forked_processes_that_count_at_once_lose_nothing(tmp_path: Path, rng: np.random.Generator, kind: str) -> None:
    """They have inherited the very memory in which their parent counts; a fork in C says nothing to Python."""
    train(tmp_path / "histogram.prom", rng)
    (tmp_path / "script.py").write_text(FORKING_SCRIPT)
    children, predictions = 3, 10_000
    arguments = ["script.py", "histogram.prom", kind, str(children), str(predictions)]
    result = subprocess.run([sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    samples = parse(result.stdout)
    assert set(row_totals(samples).values()) == {(1 + children) * predictions}
