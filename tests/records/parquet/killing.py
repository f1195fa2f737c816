"""Compactions that are killed beside a writer: ``python -m tests.records.parquet.killing --kills 200``.

The writer appends to minutes that are over, as a server does after an outage, while compactions delete its files. At
the end, each record it wrote is in the Parquet files once.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.records import Records, compact
from flask_boxkite.system.folder import Folder
from tests.records.archives import record

__all__ = ["kill_at_each_step", "kill_at_random", "trained"]

STEPS = ("replace", "fsync", "unlink", "mkdir", "chmod")
"""Calls of `os` between which a run may be killed."""


def trained(path: Path) -> Baseline:
    """Return a baseline of two features."""
    values = [float(value % 17) for value in range(200)]
    return ModelMonitoringService.export_text({"a": values, "b": values[::-1]}, values, path, model="credit")


def write_some(logs: Path, chance: random.Random, number: int) -> list[str]:
    """Append some records to a file of a past minute; return their ids."""
    minute = chance.randrange(6)
    made = [
        record(
            {"a": chance.random(), "b": "odd" if chance.random() < 0.1 else 1}, f"2026-01-01T23:5{4 + minute % 6}:07"
        )
        for _ in range(chance.randrange(1, 40))
    ]
    for item in made:
        item["model"] = chance.choice(["credit", "credit", "other"])
    data = b"".join(json.dumps(item).encode() + b"\n" for item in made)
    if chance.random() < 0.05:
        data += b'{"entity_id": "torn\n'
    with Folder.made(logs) as above, above.inner("2026-01-01") as folder:
        folder.append(f"235{4 + minute}_boxkite-pod-{number}.txt", data)
    return [item["entity_id"] for item in made]


def in_child(run: Callable[[], None]) -> int:
    """Run a function in a forked process; return its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        run()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def check(logs: Path, out: Path, written: list[str], *, is_done: bool) -> None:
    """Compare all records with the ones that were written."""
    records = Records([place for place in (logs, out) if place.exists()])
    found = Counter(item["entity_id"] for item in records)
    assert found == Counter(written), f"{len(found)} of {len(written)} records are there"
    if is_done:
        tables = [pq.read_table(path, columns=["entity_id"]) for path in out.rglob("*.parquet")]
        stored = Counter(text for table in tables for text in table["entity_id"].to_pylist())
        assert stored == Counter(written), "the Parquet files alone hold each record once"
        assert not list(logs.rglob("*.txt"))
        assert {path.suffix for path in (out / ".boxkite").iterdir()} <= {"", ".json"}


def kill_at_random(place: Path, kills: int, seed: int) -> int:
    """Kill compactions at random moments beside a writer; return the number that was killed before their end."""
    chance = random.Random(seed)
    baseline, logs, out = trained(place / "baseline.prom"), place / "logs", place / "out"
    written = write_some(logs, chance, 0)
    killed = 0
    lasting = 0.5

    for _ in range(kills):
        journal, stop = place / "journal", place / "stop"
        journal.unlink(missing_ok=True)
        stop.unlink(missing_ok=True)

        def write(seed: int = chance.randrange(2**32), journal: Path = journal, stop: Path = stop) -> None:
            own = random.Random(seed)
            with open(journal, "w") as file:
                while not stop.exists():
                    for number in range(3):
                        print(*write_some(logs, own, number), file=file)
                    time.sleep(0.005)

        writer = in_child(write)
        begin = time.monotonic()
        run = in_child(lambda: compact(logs, out, baseline, remove=True, closed_seconds=0))
        deadline = begin + chance.uniform(0, 2 * lasting)
        ended = (0, 0)
        while ended == (0, 0) and time.monotonic() < deadline:
            ended = os.waitpid(run, os.WNOHANG)
            time.sleep(0.0005)
        if ended == (0, 0):
            os.kill(run, signal.SIGKILL)
            os.waitpid(run, 0)
            killed += 1
        else:
            assert ended[1] == 0
            lasting = max(time.monotonic() - begin, 0.01)
        stop.touch()
        assert os.waitpid(writer, 0)[1] == 0
        written += journal.read_text().split()
    check(logs, out, written, is_done=False)
    compact(logs, out, baseline, remove=True, closed_seconds=0)
    check(logs, out, written, is_done=True)
    return killed


def kill_at_each_step(place: Path, most: int = 1000) -> int:
    """Kill a compaction before each of its steps on the disk, one run for each; return the number of runs."""
    chance = random.Random(1)
    baseline, logs, out = trained(place / "baseline.prom"), place / "logs", place / "out"
    written: list[str] = []
    for step in range(most):
        for number in range(4):
            written += write_some(logs, chance, number)

        def run(step: int = step) -> None:
            left = iter(range(step))
            for name in STEPS:
                setattr(os, name, killing(getattr(os, name), left))
            compact(logs, out, baseline, remove=True, closed_seconds=0)

        status = os.waitpid(in_child(run), 0)[1]
        check(logs, out, written, is_done=False)
        if status == 0:
            check(logs, out, written, is_done=True)
            return step
        assert status == signal.SIGKILL
    raise AssertionError("no run came to its end")


def killing(call: Callable[..., object], left: object) -> Callable[..., object]:
    """Return a function that kills its process once *left* is used up."""

    def replaced(*arguments: object, **options: object) -> object:
        if next(left, None) is None:  # type: ignore[call-overload]
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)

    return replaced


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        steps = Path(directory, "steps")
        steps.mkdir()
        print(f"killed before each of {kill_at_each_step(steps)} steps: nothing lost, nothing double", flush=True)
        whole = Path(directory, "random")
        whole.mkdir()
        number = kill_at_random(whole, given.kills, given.seed)
        print(f"killed {number} of {given.kills} runs at random: nothing lost, nothing double")
