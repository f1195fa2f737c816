"""What the rules cost Prometheus: the time of one evaluation, and the series recorded.

    python -m tests.benchmarks.rule_cost             # 200 features, 4 replicas, scrapes every 15 s, 5 m and 1 h
    python -m tests.benchmarks.rule_cost --drifted   # when every feature has drifted, and has an alert
    python -m tests.benchmarks.rule_cost --window 24h  # another window, or several

Makes up the history of a real service's metrics, gives it to a real Prometheus as blocks, lets that evaluate the rules,
and prints how long each group took, and each rule that took long. Ends with status 1 if a group took longer than 1 s.
What rules record in pieces, to add it up over a long window, is made up too. Needs the dependency group `tests`, the
programs `prometheus` and `promtool`, 10 minutes and 3 GB of temporary disk.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import numpy as np

from flask_boxkite import ConfigError, ModelMonitoringService
from flask_boxkite.promtext.family import label_text
from flask_boxkite.provision import RuleOptions, rules_text
from flask_boxkite.provision.durations import duration_seconds
from flask_boxkite.provision.options import PIECE, PIECE_SECONDS
from tests.arguments import at_least
from tests.peers import Prometheus, require, wait_for
from tests.provision.promtool import Replica, Sample

from .report import HEADER, Row

SCRAPE_SECONDS = 15
MARGIN_SECONDS = 300
BASELINE_SECONDS = 600
PIECES = {"boxkite_feature_group_total", "boxkite_inference_group_total"}
PIECES_OF_BINS = {"boxkite_feature_value_bucket", "boxkite_inference_value_bucket"}
BLOCK_SECONDS = 2 * 3600
WANTED_EVALUATIONS = 3
BAR_SECONDS = 1.0
NOTABLE_SECONDS = 0.05
WHOLE = "all of it"

SECONDS_PER_SAMPLE = 5e-6
"""How long it takes to make the history. It must end when Prometheus starts, which records nothing that is older than
the last of its blocks."""


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.rule_cost", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--features", type=at_least(1), default=200)
    parser.add_argument("--replicas", type=at_least(1), default=4)
    parser.add_argument("--window", action="append", help="shortest first; by default 5m and 1h")
    parser.add_argument("--drifted", action="store_true", help="let every feature drift")
    options = parser.parse_args()
    windows = tuple(options.window or ("5m", "1h"))
    try:
        rules = RuleOptions(windows=windows, scrape_interval=f"{SCRAPE_SECONDS}s", hold="0s")
    except ConfigError as error:
        parser.error(str(error))

    shift = 1.0 if options.drifted else 0.0
    with tempfile.TemporaryDirectory(prefix="boxkite-rules-") as directory:
        return measure(Path(directory), options.features, options.replicas, rules, shift=shift)


def measure(directory: Path, features: int, replicas: int, options: RuleOptions, *, shift: float) -> int:
    """Print the rows of the report; return the exit status."""
    rules = directory / "rules.yml"
    # What an evaluation costs does not depend on how often there is one.
    rules.write_text(re.sub(r"(?m)^( +interval: ).*$", r"\g<1>1m", rules_text(options)), encoding="utf-8")
    prometheus = Prometheus(directory / "prometheus", [], interval=10.0, rule_files=[rules])
    served = serve(directory, features, replicas, shift)
    count = make_history(directory, served, spans(served, options))
    print(f"{features} features, {replicas} replicas, shifted by {shift:g}: {count:,} samples.\n", flush=True)
    with prometheus:
        groups = evaluation_times(prometheus, [f"boxkite-{window}" for window in options.windows])
        recorded = prometheus.value('count({__name__=~"boxkite:.+"})')
        scraped = prometheus.value("count(last_over_time(boxkite_feature_group_total[10m]))")
        verdicts = prometheus.value("count(boxkite:feature:verdict_any > 0)")
        alerts = len(prometheus.query('ALERTS{alertname="BoxkiteFeatureDrift"}'))
    assert (verdicts, alerts) == (features, features if shift else 0), f"{verdicts:g} verdicts, {alerts} alerts"
    print(HEADER)
    good = True
    for name, times in groups.items():
        row = Row(f"one evaluation of {name}", times.pop(WHOLE), "s", max_figure=BAR_SECONDS)
        print(row)
        good = good and row.is_met is not False
        for rule, taken in times.items():
            if taken >= NOTABLE_SECONDS:
                print(Row(f"  of that {rule}", taken, "s"))
    print(Row("series recorded", recorded, "series", scraped, "groups scraped"))
    return 0 if good else 1


def evaluation_times(prometheus: Prometheus, groups: list[str]) -> dict[str, dict[str, float]]:
    """Return how long groups, under `WHOLE`, and their rules took, in seconds: the longest of some evaluations.

    Args:
        prometheus: The Prometheus that evaluates them.
        groups: Names of the groups that are waited for; of the others, one evaluation is enough.
    """
    found: dict[str, dict[str, float]] = {}
    seen: dict[str, set[str]] = {}

    def look() -> bool:
        time.sleep(1)  # asking costs what is measured
        for one in prometheus.rule_groups():
            name, at = one["name"], one["lastEvaluation"]
            if at.startswith("0001") or at in seen.setdefault(name, set()):
                continue
            seen[name].add(at)
            times = found.setdefault(name, {})
            for rule, taken in [(WHOLE, one["evaluationTime"])] + [
                (rule["name"], rule["evaluationTime"]) for rule in one["rules"]
            ]:
                times[rule] = max(times.get(rule, 0.0), taken)
        return all(len(seen.get(group, ())) >= WANTED_EVALUATIONS for group in groups) and all(seen.values())

    wait_for(look, timeout=600.0, what="evaluations of all groups")
    return found


# --- history ---------------------------------------------------------------------------------------------------------


def serve(directory: Path, features: int, replicas: int, shift: float) -> list[Sample]:
    """Return the series of all replicas of a service, and what rules record of them in pieces."""
    rng = np.random.default_rng(0)
    columns = {f"feature_{number}": rng.normal(size=500) for number in range(features)}
    rows = (np.column_stack([*columns.values()]) + shift).tolist()
    outputs = rng.random(500)
    baseline = ModelMonitoringService.export_text(columns, outputs, directory / "b.prom", model="m")
    served = [
        sample
        for number in range(replicas)
        for sample in Replica(baseline, rows, outputs.tolist(), instance=f"replica-{number}").samples
    ]
    return served + list(pieces(served))


def pieces(served: list[Sample]) -> Iterator[Sample]:
    """Yield what rules record: how much counters have grown in five minutes, in all replicas together."""
    growths: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for sample in served:
        if sample.name in PIECES | PIECES_OF_BINS:
            labels = tuple((name, value) for name, value in sample.labels.items() if name != "instance")
            key = sample.name, labels
            growths[key] = growths.get(key, 0.0) + (sample.after - sample.before) * PIECE_SECONDS / 3600
    for (name, labels), growth in growths.items():
        yield Sample(f"{name.replace('_', ':', 1)}:increase{PIECE}", dict(labels), growth, growth)


def spans(served: list[Sample], options: RuleOptions) -> dict[str, tuple[int, int]]:
    """Return, for each metric, how far back rules look at it, and how often it has a sample, in seconds."""
    lengths = {window: duration_seconds(window, what="A window") for window in options.windows}

    def longest_read(interval: Callable[[str], str]) -> float:
        read = (length for window, length in lengths.items() if not options.is_added_up(interval(window)))
        return max(read, default=PIECE_SECONDS)

    of_groups, of_bins = longest_read(options.interval), longest_read(options.bins_interval)

    def span(name: str) -> tuple[int, int]:
        if name.endswith(PIECE):
            return round(max(lengths.values())), round(PIECE_SECONDS)
        if "_baseline" in name:
            return BASELINE_SECONDS, SCRAPE_SECONDS
        return round(of_bins if name in PIECES_OF_BINS else of_groups) + MARGIN_SECONDS, SCRAPE_SECONDS

    return {name: span(name) for name in {sample.name for sample in served}}


def make_history(directory: Path, served: list[Sample], spans: dict[str, tuple[int, int]]) -> int:
    """Make the blocks of a Prometheus that will start in *directory*, up to now; return the number of samples."""
    expected = sum(seconds / every for seconds, every in (spans[sample.name] for sample in served))
    end = round(time.time() + 20 + SECONDS_PER_SAMPLE * expected)
    history = directory / "history.txt"
    written = 0
    # Block by block, for promtool reads all that it is given once for each.
    scrapes = range(end - max(seconds for seconds, _ in spans.values()), end, SCRAPE_SECONDS)
    for _, times in groupby(scrapes, lambda at: at // BLOCK_SECONDS):
        written += write_history(history, served, list(times), scrapes, spans)
        command = ["tsdb", "create-blocks-from", "openmetrics", "--quiet", history, directory / "prometheus/data"]
        subprocess.run([require("promtool"), *command], check=True, stdout=subprocess.DEVNULL)
    history.unlink()
    wait_for(lambda: time.time() > end, timeout=3600.0, what="the end of the history")
    return written


def write_history(
    path: Path, served: list[Sample], times: list[int], scrapes: range, spans: dict[str, tuple[int, int]]
) -> int:
    """Write OpenMetrics text with the series at some of the *scrapes*; return the number of samples."""
    written = 0
    with open(path, "w", encoding="utf-8") as file:
        for sample in served:
            seconds, every = spans[sample.name]
            chosen = [at for at in times if at >= scrapes.stop - seconds and (scrapes.stop - at) % every == 0]
            file.writelines(course(sample, chosen, scrapes))
            written += len(chosen)
        file.write("# EOF\n")
    return written


def course(sample: Sample, times: list[int], scrapes: range) -> Iterator[str]:
    """Yield the lines of one series, which grows evenly by what the replica counted, in an hour."""
    head = f"{sample.name}{{{label_text(**sample.labels)}}}"
    growth = (sample.after - sample.before) / 3600
    for at in times:
        yield f"{head} {sample.before + growth * (at - scrapes.start):.3f} {at}\n"


if __name__ == "__main__":
    sys.exit(main())
