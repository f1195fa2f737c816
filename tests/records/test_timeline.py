"""Timelines of records equal the timelines of the live counts of the same requests, stretch by stretch."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_boxkite import Baseline
from flask_boxkite.baseline.pairs import Pair
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.config import Settings
from flask_boxkite.drift.timeline import DAY, Timeline
from flask_boxkite.live.store import Store
from flask_boxkite.monitoring.app import AppMonitor
from flask_boxkite.monitoring.observation import Observation
from flask_boxkite.records import Records
from flask_boxkite.records.counting import RecordCounter
from flask_boxkite.records.decoding import Record, decoder
from tests.records.archives import record, write

BEGIN = int(datetime(2026, 3, 1, 9, 0, 3, tzinfo=timezone.utc).timestamp())


@dataclass
class Sent:
    """One request.

    Attributes:
        at: When, in Unix seconds.
        features: What it asked.
        output: What it was answered.
        rows: How many rows.
        status: What became of it.
    """

    at: int
    features: Any
    output: Any
    rows: int = 1
    status: str = "ok"

    def record(self) -> dict[str, Any]:
        """Return its record."""
        moment = datetime.fromtimestamp(self.at, timezone.utc)
        at = f"{moment:%Y-%m-%dT%H:%M:%S}"
        return record(self.features, at, output=self.output, rows=self.rows, status=self.status, model="default")


def baseline() -> Baseline:
    """Train on numbers, of which many are different, texts and integers; watch each two of them as a pair."""
    rng = np.random.default_rng(5)
    features = {"x": rng.normal(size=1000), "n": rng.integers(0, 3, 1000), "t": rng.choice(["a", "b", "c"], 1000)}
    known = build_baseline(features, rng.random(1000), model="default")
    pairs = [Pair(first, second, (60, *[63] * 14, 58)) for second in range(4) for first in range(second)]
    return replace(known, pairs=tuple(pairs))


KNOWN = baseline()
OUTPUTS_ONLY = Baseline((), KNOWN.features[:1], 1000, row_collisions=0.0)


def live(known: Baseline, requests: Sequence[Sent], end: int, window: str | None = None) -> Observation:
    """Return what a service says that served the requests, and ended then."""
    clock = [float(BEGIN)]
    store = Store(None, lambda: clock[0] - 1_234_567.25, lambda: clock[0])
    settings = Settings.from_mapping({"BOXKITE_SINK": "none"})
    service = AppMonitor(settings, "test", {None: known}, store=store).model(None)
    for request in requests:
        clock[0] = float(request.at)
        if request.status == "ok":
            service.log_prediction(features=request.features, output=request.output)
    clock[0] = float(end)
    return service.observe(window)


def decoded(known: Baseline, requests: Sequence[Sent]) -> list[Record]:
    """Return the requests' records as they are read."""
    decode = decoder([item.name for item in known.features]).one
    return [decode(json.dumps(request.record()).encode()) for request in requests]


def counter_of(known: Baseline, requests: Sequence[Sent], end: float, chunk: int = 1000) -> RecordCounter:
    """Return a counter that was given the requests' records, so many at a time."""
    counter = RecordCounter(known, end)
    records = decoded(known, requests)
    for start in range(0, len(records), chunk):
        counter.add(records[start : start + chunk])
    return counter


def same(found: Timeline | None, expected: Timeline | None) -> None:
    """Fail unless two timelines have the same counts at the same times."""
    assert found is not None
    assert expected is not None
    assert found.now == expected.now
    assert len(found) == len(expected)
    # When the first one began is not told if that was more than a day ago.
    is_old = expected.starts < expected.now - DAY
    assert found.starts[~is_old].tolist() == expected.starts[~is_old].tolist()
    assert (found.starts[is_old] < found.now - DAY).all()
    assert found.groups.tolist() == expected.groups.tolist()
    assert found.rows is not None
    assert expected.rows is not None
    assert found.rows.buckets.tolist() == expected.rows.buckets.tolist()
    assert found.rows.squares.tolist() == expected.rows.squares.tolist()
    assert (found.pairs is None) == (expected.pairs is None)
    if found.pairs is not None and expected.pairs is not None:
        assert found.pairs.tolist() == expected.pairs.tolist()


# --- stretch by stretch ----------------------------------------------------------------------------------------------

