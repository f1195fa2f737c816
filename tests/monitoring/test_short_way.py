"""The short way of a common prediction gives what the general way gives: counts, outputs and records, to the byte."""

from __future__ import annotations

import copy
import gc
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from flask_boxkite import ModelMonitoringService
from flask_boxkite.baseline import Baseline
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.compiled import native
from flask_boxkite.config import Settings
from flask_boxkite.live.model_cells import DURATION_BOUNDS
from flask_boxkite.monitoring.body import body_of
from flask_boxkite.monitoring.model import ModelMonitor
from flask_boxkite.monitoring.record import RecordMaker
from flask_boxkite.monitoring.short_way import NOT_TAKEN, CountsCommon, ShortWay, short_way
from flask_boxkite.monitoring.tally import Tally
from flask_boxkite.payloads import Table, found_output, json_table
from flask_boxkite.sinks.base import Sink
from flask_boxkite.sinks.files import FileSink
from flask_boxkite.sinks.fluentd import FluentdSink
from flask_boxkite.values.ids import PredictionId
from tests.peers import missing

NAMES = ("age", "income", "city", "visits", "data")


def trained(output: str) -> Baseline:
    """Return a baseline of numbers, categories, and a feature that has the name of a convention."""
    size = 500
    features = {
        "age": [18 + 60 * index / size for index in range(size)],
        "income": [1000.0 + 7 * (index * 37 % size) for index in range(size)],
        "city": [("Berlin", "Paris", "Rome")[index % 3] for index in range(size)],
        "visits": [index % 4 for index in range(size)],
        "data": [index / 3 for index in range(size)],
    }
    return build_baseline(features, {output: [index / size for index in range(size)]})


MODELS = {name: ModelMonitoringService(baseline=trained(name), sink="none").monitor for name in ("output", "score")}


def ways(model: ModelMonitor) -> list[CountsCommon]:
    """Return the short ways of a model: the one that serves, which may be compiled, and the one in Python."""
    way = short_way(model.counter)
    assert way is not None
    return [way, ShortWay(model.counter)]


WAYS = {name: ways(model) for name, model in MODELS.items()}

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 100),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from(["Paris", "Rome", " Paris", "", "n/a", "7", "\ud800"]),
    st.lists(st.integers(0, 3), max_size=2),
    st.dictionaries(st.sampled_from(["b64", "a"]), st.integers(0, 3), max_size=2),
)
OTHER_NAMES = st.sampled_from(["instances", "inputs", "dataframe_split", "columns", "x", "Age", "output"])


@st.composite
def documents(draw: st.DrawFn) -> Any:
    """Draw a request: mostly one row of all features, by name or by position; else something near it."""
    values = draw(st.lists(VALUES, min_size=len(NAMES), max_size=len(NAMES)))
    kind = draw(st.sampled_from(["names", "names", "names", "list", "fewer", "more", "renamed", "rows", "value"]))
    if kind == "list":
        return values
    if kind == "value":
        return draw(VALUES)
    names = draw(st.permutations(NAMES))
    row = dict(zip(names, values, strict=True))
    if kind == "fewer":
        del row[names[0]]
    elif kind == "more":
        row[draw(OTHER_NAMES)] = draw(VALUES)
    elif kind == "renamed":
        row[draw(OTHER_NAMES)] = row.pop(names[0])
    return [row, row] if kind == "rows" else row


def content(tally: Tally) -> dict[str, Any]:
    """Return all that a tally holds."""
    block = None if tally.block is None else tally.block.tolist()
    wide = [] if tally.wide is None else tally.wide.tolist()
    return {
        "cells": [*tally.cells, *wide],
        "amounts": tally.amounts,
        "block": block,
        "sums": tally.sums,
        "rows": tally.rows,
        "errors": tally.errors,
    }


@given(documents(), st.sampled_from(sorted(MODELS)))
@example({"age": [1.0], "income": [2.0], "city": ["Rome"], "visits": [1], "data": [3.0]}, "output")
@example({"data": [[1.0]], "income": 2.0, "city": "Rome", "visits": 1, "age": 3.0}, "output")
@example({"age": math.nan, "income": math.inf, "city": "Oslo", "visits": 9, "data": None}, "output")
def test_features_are_counted_alike(document: Any, output: str) -> None:
    model = MODELS[output]
    before = copy.deepcopy(document)
    for way in WAYS[output]:
        short, general = Tally(), Tally()
        table = way.count_features(document, short)
        if table is None:
            assert content(short) == content(Tally())
            continue

        expected = json_table(document, model.feature_names)
        model.count_features(general, expected)
        assert content(short) == content(general)
        assert expected is not None
        assert repr(table.content()) == repr(expected.content()) == repr(before)
        assert (table.names, table.is_plain) == (expected.names, expected.is_plain)


