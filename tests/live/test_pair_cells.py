"""Rows are counted by the parts of both variables of each pair, in whatever form they come."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.baseline import Continuous, Discrete, Distribution
from flask_boxkite.baseline.pairs import CELLS, NO_PART, PARTS, Pair, parts_of_cells
from flask_boxkite.compiled import native
from flask_boxkite.live.batches import BULK_ROWS, BatchCounter, Batches, batches
from flask_boxkite.live.cells import cells_of
from flask_boxkite.live.model_cells import ModelCells
from flask_boxkite.live.pair_cells import CountsPairs, PairCells, pair_cells
from flask_boxkite.monitoring.short_way import NOT_TAKEN, ShortWay, short_way
from flask_boxkite.monitoring.tally import Tally
from flask_boxkite.payloads import as_table
from tests.baseline.training.building import built
from tests.peers import missing

Row: TypeAlias = "Sequence[Any]"


# --- models ----------------------------------------------------------------------------------------------------------


def training(rows: int = 400) -> dict[str, list[Any]]:
    """Return columns of which each goes together with another one."""
    draws = np.random.default_rng(3).random(rows).tolist()
    return {
        "age": [60 * draw for draw in draws],
        "visits": [int(4 * draw) for draw in draws],
        "city": [("Oslo", "Rome", "Bonn", "Ulm", "Kiel", "Paris")[int(6 * draw**2)] for draw in draws],
        "low": draws,
        "high": [2 * draw for draw in draws],
        "label": [("yes", "no")[draw < 0.4] for draw in draws],
    }


COLUMNS = training()
FEATURES = {name: COLUMNS[name] for name in ("age", "visits", "city")}
TWO = {name: COLUMNS[name] for name in ("low", "high")}
WIDE = {f"f{index:02}": [value + index for value in COLUMNS["age"]] for index in range(90)}

MODELS = {
    "one output": built(FEATURES, {"low": COLUMNS["low"]}),
    "a label": built(FEATURES, {"label": COLUMNS["label"]}),
    "two outputs": built(FEATURES, TWO),
    "no output": built(FEATURES),
    "no features": Baseline((), built(FEATURES, TWO).outputs, 400, pairs=(Pair(0, 1, (100, *[0] * 14, 300)),)),
    "numbers": built({name: FEATURES[name] for name in ("age", "visits")}, {"low": COLUMNS["low"]}),
    "many features": built(WIDE, {"low": COLUMNS["low"]}),
    "all pairs": built(FEATURES, TWO),
}
MODELS["all pairs"] = Baseline(
    MODELS["all pairs"].features,
    MODELS["all pairs"].outputs,
    400,
    pairs=tuple(Pair(first, second, (25,) * CELLS) for second in range(5) for first in range(second)),
)
MONITORS = {name: ModelMonitoringService(baseline, sink="none").monitor for name, baseline in MODELS.items()}


def test_each_model_has_the_pairs_that_these_tests_are_about() -> None:
    assert all(baseline.pairs for baseline in MODELS.values())
    sides = {
        (name, MODELS[name].variables[pair.first].side, MODELS[name].variables[pair.second].side)
        for name in MODELS
        for pair in MODELS[name].pairs
    }
    assert {("no output", "feature", "feature"), ("two outputs", "feature", "output")} <= sides
    assert ("no features", "output", "output") in sides
    assert len(MODELS["many features"].pairs) >= 45


# --- an independent count --------------------------------------------------------------------------------------------


def part_of(item: Distribution, value: Any) -> int:
    """Return the part of a value, by comparing it with all bounds or categories."""
    parts = parts_of_cells(item)
    if value is None or value != value:
        return NO_PART
    if isinstance(item, Continuous):
        return NO_PART if isinstance(value, str) else parts[bisect_left(item.upper_bounds, value)]
    assert isinstance(item, Discrete)
    if not item.is_text and isinstance(value, str):
        return NO_PART
    known = [value == (label if item.is_text else float(label)) for label in item.categories]
    return parts[known.index(True) if True in known else len(known) + 1]


def recounted(baseline: Baseline, features: Sequence[Row] | None, outputs: Sequence[Row] | None) -> list[int]:
    """Return the counts of all pairs of some rows."""
    counts = [[0] * CELLS for _ in baseline.pairs]
    width = len(baseline.features)
    if features is not None and outputs is not None:
        assert len(features) == len(outputs)
    for number in range(len((features if outputs is None else outputs) or ())):
        parts = [NO_PART] * len(baseline.distributions)
        for start, rows in ((0, features), (width, outputs)):
            for place, value in enumerate(rows[number] if rows is not None else (), start):
                parts[place] = part_of(baseline.distributions[place], value)
        for count, pair in zip(counts, baseline.pairs, strict=True):
            first, second = parts[pair.first], parts[pair.second]
            if NO_PART not in (first, second):
                count[PARTS * first + second] += 1
    return [number for count in counts for number in count]


def counted(name: str, predict: Callable[[], object]) -> list[int]:
    """Return what a call adds to the pairs of a model."""
    monitor = MONITORS[name]
    start = monitor.counter.layout.pairs_start
    before = monitor.counter.counts.totals().cells[start:]
    predict()
    added: list[int] = (monitor.counter.counts.totals().cells[start:] - before).tolist()
    return added


# --- rows ------------------------------------------------------------------------------------------------------------

NUMBERS = st.one_of(
    st.floats(-5, 70), st.integers(-1, 60), st.sampled_from([0, 1.0, 2, 3, None, math.nan, math.inf, -math.inf, 1e300])
)
VALUES = {
    "city": st.sampled_from(["Oslo", "Rome", "Bonn", "Ulm", "Kiel", "Paris", "Atlantis", None]),
    "label": st.sampled_from(["yes", "no", "maybe", None]),
    "visits": NUMBERS | st.sampled_from([0, 1, 2, 3, "x"]),
    "low": st.floats(-0.5, 1.5) | st.sampled_from([None, math.nan, 0, 1]),
    "high": st.floats(-0.5, 2.5) | st.sampled_from([None, math.nan, 0, 1, "x"]),
}


def rows_of(items: Sequence[Distribution], size: int) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    """Draw rows of values; of many variables, the same few values again and again."""
    if len(items) > 10:
        return st.lists(
            st.lists(NUMBERS, min_size=4, max_size=7).map(lambda few: tuple(few * len(items))[: len(items)]),
            min_size=size,
            max_size=size,
        )
    return st.lists(st.tuples(*(VALUES.get(item.name, NUMBERS) for item in items)), min_size=size, max_size=size)


def is_array(rows: Sequence[Row]) -> bool:
    """Say whether an array of numbers can hold rows."""
    return all(type(value) in (int, float) for row in rows for value in row)


def forms(names: Sequence[str], rows: Sequence[Row]) -> dict[str, Any]:
    """Return the same rows in all forms that say as much."""
    by_name = [dict(zip(names, row, strict=True)) for row in rows]
    backwards = [dict(reversed(row.items())) for row in by_name]
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    found: dict[str, Any] = {
        "objects": by_name,
        "objects in another order": backwards,
        "objects with more": [row | {"other": 1} for row in by_name],
        "lists": [list(row) for row in rows],
        "columns": columns,
        "columns in another order": dict(reversed(columns.items())),
    }
    if is_array(rows):
        # Not float32, by whose decimals values would be other numbers.
        found["array"] = np.array(rows, dtype=np.float64)
        found["array in another order of memory"] = np.asfortranarray(found["array"])
        found["frame"] = pd.DataFrame(found["array"], columns=list(names))
    if len(rows) == 1:
        found |= {"object": by_name[0], "object in another order": backwards[0], "list": list(rows[0])}
        del found["columns"], found["columns in another order"]  # names of lists of one value
    return found


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=30)
@given(data=st.data())
def test_rows_in_any_form_are_counted_as_one_by_one(name: str, data: st.DataObject) -> None:
    baseline = MODELS[name]
    size = data.draw(st.sampled_from([1, 1, 2, 3, BULK_ROWS, 40]))
    inputs = data.draw(rows_of(baseline.features, size))
    answers = data.draw(rows_of(baseline.outputs, size))
    ways = forms([item.name for item in baseline.features], inputs) if baseline.features else {"none": None}
    answered = forms([item.name for item in baseline.outputs], answers) if baseline.outputs else {"none": None}
    if len(baseline.outputs) == 1:
        values = [row[0] for row in answers]
        answered = {"values": values, "array": np.array(values), "rows": [[value] for value in values]}
        if size == 1:
            answered["value"] = values[0]
    features, output = data.draw(st.sampled_from(sorted(ways))), data.draw(st.sampled_from(sorted(answered)))

    added = counted(name, lambda: MONITORS[name].log_prediction(None, ways[features], answered[output]))
    assert added == recounted(baseline, inputs if baseline.features else None, answers if baseline.outputs else None)


# --- predictions that lack something ---------------------------------------------------------------------------------


@given(data=st.data(), size=st.sampled_from([1, 2, BULK_ROWS]))
def test_a_feature_that_is_not_there_is_in_no_pair(data: st.DataObject, size: int) -> None:
    baseline = MODELS["all pairs"]
    inputs, answers = (data.draw(rows_of(side, size)) for side in (baseline.features, baseline.outputs))
    gone = data.draw(st.sampled_from(range(3)))
    named = [{item.name: row[place] for place, item in enumerate(baseline.features) if place != gone} for row in inputs]
    outputs = [list(row) for row in answers]
    if size == 1 and data.draw(st.booleans()):
        named, outputs = named[0], outputs[0]  # type: ignore[assignment]
    added = counted("all pairs", lambda: MONITORS["all pairs"].log_prediction(None, named, outputs))

    inputs = [(*row[:gone], None, *row[gone + 1 :]) for row in inputs]
    assert added == recounted(baseline, inputs, answers)


@pytest.mark.parametrize("output", [None, "text", {"other": 3}, [[1, 2, 3]]], ids=["none", "text", "name", "number"])
@given(data=st.data(), size=st.sampled_from([1, 2, BULK_ROWS]))
def test_features_without_an_output_are_counted_alone(output: Any, data: st.DataObject, size: int) -> None:
    baseline = MODELS["all pairs"]
    inputs = data.draw(rows_of(baseline.features, size))
    rows = [list(row) for row in inputs]
    features = rows[0] if size == 1 and data.draw(st.booleans()) else rows

    added = counted("all pairs", lambda: MONITORS["all pairs"].log_prediction(None, features, output))
    assert added == recounted(baseline, inputs, None)


@pytest.mark.parametrize("features", [None, "text", {"other": 3}, [1.0]], ids=["none", "text", "name", "number"])
@given(data=st.data())
def test_outputs_without_features_are_counted_alone(features: Any, data: st.DataObject) -> None:
    baseline = MODELS["all pairs"]
    (answer,) = answers = data.draw(rows_of(baseline.outputs, 1))

    added = counted("all pairs", lambda: MONITORS["all pairs"].log_prediction(None, features, list(answer)))
    assert added == recounted(baseline, None, answers)


@given(data=st.data(), size=st.sampled_from([2, 3, BULK_ROWS]), other=st.sampled_from([2, 4, BULK_ROWS + 1]))
def test_outputs_of_another_number_than_rows_are_not_counted(data: st.DataObject, size: int, other: int) -> None:
    """Which row they are of is unknown."""
    if size == other:
        other += 1
    baseline = MODELS["all pairs"]
    inputs, answers = data.draw(rows_of(baseline.features, size)), data.draw(rows_of(baseline.outputs, other))
    outputs = forms(["low", "high"], answers)
    way = data.draw(st.sampled_from(sorted(outputs)))

    added = counted(
        "all pairs", lambda: MONITORS["all pairs"].log_prediction(None, list(map(list, inputs)), outputs[way])
    )
    assert added == recounted(baseline, inputs, None)


@pytest.mark.parametrize("status", ["error", "client_error"])
@pytest.mark.parametrize("size", [1, 3, BULK_ROWS])
def test_failed_requests_count_nothing(status: str, size: int) -> None:
    monitor = MONITORS["all pairs"]

    def predict(status: str) -> None:
        tally = Tally()
        monitor.count_features(tally, as_table([{"age": 30.0, "visits": 2, "city": "Oslo"}] * size))
        monitor.count_output(tally, {"low": [0.5] * size, "high": [1.0] * size})
        monitor.commit(tally, status, 0.1)

    assert counted("all pairs", lambda: predict(status)) == [0] * CELLS * 10
    assert sum(counted("all pairs", lambda: predict("ok"))) == size * 10


# --- the short way ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["one output", "a label", "many features"])
@pytest.mark.parametrize("answers_shortly", [True, False], ids=["short answer", "other answer"])
@settings(max_examples=20)
@given(data=st.data())
def test_common_requests_are_counted_alike(name: str, answers_shortly: bool, data: st.DataObject) -> None:
    monitor, baseline = MONITORS[name], MODELS[name]
    inputs = data.draw(rows_of(baseline.features, 1))
    ((value,),) = answers = data.draw(rows_of(baseline.outputs, 1).filter(lambda rows: rows[0][0] is not None))
    ways = forms([item.name for item in baseline.features], inputs)
    document = ways[data.draw(st.sampled_from(["object", "object in another order", "list"]))]
    expected = recounted(baseline, inputs, answers)
    way = short_way(monitor.counter)
    assert way is not None

    for short in (way, ShortWay(monitor.counter)):

        def predict(short: Any = short) -> None:
            tally = Tally()
            assert short.count_features(document, tally) is not None
            if answers_shortly:
                assert short.count_output({"prediction": value}, tally) is not NOT_TAKEN
                short.commit(tally, 0.1)
            else:
                monitor.count_output(tally, [value])
                monitor.commit(tally, "ok", 0.1)

        assert counted(name, predict) == expected, short


# --- twins -----------------------------------------------------------------------------------------------------------


def twins(layout: ModelCells) -> list[CountsPairs]:
    """Return what counts the pairs of a model: compiled, if it can be, and in Python."""
    compiled = pair_cells(layout)
    assert compiled is not None
    parts = bytes(part for item in layout.variables for part in parts_of_cells(item.distribution))
    pairs = [(pair.first, pair.second) for pair in layout.pairs]
    return [compiled, PairCells(parts, pairs, len(layout.features), len(layout.variables), layout.pairs_start)]


TWINS = {name: twins(ModelCells.of(baseline)) for name, baseline in MODELS.items()}


def located(layout: ModelCells, names: slice, rows: int, draws: np.random.Generator) -> NDArray[np.int32] | None:
    """Return any cells of some variables; None if there is none of them."""
    variables = layout.variables[names]
    if not variables:
        return None
    cells = [draws.integers(item.cells.start, item.cells.stop, rows) for item in variables]
    return np.stack(cells, axis=1).astype(np.int32)


@pytest.mark.parametrize("name", MODELS)
@given(rows=st.integers(0, 30), seed=st.integers(0, 2**32), lacks=st.sampled_from(["", "features", "outputs"]))
def test_twins_count_rows_alike(name: str, rows: int, seed: int, lacks: str) -> None:
    layout, draws = ModelCells.of(MODELS[name]), np.random.default_rng(seed)
    width = len(layout.features)
    features = None if lacks == "features" else located(layout, slice(0, width), rows, draws)
    outputs = None if lacks == "outputs" else located(layout, slice(width, None), rows, draws)
    if features is None and outputs is None:
        return
    compiled, plain = TWINS[name]
    found, expected = compiled.of_rows(features, outputs), plain.of_rows(features, outputs)

    assert found.tolist() == expected.tolist()
    assert (found.dtype, found.shape) == (np.int64, (CELLS * len(layout.pairs),))
    for twin in TWINS[name]:
        single = [0] * len(found)
        for number in range(rows):
            for cell in noted(twin, features, outputs, number):
                single[cell - layout.pairs_start] += 1
        assert single == expected.tolist()


def noted(
    twin: CountsPairs, features: NDArray[np.int32] | None, outputs: NDArray[np.int32] | None, number: int
) -> list[int]:
    """Return the cells of the pairs of a single row, among whose cells there are others."""
    tally = Tally()
    tally.raise_cell(7)
    if features is not None:
        tally.features_at = tally.listed_cells
        for cell in features[number].tolist():
            tally.raise_cell(cell)
    tally.raise_cell(8)
    if outputs is not None:
        tally.outputs_at = tally.listed_cells
        for cell in outputs[number].tolist():
            tally.raise_cell(cell)
    before = tally.listed_cells
    twin.note_row(tally)
    return tally.cells[before:]


def test_the_compiled_twin_reads_no_memory_that_is_not_its_own() -> None:
    if native is None:
        missing("The compiled part of the package")
    layout = ModelCells.of(MODELS["all pairs"])
    twin, draws = TWINS["all pairs"][0], np.random.default_rng(0)
    features, outputs = located(layout, slice(0, 3), 5, draws), located(layout, slice(3, 5), 5, draws)
    assert features is not None
    assert outputs is not None
    for wrong in (features[:, :2], features[:4], np.hstack([features, features])):
        with pytest.raises(ValueError, match=r"^The cells are of other rows, or of other variables\.$"):
            twin.of_rows(np.ascontiguousarray(wrong), outputs)
    for cell in (-1, 1000, 2**31 - 1):
        beyond = features.copy()
        beyond[4, 2] = cell
        with pytest.raises(IndexError):
            twin.of_rows(beyond, outputs)

    tally = Tally()
    tally.features_at = 0
    tally.raise_cell(0)
    with pytest.raises(IndexError):  # the other features are behind the end
        twin.note_row(tally)
    for pair in ((0, 0), (1, 0), (0, 5), (-1, 2)):
        with pytest.raises(ValueError, match=r"^A pair is not of two variables\.$"):
            native.PairCells(b"", [pair], 3, 5, 0)


# --- cells of values -------------------------------------------------------------------------------------------------

KINDS: list[Distribution] = [
    Continuous("x", (0.0, 0.1, 0.7, 10.0), (0, 0, 0, 0, 0), (0.0, 10.0)),
    Continuous("s", (0.0, 0.1, 0.7, 10.0), (0, 0, 0, 0, 0), (0.0, 10.0), width=32),
    Continuous("h", (0.0, 0.1, 0.7, 10.0), (0, 0, 0, 0, 0), (0.0, 10.0), width=16),
    Continuous("d", (0.0, 86400.0), (0, 0, 0), (0.0, 86400.0), is_time=True),
    Discrete("n", ("1.0", "2.5", "0.0"), (3, 2, 1)),
    Discrete("r", ("1.0", "2.5"), (3, 2), rare=2),
    Discrete("w", ("0.1", "2.5"), (3, 2), width=32),
    Discrete("t", ("red", "1", "true", "1.0", "né"), (5, 4, 3, 2, 1)),
    Discrete("g", ("red", "?"), (5, 4), missing_texts=frozenset({"?", "none"})),
]
ANY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 12),
    st.integers(-(2**70), 2**70),
    st.floats(-1, 11),
    st.sampled_from([0.0, -0.0, 0.1, 0.7, 1.0, 2.5, math.nan, math.inf, -math.inf, 1e-310]),
    st.sampled_from(["red", " red", "RED", "1", "True", "?", "none", "x", "1970-01-01T12:00:00", "né", ""]),
    st.sampled_from([np.float32(0.1), np.float32(0.7), np.float16(0.1), np.int8(1)]),
)
DTYPES = [np.float64, np.float32, np.float16, np.int64, np.uint8, np.bool_, object, np.str_, np.longdouble]


@given(
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=5, unique_by=lambda item: item.name),
    rows=st.lists(st.lists(ANY, min_size=5, max_size=5), min_size=1, max_size=BULK_ROWS + 1),
)
def test_lists_are_located_in_the_cells_in_which_they_are_counted(kinds: list[Distribution], rows: list[Row]) -> None:
    assert_located(kinds, [list(row[: len(kinds)]) for row in rows])


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=25)
@given(
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=5, unique_by=lambda item: item.name),
    rows=st.lists(
        st.lists(st.sampled_from([0, 0.1, 0.7, 1, 2.5, 3, 9, 11]), min_size=5, max_size=5),
        min_size=1,
        max_size=BULK_ROWS + 1,
    ),
    gaps=st.booleans(),
)
def test_arrays_are_located_in_the_cells_in_which_they_are_counted(
    dtype: Any, kinds: list[Distribution], rows: list[Row], gaps: bool
) -> None:
    if np.dtype(dtype).kind in "biu" and any(item.is_text for item in kinds):
        kinds = [item for item in kinds if item.width == 64]  # narrow ones make floats of all, whose text is another
    array = np.array([row[: len(kinds)] for row in rows]).astype(dtype)
    if gaps and array.dtype.kind == "f":
        array[0, 0] = math.nan
    assert_located(kinds, array)
    assert_located(kinds, np.asfortranarray(array))


def assert_located(kinds: list[Distribution], rows: Any) -> None:
    """Compare the cells of values with the counts of the same rows."""
    offset, cells = 0, []
    for item in kinds:
        cells.append(cells_of(item, offset))
        offset += len(item.cells)
    plain = Batches(cells, offset, None)
    counters: list[BatchCounter] = [plain, batches(cells, offset, None)]
    for counter in counters:
        found, (block, _) = counter.locate(rows), counter.count(rows)
        assert (found.dtype, found.shape) == (np.int32, (len(rows), len(kinds)))
        assert np.bincount(found.ravel(), minlength=offset).tolist() == block.tolist()
        # A row's cell is of its own value: the cells of one row alone are the same.
        for number in (0, len(rows) - 1):
            assert counter.locate(rows[number : number + 1])[0].tolist() == found[number].tolist()
    assert counters[0].locate(rows).tolist() == counters[1].locate(rows).tolist()
