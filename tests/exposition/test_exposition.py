"""A scrape gets valid text in either format, which adds up and has each family once."""

from __future__ import annotations

import random
import statistics
import struct
import sys
import threading
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import count, pairwise, permutations
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families
from scipy import stats

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.baseline import Continuous, Discrete, Distribution
from flask_boxkite.exposition import ExportedModel, Exposition, ExpositionCollector
from flask_boxkite.live.counting import VariableCounter
from flask_boxkite.live.counts import Counts
from flask_boxkite.live.increments import Increments
from flask_boxkite.live.model_cells import DURATION_BOUNDS, ModelCells
from flask_boxkite.live.reading import Reading
from flask_boxkite.live.snapshot_ring import RingFile, _OpenFile
from flask_boxkite.live.store import Store
from flask_boxkite.naming import CAPTURE_REASONS, DROP_REASONS, STATUSES, canonical_number
from flask_boxkite.payloads import Table
from flask_boxkite.testing import RecordingSink
from flask_boxkite.values.rowhash import bucket_of
from tests.baseline.strategies import baselines
from tests.live.directories import same_directory
from tests.peers import wait_for

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
AGE = Continuous("age", (0.0, 10.0, 20.0, 30.0), (0, 5, 7, 3, 0), (0.0, 20.0, 30.0), missing=2, invalid=4)
CITY = Discrete("city", ("Bonn", "Ulm"), (12, 7), rare=2)
SCORE = Continuous("output", (0.25, 0.5), (3, 4, 5), (0.25, 0.5))
BASELINE = Baseline((AGE, CITY), (SCORE,), 21, "churn", "v1", 1_700_000_000)

Labels = tuple[tuple[str, str], ...]


class Model:
    """A model with live counts that a test can raise."""

    def __init__(self, baseline: Baseline | None, name: str = "churn", store: Store | None = None) -> None:
        self.layout = layout = ModelCells.of(baseline)
        self.exported = ExportedModel(name, baseline, 1e-5)
        self.store = store or Store(None)
        self.counts = Counts(self.store, self.exported.section)
        buckets = layout.buckets_start if layout.features else None
        self.features = VariableCounter(layout.features, 0, layout.size, buckets=buckets)
        self.outputs = VariableCounter(layout.outputs, layout.outputs_start, layout.size, sums=0)

    def count(self, features: list[list[Any]], outputs: list[list[Any]]) -> None:
        """Count rows as one request with answered predictions."""
        for counter, rows in ((self.features, features), (self.outputs, outputs)):
            if rows:
                self.counts.add(counter.count(Table(None, rows)))
        self.raise_cell(self.layout.statuses_start, len(features))
        self.raise_cell(self.layout.squares, len(features) ** 2)

    def raise_cell(self, cell: int, number: int = 1) -> None:
        """Raise one cell."""
        increments = Increments([])
        increments.amounts.append((cell, number))
        self.counts.add(increments)


def exposition(*models: Model, **options: Any) -> Exposition:
    return Exposition(lambda: [model.exported for model in models], models[0].store, alpha=1e-5, **options)


def export(source: Exposition, accept: str | None = None, names: Collection[str] | None = None) -> str:
    """Return our own part of the answer."""
    return source.export(accept, names, with_app=False)[0].decode()


def parsed(text: str, *, openmetrics: bool = False) -> list[Metric]:
    """Parse an answer; each family must stand in it once, and each series once."""
    found = list((openmetrics_families if openmetrics else text_families)(text))
    names = [metric.name for metric in found]
    assert len(names) == len(set(names)), names
    series = [(sample.name, tuple(sorted(sample.labels.items()))) for metric in found for sample in metric.samples]
    assert len(series) == len(set(series))
    return found


def values(text: str, name: str, *labels: str, openmetrics: bool = False) -> dict[Any, float]:
    """Return the values of all series of one name, by some of their labels."""
    return {
        tuple(sample.labels[label] for label in labels) if len(labels) != 1 else sample.labels[labels[0]]: sample.value
        for metric in parsed(text, openmetrics=openmetrics)
        for sample in metric.samples
        if sample.name == name
    }


ROWS: list[list[Any]] = [
    [5.0, "Bonn"],
    [15.0, "Ulm"],
    [15.0, "Rome"],
    [-1, "Bonn"],
    [99, None],
    [None, "Bonn"],
    ["x", []],
]
SCORES: list[list[Any]] = [[0.25], [0.3], [-0.5], [0.75], [0.1], [None], ["x"]]


@pytest.fixture
def model() -> Model:
    found = Model(BASELINE)
    found.count(ROWS, SCORES)
    return found


