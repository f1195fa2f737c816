"""Rows are counted in the segments of their values by all groups, buckets and requests, in whatever form they come."""

from __future__ import annotations

import math
import struct
import zlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.baseline import Continuous, Discrete, Distribution
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.baseline.training.options import BaselineOptions
from flask_boxkite.baseline.training.segmenting import with_segments
from flask_boxkite.compiled import native
from flask_boxkite.live.batches import BULK_ROWS
from flask_boxkite.live.model_cells import ModelCells
from flask_boxkite.live.segment_cells import CountsSegments, SegmentCells, segment_cells
from flask_boxkite.monitoring.short_way import NOT_TAKEN, ShortWay, short_way
from flask_boxkite.monitoring.tally import Tally
from flask_boxkite.naming import INVALID, MISSING, RARE, UNSEEN
from flask_boxkite.payloads import as_table
from flask_boxkite.values.rowhash import ROW_BUCKETS
from tests.peers import missing

Row: TypeAlias = "Sequence[Any]"


# --- models ----------------------------------------------------------------------------------------------------------


def training(rows: int = 400) -> dict[str, list[Any]]:
    """Return columns, among them one of more values than have a segment each, of which some are rare."""
    draws = np.random.default_rng(3)
    towns = [f"town {number}" for number in range(14)]
    return {
        "age": draws.uniform(0, 60, rows).tolist(),
        "visits": draws.integers(0, 4, rows).tolist(),
        "city": draws.choice(["Oslo", "Rome", "Bonn"], rows, p=[0.5, 0.3, 0.2]).tolist(),
        "town": draws.choice(towns, rows).tolist(),
        "low": draws.random(rows).tolist(),
        "label": draws.choice(["yes", "no"], rows).tolist(),
    }


COLUMNS = training()
FEATURES = {name: COLUMNS[name] for name in ("age", "visits", "city")}
NUMBERS = {name: COLUMNS[name] for name in ("age", "visits")}
OUTPUTS = {"low": COLUMNS["low"], "label": COLUMNS["label"]}


def segmented(features: Any, outputs: Any, *names: str, pairs: bool = False, exclude: Sequence[str] = ()) -> Baseline:
    """Return a baseline with segments."""
    options = BaselineOptions.of(exclude=exclude, max_categories=12)
    return build_baseline(features, outputs, options, segments=names, pairs=pairs, progress=False)


def of_outputs() -> Baseline:
    """Return a baseline without features."""
    alone = build_baseline(FEATURES, OUTPUTS, pairs=False, progress=False)
    alone = Baseline((), alone.outputs, 400, row_collisions=0.0)
    return Baseline.of(with_segments(alone, ["label"], {}, OUTPUTS))


MODELS = {
    "by a text": segmented(FEATURES, {"low": COLUMNS["low"]}, "city"),
    "by a label": segmented(FEATURES, {"label": COLUMNS["label"]}, "label"),
    "by numbers": segmented(NUMBERS, {"low": COLUMNS["low"]}, "visits", "age", "low"),
    "by many": segmented({**FEATURES, "town": COLUMNS["town"]}, OUTPUTS, "town", "label", "city", pairs=True),
    "no output": segmented(FEATURES, None, "city"),
    "no features": of_outputs(),
}
OBSERVED = segmented({**FEATURES, "town": COLUMNS["town"]}, {"low": COLUMNS["low"]}, "town", exclude=["town"])
MONITORS = {
    name: ModelMonitoringService(baseline, sink="none").monitor
    for name, baseline in {**MODELS, "observed": OBSERVED}.items()
}


def test_each_model_has_the_segments_that_these_tests_are_about() -> None:
    found = {
        name: [[item.side_and_name(baseline.variables)[1], *item.segments] for item in baseline.segmentations]
        for name, baseline in MODELS.items()
    }

    assert found["by a text"] == [["city", "Oslo", "Rome", "Bonn"]]
    assert found["by a label"][0][0] == "label"
    assert [item[0] for item in found["by numbers"]] == ["age", "visits", "low"]
    assert len(found["by numbers"][0]) == 11
    assert [item[0] for item in found["by many"]] == ["city", "town", "label"]
    assert len(found["by many"][1]) == 11
    assert len(MODELS["by many"].features[3].categories) == 12  # type: ignore[union-attr]
    assert [item.name for item in OBSERVED.features] == ["age", "visits", "city", "town"]
    assert OBSERVED.inputs == ("age", "visits", "city")


# --- an independent count --------------------------------------------------------------------------------------------


