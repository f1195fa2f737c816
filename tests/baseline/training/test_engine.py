"""Training data in any engine, lazy or in memory, becomes the same baseline."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flask_boxkite import Baseline, BaselineError, ModelMonitoringService
from flask_boxkite.baseline import Continuous, Distribution
from flask_boxkite.baseline.progress import Steps
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.baseline.training.engine import EngineLimits, count_lazily
from flask_boxkite.baseline.training.options import BaselineOptions
from flask_boxkite.baseline.training.queries import Engine
from flask_boxkite.baseline.training.seen import Seen
from tests import peers
from tests.baseline.training.building import built

pytestmark = [
    # Not ours to heed: of a package to come, of what Dask will have to change, and of pandas, which Spark's frames are
    # not made of.
    pytest.mark.filterwarnings("ignore:Dask support is moving:FutureWarning"),
    pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.reset_index"),
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support:FutureWarning"),
]

ROWS = EngineLimits().ranges + 1616
"""More than an engine tells one by one, so that every kind of pass is made."""


MOMENT = datetime(2024, 3, 31, 1, 30)
"""When clocks in Berlin are put forward: no engine may read it in such a zone."""


def with_gaps(values: Any, every: int) -> list[Any]:
    """Return values with None for one in *every*."""
    return [None if index % every == 0 else value for index, value in enumerate(values)]


def spelling(place: int) -> str:
    """Write one of many moments, from the year 1500 on, in one of the ways that ISO 8601 has."""
    moment = datetime(1500, 2, 27) + timedelta(seconds=place * 900_007, microseconds=place % 3 * 333_333)
    ahead = (moment + timedelta(minutes=330)).isoformat(" ", "seconds")
    ways = (
        *(moment.isoformat(), f"{moment}Z", f"{moment}000 UTC" if moment.microsecond else f"{moment}.5z"),
        *(moment.strftime("%Y-%m-%dT%H:%M"), f"{moment:%Y-%m-%d}", f" {ahead},25 +0530", f"{ahead}+05:30 "),
        *(f"{moment.isoformat('T', 'milliseconds')}-01", f"{moment:%Y-%m-%dt%H:%M}-23:59"),
    )
    return ways[place % len(ways)]


def made_columns() -> dict[str, pa.Array]:
    """Return columns of every kind, by name."""
    rng = np.random.default_rng(0)
    normal, places = rng.normal(size=ROWS), np.arange(ROWS)
    infinite = np.select([places % 9 == 0, places % 13 == 0], [math.inf, -math.inf], normal)
    nan = np.where(places % 11 == 0, math.nan, normal)
    days = [date(2024, 1, 1 + place % 28) for place in places.tolist()]
    return {
        "normal": pa.array(normal),
        "missing": pa.array(with_gaps(nan.tolist(), 7)),
        "infinite": pa.array(infinite),
        "only infinite": pa.array(np.full(ROWS, math.inf)),
        "all missing": pa.array([None] * ROWS, pa.float64()),
        "float32": pa.array(normal.astype(np.float32)),
        "heavy tail": pa.array(rng.standard_cauchy(ROWS)),
        "mostly zero": pa.array(np.where(normal < 0.5, -0.0, normal)),
        "constant": pa.array(np.full(ROWS, 7.5)),
        "few": pa.array(places % 3),
        "many": pa.array(rng.integers(0, 1_000_000, ROWS)),
        "wide": pa.array(places * 10**14),
        "decimal": pa.array(with_gaps([Decimal(place) / 100 for place in places.tolist()], 6), pa.decimal128(12, 2)),
        "boolean": pa.array(with_gaps((places % 3 == 0).tolist(), 4)),
        "text": pa.array(with_gaps([f"t{place % 70}" for place in places], 10)),
        # Not a double quote, too: before release 2, DuckDB finds no column whose name has one.
        "odd 'text": pa.array(np.array(["", "__rare__", "é", "𝄞", "a b", '"q"'])[places % 6]),
        "all missing text": pa.array([None] * ROWS, pa.string()),
        "high cardinality": pa.array([f"k{place}" for place in places]),
        "numbers as text": pa.array([f"{place}.5" for place in places]),
        "but one": pa.array([f"{place}.5" if place else "x" for place in places]),
        "gaps as text": pa.array(with_gaps(["?" if place % 9 == 0 else f" {place}.25" for place in places], 8)),
        "rare texts": pa.array([f"seen {place}" if place < 4 else "often" for place in places]),
        "date": pa.array(with_gaps(days, 5)),
        "time": pa.array([datetime(2024, 1, 1 + day.day, 12, 30) for day in days], pa.timestamp("us")),
        "birth": pa.array(with_gaps([date(1950, 1, 1) + timedelta(place * 2) for place in places.tolist()], 8)),
        "moment": pa.array([MOMENT + timedelta(microseconds=int(n * 1e9)) for n in normal], pa.timestamp("us")),
        "zoned": pa.array(places * 7_000_001, pa.timestamp("us", "Europe/Berlin")),
        "iso": pa.array(
            np.array(["2024-03-31", "2024-03-31T00:00:00Z", "2024-03-31 02:00+02:00", "2024-04-01"])[places % 4]
        ),
        "spellings": pa.array(with_gaps([spelling(place) for place in places.tolist()], 7)),
        "score": pa.array(1 / (1 + np.exp(-normal))),
    }


COLUMNS = made_columns()


TEXTS: dict[str, Any] = {"texts": ["but one", "numbers as text"], "missing_texts": ["?"]}
"""How texts are to be read that are numbers, or nearly all."""

OPTIONS: dict[str, Any] = {
    **TEXTS,
    "discrete": ["many", "score", 0],
    "bins": {"decimal": [0, 50, 100.25], "boolean": [0.5], "all missing": [1, 2]},
    "max_bins": 12,
    "max_categories": 5,
    "min_category_rows": 300,
    "exclude": ["wide", "time"],
    "version": "7",
}


@cache
def expected(*, with_options: bool = False) -> Baseline:
    """Return the baseline of the columns as lists in memory, the last one being the output."""
    lists = {name: column.to_pylist() for name, column in COLUMNS.items()}
    # The decimals of a float32 follow from its type, which lists lack.
    lists["float32"] = COLUMNS["float32"].to_numpy()
    return built(lists, {"score": lists.pop("score")}, clock=lambda: 0, **(OPTIONS if with_options else TEXTS))


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the columns to a file, in several groups of rows."""
    path = tmp_path_factory.mktemp("engines") / "train.parquet"
    pq.write_table(pa.table(COLUMNS), path, row_group_size=5000)
    return path


