"""Segments are judged like the rows of each one alone, against its own rows of training."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from flask_boxkite import Baseline, BoxkiteError, ConfigError
from flask_boxkite.baseline import Continuous, Discrete, Distribution
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.baseline.training.options import BaselineOptions
from flask_boxkite.config import Settings
from flask_boxkite.drift.report import drift_report
from flask_boxkite.drift.segments import SegmentJudge, SegmentReport
from flask_boxkite.drift.tables import Trained
from flask_boxkite.drift.timeline import RowCounts, Timeline
from flask_boxkite.live.counting import VariableCounter
from flask_boxkite.live.model_cells import ModelCells
from flask_boxkite.live.store import Store
from flask_boxkite.live.windows import WINDOWS
from flask_boxkite.monitoring.app import AppMonitor
from flask_boxkite.monitoring.model import ModelMonitor
from flask_boxkite.naming import RARE
from flask_boxkite.payloads import Table
from tests.benchmarks.segments_quality.windows import ALPHA, MOVED, NOW, Change, Model, Population, Traffic

BEGIN = datetime(2026, 3, 1, 9, 0, 3, tzinfo=timezone.utc).timestamp()
CITIES, SHARES = ("Oslo", "Rome", "Bonn", "Ulm"), (0.5, 0.3, 0.15, 0.05)

Row = dict[str, Any]


def drawn(rng: np.random.Generator, rows: int) -> list[Row]:
    """Return rows of which Rome's differ from the average."""
    city = rng.choice(CITIES, rows, p=SHARES)
    age = rng.normal(np.where(city == "Rome", 60.0, 40.0), 10.0)
    plan = np.where(city == "Rome", "team", rng.choice(["free", "basic", "pro"], rows, p=[0.6, 0.3, 0.1]))
    columns = (city, age, plan, rng.integers(0, 4, rows), rng.random(rows))
    names = ("city", "age", "plan", "visits", "score")
    return [dict(zip(names, row, strict=True)) for row in zip(*(each.tolist() for each in columns), strict=True)]


def built(rows: list[Row], *segments: str, **options: Any) -> Baseline:
    """Return the baseline of some rows."""
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return build_baseline(
        {name: column for name, column in columns.items() if name != "score"},
        columns["score"],
        BaselineOptions.of(**options),
        segments=segments,
        pairs=False,
        progress=False,
    )


TRAINING = drawn(np.random.default_rng(21), 4000)
BASELINE = built(TRAINING, "city")
(ITEM,) = BASELINE.segmentations


@dataclass
class Served:
    """A service whose clock the test moves.

    Attributes:
        baseline: Baseline of its model.
        now: Its time.
        rng: Source of its rows.
        rows: Rows that it was asked so far, and when.
    """

    baseline: Baseline = BASELINE
    now: float = BEGIN
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(22))
    rows: list[tuple[float, Row]] = field(default_factory=list)

    def __post_init__(self) -> None:
        store = Store(None, lambda: self.now - 1_234_567.25, lambda: self.now)
        settings = Settings.from_mapping({"BOXKITE_SINK": "none"})
        self.model: ModelMonitor = AppMonitor(settings, "test", {None: self.baseline}, store=store).model(None)

    def serve(self, rows: Iterable[Row], *, seconds: float = 1.0) -> None:
        """Predict rows, one by one."""
        for row in rows:
            self.now += seconds
            self.rows.append((self.now, row))
            features = {name: value for name, value in row.items() if name != "score"}
            self.model.log_prediction(features=features, output=row["score"])

    def report(self, window: str | None = None, by: str = "city") -> SegmentReport:
        """Return the report on its segments."""
        return self.model.drift(window, by=by)


def moved(rows: list[Row], *cities: str, by: float = 25.0) -> list[Row]:
    """Return rows whose age is larger in some cities."""
    return [row | {"age": row["age"] + by * (row["city"] in cities)} for row in rows]


# --- against a baseline of the segment alone -------------------------------------------------------------------------


def with_rows(item: Distribution, values: list[Any]) -> Distribution:
    """Return a distribution with the same bins or categories, and the counts of other values."""
    if isinstance(item, Continuous):
        counts = np.bincount(np.searchsorted(item.upper_bounds, values), minlength=len(item.counts))
        return replace(item, counts=tuple(counts.tolist()), missing=0, invalid=0)
    assert isinstance(item, Discrete)
    found = Counter(str(value) if item.is_text else f"{value}.0" for value in values)
    return replace(item, counts=tuple(found[name] for name in item.categories))


def alone(rows: list[Row]) -> Baseline:
    """Return the baseline of some of the training rows, in the bins of all of them, without segments."""
    features = tuple(with_rows(item, [row[item.name] for row in rows]) for item in BASELINE.features)
    outputs = tuple(with_rows(item, [row["score"] for row in rows]) for item in BASELINE.outputs)
    return Baseline(features, outputs, len(rows), row_collisions=0.0)