# --- both formats ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("openmetrics", [False, True], ids=["text", "OpenMetrics"])
@settings(max_examples=50)
@given(baseline=baselines().filter(lambda baseline: "\r" not in repr(baseline)))
def test_any_baseline_gives_text_that_parses(openmetrics: bool, baseline: Baseline) -> None:
    text = export(exposition(Model(baseline, "m")), OPENMETRICS if openmetrics else None)
    trained = values(text, "boxkite_feature_group_baseline_total", "feature", "group", openmetrics=openmetrics)
    live = values(text, "boxkite_feature_group_total", "feature", "group", openmetrics=openmetrics)

    assert trained == {
        (item.name, group.name): sum(item.cells[group.start : group.stop])
        for item in baseline.features
        for group in item.groups
    }
    assert live == dict.fromkeys(trained, 0)


def test_the_accept_header_chooses_the_format(model: Model) -> None:
    source = exposition(model)

    assert source.export(None)[1].startswith("text/plain; version=0.0.4")
    assert source.export("text/html, */*")[1].startswith("text/plain; version=0.0.4")
    text, content_type = source.export(OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith(b"\n# EOF\n")
    assert text.count(b"# EOF") == 1


def test_buckets_are_cumulative_and_end_in_the_count(model: Model) -> None:
    text = export(exposition(model))

    assert values(text, "boxkite_feature_value_bucket", "le") == {"0.0": 1, "10.0": 2, "20.0": 4, "30.0": 4, "+Inf": 5}
    assert values(text, "boxkite_feature_value_count", "feature") == {"age": 5}
    assert values(text, "boxkite_feature_value_baseline_bucket", "le") == {
        "0.0": 0, "10.0": 5, "20.0": 12, "30.0": 15, "+Inf": 15
    }  # fmt: skip
    assert values(text, "boxkite_feature_value_baseline_count", "feature") == {"age": 15}
    assert "_value_sum" not in text


def test_openmetrics_has_no_count_without_a_sum(model: Model) -> None:
    text = export(exposition(model), OPENMETRICS)

    assert values(text, "boxkite_feature_value_bucket", "le", openmetrics=True)["+Inf"] == 5
    assert "boxkite_feature_value_count" not in text
    assert "boxkite_inference_value_baseline_count" not in text
    assert "boxkite_prediction_duration_seconds_count" in text


@pytest.mark.parametrize("accept", [None, OPENMETRICS], ids=["text", "OpenMetrics"])
def test_groups_add_up_to_all_rows(model: Model, accept: str | None) -> None:
    text = export(exposition(model), accept)
    age = {"__below__": 1, "(0.0,20.0]": 3, "(20.0,30.0]": 0, "__above__": 1, "__missing__": 1, "__invalid__": 1}
    # Training dropped rare cities, so Rome may be one of them.
    city = {"Bonn": 3, "Ulm": 1, "__rare__": 1, "__unseen__": 0, "__missing__": 1, "__invalid__": 1}
    expected = {("age", group): count for group, count in age.items()}
    expected |= {("city", group): count for group, count in city.items()}
    found = values(text, "boxkite_feature_group_total", "feature", "group", openmetrics=accept is not None)

    assert found == expected
    assert sum(age.values()) == sum(city.values()) == len(ROWS)


def test_categories_and_sums(model: Model) -> None:
    text = export(exposition(model))

    assert values(text, "boxkite_feature_category_total", "feature", "category") == {
        ("city", "Bonn"): 3, ("city", "Ulm"): 1, ("city", "__rare__"): 1, ("city", "__unseen__"): 0
    }  # fmt: skip
    assert values(text, "boxkite_inference_sum_total", "output", "sign") == {
        ("output", "positive"): 0.25 + 0.3 + 0.75 + 0.1,
        ("output", "negative"): 0.5,
    }


def test_what_is_said_of_the_baseline(model: Model) -> None:
    text = export(exposition(model))
    about = values(text, "boxkite_baseline_info", "model", "baseline", "version", "created")
    kinds = values(text, "boxkite_feature_info", "feature", "position", "kind")
    limits = values(text, "boxkite_feature_drift_limit", "feature") | values(
        text, "boxkite_inference_drift_limit", "output"
    )

    assert about == {("churn", BASELINE.fingerprint, "v1", "2023-11-14T22:13:20Z"): 21}
    assert kinds == {("age", "0", "continuous"): 1, ("city", "1", "discrete"): 1}
    assert values(text, "boxkite_inference_info", "output", "position", "kind") == {("output", "0", "continuous"): 1}
    assert values(text, "boxkite_drift_significance", "model") == {"churn": 1e-5 / 3}
    # Six groups each of age and city, of which city has no invalid training rows; output neither.
    degrees = {"age": 5, "city": 4, "output": 3}
    assert limits == {name: pytest.approx(stats.chi2.isf(1e-5 / 3, number)) for name, number in degrees.items()}


@pytest.mark.parametrize(("collisions", "expected"), [(None, {}), (0.0, {"churn": 0.0}), (1 / 3, {"churn": 1 / 3})])
def test_how_often_rows_of_training_are_equal_is_said_where_it_is_known(
    collisions: float | None, expected: dict[str, float]
) -> None:
    text = export(exposition(Model(replace(BASELINE, row_collisions=collisions)), with_baseline=False))
    assert values(text, "boxkite_baseline_row_collisions", "model") == expected


def test_model_and_baseline_are_on_every_series_of_a_model(model: Model) -> None:
    for metric in parsed(export(exposition(model))):
        if metric.name == "boxkite_state_files":  # files hold counts of all models
            continue
        for sample in metric.samples:
            assert (sample.labels["model"], sample.labels["baseline"]) == ("churn", BASELINE.fingerprint)


def test_all_series_exist_from_the_start_at_zero() -> None:
    """Else Prometheus' increase() would lose what comes first."""
    model = Model(BASELINE)
    source = exposition(model)
    first = {(name, labels) for name, labels, _ in series(export(source))}
    zeros = [value for name, _, value in series(export(source)) if "baseline" not in name and name.endswith("_total")]
    model.count(ROWS, SCORES)
    for cell in range(model.layout.statuses_start, model.layout.size):
        model.raise_cell(cell)

    assert {(name, labels) for name, labels, _ in series(export(source))} == first
    assert set(zeros) == {0}
    text = export(source)
    assert set(values(text, "boxkite_predictions_total", "status")) == set(STATUSES)
    assert set(values(text, "boxkite_capture_errors_total", "reason")) == set(CAPTURE_REASONS)
    durations = values(text, "boxkite_prediction_duration_seconds_bucket", "le")
    assert list(durations) == [*map(canonical_number, DURATION_BOUNDS), "+Inf"]
    assert list(durations.values()) == list(range(1, len(DURATION_BOUNDS) + 2))


def series(text: str) -> Iterator[tuple[str, Labels, float]]:
    """Yield name, labels and value of all series."""
    for metric in parsed(text):
        for sample in metric.samples:
            yield sample.name, tuple(sorted(sample.labels.items())), sample.value


def test_without_a_baseline_requests_are_counted() -> None:
    text = export(exposition(Model(None, "plain")))

    assert {metric.name for metric in parsed(text)} == {
        "boxkite_predictions",
        "boxkite_capture_errors",
        "boxkite_prediction_duration_seconds",
        "boxkite_state_files",
    }
    of_models = [labels for name, labels, _ in series(text) if not name.startswith("boxkite_state_files")]
    assert {labels for labels in of_models if ("baseline", "none") not in labels} == set()


# --- dispersion ------------------------------------------------------------------------------------------------------

DISTINCT = replace(BASELINE, row_collisions=0.0)
"""Rows of training were all different, so rows that are equal have come again."""

REACHES = {"5m": 300, "1h": 3600, "24h": 86400}
DEGREES = {"age": 5, "city": 4, "output": 3}
TRAINED = {
    "age": {"low": 12, "high": 3, "missing": 2, "invalid": 4},
    "city": {"Bonn": 12, "Ulm": 7, "rare": 2},
    "output": {"low": 3, "middle": 4, "high": 5},
}
QUIET = {(window, name): 1.0 for window in REACHES for name in DEGREES}

Row = tuple[float, str, float]
"""Age, city and output."""

Requests = list[tuple[float, list[Row]]]
"""When each request came, and its rows."""


class Clock:
    """The time, on both clocks, that moves when told to."""

    def __init__(self) -> None:
        self.now = 900_000.0

    def __call__(self) -> float:
        return self.now


def group_of(name: str, row: Row) -> str:
    """Return the group of a variable that a row is in, which all have values within bounds."""
    age, city, output = row
    if name == "age":
        return "low" if age <= 20 else "high"
    return city if name == "city" else "low" if output <= 0.25 else "middle" if output <= 0.5 else "high"


def serve(model: Model, clock: Clock, requests: Requests) -> None:
    """Send requests; the clock ends with the last of them."""
    for at, rows in requests:
        clock.now = at
        model.count([[age, city] for age, city, _ in rows], [[output] for *_, output in rows])


def dispersions(text: str, *, openmetrics: bool = False) -> dict[tuple[str, str], float]:
    """Return the gauges by window and variable."""
    return {
        key: value
        for side, thing in (("feature", "feature"), ("inference", "output"))
        for key, value in values(text, f"boxkite_{side}_dispersion", "window", thing, openmetrics=openmetrics).items()
    }


# Said once more in loops over rows: what gauges have to say.


def counts_of(name: str, rows: list[Row]) -> Counter[str]:
    return Counter(group_of(name, row) for row in rows)


def middle_shares(name: str, rows: list[Row]) -> dict[str, float]:
    """Return the mean of live and trained shares of the groups that are not empty on both sides."""
    live, trained = counts_of(name, rows), TRAINED[name]
    return {
        group: (live[group] / len(rows) + trained.get(group, 0) / sum(trained.values())) / 2
        for group in {*live, *trained}
    }


def repeats(rows: list[Row]) -> float:
    """Return how often rows recur, less the standard deviation of that."""
    buckets = Counter(bucket_of(struct.pack("<dQ", age, zlib.crc32(city.encode()))) for age, city, _ in rows)
    n = len(rows)
    return max((256 * sum(number**2 for number in buckets.values()) / n - n) / 255 * (1 - (2 / 255) ** 0.5), 1.0)


def repeats_within(parts: list[list[Row]]) -> float:
    """Return how often rows recur within parts, beyond how often they do so across them, pair by pair."""
    rows = [(number, age, city) for number, part in enumerate(parts) for age, city, _ in part]
    pairs = [(one[0] == other[0], one[1:] == other[1:]) for one, other in permutations(rows, 2)]
    within, across = ([equal for is_within, equal in pairs if is_within == wanted] for wanted in (True, False))
    excess = sum(within) / len(within) - sum(across) / len(across)
    return max(1 + excess * len(within) / len(rows), 1.0)


def difference_of_neighbours(name: str, slots: list[list[Row]]) -> float:
    """Return by how much more than chance the median pair of neighbours differs."""
    p = middle_shares(name, [row for rows in slots for row in rows])
    found = []
    for one, other in pairwise(slots):
        before, after = counts_of(name, one), counts_of(name, other)
        weight = len(one) * len(other) / (len(one) + len(other))
        found.append(sum((before[g] / len(one) - after[g] / len(other)) ** 2 / p[g] for g in p) * weight)
    k = len(p) - 1
    return max(statistics.median(found) / (k * (1 - 2 / (9 * k)) ** 3), 1.0)


def difference_of_parts(name: str, parts: list[list[Row]]) -> float:
    """Return the excess of the difference between parts over chance, raised by the quotient of F's limit and χ²'s."""
    rows = [row for part in parts for row in part]
    p, whole = middle_shares(name, rows), counts_of(name, rows)
    total = sum(
        (counts_of(name, part)[g] - len(part) * whole[g] / len(rows)) ** 2 / (len(part) * p[g])
        for part in parts
        for g in p
    )
    k, df = DEGREES[name], (len(p) - 1) * (len(parts) - 1)
    alpha = 1e-5 / len(DEGREES) / len(REACHES)
    return max(total / df, repeats_within(parts)) * k * stats.f.isf(alpha, k, df) / stats.chi2.isf(alpha, k)


def within(requests: Requests, now: float, window: str, slot: int = 60) -> dict[float, list[Row]]:
    """Return the rows in a window by the slot, of so many seconds, in which they came."""
    found: dict[float, list[Row]] = {}
    for at, rows in requests:
        if at >= now - REACHES[window]:
            found.setdefault(at // slot, []).extend(rows)
    return found


def different_rows(start: float) -> Requests:
    """Return ten minutes of requests with different rows, of one city each minute."""
    rng = random.Random(1)
    return [
        (start + 60 * minute, [(rng.uniform(0, 30), "Bonn" if minute % 3 else "Ulm", rng.uniform(0, 1))])
        for minute in range(10)
        for _ in range(4)
    ]


def equal_rows(start: float) -> Requests:
    """Return ten minutes of one row each, six times: two cities, and another output each minute."""
    return [
        (start + 60 * minute, [(5.0, "Bonn" if minute in (0, 1, 4, 5, 6) else "Ulm", minute / 10)] * 6)
        for minute in range(10)
    ]


@pytest.mark.parametrize("accept", [None, OPENMETRICS], ids=["text", "OpenMetrics"])
@pytest.mark.parametrize(
    "options", [{}, {"with_bins": False, "with_baseline": False}, {"names": "boxkite"}], ids=["all", "groups", "old"]
)
def test_where_rows_are_known_to_recur_dispersion_is_how_often(accept: str | None, options: dict[str, Any]) -> None:
    """Or by how much neighbouring minutes differ, if that is more. Each window has its own."""
    clock = Clock()
    model = Model(DISTINCT, store=Store(None, clock, clock))
    old = [(clock.now + 60 * number, [(number / 7, "Bonn", 0.3)] * 5) for number in range(1, 41)]
    requests = old + [one for one in different_rows(clock.now + 7200) for _ in range(2)]
    serve(model, clock, requests)
    found = dispersions(export(exposition(model, **options), accept), openmetrics=accept is not None)

    expected = {}
    for window in REACHES:
        slots = within(requests, clock.now, window)
        recurring = repeats([row for rows in slots.values() for row in rows])
        for name in DEGREES:
            # Minutes of the last hour, or else quarters of an hour.
            neighbours = (
                within(requests, clock.now, "24h", 900) if window == "24h" else within(requests, clock.now, "1h")
            )
            expected[window, name] = max(recurring, difference_of_neighbours(name, [*neighbours.values()]))
    assert found == pytest.approx(expected)
    assert found["24h", "age"] > found["1h", "age"] > 1.5
    assert found["1h", "city"] > found["1h", "output"] > found["1h", "age"]


def test_where_rows_are_not_known_to_recur_parts_of_the_window_say_it() -> None:
    """Six minutes make three parts, ten make four, of which the first is shorter."""
    clock = Clock()
    model = Model(BASELINE, store=Store(None, clock, clock))
    requests = equal_rows(clock.now)
    serve(model, clock, requests)
    found = dispersions(export(exposition(model)))

    expected = {}
    for window, cuts in (("5m", (0, 2, 4, 6)), ("1h", (0, 1, 4, 7, 10)), ("24h", (0, 1, 4, 7, 10))):
        slots = [*within(requests, clock.now, window).values()]
        parts = [[row for rows in slots[start:stop] for row in rows] for start, stop in pairwise(cuts)]
        for name in DEGREES:
            expected[window, name] = difference_of_parts(name, parts)
    assert found == pytest.approx(expected, rel=0.005)  # with one in 256 for rows that meet in a bucket
    assert found["1h", "city"] > found["1h", "age"]
    assert found["5m", "output"] != pytest.approx(found["1h", "output"])


@pytest.mark.parametrize(
    ("baseline", "requests", "expected"),
    [
        (DISTINCT, [[((n + 1) / 7, "Bonn", 0.3) for n in range(200)]], 200.0),
        (DISTINCT, [[((n + 1) / 7, "Bonn", 0.3)] for n in range(200)], None),
        (BASELINE, [[(5.0, "Bonn", 0.3)]] * 200, 200.0),
    ],
    ids=["one request", "as many requests as rows", "one row"],
)
def test_rows_of_one_moment_count_as_often_as_they_may_recur(
    baseline: Baseline, requests: list[list[Row]], expected: float | None
) -> None:
    clock = Clock()
    model = Model(baseline, store=Store(None, clock, clock))
    serve(model, clock, [(clock.now, rows) for rows in requests])
    expected = expected or repeats([row for rows in requests for row in rows])

    assert dispersions(export(exposition(model))) == pytest.approx(dict.fromkeys(QUIET, expected))


def test_without_traffic_dispersions_are_one() -> None:
    assert dispersions(export(exposition(Model(BASELINE)))) == QUIET


def test_dispersions_are_renewed_each_minute_and_forget() -> None:
    clock = Clock()
    model = Model(BASELINE, store=Store(None, clock, clock))
    source = exposition(model)
    start = clock.now
    assert dispersions(export(source)) == QUIET
    serve(model, clock, [(start + 59, [(5.0, "Bonn", 0.3)] * 40)])
    assert dispersions(export(source)) == QUIET
    clock.now = start + 60
    assert dispersions(export(source)) == pytest.approx(dict.fromkeys(QUIET, 40.0))
    for later, windows in ((400, {"1h", "24h"}), (4000, {"24h"}), (90_000, set())):
        clock.now = start + later
        found = dispersions(export(source))
        assert {window for (window, _), value in found.items() if value > 1} == windows


def test_dispersions_are_those_of_all_processes(tmp_path: Path) -> None:
    clock = Clock()
    one, other, foreign = (
        Model(baseline, name, Store(same_directory(tmp_path), clock, clock))
        for baseline, name in ((BASELINE, "churn"), (BASELINE, "churn"), (None, "another"))
    )
    requests = equal_rows(clock.now)
    for number, request in enumerate(requests):
        serve((one, other)[number % 2], clock, [request])
    alone = Model(BASELINE, store=Store(None, clock, clock))
    clock.now = requests[0][0]
    serve(alone, clock, requests)
    expected = dispersions(export(exposition(alone)))

    assert max(expected.values()) > 2
    for model in (one, other, foreign):
        assert dispersions(export(exposition(model))) == expected


def test_a_scrape_reads_snapshots_once_and_only_with_a_new_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    model = Model(BASELINE, store=Store(same_directory(tmp_path), clock, clock))
    serve(model, clock, equal_rows(clock.now))
    source = exposition(model)
    read: list[int] = []
    real = _OpenFile.read

    def counting(ring: _OpenFile, offset: int, size: int) -> bytes:
        read.append(size)
        return real(ring, offset, size)

    monkeypatch.setattr(_OpenFile, "read", counting)
    # Ten minutes; nothing while the minute lasts; then what is new since.
    for seconds, counted, snapshots in ((0, 0, 10), (59, 0, 0), (1, 0, 0), (60, 1, 1)):
        clock.now += seconds
        if counted:
            model.count([[5.0, "Bonn"]], [[0.3]])
        read.clear()
        export(source)
        assert read.count(8 * model.exported.section.cells) == snapshots
        assert bool(read) == (seconds != 59)


@pytest.mark.parametrize("opened", [0, 1, 5], ids=str)
def test_windows_that_cannot_be_read_fail_no_scrape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: int
) -> None:
    """At first, or after some of their snapshots were read."""
    clock = Clock()
    model = Model(BASELINE, store=Store(same_directory(tmp_path), clock, clock))
    serve(model, clock, equal_rows(clock.now))
    source = exposition(model)

    real, opens = RingFile.open, count()

    def fail(ring: RingFile, **options: bool) -> Any:
        if next(opens) >= opened:
            raise OSError("too many files")
        return real(ring, **options)

    with monkeypatch.context() as broken:
        broken.setattr(RingFile, "open", fail)
        text = export(source)
    assert dispersions(text) == QUIET
    assert values(text, "boxkite_predictions_total", "status")["ok"] == 60
    assert max(dispersions(export(source)).values()) > 2


# --- names -----------------------------------------------------------------------------------------------------------


def test_odd_names_reach_the_scrape_as_they_are() -> None:
    names = ['quo"te', "new\nline", "{brace}", "back\\slash", "Größe", "line\u2028sep", '"} 1', "%d"]
    features: tuple[Distribution, ...] = tuple(Discrete(name, (name,), (1,)) for name in names)
    features = (*features, Continuous("x\u2028y", (0.0, 1.0), (0, 1, 0), (0.0, 1.0)))
    model = Model(Baseline(features, (), 1, "m"), 'mo"del\n%s')
    model.count([[*names, 0.5]], [])
    text = export(exposition(model))

    assert values(
        export(exposition(model), names={"boxkite_feature_value_count"}), "boxkite_feature_value_count", "feature"
    ) == {"x\u2028y": 1}
    found = values(text, "boxkite_feature_category_total", "model", "feature", "category")
    assert {key: value for key, value in found.items() if value} == {('mo"del\n%s', name, name): 1 for name in names}
    for name in ("boxkite_feature_category_total", "boxkite_feature_category_baseline_total"):
        assert values(export(exposition(model), names={name}), name, "feature", "category")


def test_segments_of_two_variables_never_share_a_series(tmp_path: Path) -> None:
    """A variable's name may hold the sign that ends it, or look like one in quotes."""
    sent = {"a": ["b=c", "d"], "a=b": ["c", "d"], '"a=b"': ["c", "d"], "plain": ["c", "d"]}
    features = {name: values * 50 for name, values in sent.items()}
    baseline = ModelMonitoringService.export_text(features, path=tmp_path / "baseline.prom", segments=list(sent))
    service = ModelMonitoringService(baseline, sink="none")
    service.log_prediction(features={name: values[0] for name, values in sent.items()})
    text = service.export_http()[0].decode()

    series = Counter(line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#"))
    assert set(series.values()) == {1}
    rows = values(text, "boxkite_segment_group_total", "segment", "variable", "group")
    counted = {
        segment for (segment, variable, group), count in rows.items() if (variable, group, count) == ("a", "b=c", 1)
    }
    assert counted == {"a=b=c", '"a=b"=c', '"\\"a=b\\""=c', "plain=c"}


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ({"boxkite_predictions_total"}, {"boxkite_predictions_total"}),
        ({"boxkite_predictions"}, {"boxkite_predictions_total"}),
        ({"boxkite_feature_value"}, {"boxkite_feature_value_bucket", "boxkite_feature_value_count"}),
        ({"boxkite_feature_value_count"}, {"boxkite_feature_value_count"}),
        ({"boxkite_baseline_info", "up"}, {"boxkite_baseline_info"}),
        ({"nothing"}, set()),
        ({""}, set()),
    ],
    ids=lambda names: " ".join(sorted(names)),
)
@pytest.mark.parametrize("accept", [None, OPENMETRICS], ids=["text", "OpenMetrics"])
def test_a_filter_keeps_families_or_samples_of_a_name(
    model: Model, names: set[str], found: set[str], accept: str | None
) -> None:
    text = export(exposition(model), accept, names)
    samples = {sample.name for metric in parsed(text, openmetrics=accept is not None) for sample in metric.samples}

    assert samples == {name for name in found if accept is None or not name.endswith("value_count")}


