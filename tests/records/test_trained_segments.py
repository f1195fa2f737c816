"""Records tell of the segments of a baseline what the server told: each number of each verdict."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.baseline.training.options import BaselineOptions
from flask_boxkite.config import Settings
from flask_boxkite.live.store import Store
from flask_boxkite.monitoring.app import AppMonitor
from flask_boxkite.monitoring.model import ModelMonitor
from flask_boxkite.naming import RARE
from flask_boxkite.records import Records, SegmentReport
from flask_boxkite.values.ids import IdMaker
from tests.records.archives import record, write

BEGIN = datetime(2026, 3, 1, 9, 0, 3, tzinfo=timezone.utc).timestamp()
CITIES, COUNTRIES = ("Oslo", "Rome", "Bonn"), ("NO", "IT", "DE", "FI")

Row = dict[str, Any]


def drawn(rng: np.random.Generator, rows: int, *, moved: str = "") -> list[Row]:
    """Return rows, of which the ones of one country have a larger age."""
    columns = {
        "age": rng.normal(40, 10, rows),
        "city": rng.choice(CITIES, rows),
        "visits": rng.integers(0, 4, rows),
        "country": rng.choice(COUNTRIES, rows, p=(0.4, 0.3, 0.2, 0.1)),
        "score": rng.random(rows),
    }
    names = list(columns)
    found = [
        dict(zip(names, row, strict=True)) for row in zip(*(each.tolist() for each in columns.values()), strict=True)
    ]
    return [row | {"age": row["age"] + 30 * (row["country"] == moved)} for row in found]


def trained(*, as_feature: bool) -> Baseline:
    """Return a baseline with segments by a text, by an output, and by a country, which may be no feature."""
    rows = drawn(np.random.default_rng(1), 3000)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    output = columns.pop("score")
    exclude = [] if as_feature else ["country"]
    segments = ["country", "city", "visits", "output"]
    return build_baseline(columns, output, BaselineOptions.of(exclude=exclude), segments=segments, progress=False)


KNOWN, OBSERVED = trained(as_feature=True), trained(as_feature=False)


class Service:
    """A service that writes records, on a clock of the test's own."""

    def __init__(self, baseline: Baseline, directory: Path) -> None:
        self.now = BEGIN
        settings = Settings.from_mapping(
            {"BOXKITE_SINK": "file", "BOXKITE_LOG_DIR": str(directory), "BOXKITE_LOG_TTL_DAYS": 9999}
        )
        store = Store(None, lambda: self.now, lambda: self.now)
        self.monitor = AppMonitor(settings, "test", {None: baseline}, store=store, clock=lambda: self.now)
        self.model: ModelMonitor = self.monitor.model(None)
        self.model.new_id = IdMaker("test", lambda: int(self.now * 1_000_000_000))

    def log(self, features: Any, output: Any, **options: Any) -> None:
        """Log a prediction some seconds after the last."""
        self.now += 3.0
        self.model.log_prediction(features=features, output=output, **options)


@pytest.fixture
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    """Return a service of the baseline that the test names."""
    found = Service(getattr(request, "param", KNOWN), tmp_path)
    yield found
    found.monitor.recorders.close()


def same(live: SegmentReport, records: SegmentReport) -> SegmentReport:
    """Fail unless both say the same but for the name of their period; return one."""
    found, expected = records.to_dict(), live.to_dict()
    assert found.pop("window") != expected.pop("window")
    assert bool(found.pop("note")) == bool(expected.pop("note"))  # whose remedies differ
    assert expected.pop("together")  # of which records say nothing
    assert found == expected
    return live


def rows_of(rows: list[Row], *names: str) -> list[list[Any]]:
    """Return the features of some rows by position."""
    return [[row[name] for name in names or ("age", "city", "visits", "country")] for row in rows]


def one_by_one(service: Service, rows: list[Row]) -> None:
    for row in rows:
        service.log(rows_of([row])[0], row["score"])


def by_name(service: Service, rows: list[Row]) -> None:
    for row in rows:
        service.log({name: row[name] for name in ("country", "age", "visits", "city")}, {"output": row["score"]})


def batches_of_mixed_segments(service: Service, rows: list[Row]) -> None:
    for start in range(0, len(rows), 15):
        part = rows[start : start + 15]
        service.log(rows_of(part), [row["score"] for row in part])


def again_and_again(service: Service, rows: list[Row]) -> None:
    for number, row in enumerate(rows):
        for _ in range(4 if number % 10 == 0 else 1):
            service.log(rows_of([row])[0], row["score"])


def gaps(service: Service, rows: list[Row]) -> None:
    """Values that are missing, invalid or new, outputs that are missing or of other rows, features of none."""
    for number, row in enumerate(rows):
        row = row | ({"country": (None, "Atlantis", float("nan"))[number % 3]} if number % 4 == 0 else {})
        row = row | ({"age": (None, "text", float("inf"))[number % 3]} if number % 5 == 0 else {})
        features: Any = rows_of([row])[0]
        output = None if number % 7 == 0 else row["score"]
        if number % 13 == 0:
            features = [features, rows_of(rows[:1])[0]]
            output = [output, 0.5] if number % 2 else [0.5] * 3
        if number % 17 == 0:
            features = None if number % 2 else [1.0]
        if number % 19 == 0:
            features, output = None, None
        if number % 23 == 0:
            features, output = [[1.0]] * 3, None if number % 2 else [0.5] * 3
        service.log(features, output)
    service.log([], [])