def timeline_of(served: Served, rows: list[tuple[float, Row]]) -> tuple[Timeline, NDArray[np.int64]]:
    """Return the timeline of some rows in the stretches that begin with slots of theirs, and the sum of their cells."""
    layout = ModelCells.of(replace(BASELINE, segmentations=()))
    features = VariableCounter(layout.features, 0, layout.squares, buckets=layout.buckets_start)
    outputs = VariableCounter(layout.outputs, layout.outputs_start, layout.squares)
    names = [item.name for item in BASELINE.features]
    cells = np.zeros((len(rows), layout.squares), dtype=np.int64)
    for number, (_, row) in enumerate(rows):
        found = features.count(Table(None, [[row[name] for name in names]]))
        outputs.count(Table(None, [[row["score"]]]), found)
        cells[number, found.cells] = 1

    whole = served.model.observe(None).timeline
    assert whole is not None
    times = np.array([time for time, _ in rows])
    begins = [
        start
        for start, end in pairwise([*whole.starts.tolist(), np.inf])
        if any(start <= time < end for time in times.tolist())
    ]
    stretches = np.array([cells[times >= start].sum(axis=0) for start in begins])
    buckets = stretches[:, layout.buckets_start :]
    groups = Trained(layout.variables).sums.of(stretches)
    return Timeline(np.array(begins), groups, RowCounts(buckets, buckets.sum(axis=1)), served.now), stretches[0]


CHANGES = {"none": (), "one city": ("Bonn",), "all cities": CITIES}
EMPTY_FOR_GOOD = {"age": 1, "plan": 2}
"""Groups that training left empty: invalid, and of categories rare ones."""

KEYS = (
    *("verdict", "reason", "since", "rows", "baseline_rows", "live_rows", "g", "dispersion", "limit", "psi", "size"),
    *("psi_noise", "recurrence", "moved_most", "share_before", "share_now"),
)


