"""Training data that comes in chunks becomes the baseline of the whole, whatever the order."""

from __future__ import annotations

import math
import random
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite import Baseline, BaselineError
from flask_boxkite.baseline import Continuous, Discrete
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.baseline.training.effects import Limits
from flask_boxkite.baseline.training.options import BaselineOptions
from flask_boxkite.baseline.training.row_sample import RowSample
from flask_boxkite.baseline.training.stream import StreamLimits, count_chunks
from tests.baseline.strategies import NUMBERS
from tests.baseline.training.building import built

LIMITS = StreamLimits()


def counted(
    chunks: Any,
    inference: Any = None,
    *,
    clock: Callable[[], float] = time.time,
    limits: StreamLimits = LIMITS,
    **options: Any,
) -> Baseline:
    """Return the baseline of chunks; unlike `Baseline.from_chunks` at a time, and within limits, of the test's."""
    return Baseline.of(count_chunks(chunks, inference, BaselineOptions.of(**options), clock=clock, limits=limits))


def columns(rows: int) -> dict[str, Any]:
    """Return columns of every kind, by name."""
    rng = np.random.default_rng(0)
    normal, places = rng.normal(size=rows), np.arange(rows)
    return {
        "normal": normal,
        "lognormal": rng.lognormal(8, 2, rows),
        "float32": normal.astype(np.float32),
        "far out": 1e9 + normal,
        "missing": [None if place % 7 == 0 else math.nan if place % 5 == 0 else place / 3 for place in places.tolist()],
        "infinite": np.select([places % 9 == 0, places % 13 == 0], [math.inf, -math.inf], normal),
        "few": places % 3,
        "boolean": places % 2 == 0,
        "text": [None if place % 10 == 0 else f"t{place % 70}" for place in places.tolist()],
        "score": 1 / (1 + np.exp(-normal)),
    }


def cut(whole: dict[str, Any], size: int) -> list[dict[str, Any]]:
    """Return the columns in chunks of *size* rows."""
    rows = len(whole["normal"])
    return [{name: values[at : at + size] for name, values in whole.items()} for at in range(0, rows, size)]


def expected(whole: dict[str, Any]) -> Baseline:
    """Return the baseline of all rows in memory, the score being the output."""
    features = {name: values for name, values in whole.items() if name != "score"}
    return build_baseline(features, {"score": whole["score"]}, clock=lambda: 0)


def test_chunks_of_few_distinct_values_give_the_baseline_of_the_whole() -> None:
    whole = columns(5000)

    assert counted(cut(whole, 700), "score", clock=lambda: 0) == expected(whole)


def test_the_order_of_chunks_makes_no_difference() -> None:
    same: dict[str, Any] = {"clock": lambda: 0, "limits": StreamLimits(ranges=200)}
    chunks = cut(columns(5000), 130)
    found = counted(chunks, "score", **same)
    random.Random(0).shuffle(chunks)

    assert counted(chunks, "score", **same) == found
    assert counted([pl.DataFrame(columns(5000))], "score", **same) == found


def test_counts_are_exact_and_bounds_as_near_as_documented() -> None:
    whole = columns(300_000)
    found = counted(cut(whole, 50_000), "score")
    for one, other in zip(
        (*found.features, *found.outputs), (*expected(whole).features, *expected(whole).outputs), strict=True
    ):
        if isinstance(one, Discrete):
            assert one == other
            continue
        assert isinstance(other, Continuous)
        values = np.array([math.nan if value is None else value for value in whole[one.name]], dtype=float)
        if one.name != "float32":  # whose bounds are decimals
            at_most = [int((values <= bound).sum()) for bound in one.upper_bounds]
            assert np.cumsum(one.counts)[:-1].tolist() == at_most
        sizes = np.abs(values[np.isfinite(values) & (values != 0)])
        powers = 2 * (math.log2(sizes.max() / np.quantile(sizes, 0.0001)) + 1)
        np.testing.assert_allclose(one.group_bounds, other.group_bounds, rtol=powers / 32_768)


@given(st.lists(st.lists(NUMBERS, max_size=8), max_size=8))
def test_every_row_is_counted_once(parts: list[list[Any]]) -> None:
    values = [value for part in parts for value in part]
    if not values:
        return
    found = counted([{"x": part} for part in parts])

    assert found.features == build_baseline({"x": values}).features