def test_records_are_counted_by_what_became_of_them() -> None:
    sink = RecordingSink()
    service = ModelMonitoringService(BASELINE, sink=sink)
    service.log_prediction("", [5.0, "Bonn"], 0.3)
    sink.wait_for(1)
    service.close()
    text = service.export_http({"name[]": ["boxkite_log_records", "boxkite_log_dropped", "boxkite_log_queue_bytes"]})[0]

    found = values(text.decode(), "boxkite_log_records_total", "outcome")
    assert found == {"accepted": 1, "delivered": 1}
    assert values(text.decode(), "boxkite_log_dropped_total", "reason") == dict.fromkeys(DROP_REASONS, 0)
    assert list(values(text.decode(), "boxkite_log_queue_bytes", "sink").values()) == [0]


# --- options ---------------------------------------------------------------------------------------------------------


def test_a_replica_may_leave_the_baseline_out(model: Model) -> None:
    text = export(exposition(model, with_baseline=False))

    assert {metric.name for metric in parsed(text) if "baseline" in metric.name} == {"boxkite_baseline_info"}
    assert values(text, "boxkite_feature_value_bucket", "le")


def test_groups_alone_are_enough_for_verdicts(model: Model) -> None:
    text = export(exposition(model, with_bins=False))

    assert "_value" not in text
    assert "_category" not in text
    assert values(text, "boxkite_feature_group_total", "group")
    assert values(text, "boxkite_feature_group_baseline_total", "group")


