"""Files that others have written: with any content, memory stays within the limits of `Records`.

Each reading runs in a process of its own, whose peak of resident memory is compared with the peak of reading one
record.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flask_boxkite.baseline.training.build import build_baseline
from tests.records.archives import ENDPOINT, record, write

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")

LINE = 300
"""MB that one line may take."""

LITTLE = 60
"""MB for lines of usual size, however many, beside 120 bytes for each record."""

PROGRAM = """
import json, os, sys
from pathlib import Path
import pandas, pyarrow.dataset
from flask_boxkite import Baseline
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.records import Records

readings = {
    "records": lambda records: sum(1 for item in records),
    "frame": lambda records: sum(1 for batch in records.frame(baseline).batches()),
    "open frame": lambda records: sum(1 for batch in records.frame().batches()),
    "drift": lambda records: records.drift(baseline),
    "segments": lambda records: records.drift(baseline, by="city"),
    "baseline": lambda records: records.to_baseline(None, baseline),
}

def read(root):
    damage = {}
    for kind, reading in readings.items():
        records = Records(root)
        try:
            reading(records)
        except BoxkiteError as error:
            damage[kind] = str(error)
        else:
            damage[kind] = [records.counts.damaged, records.counts.records]
    # Not by getrusage, whose peak includes the parent's.
    (peak,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    print(json.dumps([int(peak.split()[1]) // 1024, damage]), flush=True)

baseline = Baseline.load(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    if (child := os.fork()) == 0:
        read(line.rstrip())
        os._exit(0)
    os.waitpid(child, 0)
"""
KINDS = ("records", "frame", "open frame", "drift", "segments", "baseline")


Read = Callable[[Path], tuple[int, dict[str, Any]]]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Read]:
    """Return what reads in all ways, in a process of its own.

    It returns the peak in MB above the peak of reading one record, and damage and records of each way. Its processes
    are forked from one that has imported everything.
    """
    folder = tmp_path_factory.mktemp("little")
    columns: dict[str, Any] = {f"f{i}": [float(row) for row in range(60)] for i in range(199)}
    columns["city"] = ["Rome", "Oslo"] * 30
    build_baseline(columns, [row / 60 for row in range(60)]).dump(folder / "baseline.prom")
    write(folder / "logs", record({"f0": 1.0, "city": "Rome"}, output=0.5))
    command = [sys.executable, "-W", "error", "-c", PROGRAM, str(folder / "baseline.prom")]
    with (
        (folder / "stderr").open("w+") as errors,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(root: Path) -> tuple[int, dict[str, Any]]:
            assert process.stdin is not None
            assert process.stdout is not None
            print(root, file=process.stdin, flush=True)
            answer = process.stdout.readline()
            assert answer, (folder / "stderr").read_text()
            peak, damage = json.loads(answer)
            return peak, damage

        assert process.stdout.readline(), (folder / "stderr").read_text()
        usual, _ = ask(folder / "logs")

        def read(root: Path) -> tuple[int, dict[str, Any]]:
            peak, damage = ask(root)
            return peak - usual, damage

        yield read
        process.stdin.close()


def raw(features: str = "null", output: str = "null", rows: int = 1, **fields: Any) -> bytes:
    """Return a line with features and output as they are written."""
    text = json.dumps(record("FEATURES", output="OUTPUT", rows=rows, **fields))
    return text.replace('"FEATURES"', features).replace('"OUTPUT"', output).encode() + b"\n"


def many(line: Callable[[int], bytes], number: int) -> Iterator[bytes]:
    """Yield lines in pieces."""
    for start in range(0, number, 1000):
        yield b"".join(map(line, range(start, min(start + 1000, number))))


WIDE = "The records have more than 10,000 features. Name those you want with a 'baseline'."
LONG = "The names of the features have more than 1,000,000 letters. Name those you want with a 'baseline'."

# The lines, the MB they may take, and the damage in each way of reading: the same in all, if it is no dict by way.
ATTACKS: dict[str, tuple[Callable[[], Iterator[bytes]], int, dict[str, Any]]] = {
    "empty lines": (lambda: iter([b"\n" * (1 << 20)] * 10), LITTLE, {"empty": 10 << 20}),
    "blank lines": (lambda: iter([b" \n" * 1000] * 50), LITTLE, {"empty": 50_000}),
    "ten million rows": (lambda: many(lambda i: raw("[1]", rows=10_000_000), 50), LITTLE, {"rows": 50}),
    "rows in a long line": (
        lambda: many(lambda i: raw(rows=450_000, request_body="x" * 1_000_000), 5),
        LITTLE,
        {"records": {}, "open frame": {"too_large": 5}, "drift": {"too_large": 5}},
    ),
    "rows without values": (lambda: many(lambda i: raw(rows=150), 200), LINE, {}),
    "an endless line": (lambda: iter([b"x" * (1 << 20)] * 70), LITTLE, {"too_long": 1}),
    "a long text": (lambda: iter([raw('"' + "x" * 30_000_000 + '"')]), LINE, {}),
    "numbers": (
        lambda: iter([raw("[" + "1.5," * 1_900_000 + "1]")]),
        LINE,
        {"records": {}, "open frame": WIDE, "drift": {}},
    ),
    "lists": (
        lambda: iter([raw("[" + "[]," * 600_000 + "[]]", rows=600_001)]),
        LINE,
        {"records": {}, "open frame": {"too_large": 1}, "drift": {"too_large": 1}},
    ),
    "objects": (
        lambda: iter([raw("[" + '{"f0":1},' * 600_000 + "{}]", rows=600_001)]),
        LINE,
        {"records": {}, "open frame": {"too_large": 1}, "drift": {"too_large": 1}},
    ),
    "objects of other names": (
        lambda: many(lambda i: raw("[" + ",".join(f'{{"x{i}":1}}' for i in range(9000)) + "]", rows=9000), 2),
        LINE,
        {"records": {}, "open frame": {"too_large": 2}, "drift": {}},
    ),
    "too many values": (lambda: iter([raw("[" + "[]," * 5_000_000 + "[]]")]), LINE, {"too_large": 1}),
    "many lists": (
        lambda: many(lambda i: raw("[" + "[]," * 100_000 + "[]]"), 4),
        LINE,
        {"records": {}, "open frame": WIDE, "drift": {}},
    ),
    "deep": (
        lambda: many(lambda i: raw("[" * 900 + "]" * 900) + raw('{"f0":' * 900 + "1" + "}" * 900), 10),
        LITTLE,
        {"too_deep": 20},
    ),
    "long ids": (lambda: many(lambda i: raw(entity_id=f"{i}" + "x" * 100_000), 700), LITTLE, {}),
    "long names of features": (
        lambda: many(lambda i: raw(json.dumps({f"{i}" * 6000: 1})), 4000),
        LITTLE,
        {"records": {}, "open frame": LONG, "drift": {}},
    ),
    "names": (
        lambda: many(lambda i: raw(model="credit", version=f"{i}", baseline=f"{i}" + "x" * 50_000), 1400),
        LITTLE,
        {},
    ),
    "segments": (lambda: many(lambda i: raw(f'{{"f0":1.0,"city":"c{i}"}}', "0.5"), 4000), LITTLE, {}),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_memory_is_bounded(name: str, read: Read, tmp_path: Path) -> None:
    lines, most, damage = ATTACKS[name]
    path = write(tmp_path, record({"f0": 1.0, "city": "Rome"}, output=0.5))
    with gzip.open(path.with_name("0800_other.txt.gz"), "wb", compresslevel=1) as file:
        for piece in lines():
            file.write(piece)
    more, found = read(tmp_path)
    for kind, (expected, counts) in {kind: (damage.get(kind, damage), found[kind]) for kind in KINDS}.items():
        if kind in damage or damage.keys().isdisjoint(KINDS):
            assert counts == expected if isinstance(expected, str) else counts[0] == expected, kind
            assert isinstance(expected, str) or counts[1] >= 1
    assert more <= most, f"{more} MB more"


def test_many_files_and_folders_are_read_in_little_memory(read: Read, tmp_path: Path) -> None:
    path = write(tmp_path, record({"f0": 1.0, "city": "Rome"}, output=0.5))
    for number in range(10_000):
        path.with_name(f"0801_{number}.txt").touch()
    deep = tmp_path / ENDPOINT
    for _ in range(900):
        deep = deep / "d"
        deep.mkdir()
    more, found = read(tmp_path)
    assert all(counts == [{}, 1] for counts in found.values())
    assert more <= LITTLE