def group_of(item: Distribution, value: Any) -> str:
    """Return the name of a value's group, by comparing it with all bounds or categories."""
    if value is None or value != value:
        return MISSING
    if isinstance(item, Continuous):
        if isinstance(value, str):
            return INVALID
        cell = bisect_left(item.upper_bounds, value)
    else:
        if not item.is_text and isinstance(value, str):
            return INVALID
        known = [value == (label if item.is_text else float(label)) for label in item.categories]
        if True not in known:
            return RARE if item.rare else UNSEEN
        cell = known.index(True)
    names = {place: group.name for group in item.groups for place in range(group.start, group.stop)}
    return names[cell]


def segment_of(item: Distribution, segments: Sequence[str], value: Any) -> str:
    """Return the name of a value's segment: a text, or the group of a number."""
    name = value if isinstance(item, Discrete) and item.is_text else group_of(item, value)
    return name if name in segments else RARE


def word(item: Distribution, value: Any) -> bytes:
    """Return a value as eight bytes."""
    if item.is_text:
        return struct.pack("<Q", 2**32 if value is None or value != value else zlib.crc32(value.encode()))
    if isinstance(value, str):  # invalid, but known again
        value = zlib.crc32(value.encode())
    return struct.pack("<d", math.nan if value is None else float(value))


def bucket(items: Sequence[Distribution], row: Row) -> int:
    """Return the bucket of a row."""
    crc = zlib.crc32(b"".join(map(word, items, row)))
    return (crc * crc >> 24) % 256


Counted: TypeAlias = "Counter[tuple[str, ...]]"


def recounted(
    baseline: Baseline, features: Sequence[Row] | None, outputs: Sequence[Row] | None, *, is_single: bool = False
) -> Counted:
    """Return the rows of a request by segmentation, segment, and group, bucket, or the square of the rows.

    Args:
        baseline: Baseline of the model.
        features: Rows of features; None if they are unknown.
        outputs: Rows of outputs.
        is_single: Whether the request has one row, which is known again though its features are unknown.
    """
    found: Counted = Counter()
    width = len(baseline.features)
    hashed = features if width else outputs
    for segmentation in baseline.segmentations:
        variable = baseline.distributions[segmentation.variable]
        rows: Counter[str] = Counter()
        for number in range(len((outputs if features is None else features) or ())):
            row: dict[int, Any] = {}
            if features is not None:
                row |= dict(enumerate(features[number]))
            if outputs is not None:
                row |= dict(enumerate(outputs[number], width))
            own = segmentation.variable
            segment = segment_of(variable, segmentation.segments, row[own]) if own in row else RARE
            for place, value in row.items():
                item = baseline.distributions[place]
                found[variable.name, segment, str(place), group_of(item, value)] += 1
            if hashed is not None:
                items = baseline.features or baseline.outputs
                found[variable.name, segment, "bucket", str(bucket(items, hashed[number]))] += 1
            rows[segment] += 1
        if hashed is not None or is_single:
            for segment, of_segment in rows.items():
                found[variable.name, segment, "squares"] = of_segment**2
    return found


def named(baseline: Baseline, cells: NDArray[np.int64]) -> Counted:
    """Return the counts of all segments' cells by their meaning."""
    layout = ModelCells.of(baseline)
    found: Counted = Counter()
    for segmentation in layout.segmentations:
        own = cells[layout.cells_of_segments(segmentation)].reshape(len(segmentation.names), -1)
        meanings = [
            *((str(place), group.name) for place, item in enumerate(baseline.distributions) for group in item.groups),
            *(("bucket", str(number)) for number in range(ROW_BUCKETS)),
            ("squares",),
        ]
        assert own.shape[1] == len(meanings)
        for segment, counts in zip(segmentation.names, own.tolist(), strict=True):
            name = baseline.distributions[segmentation.variable].name
            found.update({(name, segment, *what): count for what, count in zip(meanings, counts, strict=True) if count})
    return found


def counted(name: str, predict: Callable[[], object]) -> Counted:
    """Return what a call adds to the segments of a model."""
    monitor = MONITORS[name]
    before = monitor.counter.counts.totals().cells
    predict()
    baseline = OBSERVED if name == "observed" else MODELS[name]
    return named(baseline, monitor.counter.counts.totals().cells - before)


# --- rows ------------------------------------------------------------------------------------------------------------