def test_names_of_the_ancestor(model: Model) -> None:
    text = export(exposition(model, names="boxkite"))

    assert values(text, "feature_0_value_baseline_bucket", "le") == {
        "0.0": 0, "10.0": 5, "20.0": 12, "30.0": 15, "+Inf": 21
    }  # fmt: skip
    assert values(text, "feature_0_value_bucket", "le") == {"0.0": 1, "10.0": 2, "20.0": 4, "30.0": 4, "+Inf": 7}
    assert values(text, "feature_0_value_count") == {(): 7}
    assert values(text, "feature_0_value_sum") == {(): 0 + 10 + 20 + 20}
    assert values(text, "feature_1_value_baseline_total", "bin") == {"Bonn": 12, "Ulm": 7, "__rare__": 2}
    assert values(text, "feature_1_value_total", "bin") == {
        "Bonn": 3, "Ulm": 1, "__rare__": 1, "__unseen__": 0, "nan": 1, "None": 1
    }  # fmt: skip
    assert values(text, "inference_value_bucket", "le") == {"0.25": 3, "0.5": 4, "+Inf": 7}
    assert values(text, "baseline_metrics_info", "feature_name", "metric_name", "metric_type") == {
        ("age", "feature_0_value_baseline", "histogram"): 1,
        ("city", "feature_1_value_baseline", "counter"): 1,
        ("Baseline inference values for test set", "inference_value_baseline", "histogram"): 1,
    }
    assert "# HELP feature_0_value Real time values for feature: age\n" in text
    assert "boxkite_feature_value" not in text
    assert values(text, "boxkite_feature_group_total", "group")
    parsed(export(exposition(model, names="boxkite"), OPENMETRICS), openmetrics=True)


