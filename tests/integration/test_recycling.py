"""Processes that come and go leave their counts, and nothing else: no file of theirs outlives them for long."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flask_boxkite import Baseline
from tests.integration.load import RowMaker, Sent, check_counts, check_histograms, parse, score, train

CHILDREN = 1000
AT_ONCE = 4

SCRIPT = """
import json
import os
import signal
import sys

from flask_boxkite import ModelMonitoringService

baseline, state, plan, at_once, is_inherited, peaks = sys.argv[1:]
predictions = json.loads(open(plan).read())


def make_service():
    return ModelMonitoringService(baseline, sink="none", state_dir=state)


def run(number):
    service = inherited or make_service()
    for row, output in predictions[number]:
        service.log_prediction("", row, output)
    if number % 2:
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(0)


def scrape():
    text = (inherited or make_service()).export_http()[0].decode()
    os.write(1, json.dumps([len(ends), text]).encode() + b"\\n")


def scrape_elsewhere():
    child = os.fork()
    if child == 0:
        scrape()
        os._exit(0)
    os.waitpid(child, 0)


def files():
    return sum(len(names) for _, _, names in os.walk(state))


inherited = make_service() if is_inherited == "inherited" else None
ends, most = [], 0
for first in range(0, len(predictions), int(at_once)):
    children = []
    for number in range(first, min(first + int(at_once), len(predictions))):
        children.append(os.fork())
        if children[-1] == 0:
            run(number)
    ends += [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    most = max(most, files())
    if first % 100 == 0:
        scrape_elsewhere()
scrape()
with open(peaks, "w") as file:
    json.dump({"ends": ends, "most": most, "left": files()}, file)
"""


@pytest.mark.parametrize("kind", ["inherited", "own"])
def test_a_thousand_ended_processes_leave_counts_and_no_files(
    tmp_path: Path, rng: np.random.Generator, kind: str
) -> None:
    """Half of them exit, half are killed; each counts with what it inherited, or with a service of its own."""
    baseline = train(tmp_path / "histogram.prom", rng)
    requests = plan(baseline)
    scrapes, found = run(tmp_path, requests, kind)
    assert found["ends"] == [0, -9] * (CHILDREN // 2)
    for ended, text in scrapes:
        samples = parse(text)
        check_histograms(samples)
        check_without_durations(samples, baseline, requests[:ended])
    assert len(scrapes) > 10
    live, baselines = 1, 1
    assert found["left"] <= live + 1 + baselines
    # Those of the processes that have just ended are there until the next looks.
    assert found["most"] <= 100


def plan(baseline: Baseline) -> list[list[Sent]]:
    """Return what each process is to count: a few predictions of one row."""
    maker = RowMaker(baseline, seed=0)
    return [[Sent((maker.row(),)) for _ in range(1 + number % 3)] for number in range(CHILDREN)]


def run(tmp_path: Path, requests: list[list[Sent]], kind: str) -> tuple[list[tuple[int, str]], dict[str, Any]]:
    """Run the script; return its scrapes, each with how many processes had ended, and what it saw of them."""
    document = [[(sent.rows[0], score(sent.rows[0])) for sent in process] for process in requests]
    (tmp_path / "plan.json").write_text(json.dumps(document))
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "state").mkdir()
    arguments = ["histogram.prom", "state", "plan.json", str(AT_ONCE), kind, "found.json"]
    result = subprocess.run(
        [sys.executable, "script.py", *arguments],
        cwd=tmp_path,
        capture_output=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr.decode()
    scrapes = [tuple(json.loads(line)) for line in result.stdout.splitlines()]
    return scrapes, json.loads((tmp_path / "found.json").read_text())


def check_without_durations(samples: dict[str, float], baseline: Baseline, processes: list[list[Sent]]) -> None:
    """Check every live count; predictions logged by hand have no duration."""
    requests = [sent for process in processes for sent in process]
    name = f'boxkite_prediction_duration_seconds_count{{model="credit",baseline="{baseline.fingerprint}"}}'
    assert samples[name] == 0
    check_counts({**samples, name: float(len(requests))}, baseline, requests, [])