@pytest.fixture(autouse=True)
def no_threads() -> Iterator[None]:
    """Have Dask, which keeps its threads for ever, work in this one."""
    with peers.library("dask").config.set(scheduler="synchronous"):
        yield


READERS: dict[str, Callable[[Path], Any]] = {
    "pandas": pd.read_parquet,
    "pandas nullable": lambda path: pd.read_parquet(path, dtype_backend="pyarrow"),
    "polars": pl.read_parquet,
    "pyarrow": pq.read_table,
    "polars lazy": pl.scan_parquet,
    "duckdb": lambda path: peers.library("duckdb").read_parquet(str(path)),
}


@pytest.fixture(params=[*READERS, "dask", "pyspark"])
def frame(request: pytest.FixtureRequest, parquet: Path) -> Iterator[Any]:
    """Return the columns of the file as a frame of each engine."""
    if request.param == "pyspark":
        spark = request.getfixturevalue("spark")
        spark.conf.set("spark.sql.session.timeZone", "America/New_York")  # on which moments must not depend
        yield spark.read.parquet(str(parquet))
        spark.conf.unset("spark.sql.session.timeZone")
    elif request.param == "dask":
        dask = peers.library("dask.dataframe")
        # Its threads would stay.
        with peers.library("dask").config.set(scheduler="synchronous"):
            yield dask.read_parquet(parquet, split_row_groups=True)
    else:
        yield READERS[request.param](parquet)


def assert_same(found: Baseline, wanted: Baseline) -> None:
    """Compare variable by variable, so that a failure shows one of them only."""
    for one, other in zip((*found.features, *found.outputs), (*wanted.features, *wanted.outputs), strict=True):
        assert one == other
    assert found == wanted