def test_two_models_have_each_family_once() -> None:
    one = Model(BASELINE, "one")
    two = Model(Baseline((CITY,), (), 21, "two"), "two", one.store)
    one.count(ROWS, SCORES)
    text = export(exposition(one, two))

    assert values(text, "boxkite_predictions_total", "model", "status") == {
        **{("one", status): len(ROWS) * (status == "ok") for status in STATUSES},
        **{("two", status): 0 for status in STATUSES},
    }
    assert values(text, "boxkite_feature_category_total", "model", "category")["two", "Ulm"] == 0


# --- the app's own metrics -------------------------------------------------------------------------------------------


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> CollectorRegistry:
    """Return an empty registry, for metrics of an app."""
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    return CollectorRegistry(auto_describe=True)


@pytest.mark.parametrize("accept", [None, OPENMETRICS], ids=["text", "OpenMetrics"])
def test_metrics_of_the_app_stand_in_the_same_answer(
    model: Model, registry: CollectorRegistry, accept: str | None
) -> None:
    prometheus_client.Counter("rides", "Rides so far.", ["city"], registry=registry).labels("Bonn").inc(7)
    text = exposition(model, registry=registry).export(accept)[0].decode()

    assert values(text, "rides_total", "city", openmetrics=accept is not None) == {"Bonn": 7}
    assert values(text, "boxkite_predictions_total", "status", openmetrics=accept is not None)["ok"] == 7