def test_memory_is_bounded() -> None:
    def stream(number: int) -> Iterator[dict[str, Any]]:
        rng = np.random.default_rng(0)
        return ({"x": rng.normal(size=20_000)} for _ in range(number))

    peaks = []
    for number in (10, 60):
        tracemalloc.start()
        assert Baseline.from_chunks(stream(number)).rows == number * 20_000
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_effects_are_sought_among_all_chunks_of_sorted_data() -> None:
    """The first rows, which are of one plan, say nothing about the others."""
    generator = np.random.default_rng(1)
    rows = 12_000
    plan = np.repeat(["basic", "gold", "silver"], rows // 3)
    score = generator.beta(0.6, 0.6, rows)
    actual = np.where(plan == "gold", generator.random(rows) < 0.5, generator.random(rows) < score).astype(int)
    whole = {"plan": plan.tolist(), "score": score, "actual": actual}
    parts = [slice(start, start + 1000) for start in range(0, rows, 1000)]
    chunks = [{name: values[part] for name, values in whole.items()} for part in parts]
    contents = count_chunks(chunks, "score", actual="actual", limits=StreamLimits(effects=Limits(values=2000)))
    assert contents.validation is not None
    effects = contents.validation.effects
    assert effects is not None
    (item,) = contents.features
    gold = [group.name for group in item.groups].index("gold")
    assert max(abs(of[gold]) for of in effects) > 0.05


def test_rows_of_a_sample_keep_their_numbers() -> None:
    sample = RowSample(50)
    for start in range(0, 1000, 100):
        sample.add({"x": np.arange(start, start + 100), "y": [str(n) for n in range(start, start + 100)]})
    columns = sample.columns(["x", "y"])
    assert len(sample.numbers) == 50
    assert sample.numbers.tolist() == columns["x"].tolist() == list(map(int, columns["y"]))
    assert sorted(set(sample.numbers.tolist())) == sample.numbers.tolist()
    assert sample.numbers[-1] > 500 > sample.numbers[0]


def test_more_texts_than_are_kept_are_all_rare() -> None:
    found = counted([{"x": [f"t{index}", "a", None]} for index in range(20)], limits=StreamLimits(texts=10))

    assert found.features == (Discrete("x", (), (), rare=40, missing=20),)


def test_given_bins_and_options_hold_for_all_chunks() -> None:
    whole = columns(4000)
    options: dict[str, Any] = {"bins": {"normal": [0, 1], "few": [1]}, "discrete": ["lognormal"], "max_bins": 12}
    found = counted(cut(whole, 300), clock=lambda: 0, **options)

    assert found == built(whole, clock=lambda: 0, **options)


def test_chunks_may_be_frames_arrays_or_pairs() -> None:
    array = np.arange(40.0).reshape(20, 2)
    whole = {"a": array[:, 0], "b": array[:, 1]}
    frames = [pd.DataFrame(part, columns=["a", "b"]) for part in (array[:9], array[9:])]

    assert [item.name for item in Baseline.from_chunks([array[:9], array[9:]]).features] == ["feature_0", "feature_1"]
    assert Baseline.from_chunks(frames).features == build_baseline(whole).features
    assert Baseline.from_chunks([frame.items() for frame in frames]).features == Baseline.from_chunks(frames).features
    assert Baseline.from_chunks([pl.LazyFrame(frame) for frame in frames]).features == build_baseline(whole).features


def test_batches_of_a_file_are_chunks(tmp_path: Path) -> None:
    whole = columns(3000)
    pq.write_table(pa.table(whole), tmp_path / "train.parquet")
    batches = pq.ParquetFile(tmp_path / "train.parquet").iter_batches(batch_size=700)

    assert counted(batches, "score", clock=lambda: 0) == expected(whole)


def test_baselines_of_parts_with_equal_bins_add_up_to_that_of_the_whole() -> None:
    whole = {name: values for name, values in columns(3000).items() if name in ("normal", "few", "boolean")}
    bounds = {"normal": [-1, 0, 1]}
    first, second = (counted([part], bins=bounds, clock=lambda: 0) for part in cut(whole, 1500))

    assert first.merge(second).features[0].cells == built(whole, bins=bounds).features[0].cells
    assert first.merge(second) == second.merge(first)


@pytest.mark.parametrize(
    ("chunks", "inference", "message"),
    [
        ([], None, "The chunks of training data have no rows. Was the iterator used up before?"),
        ([{"x": []}], None, "The chunks of training data have no rows. Was the iterator used up before?"),
        (
            [{"x": [1]}, {"y": [1]}],
            None,
            "Chunk 1 has the column 'y', which the first one has not. All chunks must have the same columns.",
        ),
        (
            [{"x": [1], "y": [2]}, {"x": [1]}],
            None,
            "Chunk 1 lacks the column 'y', which the first one has. All chunks must have the same columns.",
        ),
        (
            [{"x": [1]}, {"x": ["a"]}],
            None,
            "Column 'x' holds numbers in one chunk and texts in another, such as 'a'. Give it one type.",
        ),
        (
            [{"x": [date(2024, 1, 31)]}, {"x": ["a"]}],
            None,
            "Column 'x' holds dates in one chunk and texts in another, such as 'a'. Give it one type.",
        ),
        ([{"x": [1]}], "y", "'inference' names the column 'y', which the chunks do not have. Known: 'x'."),
        ([{"x": [1], "y": [1, 2]}], None, "Column 'y' has 2 rows, 'x' has 1. All columns must have the same length."),
    ],
)
def test_chunks_that_cannot_be_used_are_refused(chunks: Any, inference: Any, message: str) -> None:
    with pytest.raises(BaselineError) as caught:
        Baseline.from_chunks(chunks, inference)
    assert str(caught.value) == message