SOME = st.one_of(st.floats(-5, 70), st.sampled_from([0.0, 1, 2, 3, None, math.nan, math.inf, -math.inf, 1e300]))
VALUES = {
    "city": st.sampled_from(["Oslo", "Rome", "Bonn", "Atlantis", None]),
    "town": st.sampled_from([*(f"town {number}" for number in range(14)), "Atlantis", None]),
    "label": st.sampled_from(["yes", "no", "maybe", None]),
    "visits": st.sampled_from([0, 1, 2.0, 3, 7, None, "x"]),
    "low": st.floats(0.0, 1.5) | st.sampled_from([None, math.nan, -0.5, 1, "x"]),
}
SIZES = st.sampled_from([1, 1, 2, 3, BULK_ROWS, 40])


def rows_of(items: Sequence[Distribution], size: int) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    """Draw rows of values."""
    return st.lists(st.tuples(*(VALUES.get(item.name, SOME) for item in items)), min_size=size, max_size=size)


def forms(names: Sequence[str], rows: Sequence[Row]) -> dict[str, Any]:
    """Return the same rows in the forms that say as much."""
    by_name = [dict(zip(names, row, strict=True)) for row in rows]
    backwards = [dict(reversed(row.items())) for row in by_name]
    more = [row | {"other": 1} for row in by_name]  # of which even a single row is counted as several
    found: dict[str, Any] = {
        "objects": by_name,
        "objects with more": more,
        "backwards": backwards,
        "lists": [list(row) for row in rows],
    }
    if all(type(value) in (int, float) for row in rows for value in row):
        found["array"] = np.array(rows, dtype=np.float64)
        found["array in another order of memory"] = np.asfortranarray(found["array"])
    if len(rows) == 1:
        found |= {
            "object": by_name[0],
            "object with more": more[0],
            "object backwards": backwards[0],
            "list": list(rows[0]),
        }
    return found


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=25)
@given(data=st.data())
def test_rows_in_any_form_are_counted_as_one_by_one(name: str, data: st.DataObject) -> None:
    baseline, size = MODELS[name], data.draw(SIZES)
    inputs, answers = (data.draw(rows_of(side, size)) for side in (baseline.features, baseline.outputs))
    ways = forms([item.name for item in baseline.features], inputs) if baseline.features else {"none": None}
    answered = forms([item.name for item in baseline.outputs], answers) if baseline.outputs else {"none": None}
    if len(baseline.outputs) == 1:
        values = [row[0] for row in answers]
        answered = {"values": values, "rows": [[value] for value in values]}
    features, output = data.draw(st.sampled_from(sorted(ways))), data.draw(st.sampled_from(sorted(answered)))

    added = counted(name, lambda: MONITORS[name].log_prediction(None, ways[features], answered[output]))
    assert added == recounted(baseline, inputs if baseline.features else None, answers if baseline.outputs else None)


@settings(max_examples=20)
@given(size=SIZES, seed=st.integers(0, 2**32))
def test_arrays_of_numbers_are_counted_as_their_rows(size: int, seed: int) -> None:
    draws = np.random.default_rng(seed)
    table = np.stack([draws.uniform(-5, 65, size), draws.integers(-1, 5, size).astype(float)], axis=1)
    answers = draws.uniform(-0.2, 1.2, size)
    added = counted("by numbers", lambda: MONITORS["by numbers"].log_prediction(None, table, answers))

    assert added == recounted(MODELS["by numbers"], table.tolist(), answers[:, np.newaxis].tolist())


# --- a column that only segments rows --------------------------------------------------------------------------------


@settings(max_examples=40)
@given(data=st.data(), size=SIZES, way=st.sampled_from(["observed", "with the row", "neither"]))
def test_rows_are_counted_by_a_column_that_is_no_feature(data: st.DataObject, size: int, way: str) -> None:
    inputs = data.draw(rows_of(OBSERVED.features[:-1], size))
    answers = data.draw(rows_of(OBSERVED.outputs, size))
    towns = data.draw(st.lists(VALUES["town"], min_size=size, max_size=size))
    service = MONITORS["observed"]
    rows: Any = [dict(zip(("age", "visits", "city"), row, strict=True)) for row in inputs]
    if way == "with the row":
        rows = [row | {"town": town} for row, town in zip(rows, towns, strict=True)]
    if way == "neither":
        towns = [None] * size
    observed = {"town": towns if size > 1 else towns[0]} if way == "observed" else None
    outputs: Any = [list(row) for row in answers]
    if size == 1 and data.draw(st.booleans()):
        rows, outputs = rows[0], outputs[0][0]

    added = counted("observed", lambda: service.log_prediction(None, rows, outputs, observed=observed))
    expected = [(*row, town) for row, town in zip(inputs, towns, strict=True)]
    # A single output that is None is no output.
    assert added == recounted(OBSERVED, expected, None if outputs is None else answers, is_single=size == 1)