@pytest.mark.parametrize("accept", [None, OPENMETRICS], ids=["text", "OpenMetrics"])
def test_our_metrics_stand_there_once_though_registered_with_the_app_too(
    model: Model, registry: CollectorRegistry, accept: str | None
) -> None:
    source = exposition(model, registry=registry)
    prometheus_client.Gauge("temperature", "Degrees.", registry=registry).set(21)
    registry.register(ExpositionCollector(source))
    text = source.export(accept)[0].decode()

    assert values(text, "temperature", openmetrics=accept is not None) == {(): 21}
    assert values(text, "boxkite_predictions_total", "status", openmetrics=accept is not None)["ok"] == 7


@pytest.mark.parametrize("name", ["rides", "rides_total"])
def test_the_filter_applies_to_metrics_of_the_app(model: Model, registry: CollectorRegistry, name: str) -> None:
    prometheus_client.Counter("rides", "Rides so far.", registry=registry).inc(7)
    prometheus_client.Gauge("temperature", "Degrees.", registry=registry).set(21)
    text = exposition(model, registry=registry).export(None, {name})[0].decode()

    assert values(text, "rides_total") == {(): 7}
    assert "temperature" not in text
    assert "boxkite" not in text


def test_metrics_of_the_apps_processes_are_added_up(
    model: Model, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In prometheus_client's multi-process mode, each process has written its own files."""
    from prometheus_client.mmap_dict import MmapedDict, mmap_key

    for pid, number in ((1, 3.0), (2, 4.0)):
        stored = MmapedDict(str(tmp_path / f"counter_{pid}.db"))
        stored.write_value(mmap_key("rides", "rides_total", [], [], "Rides so far."), number, 0.0)
        stored.close()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))

    assert values(exposition(model).export(None)[0].decode(), "rides_total") == {(): 7}