def test_common_requests_go_the_short_way() -> None:
    """Otherwise the tests here would hold nothing."""
    row = {"age": 30, "income": 2500.5, "city": "Rome", "visits": 2, "data": 0.5}
    for document in (row, dict(reversed(row.items())), list(row.values()), row | {"city": "Oslo", "age": None}):
        for way in [*WAYS["output"], *WAYS["score"]]:
            assert way.count_features(document, Tally()) is not None
    for answer in ({"score": 0.5}, {"prediction": "yes"}, {"model": "v1", "result": 1, "time": 3.5}):
        for way in WAYS["output"]:
            tally = Tally()
            tally.rows = 1
            assert way.count_output(answer, tally) is not NOT_TAKEN


ANSWERS = st.dictionaries(
    st.sampled_from(["score", "output", "prediction", "predictions", "label", "probability", "scores", "x", "id"]),
    VALUES | st.lists(st.floats(0, 1), max_size=2),
    max_size=4,
)


def general_output(model: ModelMonitor, answer: Any, tally: Tally) -> Any:
    """Take the output as a capture does in general; raise LookupError where there is none."""
    value = found_output(answer, model.output_names, model.counter.layout.outputs, tally.rows)
    model.count_output(tally, [None] if value is None and tally.rows != 0 else value)
    return value


@given(ANSWERS | VALUES, st.sampled_from(sorted(MODELS)), st.sampled_from([1, 1, 1, 2, 0, None]))
@example({"score": 0.25}, "output", 1)
@example({"score": 0.25}, "score", 1)
def test_outputs_are_counted_alike(answer: Any, output: str, rows: int | None) -> None:
    model = MODELS[output]
    for way in WAYS[output]:
        short, general = Tally(), Tally()
        short.rows = general.rows = rows
        value = way.count_output(answer, short)
        if value is NOT_TAKEN:
            assert content(short) == content(Tally()) | {"rows": rows}
            continue
        assert repr(general_output(model, answer, general)) == repr(value)
        assert content(short) == content(general)


class Slow(str):
    """A key during whose hash another thread may run: once, it answers with many keys of its own."""

    way: CountsCommon
    left = 0

    def __hash__(self) -> int:
        """Answer otherwise from now on."""
        Slow.left -= 1
        for number in range(300 if Slow.left == 0 else 0):
            self.way.count_output({f"key{number}": 0.5}, one_row())
        return super().__hash__()


def one_row() -> Tally:
    """Return the tally of a request with one row."""
    tally = Tally()
    tally.rows = 1
    return tally


@pytest.mark.parametrize("way", WAYS["output"], ids=lambda way: type(way).__module__.split(".")[-1])
def test_keys_may_be_forgotten_while_they_are_looked_up(way: CountsCommon) -> None:
    Slow.way = way
    answer = {Slow("score"): 0.5}
    for left in range(4):
        way.count_output(answer, one_row())
        Slow.left = left
        assert way.count_output(answer, one_row()) == 0.5


def test_redaction_by_names_goes_the_general_way() -> None:
    service = ModelMonitoringService(baseline=trained("output"), sink="none", redact="city")
    assert service.monitor.short_way is None


# --- Records --------------------------------------------------------------------------------------------------------

PREDICTION = PredictionId("server/2026-11-29T10:00:00/0", "0" * 36, 1_796_000_000_123_456_789)
PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(-1e300, 1e300) | st.text(max_size=9)


@pytest.fixture(scope="module")
def maker() -> RecordMaker:
    if native is None:
        missing("The compiled part of the package")
    return RecordMaker("sérver", "credit", trained("output"))


