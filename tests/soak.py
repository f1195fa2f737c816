"""A soak: processes log predictions for as long as you like, through a server that is killed every few seconds.

    python -m tests.soak [--records 240000] [--processes 3] [--rate 2000] [--restart-every 3] [--memory]

Prints how many records were sent and received, lost and received twice, and how much memory the processes took at the
beginning, in the middle and at the end. Fails if a record is lost, if more than 1 % came twice, or if memory grew.
Needs what `python3 tests/run.py` installs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flask_boxkite import ModelMonitoringService
from tests.peers import FluentServer, wait_for

MOST_DOUBLES = 0.01
MOST_GROWTH_MIB = 8.0
WARM_UP = 0.25
"""Share of records after which memory is first measured, since queues have been full by then."""

FEATURES = [1.5] * 20
WRITER = "from tests.soak import write; write()"


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=240_000, help="in all")
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--rate", type=float, default=2000.0, help="records a second, of each process")
    parser.add_argument("--restart-every", type=float, default=3.0, help="seconds between kills of the server")
    parser.add_argument("--memory", action="store_true", help="records wait in memory instead of on disk")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server ends too
    each = options.records // options.processes
    with tempfile.TemporaryDirectory(prefix="boxkite-soak-") as name:
        directory = Path(name)
        baseline = directory / "baseline.prom"
        ModelMonitoringService.export_text({f"f{index}": [0.0, 1.0, 2.0] * 50 for index in range(20)}, path=baseline)
        with FluentServer(directory / "fluentd") as server:
            settings = {"baseline": str(baseline), "fluentd_addr": server.addr, "state_dir": str(directory / "state")}
            if not options.memory:
                settings["spool_dir"] = str(directory / "spool")
            orders = {"records": each, "rate": options.rate, "settings": settings}
            started = time.monotonic()
            writers = [start_writer(number, orders) for number in range(options.processes)]
            try:
                restarts = harass(server, writers, options.restart_every)
                reports = [json.loads(writer.communicate(timeout=60)[0]) for writer in writers]
            finally:
                for writer in writers:
                    writer.kill()
                    writer.wait()
            seconds = time.monotonic() - started
            times = Counter(received(directory / "fluentd" / "entries.jsonl"))
        return judge(reports, times, each, restarts, seconds)


def start_writer(number: int, orders: dict[str, object]) -> subprocess.Popen[str]:
    """Start a process that logs; it prints its report as its last deed."""
    arguments = [sys.executable, "-c", WRITER, json.dumps({**orders, "number": number})]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).resolve().parents[1])


def harass(server: FluentServer, writers: list[subprocess.Popen[str]], pause: float) -> int:
    """Kill the server and start it again until the writers are done; return how often."""
    restarts = 0
    while not have_ended(writers, pause):
        server.kill()
        have_ended(writers, pause / 6)
        server.start()
        restarts += 1
    return restarts


def have_ended(writers: list[subprocess.Popen[str]], seconds: float) -> bool:
    """Wait so long, or until all have ended."""
    deadline = time.monotonic() + seconds
    while any(writer.poll() is None for writer in writers):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def received(entries: Path) -> Iterator[tuple[int, int, str]]:
    """Yield process, number and entity id of each record, without holding them all."""
    with entries.open(encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)["record"]
            process, number = record["output"]
            yield process, number, record["entity_id"]


def judge(reports: list[dict[str, Any]], times: Counter[Any], each: int, restarts: int, seconds: float) -> int:
    """Print what came of it; return the exit code."""
    sent = each * len(reports)
    expected = {(process, number) for process in range(len(reports)) for number in range(each)}
    different = {(process, number) for process, number, _ in times}
    lost = len(expected - different)
    unknown = len(times) - len(expected & different)
    doubles = times.total() - len(times)
    print(f"{sent:,} records of {len(reports)} processes in {seconds:.0f} s, {restarts} kills of the server")
    print(f"received {times.total():,}, different {len(times):,}, lost {lost}, unknown {unknown}")
    print(f"doubles {doubles:,}, {doubles / sent:.3%}")
    is_flat = True
    for report in reports:
        beginning, middle, end = report["rss_mib"]
        is_flat &= end - beginning < MOST_GROWTH_MIB
        print(
            f"process {report['number']}: memory {beginning:.1f} MiB at the beginning, {middle:.1f} in the middle, "
            f"{end:.1f} at the end; left {report['left']}, retries {report['retries']}, dropped {report['dropped']}"
        )
    is_good = is_flat and not lost and not unknown and doubles <= MOST_DOUBLES * sent
    is_good &= not any(report["left"] or report["dropped"] for report in reports)
    print("good" if is_good else "BAD")
    return 0 if is_good else 1


# --- in each process ------------------------------------------------------------------------------------------------


def write() -> None:
    """Log what the order says, at its rate, and report."""
    order = json.loads(sys.argv[1])
    settings = order["settings"]
    service = ModelMonitoringService(settings.pop("baseline"), sink="fluentd", **settings)
    total, rate, number = order["records"], order["rate"], order["number"]
    marks = {int(total * WARM_UP), total // 2, total - 1}
    rss = []
    started = time.monotonic()
    for index in range(total):
        if index % 20 == 0:
            time.sleep(max(started + index / rate - time.monotonic(), 0))
        service.log_prediction({"process": number, "number": index}, features=FEATURES, output=[number, index])
        if index in marks:
            rss.append(rss_mib())
    left = service.flush(60)
    wait_for(lambda: left == 0 or service.flush(1) == 0, what="delivery of all")
    text = service.export_http({}, {})[0].decode()
    report = {
        "number": number,
        "rss_mib": rss,
        "left": left,
        # All processes count together; what this one asks for is the sum.
        "dropped": sum_of(text, "boxkite_log_dropped_total"),
        "retries": sum_of(text, "boxkite_log_retries_total"),
    }
    print(json.dumps(report), flush=True)


def rss_mib() -> float:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def sum_of(text: str, metric: str) -> int:
    """Return the sum of a metric over all its series."""
    return sum(int(float(value)) for value in re.findall(rf"^{metric}\{{.*\}} (\S+)$", text, re.M))


if __name__ == "__main__":
    sys.exit(main())