@pytest.mark.parametrize("frame", READERS, indirect=True)  # Dask and Spark, which take longer, have all options below
def test_every_engine_gives_the_baseline_of_the_same_data_in_memory(frame: Any) -> None:
    assert_same(built(frame, "score", clock=lambda: 0, **TEXTS), expected())


def test_every_engine_heeds_every_option(frame: Any) -> None:
    assert_same(built(frame, "score", clock=lambda: 0, **OPTIONS), expected(with_options=True))


TIMES = ["date", "time", "birth", "moment", "zoned", "iso", "spellings"]


def test_moments_do_not_depend_on_the_zone_of_duckdb(parquet: Path) -> None:
    connection = peers.library("duckdb").connect()
    connection.execute("set TimeZone = 'America/New_York'")
    found = build_baseline(connection.read_parquet(str(parquet)).select(*TIMES), clock=lambda: 0)

    wanted = (replace(item, missing_texts=frozenset()) for item in expected().features if item.name in TIMES)
    assert found.features == tuple(wanted)


DURATIONS: dict[str, Callable[[pa.Table, Path], Any]] = {
    "polars lazy": lambda table, path: pl.scan_parquet(path),
    "arrow": lambda table, path: table,
    "pandas": lambda table, path: table.to_pandas(),
    "dask": lambda table, path: peers.library("dask.dataframe").from_pandas(table.to_pandas(), npartitions=2),
    # Of Parquet, DuckDB and Spark read durations as integers.
    "duckdb": lambda table, path: peers.library("duckdb").connect().from_arrow(table),
}


@pytest.mark.parametrize("read", DURATIONS.values(), ids=DURATIONS)
def test_durations_are_seconds_in_every_engine(read: Callable[[pa.Table, Path], Any], tmp_path: Path) -> None:
    waited = with_gaps([timedelta(microseconds=place * 1_234_567) for place in range(-200, 800)], 7)
    seconds = [None if value is None else value.total_seconds() for value in waited]
    table = pa.table({"waited": pa.array(waited, pa.duration("us"))})
    pq.write_table(table, tmp_path / "t.parquet")

    found = build_baseline(read(table, tmp_path / "t.parquet"), clock=lambda: 0)
    assert_same(found, build_baseline({"waited": seconds}, clock=lambda: 0))


def those(frame: Any, names: list[str]) -> Any:
    """Return some columns of a frame of any engine."""
    if isinstance(frame, peers.library("duckdb").DuckDBPyRelation):
        return frame.select(", ".join(f'"{name}"' for name in names))
    return frame.select(names) if hasattr(frame, "select") else frame[names]


def test_every_engine_refuses_numbers_with_an_odd_text_among_them(frame: Any) -> None:
    wanted = (
        "Column 'numbers as text' holds 18,000 numbers, written as texts. "
        "Column 'but one' holds 17,999 numbers and 1 other text, such as 'x'. "
        "Column 'gaps as text' holds 14,000 numbers and 1,750 other texts, such as '?'. Say what these are: "
        "missing_texts=('x', '?') for a missing value, or texts=('numbers as text', 'but one', 'gaps as text') for "
        "columns of texts; or give plain numbers, such as 1234.5."
    )
    assert refusal(those(frame, ["numbers as text", "but one", "gaps as text", "score"]), "score") == wanted


def test_texts_that_stand_for_missing_values_leave_numbers_in_every_engine() -> None:
    gaps = next(item for item in expected().features if item.name == "gaps as text")
    column = COLUMNS["gaps as text"].to_pylist()
    numbers = [None if value in ("?", None) else float(value) for value in column]

    assert replace(gaps, missing_texts=frozenset()) == build_baseline({"gaps as text": numbers}).features[0]
    assert gaps.missing == numbers.count(None)


def test_features_and_outputs_may_be_lazy_frames_of_their_own(parquet: Path) -> None:
    frame = pl.scan_parquet(parquet)
    found = built(frame.drop("score"), frame.select("score"), clock=lambda: 0, **TEXTS)

    assert_same(found, expected())