GAPS = st.sampled_from([0, 0, 1, 2, 7, 10, 31, 59, 60, 299, 300, 601, 900, 3000, 3600, 20_000, 86_400]) | st.integers(
    0, 4000
)
VALUES = st.tuples(
    st.floats(-3, 3).map(lambda value: round(value, 2)) | st.none() | st.integers(-2, 2) | st.just("0.5"),
    st.integers(0, 3) | st.just(None),
    st.sampled_from(["a", "b", "new", None]),
).map(list)
BY_NAME = VALUES.map(lambda row: {"t": row[2], "x": row[0], "n": row[1]})
ONE_ROW = (VALUES | BY_NAME | st.just({"x": 1.5}) | st.just({"unknown": 1}) | st.just([1, 2])).map(
    lambda row: (row, 0.25, 1)
)
BATCHES = st.integers(2, 15).flatmap(
    lambda n: st.tuples(
        st.lists(VALUES, min_size=n, max_size=n)
        | st.lists(BY_NAME, min_size=n, max_size=n)
        | st.just([[1, 2]] * n)
        | st.just([{"unknown": 1}] * n),
        st.just([0.5] * n),
        st.just(n),
    )
)
REQUESTS = st.lists(
    st.tuples(GAPS, ONE_ROW | BATCHES, st.sampled_from(["ok"] * 9 + ["error"])), min_size=1, max_size=40
)


def sent(drawn: list[tuple[int, tuple[Any, Any, int], str]]) -> list[Sent]:
    """Return the requests, one after the other."""
    at, requests = BEGIN, []
    for gap, (features, output, rows), status in drawn:
        at += gap
        requests.append(Sent(at, features, output, rows, status))
    return requests


@settings(max_examples=150)
@given(drawn=REQUESTS, after=GAPS, chunk=st.sampled_from([1, 3, 1000]), turned=st.booleans())
def test_records_have_the_timeline_of_the_live_counts(
    drawn: list[tuple[int, tuple[Any, Any, int], str]], after: int, chunk: int, turned: bool
) -> None:
    """However many are read at a time, and in whatever order."""
    requests = sent(drawn)
    end = requests[-1].at + after
    answered = [request for request in requests if request.status == "ok"]
    counter = counter_of(KNOWN, requests[::-1] if turned else requests, end, chunk)
    if answered:
        same(counter.segments[""].timeline(end), live(KNOWN, requests, end).timeline)
        assert counter.segments[""].rows == sum(request.rows for request in answered)
        assert counter.segments[""].last == answered[-1].at
    else:
        assert not any(counts.slots for counts in counter.segments.values())


@pytest.mark.parametrize("size", [1, 7, 12, 50])
@pytest.mark.parametrize("form", ["lists", "objects"])
def test_rows_of_any_number_at_a_time_have_one_timeline(size: int, form: str) -> None:
    """For two hours and a half, every few seconds."""
    rng = np.random.default_rng(size)
    requests = []
    for number in range(1500):
        rows: list[Any] = [
            [round(float(rng.normal()), 1), int(rng.integers(0, 3)), "abc"[number % 3]] for _ in range(size)
        ]
        if form == "objects":
            rows = [dict(zip(("x", "n", "t"), row, strict=True)) for row in rows]
        output = [0.5] * size
        requests.append(Sent(BEGIN + 6 * number, rows if size > 1 else rows[0], output if size > 1 else 0.5, size))
    end = requests[-1].at + 4
    found = counter_of(KNOWN, requests, end, 100).segments[""].timeline(end)

    same(found, live(KNOWN, requests, end).timeline)
    assert found is not None
    assert len(found) == 30 + 55 + 6


def test_models_without_features_have_their_outputs_counted_by_row() -> None:
    rng = np.random.default_rng(1)
    requests = [Sent(BEGIN + 9 * n, {"a": n}, float(round(rng.normal(), 1))) for n in range(300)]
    requests += [Sent(BEGIN + 3000, [[1], [2], [3]], [0.5, 0.5, None], 3)]
    end = BEGIN + 3001

    same(counter_of(OUTPUTS_ONLY, requests, end).segments[""].timeline(end), live(OUTPUTS_ONLY, requests, end).timeline)


def test_without_an_end_the_last_row_is_the_end() -> None:
    requests = [Sent(BEGIN, [0.5, 1, "a"], 0.5), Sent(BEGIN + 100, [0.5, 1, "a"], 0.5)]
    found = counter_of(KNOWN, requests, BEGIN + 120).segments[""].timeline(math.inf)

    same(found, live(KNOWN, requests, BEGIN + 101).timeline)


def test_nothing_has_no_timeline() -> None:
    assert counter_of(KNOWN, [], BEGIN).segments == {}


# --- segments --------------------------------------------------------------------------------------------------------