# --- predictions that lack something ---------------------------------------------------------------------------------


@settings(max_examples=30)
@given(data=st.data(), size=SIZES, gone=st.sampled_from(range(4)))
def test_a_feature_that_is_not_there_is_missing_in_its_segment(data: st.DataObject, size: int, gone: int) -> None:
    baseline = MODELS["by many"]
    inputs, answers = (data.draw(rows_of(side, size)) for side in (baseline.features, baseline.outputs))
    names = [item.name for item in baseline.features]
    rows = [{name: value for name, value in zip(names, row, strict=True) if name != names[gone]} for row in inputs]
    outputs = [list(row) for row in answers]
    added = counted("by many", lambda: MONITORS["by many"].log_prediction(None, rows, outputs))

    inputs = [(*row[:gone], None, *row[gone + 1 :]) for row in inputs]
    assert added == recounted(baseline, inputs, answers)


@pytest.mark.parametrize("output", [None, "text", {"other": 3}, [[1, 2, 3]]], ids=["none", "text", "name", "number"])
@settings(max_examples=15)
@given(data=st.data(), size=SIZES)
def test_rows_without_an_output_are_among_all_others_of_its_segments(
    output: Any, data: st.DataObject, size: int
) -> None:
    baseline = MODELS["by many"]
    inputs = data.draw(rows_of(baseline.features, size))
    rows = [list(row) for row in inputs]
    features = rows[0] if size == 1 and data.draw(st.booleans()) else rows

    added = counted("by many", lambda: MONITORS["by many"].log_prediction(None, features, output))
    assert added == recounted(baseline, inputs, None)
    assert {key[1] for key in added if key[0] == "label"} == {RARE}


@pytest.mark.parametrize("features", [None, "text", {"other": 3}, [1.0]], ids=["none", "text", "name", "number"])
@settings(max_examples=15)
@given(data=st.data())
def test_a_row_without_features_is_among_all_others_of_their_segments(features: Any, data: st.DataObject) -> None:
    baseline = MODELS["by many"]
    (answer,) = answers = data.draw(rows_of(baseline.outputs, 1))

    added = counted("by many", lambda: MONITORS["by many"].log_prediction(None, features, list(answer)))
    assert added == recounted(baseline, None, answers, is_single=True)


@settings(max_examples=15)
@given(data=st.data(), size=st.sampled_from([2, 3, BULK_ROWS]))
def test_a_batch_without_features_is_in_no_bucket(data: st.DataObject, size: int) -> None:
    baseline = MODELS["by many"]
    answers = data.draw(rows_of(baseline.outputs, size))
    rows = [[1.0]] * size

    added = counted("by many", lambda: MONITORS["by many"].log_prediction(None, rows, list(map(list, answers))))
    assert added == recounted(baseline, None, answers)


@settings(max_examples=30)
@given(data=st.data(), size=st.sampled_from([1, 2, 3, BULK_ROWS]), other=st.sampled_from([1, 2, 4, BULK_ROWS + 1]))
def test_outputs_of_another_number_than_rows_are_not_counted(data: st.DataObject, size: int, other: int) -> None:
    """Which row they are of is unknown."""
    if size == other:
        other += 1
    baseline = MODELS["by many"]
    inputs, answers = data.draw(rows_of(baseline.features, size)), data.draw(rows_of(baseline.outputs, other))

    added = counted(
        "by many",
        lambda: MONITORS["by many"].log_prediction(None, list(map(list, inputs)), list(map(list, answers))),
    )
    assert added == recounted(baseline, inputs, None)


@pytest.mark.parametrize("status", ["error", "client_error"])
@pytest.mark.parametrize("size", [1, 3, BULK_ROWS])
def test_failed_requests_count_nothing(status: str, size: int) -> None:
    monitor = MONITORS["by many"]

    def predict(status: str) -> None:
        tally = Tally()
        monitor.count_features(tally, as_table([{"age": 30.0, "visits": 2, "city": "Oslo", "town": "town 1"}] * size))
        monitor.count_output(tally, {"low": [0.5] * size, "label": ["yes"] * size})
        monitor.commit(tally, status, 0.1)

    assert counted("by many", lambda: predict(status)) == Counter()
    added = counted("by many", lambda: predict("ok"))
    assert added["city", "Oslo", "squares"] == added["label", "yes", "squares"] == size**2