@pytest.fixture(scope="module", params=["fluentd", "file"])
def sink(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sink:
    if request.param == "fluentd":
        return FluentdSink(Settings.from_mapping({"BOXKITE_FLUENTD_ADDR": "127.0.0.1:1"}, {}))
    return FileSink(Settings.from_mapping({"BOXKITE_LOG_DIR": str(tmp_path_factory.mktemp("logs"))}, {}))


def spliced_by(maker: RecordMaker, sink: Sink, *args: Any) -> bytes | None:
    """Return a record for a sink, or None."""
    return maker.splice[sink.is_of_lines](sink.entry_head(PREDICTION.time_ns), PREDICTION, *args)


@example([1.0], math.inf, b"[1.0]", "ok", None, 1.0)
@given(
    st.dictionaries(st.text(max_size=9), PLAIN, min_size=1, max_size=20) | st.lists(PLAIN, min_size=1, max_size=20),
    PLAIN | st.integers(2**63, 2**64 - 1) | st.floats() | st.lists(PLAIN, max_size=2),
    st.binary(max_size=300) | st.text("{}:\"abc'é", max_size=300).map(str.encode),
    st.sampled_from(["ok", "error", "client_error"]),
    st.none() | st.integers(0, 3),
    st.floats(0, 1e6),
)
def test_a_record_is_spliced_to_the_bytes_of_packing_it(
    maker: RecordMaker,
    sink: Sink,
    features: Any,
    output: Any,
    body: bytes,
    status: str,
    rows: int | None,
    duration: float,
) -> None:
    names = tuple(features) if isinstance(features, dict) else None
    table = Table(names, [list(features.values()) if isinstance(features, dict) else features])
    table.is_plain = True
    spliced = spliced_by(maker, sink, body, table, output, status, rows, duration)
    record = maker.make(PREDICTION, body_of(body, 1000), table, output, status, rows, duration)
    assert spliced in (None, sink.pack(PREDICTION.time_ns, record))
    if body.isascii() and isinstance(output, (float, int, str, type(None))) and output == output:
        assert spliced is not None or output in (math.inf, -math.inf)


ARRAYS = st.one_of(
    arrays(np.float64, array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=4)),
    arrays(np.int64, array_shapes(min_dims=1, max_dims=2, max_side=4)),
    arrays(np.float32, 3, elements=st.floats(0, 1, width=32)),
    arrays(np.bool_, 3),
    st.just(np.array(0.5)),
    st.just(np.zeros((2, 2, 2))),
)
OUTPUTS = st.one_of(
    ARRAYS,
    ARRAYS.map(np.transpose),
    st.recursive(PLAIN | st.floats(), lambda items: st.lists(items, max_size=3), max_leaves=6),
    st.lists(st.floats(0, 1).map(np.float64), max_size=2),
    st.dictionaries(st.text(max_size=2), st.floats(0, 1), max_size=2),
    st.tuples(st.floats(0, 1)),
)


@given(
    arrays(st.sampled_from([np.float64, np.int64, np.float32]), array_shapes(min_dims=2, max_dims=2, max_side=4)),
    st.none() | st.lists(st.sampled_from(["age", "income", "é"]), max_size=4),
    st.booleans(),
    OUTPUTS,
    st.none() | st.floats(0, 1e6),
)
def test_a_batch_is_spliced_to_the_bytes_of_packing_it(
    maker: RecordMaker,
    sink: Sink,
    rows: Any,
    names: list[str] | None,
    is_turned: bool,
    output: Any,
    duration: float | None,
) -> None:
    rows = rows.T if is_turned else rows
    width = rows.shape[1]
    table = Table(None if names is None else tuple((names * width or ["x"] * width)[:width]), rows)
    table.is_plain = True
    spliced = spliced_by(maker, sink, b"", table, output, "ok", len(rows), duration)
    record = maker.make(PREDICTION, body_of(None, 1000), table, output, "ok", len(rows), duration)
    assert spliced in (None, sink.pack(PREDICTION.time_ns, record))


@pytest.mark.parametrize("names", [None, ("age", "income")])
@pytest.mark.parametrize("size", [1, 3])
def test_batches_of_arrays_are_spliced(
    maker: RecordMaker, sink: Sink, names: tuple[str, ...] | None, size: int
) -> None:
    """Otherwise the test above would hold nothing."""
    for rows in (np.arange(2.0 * size).reshape(size, 2), np.arange(2 * size).reshape(2, size).T):
        table = Table(names, rows)
        table.is_plain = True
        for output in (np.arange(size), [0.5] * size, [[0.5, None, "yes", True, 7]] * size):
            assert spliced_by(maker, sink, b"", table, output, "ok", size, None) is not None


@pytest.mark.parametrize("features", [[2**70], ["\ud800"], [object()]], ids=["wide", "surrogate", "object"])
def test_a_record_that_takes_care_is_not_spliced(maker: RecordMaker, sink: Sink, features: list[Any]) -> None:
    table = Table(None, [features])
    table.is_plain = True
    assert spliced_by(maker, sink, b"{}", table, 0.5, "ok", 1, 0.1) is None