TRAFFIC = (one_by_one, by_name, batches_of_mixed_segments, again_and_again, gaps)


@pytest.mark.parametrize("traffic", TRAFFIC)
def test_records_give_the_numbers_of_the_server(
    service: Service, tmp_path: Path, traffic: Callable[[Service, list[Row]], None]
) -> None:
    rng = np.random.default_rng(2)
    traffic(service, drawn(rng, 700))
    traffic(service, drawn(rng, 300, moved="IT"))
    service.now += 1.0
    service.monitor.recorders.flush(30.0)
    records = Records(tmp_path, end=datetime.fromtimestamp(service.now, timezone.utc))

    for by in ("country", "city", "visits", "output"):
        report = same(service.model.drift(by=by), records.drift(KNOWN, by=by))
        assert len(report.segments) >= 3
        if by == "country":
            assert report["IT"].report["age"].verdict == "major"
            assert "DE" not in {segment.name for segment in report.drifted}
            assert (RARE in {segment.name for segment in report}) == (traffic is gaps)


@pytest.mark.parametrize("service", [OBSERVED], indirect=True)
@pytest.mark.parametrize("kind", ["observed", "with the row", "in batches", "now and then"])
def test_a_column_that_is_no_feature_is_in_records(service: Service, tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(3)
    rows = drawn(rng, 500) + drawn(rng, 400, moved="DE")
    names = ("age", "city", "visits")
    for start in range(0, len(rows), 10):
        part = rows[start : start + 10]
        if kind == "in batches":
            countries = [row["country"] for row in part]
            service.log(rows_of(part, *names), [row["score"] for row in part], observed={"country": countries})
            continue
        for row in part:
            own = {name: row[name] for name in names}
            if kind == "with the row":
                service.log(own | {"country": row["country"]}, row["score"])
            elif kind == "observed" or start % 20:
                service.log(own, row["score"], observed={"country": row["country"]})
            else:
                service.log(own, row["score"])
    service.now += 1.0
    service.monitor.recorders.flush(30.0)
    records = Records(tmp_path, end=datetime.fromtimestamp(service.now, timezone.utc))

    for by in ("country", "output"):
        report = same(service.model.drift(by=by), records.drift(OBSERVED, by=by))
        if by == "country":
            assert "DE" in {segment.name for segment in report.drifted}
            assert sum(segment.rows for segment in report) == len(rows)


def test_two_processes_and_their_records_have_the_same_rows(tmp_path: Path) -> None:
    """Each child counts for itself; who asks sums up what both left."""
    service = ModelMonitoringService(
        KNOWN, sink="file", log_dir=str(tmp_path / "records"), state_dir=str(tmp_path / "state")
    )
    children = []
    for seed in range(2):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                signal.alarm(60)
                rows = drawn(np.random.default_rng(seed), 400)
                for row in rows[:200]:
                    service.log_prediction(features=rows_of([row])[0], output=row["score"])
                service.log_prediction(features=rows_of(rows[200:]), output=[row["score"] for row in rows[200:]])
                service.close()
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]

    for by in ("country", "output"):
        live, found = service.drift(by=by), Records(tmp_path / "records").drift(KNOWN, by=by)
        expected = [row["country"] for seed in range(2) for row in drawn(np.random.default_rng(seed), 400)]
        if by == "country":
            assert {segment.name: segment.rows for segment in live} == {
                name: expected.count(name) for name in COUNTRIES
            }
        # Of when rows came, records know the second: all else is the same.
        assert [_counts(row) for row in found.to_rows()] == [_counts(row) for row in live.to_rows()]
        assert {row["verdict"] for row in live.to_rows()} <= {"stable", "not enough data"}
    service.close()