@pytest.mark.parametrize("features", ["object", "object with more"])
@pytest.mark.parametrize("output", ["object", "object with more"])
def test_a_single_row_is_counted_in_whatever_form_its_outputs_come(features: str, output: str) -> None:
    baseline, inputs, answers = MODELS["by many"], [(30.5, 2, "Oslo", "town 3")], [(0.5, "yes")]
    ways, answered = (
        forms([item.name for item in side], rows)
        for side, rows in ((baseline.features, inputs), (baseline.outputs, answers))
    )

    added = counted("by many", lambda: MONITORS["by many"].log_prediction(None, ways[features], answered[output]))
    assert added == recounted(baseline, inputs, answers)


@pytest.mark.parametrize("name", ["by a text", "by many", "no features"])
@pytest.mark.parametrize("output", [[], None], ids=["empty", "none"])
def test_an_empty_batch_counts_nothing(name: str, output: Any) -> None:
    assert counted(name, lambda: MONITORS[name].log_prediction(None, [], output)) == Counter()


@pytest.mark.parametrize("name", ["by a text", "by many"])
def test_a_batch_of_which_nothing_is_known_counts_nothing(name: str) -> None:
    rows = [["a", "b", "c", "d", "e"]] * 3
    assert counted(name, lambda: MONITORS[name].log_prediction(None, rows, None)) == Counter()


@pytest.mark.parametrize("name", ["by a text", "by many", "no features"])
@pytest.mark.parametrize("features", [None, "text"])
def test_a_prediction_of_which_nothing_is_known_is_one_row_of_no_segment(name: str, features: Any) -> None:
    """As among all rows together, it is a request."""
    baseline = MODELS[name]
    names = [item.side_and_name(baseline.variables)[1] for item in baseline.segmentations]
    expected = {(own, RARE, "squares"): 1 for own in names}

    assert counted(name, lambda: MONITORS[name].log_prediction(None, features, None)) == expected


# --- the short way ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["by a text", "by a label", "by numbers"])
@pytest.mark.parametrize("answers_shortly", [True, False], ids=["short answer", "other answer"])
@settings(max_examples=20)
@given(data=st.data())
def test_common_requests_are_counted_alike(name: str, answers_shortly: bool, data: st.DataObject) -> None:
    monitor, baseline = MONITORS[name], MODELS[name]
    inputs = data.draw(rows_of(baseline.features, 1))
    ((value,),) = answers = data.draw(rows_of(baseline.outputs, 1).filter(lambda rows: rows[0][0] is not None))
    ways = forms([item.name for item in baseline.features], inputs)
    document = ways[data.draw(st.sampled_from(["object", "object backwards", "list"]))]
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


def arguments(layout: ModelCells) -> list[Any]:
    """Return what the twins of a model are made of, from the names of groups and segments."""
    groups: list[int] = []
    segmentations = []
    for each in layout.variables:
        for group in each.distribution.groups:
            groups += [groups[-1] + 1 if groups else 0] * (group.stop > group.start)
            groups += [groups[-1]] * (group.stop - group.start - 1)
    for item in layout.segmentations:
        variable = layout.variables[item.variable]
        own = variable.distribution
        labels = {place: group.name for group in own.groups for place in range(group.start, group.stop)}
        if isinstance(own, Discrete) and own.is_text:
            labels |= dict(enumerate(own.categories))
        places = [item.names.index(labels[place]) if labels[place] in item.segments else -1 for place in labels]
        numbers = bytes(place if place >= 0 else len(item.segments) for place in places)
        segmentations.append((item.variable, variable.cells.start, numbers, len(item.names)))
    return [
        np.array(groups, dtype=np.int32),
        segmentations,
        len(layout.features),
        len(layout.variables),
        layout.segments_start,
    ]


def twins(layout: ModelCells) -> list[CountsSegments]:
    """Return what counts the segments of a model: as a server chooses it, in Python, and compiled, if it can be."""
    chosen = segment_cells(layout)
    assert chosen is not None
    others = [SegmentCells] if native is None else [SegmentCells, native.SegmentCells]
    return [chosen, *(kind(*arguments(layout)) for kind in others)]


TWINS = {name: twins(ModelCells.of(baseline)) for name, baseline in MODELS.items()}


