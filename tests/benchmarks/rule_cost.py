"""What the rules cost Prometheus: the time of one evaluation, and the series recorded.

    python -m tests.benchmarks.rule_cost             # 200 features, 4 replicas, scrapes every 15 s, a window of 1 h
    python -m tests.benchmarks.rule_cost --drifted   # when every feature has drifted, and has an alert

Makes up the history of a real service's metrics, gives it to a real Prometheus as blocks, lets that evaluate the rules,
and prints how long each group took. Ends with status 1 if the rules of the window took longer than 1 s. Needs the
dependency group `tests`, the programs `prometheus` and `promtool`, 10 minutes and 3 GB of temporary disk.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from flask_boxkite import ModelMonitoringService
from flask_boxkite.families import label_text
from flask_boxkite.provision import RuleOptions, rules_text
from tests.peers import Prometheus, require, wait_for
from tests.provision.promtool import Replica, Sample

from .report import HEADER, Row

SCRAPE_SECONDS = 15
HISTORY_SECONDS = 3600 + 300
BASELINE_SECONDS = 600
WANTED_EVALUATIONS = 2

SECONDS_PER_FEATURE = 0.2
"""How long it takes to make the history of one feature of one replica. It must end when Prometheus starts, which
records nothing that is older than the last of its blocks."""


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.rule_cost", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--features", type=int, default=200)
    parser.add_argument("--replicas", type=int, default=4)
    parser.add_argument("--drifted", action="store_true", help="let every feature drift")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="boxkite-rules-") as directory:
        return measure(Path(directory), options.features, options.replicas, shift=1.0 if options.drifted else 0.0)


def measure(directory: Path, features: int, replicas: int, *, shift: float) -> int:
    """Print the rows of the report; return the exit status."""
    rules = directory / "rules.yml"
    options = RuleOptions(windows=("1h",), scrape_interval=f"{SCRAPE_SECONDS}s", hold="0s")
    rules.write_text(rules_text(options), encoding="utf-8")
    prometheus = Prometheus(directory / "prometheus", [], interval=10.0, rule_files=[rules])
    samples = make_history(directory, features, replicas, shift)
    print(f"{features} features, {replicas} replicas, shifted by {shift:g}: {samples:,} samples.\n", flush=True)
    with prometheus:
        seconds = evaluation_times(prometheus)
        recorded = prometheus.value('count({__name__=~"boxkite:.+"})')
        scraped = prometheus.value("count(last_over_time(boxkite_feature_group_total[10m]))")
        verdicts = prometheus.value("count(boxkite:feature:verdict > 0)")
        alerts = len(prometheus.query('ALERTS{alertname="BoxkiteFeatureDrift"}'))
    assert (verdicts, alerts) == (features, features if shift else 0), f"{verdicts:g} verdicts, {alerts} alerts"
    print(HEADER)
    good = True
    for group, taken in seconds.items():
        row = Row(f"one evaluation of {group}", taken, "s", max_figure=1.0 if group == "boxkite-1h" else None)
        print(row)
        good = good and row.is_met is not False
    print(Row("series recorded for one window", recorded, "series", scraped, "groups scraped"))
    return 0 if good else 1


def evaluation_times(prometheus: Prometheus) -> dict[str, float]:
    """Return the longest of some evaluations of each group, in seconds."""
    seen: dict[str, dict[str, float]] = {}

    def enough() -> bool:
        groups = prometheus.rule_groups()
        for group in groups:
            if not group["lastEvaluation"].startswith("0001"):
                seen.setdefault(group["name"], {})[group["lastEvaluation"]] = group["evaluationTime"]
        return len(seen.get("boxkite-1h", {})) >= WANTED_EVALUATIONS and len(seen) == len(groups)

    wait_for(enough, timeout=600.0, what="evaluations of all groups")
    return {name: max(times.values()) for name, times in seen.items()}


def make_history(directory: Path, features: int, replicas: int, shift: float) -> int:
    """Make the blocks of a Prometheus that will start in *directory*, up to now; return the number of samples."""
    end = round(time.time() + 20 + SECONDS_PER_FEATURE * features * replicas)
    history = directory / "history.txt"
    samples = write_history(history, features, replicas, shift, end)
    command = ["tsdb", "create-blocks-from", "openmetrics", "--quiet", history, directory / "prometheus/data"]
    subprocess.run([require("promtool"), *command], check=True, stdout=subprocess.DEVNULL)
    history.unlink()
    wait_for(lambda: time.time() > end, timeout=600.0, what="the end of the history")
    return samples


def write_history(path: Path, features: int, replicas: int, shift: float, end: int) -> int:
    """Write OpenMetrics text with the series of all replicas; return the number of samples."""
    rng = np.random.default_rng(0)
    columns = {f"feature_{number}": rng.normal(size=500) for number in range(features)}
    rows = (np.column_stack([*columns.values()]) + shift).tolist()
    outputs = rng.random(500)
    written = 0
    with open(path, "w", encoding="utf-8") as file:
        baseline = ModelMonitoringService.export_text(columns, outputs, path.with_name("b.prom"), model="m")
        for number in range(replicas):
            for sample in Replica(baseline, rows, outputs.tolist(), instance=f"replica-{number}").samples:
                lines = list(course(sample, end))
                file.write("".join(lines))
                written += len(lines)
        file.write("# EOF\n")
    return written


def course(sample: Sample, end: int) -> Iterator[str]:
    """Yield the lines of one series, which grows evenly by what the replica counted, in an hour."""
    head = f"{sample.name}{{{label_text(**sample.labels)}}}"
    start = end - (BASELINE_SECONDS if "_baseline" in sample.name else HISTORY_SECONDS)
    growth = (sample.after - sample.before) / 3600
    for at in range(start, end, SCRAPE_SECONDS):
        yield f"{head} {sample.before + growth * (at - start):.3f} {at}\n"


if __name__ == "__main__":
    sys.exit(main())