def _counts(row: dict[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ("segment", "segment_rows", "name", "verdict", "live_rows", "baseline_rows")}


def test_an_earlier_period_takes_the_place_of_training(service: Service, tmp_path: Path) -> None:
    """Then segments are the values, as for a baseline without segments."""
    rng = np.random.default_rng(5)
    one_by_one(service, drawn(rng, 400))
    middle = datetime.fromtimestamp(service.now + 1.0, timezone.utc)
    one_by_one(service, drawn(rng, 400, moved="IT"))
    service.monitor.recorders.flush(30.0)
    earlier = Records(tmp_path, end=middle)
    report = Records(tmp_path, start=middle).drift(KNOWN, by="country", against=earlier)

    assert report.against is not None
    assert report["IT"].report["age"].verdict == "major"
    assert sum(report["IT"].report["age"].before) < 200  # rows, and not the ones of training


def test_a_segment_of_which_nothing_came_has_no_rows(tmp_path: Path) -> None:
    at = "2026-03-01T09:00:30"
    write(tmp_path, *(record([30.0, "Oslo", 1, "NO"], at, output=0.5, model="default") for _ in range(3)))
    report = Records(tmp_path).drift(KNOWN, by="country")

    assert {segment.name: segment.rows for segment in report} == {"NO": 3, "IT": 0, "DE": 0, "FI": 0}
    assert {segment.verdict for segment in report} == {"not enough data"}


@pytest.mark.parametrize("name", ["score", "model", "version", "status", "Model"])
def test_segments_by_a_variable_are_meant_where_an_output_or_a_field_has_its_name(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(2)
    kinds = rng.choice(["a", "b"], 600).tolist()
    data = {name: kinds, "x": rng.normal(np.where(np.array(kinds) == "a", 3, 0))}
    output = {"score" if name == "score" else "y": rng.random(600)}
    known = ModelMonitoringService.export_text(data, output, tmp_path / "b.prom", segments=[name])
    service = ModelMonitoringService(known, log_dir=tmp_path / "records")
    for kind, x in zip(kinds[:200], data["x"].tolist(), strict=False):
        service.log_prediction(features={name: kind, "x": x}, output=0.5)
    service.flush()
    live, recorded = service.drift(by=name), Records(tmp_path / "records").drift(known, by=name)
    service.close()
    assert [(each.name, each.rows) for each in recorded] == [(each.name, each.rows) for each in live]
    found, expected = recorded["a"].report["x"], live["a"].report["x"]
    assert (found.before, found.now, found.verdict) == (expected.before, expected.now, expected.verdict)
    assert found.verdict == "stable"


@pytest.mark.parametrize("by", ["country", "output"])
def test_the_only_variable_tells_the_rows_of_its_segments(tmp_path: Path, by: str) -> None:
    """There is no other variable to judge."""
    rows = drawn(np.random.default_rng(2), 400)
    features = {"country": [row["country"] for row in rows]} if by == "country" else {}
    output = None if features else [row["country"] for row in rows]
    service = Service(build_baseline(features, output, segments=[by], progress=False), tmp_path)
    for row in rows:
        service.log(*({"country": row["country"]}, None) if features else (None, row["country"]))
    service.monitor.recorders.close()

    expected = Counter(row["country"] for row in rows)
    for report in (service.model.drift(by=by), Records(tmp_path).drift(service.model.baseline, by=by)):
        assert {segment.name: segment.rows for segment in report} == expected


# --- a new baseline ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", [KNOWN, OBSERVED], indirect=True, ids=["feature", "observed"])
def test_a_new_baseline_keeps_the_segments_of_the_known_one(service: Service, tmp_path: Path) -> None:
    """With the rows of the records: the same as of an export of them."""
    rows = drawn(np.random.default_rng(2), 400)
    is_feature = not service.model.baseline.derived
    for row in rows:
        own = {name: row[name] for name in ("age", "city", "visits", *["country"] * is_feature)}
        service.log(own, row["score"], observed=None if is_feature else {"country": row["country"]})
    service.monitor.recorders.flush(30.0)
    records = Records(tmp_path)

    made = records.to_baseline(None, service.model.baseline)
    columns = {name: [row[name] for row in rows] for name in ("age", "city", "visits", "country")}
    expected = build_baseline(
        columns,
        [row["score"] for row in rows],
        BaselineOptions.of(exclude=[] if is_feature else ["country"], discrete=["city", "visits", "country"]),
        segments=service.model.baseline.segmented_by,
        progress=False,
    )
    assert made.segmented_by == expected.segmented_by == ("city", "visits", "country", "output")
    assert made.segmentations == expected.segmentations
    assert {item.verdict for segment in records.drift(made, by="country") for item in segment.report} <= {
        "stable",
        "not enough data",
    }


def test_a_new_baseline_has_the_segments_that_one_names(service: Service, tmp_path: Path) -> None:
    by_name(service, drawn(np.random.default_rng(2), 100))
    service.monitor.recorders.flush(30.0)
    records = Records(tmp_path)

    assert records.to_baseline(None, KNOWN, segments=["age"]).segmented_by == ("age",)
    assert records.to_baseline(None, KNOWN, segments=()).segmented_by == ()
    assert records.to_baseline(None, KNOWN, exclude=["city"]).segmented_by == ("visits", "country", "output")
    assert records.to_baseline(segments=["city"]).segmented_by == ("city",)


def test_a_report_says_which_rows_segments_are_compared_with(service: Service, tmp_path: Path) -> None:
    by_name(service, drawn(np.random.default_rng(2), 100))
    service.monitor.recorders.flush(30.0)
    records = Records(tmp_path)

    for report, reference in (
        (records.drift(KNOWN, by="city"), "segment"),
        (records.drift(KNOWN, by="city", against=records), "segment"),
        (records.drift(KNOWN, by="age"), "all rows"),
    ):
        assert report.reference == report.to_dict()["reference"] == reference
        assert ("against all rows of training" in " ".join(str(report).split())) == (reference == "all rows")
        assert ("against all rows of training" in report.to_markdown()) == (reference == "all rows")
