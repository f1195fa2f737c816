"""Records tell of pairs what the server told: each count, and each verdict."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.drift.report import DriftReport
from flask_boxkite.records import Records
from tests.records.archives import write
from tests.records.test_timeline import BEGIN, Sent, live

Row = list[Any]


def rows_of(rng: np.random.Generator, number: int, *, is_broken: bool = False) -> list[tuple[Row, float]]:
    """Return rows of two numbers that go together, a text, and an output that follows them."""
    x = rng.normal(size=number)
    y = x + rng.normal(size=number) / 2
    output = (x + y + rng.normal(size=number)).tolist()
    if is_broken:
        rng.shuffle(y)
    texts = rng.choice(["a", "b"], number).tolist()
    return [(list(row), answer) for *row, answer in zip(x.tolist(), y.tolist(), texts, output, strict=True)]


def trained() -> Baseline:
    """Train on such rows."""
    table = [(*row, output) for row, output in rows_of(np.random.default_rng(1), 3000)]
    columns = dict(zip(("x", "y", "text", "output"), map(list, zip(*table, strict=True)), strict=True))
    return build_baseline(columns, "output")


KNOWN = trained()


def traffic(kind: str) -> list[Sent]:
    """Return five hours of requests; in the last forty minutes *y* is of other rows."""
    rng = np.random.default_rng(3)
    size = {"batches": 15, "batches with gaps": 15}.get(kind, 1)
    requests = []
    for begin, end in ((0, 1560), (1560, 1800)):
        rows = rows_of(rng, (end - begin) * size, is_broken=begin > 0)
        for number in range(begin, end):
            own = rows[(number - begin) * size : (number - begin + 1) * size]
            requests.append(request_of(BEGIN + 10 * number, number, own, kind))
    return requests


def request_of(at: int, number: int, rows: list[tuple[Row, float]], kind: str) -> Sent:
    """Return a request in one of the forms that clients have, some of which lack something."""
    features: Any = [row for row, _ in rows]
    output: Any = [answer for _, answer in rows]
    if "gaps" in kind and number % 4 == 0:
        features[0][number % 3] = None
    if "gaps" in kind and number % 7 == 0:
        output = None if number % 2 else [None, *output[1:]]
    if kind == "names":
        features = [dict(reversed(list(zip(("x", "y", "text"), row, strict=True)))) for row in features]
    if len(rows) > 1:
        return Sent(at, features, output, len(rows))
    return Sent(at, features[0], output[0] if output else None)


def archived(directory: Path, requests: list[Sent]) -> None:
    """Write the records of requests."""
    by_minute: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for request in requests:
        by_minute[request.at // 60].append(request.record())
    for lines in by_minute.values():
        write(directory, *lines)


def pairs_of(report: DriftReport | None) -> list[dict[str, Any]]:
    """Return all that a report tells of pairs."""
    assert report is not None
    return [pair.to_row() | {"before": pair.before, "now": pair.now, "text": pair.text} for pair in report.pairs]


@pytest.mark.parametrize("kind", ["rows", "names", "gaps", "batches", "batches with gaps"])
def test_records_give_the_verdicts_of_the_server(tmp_path: Path, kind: str) -> None:
    requests = traffic(kind)
    end = requests[-1].at + 1
    archived(tmp_path / "records", requests)
    found = Records(tmp_path / "records", end=datetime.fromtimestamp(end, timezone.utc)).drift(KNOWN)

    assert pairs_of(found) == pairs_of(live(KNOWN, requests, end).report)
    assert str(found).count("no longer go together") == 2  # in the summary, and of x and y
    verdicts = {(pair.first.name, pair.second.name): pair.verdict for pair in found.pairs}
    assert verdicts["x", "y"] in ("drifted", "major")
    assert {item.verdict for item in found if item.name != "text"} <= {"stable", "drifted", "major", "shifted"}


def test_a_period_is_compared_with_an_earlier_one(tmp_path: Path) -> None:
    """Its pairs take the place of those in training."""
    requests = traffic("rows")
    archived(tmp_path / "records", requests)
    begin, middle, end = (
        datetime.fromtimestamp(seconds, timezone.utc)
        for seconds in (requests[0].at - 10, requests[1560].at, requests[-1].at + 1)
    )
    earlier = Records(tmp_path / "records", start=begin, end=middle)
    report = Records(tmp_path / "records", start=middle, end=end).drift(KNOWN, against=earlier)

    (pair,) = [pair for pair in report.pairs if (pair.first.name, pair.second.name) == ("x", "y")]
    assert pair.verdict in ("drifted", "major")
    assert sum(map(sum, pair.before)) == 1560
    assert sum(map(sum, pair.now)) == pair.rows == 240
    assert pairs_of(earlier.drift(KNOWN))[0]["live_rows"] == 1560


@pytest.mark.parametrize("compares", [False, True], ids=["with training", "with an earlier period"])
def test_segments_are_of_variables_alone(tmp_path: Path, compares: bool) -> None:
    requests = traffic("rows")
    archived(tmp_path / "records", requests)
    middle = datetime.fromtimestamp(requests[1560].at, timezone.utc)
    records = Records(tmp_path / "records", start=middle)
    report = records.drift(KNOWN, by="text", against=Records(tmp_path / "records", end=middle) if compares else None)

    assert {segment.name for segment in report.segments} == {"a", "b"}
    assert all(segment.report.pairs == () for segment in report.segments)
    assert "together" not in f"{report}{report.to_markdown()}"


def test_what_a_service_writes_gives_its_pairs(tmp_path: Path) -> None:
    """With NaN, and outputs of another number than rows, which are of no row."""
    service = ModelMonitoringService(KNOWN, sink="file", log_dir=str(tmp_path))
    rows = rows_of(np.random.default_rng(7), 200)
    for number, (row, output) in enumerate(rows):
        if number % 5 == 0:
            row = [float("nan"), *row[1:]]
        service.log_prediction(features=row, output=float("nan") if number % 3 == 0 else output)
    service.log_prediction(features=[row for row, _ in rows], output=[output for _, output in rows[:-1]])
    service.log_prediction(features=[row for row, _ in rows], output=np.array([output for _, output in rows]))
    service.log_prediction(features=None, output=1.5)
    observed = service.drift()
    service.close()
    found = Records(tmp_path).drift(KNOWN)

    for side in (found, observed):
        assert {(pair.first.name, pair.second.name): pair.live_rows for pair in side.pairs}["x", "y"] == 160 + 200 + 200
    assert sorted((pair.first.name, pair.second.name, pair.live_rows) for pair in found.pairs) == sorted(
        (pair.first.name, pair.second.name, pair.live_rows) for pair in observed.pairs
    )


def test_a_constant_says_nothing_in_metrics_and_records_either(tmp_path: Path) -> None:
    rows = rows_of(np.random.default_rng(4), 300)
    service = ModelMonitoringService(KNOWN, log_dir=tmp_path)
    for row, output in rows:
        service.log_prediction(features=[row[0], 0.0, row[2]], output=output)
    service.flush()
    live_pairs = {item.text: item.verdict for item in service.drift().pairs}
    assert {item.text: item.verdict for item in Records(tmp_path).drift(KNOWN).pairs} == live_pairs
    assert live_pairs["x and y: all 300 rows are in one part of y; 30 are needed in others"] == "not enough data"
    text = service.export_http()[0].decode()
    assert 'boxkite_pair_verdict{model="default",baseline="' in text
    assert [line[-1] for line in text.splitlines() if 'pair="x, y",window="1h"' in line and "verdict" in line] == ["0"]