@pytest.mark.parametrize("window", [None, "1h", "5m"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_segment_is_judged_as_if_its_rows_were_all(window: str | None, change: str) -> None:
    """In the stretches of all rows, against a baseline of its own rows of training in the same groups."""
    served = Served()
    served.serve(drawn(served.rng, 1200), seconds=4.0)
    served.serve(moved(drawn(served.rng, 600), *CHANGES[change]), seconds=4.0)
    report = served.report(window)
    reach = None if window is None else WINDOWS[window]

    counts = Counter(row["city"] for row in TRAINING)
    if window != "5m":  # in which there are some 75 rows
        assert {segment.name for segment in report.drifted} == set(CHANGES[change])
    for city in CITIES:
        timeline, cells = timeline_of(served, [(time, row) for time, row in served.rows if row["city"] == city])
        expected = drift_report(
            "default",
            alone([row for row in TRAINING if row["city"] == city]),
            cells,
            alpha=report.alpha / sum(count >= 30 for count in counts.values()),
            timeline=timeline,
            reach=reach,
        )
        found = {row["name"]: row for row in report[city].report.to_rows()}
        assert found.keys() == {"age", "plan", "visits", "output"}
        for row in expected.to_rows():
            if row["name"] != "city":
                assert {key: found[row["name"]][key] for key in KEYS} == {key: row[key] for key in KEYS}, city
        assert report[city].rows == expected["city"].live_rows


def test_g_is_scipys(rng: np.random.Generator) -> None:
    """Of all rows of a segment at once, which are a sample."""
    judge = SegmentJudge("m", BASELINE, ITEM)
    rows = [row for row in moved(drawn(rng, 4000), "Bonn", by=4.0) if row["city"] == "Bonn"]
    counts = np.zeros((len(judge.names), ITEM.groups), dtype=np.int64)
    number = judge.names.index("Bonn")
    own = alone(rows)
    counts[number] = Trained(own.variables).counts
    report = judge.report(list(counts), [None] * len(judge.names), alpha=1e-3)["Bonn"].report

    trained = [row for row in TRAINING if row["city"] == "Bonn"]
    for name in ("age", "plan"):
        item = report[name]
        table = np.array([item.before, item.now])
        assert table.sum(axis=1).tolist() == [len(trained), len(rows)]
        table = table[:, table.any(axis=0)]
        expected = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic
        assert item.judgement.g == pytest.approx(expected)
        degrees = len(item.before) - 1 - EMPTY_FOR_GOOD[name]
        assert item.judgement.limit == pytest.approx(stats.chi2.isf(1e-3 / 4 / 5, degrees))  # four cities, of five
    assert report["age"].verdict in ("shifted", "drifted", "major")
    assert report["plan"].verdict == "stable"


# --- what is a change, and what is none ------------------------------------------------------------------------------


def test_a_segment_that_moves_is_found_though_all_rows_together_are_stable() -> None:
    served = Served()
    served.serve(moved(drawn(served.rng, 3000), "Ulm", by=12.0))
    report = served.report()

    assert {item.verdict for item in served.model.drift()} == {"stable"}
    assert [segment.name for segment in report.drifted] == ["Ulm"]
    assert report.segments[0].name == "Ulm"
    assert report["Ulm"].report["age"].verdict in ("drifted", "major")
    assert {item.verdict for item in report["Ulm"].report if item.name != "age"} == {"stable"}


def test_a_segment_that_always_differed_has_not_moved() -> None:
    """More rows of it move all rows together, and no segment."""
    served = Served()
    rows = drawn(served.rng, 4000)
    served.serve([row for row in rows if row["city"] == "Rome"] + [row for row in rows[:1500] if row["city"] != "Rome"])
    report = served.report()

    assert {item.verdict for segment in report for item in segment.report} <= {"stable", "not enough data"}
    assert served.model.drift()["age"].verdict in ("drifted", "major")


def test_a_burst_of_good_rows_does_not_hide_bad_ones_within_two_minutes() -> None:
    served = Served()
    served.serve(drawn(served.rng, 2000), seconds=0.03)
    served.serve(moved(drawn(served.rng, 2000), "Ulm"), seconds=0.03)
    report = served.report("5m")

    assert [segment.name for segment in report.drifted] == ["Ulm"]
    since = report["Ulm"].report["age"].since
    assert since is not None
    assert served.now - 70.0 <= since <= served.now - 50.0


def test_the_mix_of_segments_and_their_own_variable_are_not_judged() -> None:
    judge = SegmentJudge("m", BASELINE, ITEM)
    assert [item.name for item in judge.variables] == ["age", "plan", "visits", "output"]

    served = Served()
    served.serve([row for row in drawn(served.rng, 3000) if row["city"] != "Oslo" or served.rng.random() < 0.2])
    assert not served.report().drifted
    assert served.model.drift()["city"].verdict == "major"


# --- few rows --------------------------------------------------------------------------------------------------------


def test_alpha_is_divided_among_segments_with_enough_rows_of_training() -> None:
    """Ulm has 20 rows, and all others together none."""
    rows = [row for row in TRAINING if row["city"] != "Ulm"] + [row for row in TRAINING if row["city"] == "Ulm"][:20]
    baseline = built(rows, "city")
    judge = SegmentJudge("m", baseline, baseline.segmentations[0])
    served = Served(baseline)
    served.serve(drawn(served.rng, 1000))
    report = served.report()

    assert judge.tests == 3
    assert SegmentJudge("m", BASELINE, ITEM).tests == 4
    assert report["Oslo"].report["age"].alpha == pytest.approx(report.alpha / 3 / 5)
    assert {(item.verdict, item.reason) for item in report["Ulm"].report} == {
        ("not enough data", "20 training rows; 30 are needed")
    }
    assert "__rare__" not in [segment.name for segment in report]  # neither in training nor live


def test_rows_of_other_values_share_a_segment_that_training_may_lack() -> None:
    served = Served()
    served.serve([row | {"city": "Atlantis"} for row in drawn(served.rng, 100)])
    report = served.report()

    others = report[RARE]
    assert (others.rows, others.verdict, others.text) == (100, "not enough data", "all others")
    assert {item.reason for item in others.report} == {"0 training rows; 30 are needed"}
    assert {segment.name: segment.rows for segment in report if segment is not others} == dict.fromkeys(CITIES, 0)


@pytest.mark.parametrize("window", [None, "5m", "1h", "24h"])
def test_without_rows_there_is_no_verdict(window: str | None) -> None:
    report = Served().report(window)

    assert [(segment.rows, segment.verdict) for segment in report] == [(0, "not enough data")] * 4
    assert report.window == window
    assert not report.drifted
    assert "Oslo" in str(report)


def test_rows_before_the_window_are_not_in_it() -> None:
    served = Served()
    served.serve(moved(drawn(served.rng, 600), "Oslo"))
    served.now += 7200
    served.serve(drawn(served.rng, 600), seconds=2.0)

    assert {segment.name: segment.rows for segment in served.report("1h")} == Counter(
        row["city"] for _, row in served.rows[600:]
    )
    assert {segment.name: segment.rows for segment in served.report()} == Counter(row["city"] for _, row in served.rows)
    assert not served.report("1h").drifted


# --- reports ---------------------------------------------------------------------------------------------------------


def test_gauges_get_the_verdicts_of_the_report() -> None:
    served = Served()
    served.serve(moved(drawn(served.rng, 2000), "Bonn"))
    judge = SegmentJudge("m", BASELINE, ITEM)
    report = served.report("1h")
    history, totals = served.model.counter.counts.history()
    timelines = served.model._timelines.of_segments(history, totals, ITEM)  # type: ignore[union-attr]
    found = dict(judge.verdicts(timelines, alpha=report.alpha, reach=3600.0))

    assert {
        (name, item.name): (item.verdict, item.judgement.size) for name, items in found.items() for item in items
    } == {
        (segment.name, item.name): (item.verdict, item.judgement.size) for segment in report for item in segment.report
    }


def test_a_dict_tells_it_to_programs() -> None:
    served = Served()
    served.serve(moved(drawn(served.rng, 2000), "Bonn"))
    report = served.report("1h")
    found = json.loads(json.dumps(report.to_dict()))

    assert {key: found[key] for key in ("by", "model", "baseline", "window", "against", "reference")} == {
        "by": "city",
        "model": "default",
        "baseline": BASELINE.fingerprint,
        "window": "1h",
        "against": None,
        "reference": "segment",
    }
    assert found["segments"][0]["name"] == "Bonn"
    assert found["segments"][0]["variables"][0]["name"] == "age"
    assert [row["segment"] for row in report.to_rows()] == [segment.name for segment in report for _ in range(4)]
    assert max(map(len, str(report).splitlines())) <= 100
    assert "Bonn" in report.to_markdown()


def test_numbers_are_segmented_by_their_groups() -> None:
    """And the output is a variable like any other."""
    baseline = built(TRAINING, "age", "output")
    served = Served(baseline)
    served.serve([row | {"plan": "pro" if row["age"] > 60 else row["plan"]} for row in drawn(served.rng, 3000)])
    report = served.report(by="age")

    groups = [group.name for group in baseline.features[1].groups if group.name[0] == "("]
    assert [item.name for item in baseline.features][1] == "age"
    assert {segment.name for segment in report} == {*groups, RARE}
    assert {segment.name for segment in report.drifted} <= set(groups[-4:])
    assert report[groups[-1]].verdict == "major"
    assert served.report(by="output").by == "output"


@pytest.mark.parametrize("by", ["town", "age", ""])
def test_other_variables_have_no_segments(by: str) -> None:
    with pytest.raises(BoxkiteError) as caught:
        Served().report(by=by)
    assert str(caught.value) == f"The baseline of model 'default' has no segments by {by!r}. It has segments by 'city'."


def test_a_baseline_without_segments_says_how_to_get_them() -> None:
    with pytest.raises(
        BoxkiteError, match=r"Write one with export_text\(\.\.\., segments=\[\.\.\.\]\), or read records"
    ):
        Served(replace(BASELINE, segmentations=())).report()
    with pytest.raises(
        ConfigError, match=r"^'window' of segments must be one of '5m', '1h', '24h' or None, got '2h'\.$"
    ):
        Served().report("2h")


# --- the benchmark ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "traffic", [Traffic("", 400, 1200.0), Traffic("", 400, 120.0, batch=4, alike=0.5)], ids=["rows", "batch"]
)
def test_the_benchmark_judges_what_a_server_would(traffic: Traffic, monkeypatch: pytest.MonkeyPatch) -> None:
    """The very rows that it draws, sent to a server request by request, give the same report."""
    model = Model(Population(), 2000, np.random.default_rng(5))
    drawn_rows: list[Any] = []
    times: list[Any] = []
    located, slots = model._located, model._slots

    def noting_rows(rows: Any) -> Any:
        drawn_rows.append(rows)
        return located(rows)

    def noting_times(cells: Any, at: Any, batch: int) -> Any:
        times.append(at)
        return slots(cells, at, batch)

    monkeypatch.setattr(model, "_located", noting_rows)
    monkeypatch.setattr(model, "_slots", noting_times)
    said = model.judged(traffic, Change("", shift=3.0))
    (rows,), (at,) = drawn_rows, times

    served = Served(model.baseline)
    columns = rows.features()
    for start in range(0, len(at), traffic.batch):
        served.now = float(at[start])
        part = slice(start, start + traffic.batch)
        features = [
            dict(zip(columns, row, strict=True)) for row in zip(*(c[part] for c in columns.values()), strict=True)
        ]
        output = rows.score[part].tolist()
        served.model.log_prediction(
            features=features if traffic.batch > 1 else features[0], output=output if traffic.batch > 1 else output[0]
        )
    served.now = NOW
    served.model.settings = replace(served.model.settings, drift_alpha=ALPHA)
    expected = served.report(by="country")

    assert [_without_since(row) for row in said.segments.to_rows()] == [
        _without_since(row) for row in expected.to_rows()
    ]
    assert said.is_found(MOVED) == (expected[MOVED].verdict in ("shifted", "drifted", "major"))


def _without_since(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without its time, which is of the first row live and of the slot in the benchmark."""
    return {key: value for key, value in row.items() if key != "since"}