@settings(max_examples=80)
@given(
    batches=st.lists(st.tuples(GAPS, st.lists(VALUES, min_size=1, max_size=15)), min_size=1, max_size=30),
    chunk=st.sampled_from([1, 3, 1000]),
    turned=st.booleans(),
)
def test_each_segment_has_the_timeline_of_its_own_rows(
    batches: list[tuple[int, list[list[Any]]]], chunk: int, turned: bool
) -> None:
    """As if these, in as many requests as they came in, were all that was sent."""
    at, requests = BEGIN, []
    own: defaultdict[str, list[Sent]] = defaultdict(list)
    for gap, rows in batches:
        at += gap
        requests.append(request_of(at, rows))
        by_text: defaultdict[str, list[list[Any]]] = defaultdict(list)
        for row in rows:
            by_text[str(row[2])].append(row)
        for name, together in by_text.items():
            own[name].append(request_of(at, together))
    counter = RecordCounter(KNOWN, at + 1, segment_of=lambda record, row, output: str(row and row[2]))
    records = decoded(KNOWN, requests[::-1] if turned else requests)
    for start in range(0, len(records), chunk):
        counter.add(records[start : start + chunk])

    assert counter.segments.keys() == own.keys()
    for name, counts in counter.segments.items():
        expected = live(KNOWN, own[name], at + 1).timeline
        assert expected is not None
        same(counts.timeline(at + 1), replace(expected, pairs=None))  # pairs are of all rows alone


def request_of(at: int, rows: list[list[Any]]) -> Sent:
    """Return a request of one row or several."""
    if len(rows) == 1:
        return Sent(at, rows[0], 0.5)
    return Sent(at, rows, [0.5] * len(rows), len(rows))


def test_segments_are_seen_at_the_same_time(tmp_path: Path) -> None:
    """One of which nothing came in the last days has no last minutes."""
    rng = np.random.default_rng(2)

    def row(country: str) -> list[Any]:
        return [float(rng.normal(4 if country == "a" else 0)), int(rng.integers(0, 3)), country]

    requests = [Sent(BEGIN + number, row("a"), 0.5) for number in range(60)]
    requests += [Sent(BEGIN + 2 * 86_400 + number, row("b"), 0.5) for number in range(60)]
    for request in requests:
        write(tmp_path / "records", request.record())
    report = Records(tmp_path / "records").drift(KNOWN, by="t")
    found = report["a"].report["x"]

    assert (found.verdict, found.rows, found.since) == ("major", 60, None)


# --- verdicts --------------------------------------------------------------------------------------------------------


def traffic(kind: str) -> list[Sent]:
    """Return five hours of requests; in the last forty minutes a feature has moved."""
    rng = np.random.default_rng(3)
    requests = []
    for number in range(1800):
        at = BEGIN + 10 * number
        moved = 3.0 if at > BEGIN + 15_600 else 0.0
        size = {"one by one": 1, "batches": 15, "now and then a batch": 40 if number % 50 == 0 else 1}.get(kind, 1)
        rows: list[Any] = [
            [float(rng.normal(moved)), int(rng.integers(0, 3)), str(rng.choice(["a", "b", "c"]))] for _ in range(size)
        ]
        for _ in range(8 if kind == "repeats" and number % 10 == 0 else 1):
            requests.append(Sent(at, rows if size > 1 else rows[0], [0.5] * size if size > 1 else 0.5, size))
    return requests


@pytest.mark.parametrize("kind", ["one by one", "batches", "now and then a batch", "repeats"])
@pytest.mark.parametrize("after", [1, 1000, 100_000])
def test_records_give_the_verdicts_of_the_server(tmp_path: Path, kind: str, after: int) -> None:
    requests = traffic(kind)
    end = requests[-1].at + after
    expected = live(KNOWN, requests, end).report
    by_minute: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for request in requests:
        by_minute[request.at // 60].append(request.record())
    for lines in by_minute.values():
        write(tmp_path / "records", *lines)
    records = Records(tmp_path / "records", end=datetime.fromtimestamp(end, timezone.utc))
    found = records.drift(KNOWN)

    assert expected is not None
    assert found.to_rows() == expected.to_rows()
    assert [pair.to_row() for pair in found.pairs] == [pair.to_row() for pair in expected.pairs]
    assert len(found.pairs) == len(KNOWN.pairs)
    if after < 10_000:
        assert found["x"].verdict in ("drifted", "major")
    assert (found["n"].verdict, found["t"].verdict) == ("stable", "stable")