def test_a_registry_of_the_app_can_hold_our_metrics(model: Model) -> None:
    registry = CollectorRegistry()
    collector = ExpositionCollector(exposition(model))
    registry.register(collector)
    text = prometheus_client.generate_latest(registry).decode()

    assert set(series(text)) == set(series(export(exposition(model))))
    with pytest.raises(ValueError, match=r"^Duplicated timeseries in CollectorRegistry"):
        registry.register(ExpositionCollector(exposition(model)))


# --- many at once ----------------------------------------------------------------------------------------------------


class CountingStore(Store):
    """A store that counts its readings, and lets a test hold them up."""

    def __init__(self) -> None:
        super().__init__(None)
        self.readings = 0
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def read(self) -> Reading:
        self.readings += 1
        self.begun.set()
        assert self.go_on.wait(10)
        return super().read()


def test_scrapes_at_once_share_a_rendering_that_began_after_them() -> None:
    store = CountingStore()
    model = Model(None, "m", store)
    source = exposition(model)
    answers: list[str] = []

    def scrape() -> None:
        answers.append(export(source))

    first = threading.Thread(target=scrape)
    first.start()
    assert store.begun.wait(10)
    # Counted after the first scrape began, but before the others did: they must see it.
    model.counts._block.add(Increments([model.layout.statuses_start]))
    others = [threading.Thread(target=scrape) for _ in range(20)]
    for thread in others:
        thread.start()
    store.go_on.set()
    for thread in (first, *others):
        thread.join(10)

    assert len(answers) == 21
    assert [values(text, "boxkite_predictions_total", "status")["ok"] for text in answers] == [1] * 21
    assert store.readings <= 3