def located(
    layout: ModelCells, names: slice, rows: int, draws: np.random.Generator, *, is_hashed: bool
) -> NDArray[np.int32] | None:
    """Return any cells of some variables, and the bucket of each row behind them; None if there is no variable."""
    variables = layout.variables[names]
    if not variables:
        return None
    cells = [draws.integers(item.cells.start, item.cells.stop, rows) for item in variables]
    if is_hashed:
        cells.append(draws.integers(0, ROW_BUCKETS, rows))
    return np.stack(cells, axis=1).astype(np.int32)


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=30)
@given(rows=st.integers(0, 30), seed=st.integers(0, 2**32), lacks=st.sampled_from(["", "features", "outputs"]))
def test_twins_count_rows_alike(name: str, rows: int, seed: int, lacks: str) -> None:
    layout, draws = ModelCells.of(MODELS[name]), np.random.default_rng(seed)
    width = len(layout.features)
    features = None if lacks == "features" else located(layout, slice(0, width), rows, draws, is_hashed=True)
    outputs = None
    if lacks != "outputs":
        outputs = located(layout, slice(width, None), rows, draws, is_hashed=width == 0)
    if features is None and outputs is None:
        return
    found = [twin.of_rows(features, outputs) for twin in TWINS[name]]

    assert {counts.tobytes() for counts in found} == {found[0].tobytes()}
    assert {(counts.dtype, counts.shape) for counts in found} == {
        (np.dtype(np.int64), (layout.size - layout.segments_start,))
    }
    # Alone, each row is a request of its own, so that squares are no sum.
    squares = np.zeros(len(found[0]), dtype=bool)
    squares[layout.segment_size - 1 :: layout.segment_size] = True
    for twin in TWINS[name]:
        single = np.zeros_like(found[0])
        for number in range(rows):
            cells = noted(twin, layout, features, outputs, number)
            single += np.bincount(np.array(cells) - layout.segments_start, minlength=len(single))
        assert single[~squares].tolist() == found[0][~squares].tolist()
        assert single[squares].sum() == rows * len(layout.segmentations)


def noted(
    twin: CountsSegments,
    layout: ModelCells,
    features: NDArray[np.int32] | None,
    outputs: NDArray[np.int32] | None,
    number: int,
) -> list[int]:
    """Return the cells of the segments of a single row, among whose cells there are others."""
    tally = Tally()
    tally.raise_cell(7)
    for side, located in (("features_at", features), ("outputs_at", outputs)):
        if located is None:
            continue
        setattr(tally, side, tally.listed_cells)
        row = located[number].tolist()
        if side == "features_at" or not layout.features:
            row[-1] += layout.buckets_start
        for cell in row:
            tally.raise_cell(cell)
        tally.raise_cell(8)
    before = tally.listed_cells
    twin.note_row(tally)
    return tally.cells[before:]


def test_a_model_without_segments_counts_none() -> None:
    assert segment_cells(ModelCells.of(replace(MODELS["by a text"], segmentations=()))) is None


def test_the_compiled_twin_reads_no_memory_that_is_not_its_own() -> None:
    if native is None:
        missing("The compiled part of the package")
    layout = ModelCells.of(MODELS["by many"])
    twin, draws = native.SegmentCells(*arguments(layout)), np.random.default_rng(0)
    features = located(layout, slice(0, 4), 5, draws, is_hashed=True)
    outputs = located(layout, slice(4, 6), 5, draws, is_hashed=False)
    assert features is not None
    for wrong in (features[:, :3], features[:4], features[:, :4], np.hstack([features, features])):
        with pytest.raises(ValueError, match=r"^The cells are of other rows, or of other variables\.$"):
            twin.of_rows(np.ascontiguousarray(wrong), outputs)
    for column, cells in ((2, (-1, 1000, 2**31 - 1)), (4, (-1, ROW_BUCKETS, 2**31 - 1))):
        for cell in cells:
            beyond = features.copy()
            beyond[4, column] = cell
            with pytest.raises(IndexError):
                twin.of_rows(beyond, outputs)

    tally = Tally()
    tally.features_at = 0
    tally.raise_cell(0)
    with pytest.raises(IndexError):  # the other features, and the bucket, are behind the end
        twin.note_row(tally)
    assert tally.cells == [0]
    groups, segmentations, width, variables, start = arguments(layout)
    own = segmentations[0]
    for other in ((-1, *own[1:]), (6, *own[1:]), (own[0], 10_000, *own[2:]), (*own[:3], 1)):
        with pytest.raises(ValueError, match=r"^Segments are not of a variable\.$"):
            native.SegmentCells(groups, [other], width, variables, start)