@pytest.mark.parametrize("time_ns", [-1, -1_500_000_000, 2**63 - 1])
def test_a_record_of_any_time_is_spliced_alike(maker: RecordMaker, sink: Sink, time_ns: int) -> None:
    prediction = PredictionId("s/t/0", "0" * 36, time_ns)
    table = Table(None, [[1.0]])
    table.is_plain = True
    args = (table, 0.5, "ok", 1, 0.1)
    spliced = maker.splice[sink.is_of_lines](sink.entry_head(time_ns), prediction, b"{}", *args)
    assert spliced == sink.pack(time_ns, maker.make(prediction, body_of(b"{}", 9), *args))


def test_a_body_that_is_not_bytes_goes_the_general_way(maker: RecordMaker, sink: Sink) -> None:
    """Some middleware reads into other buffers."""
    table = Table(None, [[1.0]])
    table.is_plain = True
    assert spliced_by(maker, sink, bytearray(b"{}"), table, 0.5, "ok", 1, 0.1) is None


@pytest.mark.parametrize("rows", [[[1.0, 2.0]], np.ones((3, 2))], ids=["one", "array"])
def test_other_code_that_a_collection_runs_does_not_come_in_between(maker: RecordMaker, sink: Sink, rows: Any) -> None:
    """It may make a record with the same memory."""
    table, other = Table(None, rows), Table(None, [[3.0, 4.0]])
    table.is_plain = other.is_plain = True

    def splice(features: Table) -> bytes | None:
        return spliced_by(maker, sink, b"{}", features, 0.5, "ok", 1, 0.25)

    def collecting(phase: str, info: dict[str, int]) -> None:
        splice(other)

    expected = splice(table)
    assert expected is not None
    held = [
        tuple([number] * 5) for number in range(5000)
    ]  # else Python takes tuples from a store, without a collection
    before = gc.get_threshold()
    gc.callbacks.append(collecting)
    gc.set_threshold(1)
    try:
        for number in range(200):
            held.append(tuple([number] * 5))
            assert splice(table) == expected
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(collecting)


def test_names_that_are_no_text_go_the_general_way(sink: Sink) -> None:
    """They come from an environment in another encoding."""
    table = Table(None, [[1.0]])
    table.is_plain = True
    maker = RecordMaker("server\udcff", "credit", None)
    assert spliced_by(maker, sink, b"{}", table, 0.5, "ok", 1, 0.1) is None
    assert b"server?" in sink.pack(0, maker.make(PREDICTION, body_of(b"{}", 9), table, 0.5, "ok", 1, 0.1))


def test_a_record_that_one_sink_leaves_to_the_general_way_goes_there_for_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Else a sink that took it already would have it twice."""
    if native is None:
        missing("The compiled part of the package")
    service = ModelMonitoringService(
        baseline=trained("output"), sink="fluentd,file", fluentd_addr="127.0.0.1:1", log_dir=tmp_path
    )
    monitor = service.monitor
    monkeypatch.setattr(monitor._records, "splice", {**monitor._records.splice, True: lambda *args: None})
    service.log_prediction(features=[30, 2500.0, "Rome", 2, 0.5], output=0.5)
    assert [recorder.counts().accepted for recorder in monitor._recorders] == [1, 1]
    service.close()


@given(st.sampled_from([0.0, 0.0005, *DURATION_BOUNDS, 11.0]) | st.floats(0, 20))
def test_an_answered_prediction_is_added_alike(duration: float) -> None:
    model = MODELS["output"]
    added = []
    for commit in [lambda tally: model.commit(tally, "ok", duration), *committing(WAYS["output"], duration)]:
        before = model.counter.counts.totals()
        tally = Tally()
        WAYS["output"][0].count_features({"age": 30, "income": 2500.5, "city": "Rome", "visits": 2, "data": 0.5}, tally)
        commit(tally)
        after = model.counter.counts.totals()
        added.append([(after.cells - before.cells).tolist(), np.allclose(after.sums - before.sums, [0, 0, duration])])
    assert added[0] == added[1] == added[2]
    assert added[0][1]


def committing(ways: list[CountsCommon], duration: float) -> list[Callable[[Tally], None]]:
    """Return the functions of the ways that add a prediction."""
    return [partial(way.commit, duration=duration) for way in ways]
