"""Records of every kind that servers write, and baselines for them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.derived import Row, Text
from flask_boxkite.records import Compaction, compact
from flask_boxkite.records.parquet.compaction import run_compaction
from flask_boxkite.records.parquet.writer import Sizes
from tests.records.archives import record, seconds, write

__all__ = ["KINDS", "STORES", "Kind", "all_records", "store"]

START = seconds("2026-03-01T23:50:00")
"""A while before midnight, so that records are of two days."""


SMALL = Sizes(group_rows=16, group_bytes=10_000, batch_rows=5, waiting_bytes=20_000, open_parts=1, unit_bytes=9_000)
"""Bounds that so few records reach."""


class Kind:
    """A baseline, and records of its model.

    Attributes:
        baseline: The baseline.
        records: Records, in the order of time.
    """

    def __init__(self, baseline: Baseline, records: Sequence[dict[str, Any]]) -> None:
        self.baseline, self.records = baseline, records


def numbers(path: Path) -> Kind:
    """Features of numbers alone, by name or position, and one output."""
    rng = np.random.default_rng(1)
    data = {"age": rng.normal(50, 10, 400), "size": rng.integers(0, 4, 400), "far": rng.normal(0, 1, 400)}
    scores = rng.random(400)
    made = ModelMonitoringService.export_text(
        data, scores, path / "numbers.prom", actual=rng.random(400) < scores, model="credit"
    )
    odd = [None, "nan", "", "7.5", "none of it", True, [1], {"a": 1}, "Infinity", 10**30, -0.0, "12", 0]
    return Kind(made, list(_records(made, rng, ["age", "size", "far"], odd, lambda: rng.normal(50, 10))))


def mixed(path: Path) -> Kind:
    """Texts, dates, categories and narrow floats."""
    rng = np.random.default_rng(2)
    days = [f"2026-01-{day:02}T{hour:02}:00:00Z" for day, hour in rng.integers(1, 24, (400, 2)).tolist()]
    data = {
        "city": rng.choice(["Oslo", "Rome", "7", "true"], 400).tolist(),
        "when": days,
        "part": rng.normal(0, 1, 400).astype(np.float32),
        "kind": rng.choice([1.0, 2.0, 3.5], 400),
    }
    scores = rng.random(400)
    made = ModelMonitoringService.export_text(
        data, scores, path / "mixed.prom", actual=rng.random(400) < scores, model="credit", missing_texts=["unknown"]
    )
    odd = [None, "", "unknown", "Oslo ", 7, True, 1.5, ["x"], {"b64": "T3Nsbw=="}, "2026-01-05", "é\u2028", 1700000000]

    def one() -> Any:
        return rng.choice(["Oslo", "Rome", "Paris", "2026-01-05T10:00:00", "0.1", "2", "3.5"]).item()

    return Kind(made, list(_records(made, rng, ["city", "when", "part", "kind"], odd, one)))


def classes(path: Path) -> Kind:
    """Probabilities of classes: several outputs."""
    rng = np.random.default_rng(3)
    data = {"age": rng.normal(50, 10, 400), "far": rng.normal(0, 1, 400)}
    parts = rng.dirichlet([1, 1, 1], 400)
    outputs = dict(zip(("low", "mid", "high"), parts.T, strict=True))
    actual = [("low", "mid", "high")[index] for index in parts.argmax(axis=1)]
    made = ModelMonitoringService.export_text(data, outputs, path / "classes.prom", actual=actual, model="credit")
    odd = [None, "x", "1"]
    return Kind(made, list(_records(made, rng, ["age", "far"], odd, lambda: rng.normal(50, 10), outputs=3)))


def derived(path: Path) -> Kind:
    """Features that are derived from a row."""
    rng = np.random.default_rng(4)
    texts = [" ".join(rng.choice(["good", "bad", "fine", "so"], rng.integers(1, 9))) for _ in range(400)]
    made = ModelMonitoringService.export_text(
        {"note": texts, "age": rng.normal(50, 10, 400)},
        rng.random(400),
        path / "derived.prom",
        model="credit",
        derive={"note": Text("note"), "row": Row()},
    )
    service = ModelMonitoringService(made, log_dir=path / "derived-log", server_id="s")
    for number in range(300):
        age = "old" if number % 50 == 0 else float(rng.normal(60, 10))
        service.log_prediction(features={"note": str(rng.choice(texts)), "age": age}, output=float(rng.random()))
    assert service.flush(30) == 0
    service.close()
    found = [
        json.loads(line)
        for file in sorted((path / "derived-log").rglob("*.txt"))
        for line in file.read_bytes().splitlines()
    ]
    for number, item in enumerate(found):
        item["created_at"] = START + 3 * number
    return Kind(made, found)


KINDS = {"numbers": numbers, "mixed": mixed, "classes": classes, "derived": derived}


def _records(
    made: Baseline, rng: np.random.Generator, names: list[str], odd: list[Any], one: Any, outputs: int = 1
) -> Iterator[dict[str, Any]]:
    """Yield records of which most are usual, and some of every other form."""

    def row(share: float = 0.0) -> dict[str, Any]:
        return {name: odd[rng.integers(len(odd))] if rng.random() < share else one() for name in names}

    def output() -> Any:
        if outputs == 1:
            return float(rng.random())
        return dict(zip(("low", "mid", "high"), rng.dirichlet([1] * 3).tolist(), strict=True))

    for number in range(460):
        about: dict[str, Any] = {
            "at": "2026-01-01T00:00:00",
            "entity_id": str(UUID(int=rng.integers(2**62).item() << 60, version=4)),
            "baseline": made.fingerprint,
            "version": None if number % 3 else "v1",
            "server_id": f"server-{number % 3}",
            "duration_ms": None if number % 11 == 0 else 1.5,
        }
        if number % 5 == 0:
            about["key"] = f"{number}.0" if number % 2 else f"order {number}"
        features: Any = row()
        match number % 20:
            case 1:
                features = list(features.values())
            case 2:
                features = row(0.4)
            case 3:
                features, about["rows"] = [row(), row(0.3), row()], 3
            case 4:
                features, about["rows"] = [list(row().values()), list(row().values())], 2
            case 5:
                features = None
            case 6:
                features = {"other": 1}
            case 7:
                about["status"] = "error"
            case 8:
                about["status"] = "client_error"
            case 9:
                features = {**features, "more": [1, {"a": None}]}
                features.pop(names[0])
            case 10:
                features = row(1.0)
            case 11:
                features, about["rows"] = [row(), row()], 3  # of which one has no features
            case _:
                pass
        rows = about.get("rows", 1)
        about["output"] = output() if rows == 1 else [output() for _ in range(rows)]
        match number % 23:
            case 1:
                about["output"] = None
            case 2:
                about["output"] = "[redacted]"
            case 3:
                about["output"] = [[1], "x"]
            case _:
                pass
        made_record = record(features, **about)
        made_record["created_at"] = START + 3 * number
        made_record["prediction_id"] = f"server-1/{number}/{about['entity_id']}"
        if number % 50 == 0:
            made_record |= {"response": {"a": [1.0, None]}, "body_truncated": True, "body_encoding": "base64"}
        yield made_record


# --- stores ----------------------------------------------------------------------------------------------------------

STORES = ("lines", "gzip", "parquet", "mixed", "both", "hourly", "untyped")


def all_records(kind: Kind) -> list[Any]:
    """Return the records with damage and copies among them, in the order of time."""
    found: list[Any] = []
    for number, item in enumerate(kind.records):
        found.append(item)
        if number % 40 == 0:
            found.append(item)  # a copy in the same file
        if number % 90 == 1:
            found.append(b'{"entity_id": "torn\n')
        if number % 200 == 2:
            found.append(b"\n")
    return found


def store(kind: Kind, name: str, path: Path) -> Path | list[Path]:
    """Write all records in one of `STORES`; return where they are."""
    lines = path / "lines"
    for item, line in _with_times(all_records(kind)):
        _append(lines, item, line, number=0)
    for item in kind.records[100:160]:
        _append(lines, item, item, number=1)  # sent again, to another file
    if name == "lines":
        return lines
    if name == "gzip":
        for file in lines.rglob("*.txt"):
            file.with_suffix(".txt.gz").write_bytes(gzip.compress(file.read_bytes()))
            file.unlink()
        return lines
    out = path / "tables"
    baselines = () if name == "untyped" else kind.baseline
    if name in ("parquet", "untyped"):
        compact(lines, out, baselines, remove=True, closed_seconds=0)
        assert not list(lines.rglob("*.txt"))
        return out
    if name == "both":  # killed between the publication and the removal
        compact(lines, out, baselines, closed_seconds=0)
        return path
    files = sorted(lines.rglob("*.txt"))
    for start in range(0, len(files), 4):
        apart = path / f"some-{start}"
        for file in files[start : start + 4]:
            target = apart / file.relative_to(lines)
            target.parent.mkdir(parents=True, exist_ok=True)
            file.rename(target)
        if name == "mixed" and start % 8:
            continue
        run_compaction(str(apart), str(out), [kind.baseline], Compaction(), remove=True, closed_seconds=0, sizes=SMALL)
    return [path / "tables", *sorted(path.glob("some-*"))]


def _with_times(lines: list[Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    before: Any = None
    for line in lines:
        before = line if isinstance(line, dict) else before
        yield before, line


def _append(root: Path, item: dict[str, Any], line: Any, number: int) -> None:
    own = {**item}
    path = write(root, own, name=f"boxkite-pod-{number}")
    if line is not item:
        data = path.read_bytes()
        path.write_bytes(data[: data[:-1].rfind(b"\n") + 1] + line)