def test_who_waited_for_a_rendering_that_failed_gets_no_older_one() -> None:
    model = Model(None, "m")
    begun, go_on = threading.Event(), threading.Event()
    calls: list[str] = []
    failures: list[RuntimeError] = []
    answers: list[str] = []

    def models() -> list[ExportedModel]:
        calls.append(threading.current_thread().name)
        if len(calls) == 2:
            raise RuntimeError("broken")
        if len(calls) == 1:
            begun.set()
            assert go_on.wait(10)
        return [model.exported]

    source = Exposition(models, model.store, alpha=1e-5)

    def scrape() -> None:
        try:
            answers.append(export(source))
        except RuntimeError as error:
            failures.append(error)

    first, *others = [threading.Thread(target=scrape) for _ in range(3)]
    first.start()
    assert begun.wait(10)
    for thread in others:
        thread.start()
    wait_for(lambda: all(is_in(thread, "get") for thread in others), what="two scrapes that wait for the first")
    model.raise_cell(model.layout.statuses_start)
    go_on.set()
    for thread in (first, *others):
        thread.join(10)

    assert len(calls) == 3
    assert list(map(str, failures)) == ["broken"]
    assert len(answers) == 2
    assert values(answers[-1], "boxkite_predictions_total", "status")["ok"] == 1


def is_in(thread: threading.Thread, function: str) -> bool:
    """Say whether a thread is just now in a function."""
    return sys._current_frames()[thread.ident or 0].f_code.co_name == function


def test_a_failed_rendering_is_not_taken_for_a_result() -> None:
    model = Model(None, "m")
    fails = False

    def models() -> list[ExportedModel]:
        if fails:
            raise RuntimeError("broken")
        return [model.exported]

    source = Exposition(models, model.store, alpha=1e-5)
    assert values(export(source), "boxkite_predictions_total", "status")["ok"] == 0
    fails = True
    with pytest.raises(RuntimeError, match=r"^broken$"):
        export(source)
    fails = False
    model.raise_cell(model.layout.statuses_start)

    assert values(export(source), "boxkite_predictions_total", "status")["ok"] == 1


@settings(max_examples=10)
@given(st.lists(st.sampled_from(ROWS), max_size=20))
def test_buckets_never_fall(rows: list[list[Any]]) -> None:
    model = Model(BASELINE)
    source = exposition(model)
    before: dict[tuple[str, Labels], float] = {}
    for row in rows:
        model.count([row], [[0.5]])
        now = {(name, labels): value for name, labels, value in series(export(source))}
        assert all(now[key] >= value for key, value in before.items())
        before = now