def test_export_text_writes_what_an_engine_has_counted(parquet: Path, tmp_path: Path) -> None:
    path = tmp_path / "histogram.prom"
    found = ModelMonitoringService.export_text(pl.scan_parquet(parquet), "score", path, **TEXTS)

    assert Baseline.load(path) == found
    assert found.fingerprint == expected().fingerprint


# --- what passes between us and the engine ---------------------------------------------------------------------------


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which the rows of every answer of Polars are added."""
    collect = pl.LazyFrame.collect
    sizes: list[int] = []

    def counted(query: pl.LazyFrame, **options: Any) -> Any:
        answer: Any = collect(query, **options)
        if options == {"engine": "streaming"}:  # not the sample of rows
            sizes.append(len(answer))
        return answer

    monkeypatch.setattr(pl.LazyFrame, "collect", counted)
    return sizes


@pytest.mark.parametrize("columns", [1, 8])
def test_passes_are_few_whatever_the_rows_and_columns_and_their_answers_small(columns: int, answers: list[int]) -> None:
    rng = np.random.default_rng(1)
    for rows in (50_000, 200_000):
        answers.clear()
        build_baseline(pl.LazyFrame({str(index): rng.normal(size=rows) for index in range(columns)}))

        assert len(answers) == 4  # extremes, ranges, values next to the quantiles, bins
        assert max(answers) <= columns * EngineLimits().ranges


def test_a_column_of_categories_takes_no_pass_to_see_that_it_is_not_of_numbers(answers: list[int]) -> None:
    build_baseline(pl.LazyFrame({"x": ["a", "b", "1"] * 1000}))

    assert len(answers) == 2  # extremes, categories


def within(limits: EngineLimits, columns: dict[str, Any]) -> tuple[Distribution, ...]:
    """Return the distributions that Polars counts within limits."""
    frame = nw.from_native(pl.LazyFrame(columns))
    return count_lazily(frame, lambda name: True, BaselineOptions.of(), Seen(), Steps(False), limits)


def test_columns_beyond_one_pass_are_counted_in_further_ones() -> None:
    columns = {f"c{index}": [float(index), 2.0, 3.0] for index in range(8)}

    assert within(EngineLimits(columns=3), columns) == build_baseline(columns).features


SPREADS: dict[str, Callable[[np.random.Generator], Any]] = {
    "normal": lambda rng: rng.normal(size=3000),
    "all magnitudes": lambda rng: rng.normal(size=3000) * 10.0 ** rng.integers(-300, 300, 3000),
    "positive magnitudes": lambda rng: 10.0 ** rng.uniform(-300, 300, 3000),
    "all that floats hold": lambda rng: rng.uniform(-1, 1, 3000) * np.finfo(float).max,
    "next to one another": lambda rng: 1 + rng.integers(0, 3000, 3000) * 2.0**-52,
    "next to one another, far out": lambda rng: (2**52 + rng.integers(0, 3000, 3000)).astype(float),
    "with one outlier": lambda rng: np.append(rng.normal(size=2999), 1e300),
    "two places": lambda rng: np.append(rng.normal(-1e9, 1, 1500), rng.normal(1e9, 1, 1500)),
    "large integers": lambda rng: rng.integers(-(2**63), 2**63 - 1, 3000),
    "mostly one value": lambda rng: np.where(rng.random(3000) < 0.97, 4.0, rng.normal(size=3000)),
    "few values, far apart": lambda rng: np.array([0.0, 1e-300, 2e-300, 1e300])[rng.integers(0, 4, 3000)],
}


@pytest.mark.parametrize("make", SPREADS.values(), ids=SPREADS.keys())
def test_bins_are_exact_however_values_are_spread(
    make: Callable[[np.random.Generator], Any], rng: np.random.Generator
) -> None:
    columns = {"x": make(rng)}

    assert within(EngineLimits(ranges=500), columns) == build_baseline(columns).features


def test_where_ranges_cannot_be_refined_enough_counts_are_exact_and_bounds_near(rng: np.random.Generator) -> None:
    values = rng.uniform(size=5000)
    (found,) = within(EngineLimits(ranges=100, refinements=1), {"x": values})

    assert isinstance(found, Continuous)
    at_most = [int((values <= bound).sum()) for bound in found.upper_bounds]
    assert np.cumsum(found.counts).tolist() == [*at_most, 5000]
    deciles = np.quantile(values, np.arange(1, 10) / 10)
    assert np.abs(np.array(found.group_bounds[1:-1]) - deciles).max() <= 1 / 100


# --- refusals --------------------------------------------------------------------------------------------------------


def refusal(features: Any, inference: Any = None, **options: Any) -> str:
    """Return what the refusal of a frame says."""
    with pytest.raises(BaselineError) as caught:
        built(features, inference, **options)
    return str(caught.value)


def test_a_frame_without_rows_is_refused() -> None:
    message = "The frame of training data has no rows. Does a filter leave none, or is the file empty?"
    assert refusal(pl.LazyFrame({"x": [1.0]}).filter(pl.col("x") > 1)) == message


def test_a_frame_without_columns_is_refused() -> None:
    message = "The training data has no columns: give at least one feature or an inference."
    assert refusal(pl.LazyFrame()) == message


@pytest.mark.parametrize("engine", ["duckdb", "pyspark", "dask"])
def test_two_columns_of_one_name_are_refused(engine: str, request: pytest.FixtureRequest) -> None:
    if engine == "duckdb":
        frame = peers.library("duckdb").sql("select 1 as a, 2 as a")
    elif engine == "pyspark":
        frame = request.getfixturevalue("spark").sql("select 1 as a, 2 as a")
    else:
        double = pd.DataFrame([[1, 2]], columns=["a", "a"])
        frame = peers.library("dask.dataframe").from_pandas(double, npartitions=1)
    assert re.fullmatch(r"Two columns .* Names tell the variables apart, so each must be used once\.", refusal(frame))


def test_an_engine_that_fails_is_named_with_its_reason() -> None:
    duckdb = peers.library("duckdb")

    message = refusal(pl.LazyFrame({"x": ["1", "a"]}).select(pl.col("x").cast(pl.Int64)))
    assert re.fullmatch(r"Polars cannot count the frame: .*conversion.* Does it read the frame by itself\?", message)
    message = refusal(duckdb.sql("select x::int as x from (values ('1'), ('a')) as t(x)"))
    assert re.fullmatch(r"DuckDB cannot count the frame: Conversion Error: .* by itself\?", message)
    message = refusal(pl.scan_parquet("nowhere.parquet"))
    assert message.startswith("Polars cannot count the frame: ")


def test_a_type_that_is_neither_number_nor_text_is_refused() -> None:
    message = (
        "Column 'x' is of type Object, which is neither number nor text to its engine. Cast it to one of them, or "
        "leave it out."
    )
    assert refusal(pl.LazyFrame({"x": pl.Series([object()], dtype=pl.Object)})) == message


def test_no_values_at_all_are_counted_as_in_memory() -> None:
    column = [None, None]
    assert build_baseline(pl.LazyFrame({"x": column})).features == build_baseline({"x": column}).features


def test_an_engine_that_was_never_tried_is_refused() -> None:
    message = (
        "Lazy frames of ibis are not supported. Give one of Polars, DuckDB, Dask or PySpark, or a frame in memory."
    )
    with pytest.raises(BaselineError, match=re.escape(message)):
        Engine(SimpleNamespace(implementation="ibis"))


def test_a_frame_that_changes_between_passes_is_refused() -> None:
    calls = iter(range(1000))
    frame = pl.LazyFrame({"x": np.arange(100.0)}).map_batches(lambda part: part + 1000.0 * next(calls))
    message = (
        "Column 'x' has other rows each time that Polars reads it. Store the frame first, for example as Parquet, and "
        "give what is read from that."
    )
    assert refusal(frame) == message


def test_an_inference_that_no_column_is_named_is_refused() -> None:
    message = "'inference' names the column 'y', which 'features' does not have. Known: 'x'."
    assert refusal(pl.LazyFrame({"x": [1.0]}), "y") == message
    assert refusal({"x": [1.0]}, "y") == message


def test_bins_for_texts_are_refused() -> None:
    message = "Column 'x' holds texts: only numbers and dates have bins. Leave it out of 'bins'."
    assert refusal(pl.LazyFrame({"x": ["a"]}), bins={"x": [1]}) == message
