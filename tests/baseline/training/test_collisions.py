"""How often two rows of training are equal: against counting every row, whatever holds them, however they come."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_boxkite import Baseline, BaselineError, ModelMonitoringService
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.baseline.training.collisions import SAMPLE_ROWS
from flask_boxkite.values.conversion import InvalidValue, to_number
from tests.baseline.training.building import built

Columns = dict[str, list[Any]]


def meant(value: Any) -> Any:
    """Return what a value means: a number, a text, or None."""
    if isinstance(value, str):
        return value
    try:
        number = to_number(value)
    except InvalidValue:
        return str(value)
    return None if math.isnan(number) else number


def brute_force(*columns: Any) -> float:
    """Return the share of pairs of rows that are equal, by counting each row."""
    rows = Counter(zip(*[map(meant, column) for column in columns], strict=True))
    n = rows.total()
    return sum(count * (count - 1) for count in rows.values()) / (n * (n - 1))


VALUES = st.one_of(
    st.lists(st.integers(-2, 2) | st.none(), min_size=1, max_size=4),
    st.lists(st.floats(-2, 2) | st.sampled_from([0.0, -0.0, math.inf, math.nan]), min_size=1, max_size=4),
    st.lists(st.sampled_from(["a", "b", "1", "", "ü\x00"]) | st.none(), min_size=1, max_size=4),
    st.lists(st.booleans(), min_size=1, max_size=2),
    st.lists(st.sampled_from([2**53, 2**53 + 1, 10**400, 0.5]), min_size=1, max_size=3),
)


@st.composite
def tables(draw: st.DrawFn) -> Columns:
    """Draw columns of values of one kind each, so that some rows are equal."""
    rows = draw(st.integers(30, 60))
    pools = draw(st.lists(VALUES, min_size=1, max_size=4))
    steps = draw(st.lists(st.integers(1, 9), min_size=len(pools), max_size=len(pools)))
    return {
        f"c{index}": [pool[row * step // 4 % len(pool)] for row in range(rows)]
        for index, (pool, step) in enumerate(zip(pools, steps, strict=True))
    }


def in_chunks(columns: Columns, sizes: list[int]) -> Iterator[Columns]:
    """Cut a table into chunks; the last one has what is left."""
    ends = [*itertools.accumulate(sizes), None]
    for start, end in itertools.pairwise([0, *ends]):
        yield {name: values[start:end] for name, values in columns.items()}


@given(tables(), st.lists(st.integers(0, 20), max_size=4), st.randoms())
def test_the_share_of_equal_pairs_is_that_of_counting(columns: Columns, sizes: list[int], random: Any) -> None:
    """In memory and in chunks, whose columns may stand in any order, and which may come in any order."""
    expected = brute_force(*columns.values())
    texts = [name for name, values in columns.items() if any(isinstance(value, str) for value in values)]
    assert built(columns, texts=texts).row_collisions == pytest.approx(expected)
    chunks = list(in_chunks(columns, sizes))
    random.shuffle(chunks)
    turned = [dict(random.sample(list(chunk.items()), len(chunk))) for chunk in chunks]
    for stream in (chunks, turned):
        assert Baseline.from_chunks(stream, texts=texts).row_collisions == pytest.approx(expected)


# --- what holds the columns ------------------------------------------------------------------------------------------

NUMBERS: list[Any] = [0.5, None, 1.0, 0.5, 2.5, 1.0, None, 3.0] * 5
WHOLE: list[Any] = [number % 3 for number in range(40)]
TEXTS: list[Any] = ["red", None, "blue", "red", "", "green", "blue", None] * 5
FLAGS: list[Any] = [True, False, None, True] * 10

HOLDERS: dict[str, tuple[list[Any], Callable[[list[Any]], Any]]] = {
    "generator": (NUMBERS, iter),
    "map": (TEXTS, lambda values: map(lambda value: value, values)),
    "deque": (NUMBERS, deque),
    "values of a dict": (NUMBERS, lambda values: dict(enumerate(values)).values()),
    "tuple": (TEXTS, tuple),
    "object array": (TEXTS, lambda values: np.array(values, dtype=object)),
    "array of texts": (["a", "bc"] * 20, np.array),
    "float32": (NUMBERS, lambda values: np.array(values, dtype=np.float32)),
    "int8": (WHOLE, lambda values: np.array(values, dtype=np.int8)),
    "big-endian": (WHOLE, lambda values: np.array(values, dtype=">i4")),
    "column array": (WHOLE, lambda values: np.array(values)[:, np.newaxis]),
    "masked": (NUMBERS, lambda values: np.ma.masked_invalid(np.array(values, dtype=np.float64))),
    "masked numbers": (
        [number % 3 or None for number in range(40)],
        lambda values: np.ma.masked_array(
            [number if value is None else value for number, value in enumerate(values)],
            mask=[value is None for value in values],
        ),
    ),
    "masked texts": (
        ["a", None] * 20,
        lambda values: np.ma.masked_array([value or "b" for value in values], mask=[not value for value in values]),
    ),
    "Decimals": (NUMBERS, lambda values: [None if value is None else Decimal(str(value)) for value in values]),
    "NumPy scalars": (NUMBERS, lambda values: [None if value is None else np.float32(value) for value in values]),
    "lists among numbers": (NUMBERS, lambda values: [[] if value is None else value for value in values]),
    "pandas": (NUMBERS, pd.Series),
    "pandas with an index": (NUMBERS, lambda values: pd.Series(values, index=range(len(values), 0, -1))),
    "pandas nullable": (WHOLE, lambda values: pd.Series(values, dtype="Int64")),
    "pandas nullable booleans": (FLAGS, lambda values: pd.Series(values, dtype="boolean")),
    "pandas texts": (TEXTS, pd.Series),
    "pandas categorical": (TEXTS, lambda values: pd.Series(values, dtype="category")),
    "pandas arrow": (NUMBERS, lambda values: pd.Series(values, dtype="double[pyarrow]")),
    "polars": (NUMBERS, pl.Series),
    "polars integers": ([*WHOLE[:-1], None], pl.Series),
    "polars booleans": (FLAGS, pl.Series),
    "polars decimal": (NUMBERS, lambda values: pl.Series(values).cast(pl.Decimal(20, 4))),
    "polars 128 bits": (WHOLE, lambda values: pl.Series(values, dtype=pl.Int128)),
    "polars texts": (TEXTS, pl.Series),
    "polars categorical": (TEXTS, lambda values: pl.Series(values, dtype=pl.Categorical)),
    "pyarrow": (NUMBERS, pa.array),
    "pyarrow integers": ([*WHOLE[:-1], None], pa.array),
    "pyarrow booleans": (FLAGS, pa.array),
    "pyarrow texts": (TEXTS, pa.array),
    "pyarrow chunked": (TEXTS, lambda values: pa.chunked_array([values[:20], values[20:]])),
    "dates": ([date(2026, 1, 1 + n % 3) for n in range(40)], list),
    "datetime64": ([datetime(2026, 1, 1 + n % 3) for n in range(40)], lambda v: np.array(v, dtype="M8[us]")),
    "timedelta64": ([timedelta(hours=n % 3) for n in range(40)], lambda v: np.array(v, dtype="m8[s]")),
    "polars datetimes": ([datetime(2026, 1, 1 + n % 3) for n in range(40)], pl.Series),
    "polars dates": ([date(2026, 1, 1 + n % 3) if n % 5 else None for n in range(40)], pl.Series),
    "pandas datetimes": ([datetime(2026, 1, 1 + n % 3) if n % 5 else None for n in range(40)], pd.Series),
    "pyarrow dates": ([date(2026, 1, 1 + n % 3) if n % 5 else None for n in range(40)], pa.array),
}


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside another column"])
@pytest.mark.parametrize(("values", "hold"), HOLDERS.values(), ids=HOLDERS)
def test_it_is_the_same_whatever_holds_a_column(
    values: list[Any], hold: Callable[[list[Any]], Any], beside: bool
) -> None:
    other = {"other": [number // 7 for number in range(40)]} if beside else {}
    expected = pytest.approx(brute_force(values, *other.values()))

    assert build_baseline({**other, "x": hold(values)}).row_collisions == expected
    assert Baseline.from_chunks([{"x": hold(values), **other}]).row_collisions == expected


@pytest.mark.parametrize(("values", "hold"), HOLDERS.values(), ids=HOLDERS)
def test_a_sample_is_of_the_same_rows_whatever_holds_a_column(
    values: list[Any], hold: Callable[[list[Any]], Any]
) -> None:
    other = [number // 7 for number in range(40)]
    times = SAMPLE_ROWS // 40 + 60
    many = build_baseline({"x": hold(values * times), "other": other * times})

    assert many.row_collisions == pytest.approx(brute_force(values * 20, other * 20), rel=0.1)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, pa.table, lambda columns: pl.DataFrame(columns).lazy()])
def test_it_is_the_same_in_every_frame(frame: Callable[[Columns], Any]) -> None:
    columns = {"x": NUMBERS, "n": [number // 3 for number in range(40)], "t": TEXTS}

    assert build_baseline(frame(columns)).row_collisions == pytest.approx(brute_force(*columns.values()))


def test_chunks_of_several_types_have_equal_rows() -> None:
    """Of integers, of floats, with None among them, as arrays or lists; texts beside None."""
    chunks: list[Any] = [
        {"x": np.array([1, 2, 3] * 4, "i8"), "t": ["a", "b", "c"] * 4},
        {"x": [1.0, 2.0, 3.0, None] * 3, "t": np.array(["a", "b", "c", None] * 3, dtype=object)},
        {"t": pl.Series(["a", "b", "c", "d"]), "x": pl.Series([1, 2, 3, 4])},
        {"t": pd.Series(["a", "b", "c"] * 4, dtype="category"), "x": pd.Series([1, 2, None] * 4, dtype="Int64")},
    ]
    x = [*[1, 2, 3] * 4, *[1, 2, 3, None] * 3, *[1, 2, 3, 4], *[1, 2, None] * 4]
    t = [*["a", "b", "c"] * 4, *["a", "b", "c", None] * 3, *["a", "b", "c", "d"], *["a", "b", "c"] * 4]
    for order in itertools.permutations(chunks):
        assert Baseline.from_chunks(order).row_collisions == pytest.approx(brute_force(x, t))


def test_chunks_of_several_types_of_dates_have_equal_rows() -> None:
    days = [datetime(2026, 1, 1 + number % 3) for number in range(12)]
    chunks = [
        {"x": values}
        for values in (days, [day.date() for day in days], pd.Series(days), np.array(days, "M8[us]"), pl.Series(days))
    ]
    assert Baseline.from_chunks(chunks).row_collisions == pytest.approx(brute_force(days * 5))


def test_moments_beyond_the_years_of_datetime_are_counted() -> None:
    """Milliseconds that were taken for seconds are of the year 50,000."""
    moments = pl.Series([number % 4 * 10**18 for number in range(200)]).cast(pl.Datetime("us"))
    frame = pl.DataFrame({"x": moments})

    (expected,) = build_baseline(frame.lazy()).features
    assert expected.cells[:4] == (50, 50, 50, 50)
    for held in (frame, frame.to_arrow(), frame.to_pandas()):
        found = build_baseline(held)
        assert found.features == (expected,)
        assert found.row_collisions == pytest.approx(brute_force(moments.to_physical().to_list()))


# --- which columns ---------------------------------------------------------------------------------------------------

FEW, MANY = [number % 2 for number in range(40)], [number % 20 for number in range(40)]


def test_features_make_a_row_and_outputs_do_not() -> None:
    expected = pytest.approx(brute_force(FEW))
    columns = {"a": FEW, "y": MANY}
    lazy = pl.DataFrame(columns).lazy()

    assert build_baseline({"a": FEW}, MANY).row_collisions == expected
    assert build_baseline({"a": FEW}, {"y": MANY, "z": MANY}).row_collisions == expected
    assert build_baseline(columns, "y").row_collisions == expected
    assert build_baseline(lazy, "y").row_collisions == expected
    assert build_baseline(lazy.select("a"), lazy.select("y")).row_collisions == expected
    assert Baseline.from_chunks([columns], "y").row_collisions == expected


def test_without_features_outputs_make_a_row() -> None:
    expected = pytest.approx(brute_force(MANY))
    lazy = pl.DataFrame({"y": MANY}).lazy()

    assert build_baseline({}, MANY).row_collisions == expected
    assert build_baseline({}, iter(MANY)).row_collisions == expected
    assert build_baseline({"y": MANY}, "y").row_collisions == expected
    assert build_baseline(lazy, "y").row_collisions == expected
    assert build_baseline({}, lazy).row_collisions == expected
    assert Baseline.from_chunks([{"y": MANY}], ["y"]).row_collisions == expected
    both = {"y": MANY, "z": FEW}
    assert Baseline.from_chunks([both], ["y", "z"]).row_collisions == pytest.approx(brute_force(MANY, FEW))


def test_outputs_of_other_rows_do_not_matter() -> None:
    assert build_baseline({"a": FEW}, MANY * 3).row_collisions == pytest.approx(brute_force(FEW))


def test_a_column_that_does_not_fit_is_the_same_error_as_ever() -> None:
    message = "Column 'b' has 39 rows, 'a' has 40. All columns must have the same length."
    for make in (
        lambda: build_baseline({"a": FEW, "b": MANY[1:]}),
        lambda: build_baseline({"a": FEW, "b": iter(MANY[1:])}),
    ):
        with pytest.raises(BaselineError, match=f"^{re.escape(message)}$"):
            make()
    with pytest.raises(BaselineError, match=r"^Column 'b' has 39 rows"):
        Baseline.from_chunks([{"a": FEW, "b": MANY[1:]}])
    with pytest.raises(BaselineError, match=r"^Column 'a' must be a list, array or series of values, got int\.$"):
        build_baseline({"a": 5, "b": FEW})


@pytest.mark.parametrize(("rows", "is_known"), [(1, False), (29, False), (30, True)])
def test_of_few_rows_it_is_not_known(rows: int, is_known: bool) -> None:
    values = [number % 3 for number in range(rows)]
    found = [
        build_baseline({"a": values}),
        build_baseline(pl.DataFrame({"a": values}).lazy()),
        Baseline.from_chunks([{"a": values[:9]}, {"a": values[9:]}]),
    ]
    for baseline in found:
        assert (baseline.row_collisions is not None) == is_known


# --- many rows -------------------------------------------------------------------------------------------------------


def repeated(rng: np.random.Generator, rows: int, different: int) -> np.ndarray[Any, Any]:
    """Return numbers of which so many are different, some of them often."""
    return np.concatenate([np.arange(different), (rng.random(rows - different) ** 4 * different).astype(int)])


def share(values: np.ndarray[Any, Any]) -> float:
    """Return the share of equal pairs."""
    _, counts = np.unique(values, axis=0, return_counts=True)
    n = float(counts.sum())
    return float((counts * (counts - 1.0)).sum()) / (n * (n - 1))


@pytest.mark.parametrize("different", [SAMPLE_ROWS - 1, SAMPLE_ROWS])
def test_a_stream_of_that_many_different_rows_is_counted_exactly(rng: np.random.Generator, different: int) -> None:
    values = rng.permutation(repeated(rng, 100_000, different))
    for pieces in (1, 7):
        found = Baseline.from_chunks([{"a": piece} for piece in np.array_split(values, pieces)])
        assert found.row_collisions == pytest.approx(share(values), rel=1e-12)


STREAMS: dict[str, Callable[[np.random.Generator], np.ndarray[Any, Any]]] = {
    "one row too many": lambda rng: repeated(rng, 100_000, SAMPLE_ROWS + 1),
    "some often": lambda rng: repeated(rng, 300_000, 100_000),
    "half are one row": lambda rng: np.where(rng.random(300_000) < 0.5, -1, np.arange(300_000)),
    "one in a hundred is one row": lambda rng: np.where(rng.random(300_000) < 0.01, -1, np.arange(300_000)),
    "each twice": lambda rng: np.arange(300_000) // 2,
    "all different": lambda rng: np.arange(300_000),
}


@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_of_more_different_rows_is_counted_nearly(rng: np.random.Generator, kind: str) -> None:
    """Whatever the order of its chunks: to 2 % of the sum of squares, of which the rows themselves are a part."""
    values = rng.permutation(STREAMS[kind](rng))
    pieces = np.array_split(values, 9)
    found = {
        Baseline.from_chunks([{"a": pieces[place] * 0.5} for place in order]).row_collisions
        for order in ([*range(9)], [*range(8, -1, -1)], rng.permutation(9))
    }
    (collisions,) = found
    expected, rows = share(values), len(values)

    assert collisions is not None
    assert abs(collisions - expected) <= 0.02 * (expected + 1 / rows)
    assert collisions >= 0


def test_the_chunks_themselves_do_not_matter(rng: np.random.Generator) -> None:
    values = rng.permutation(repeated(rng, 150_000, 90_000))
    found = {
        Baseline.from_chunks([{"a": piece} for piece in np.array_split(values, pieces)]).row_collisions
        for pieces in (1, 2, 150)
    }
    assert len(found) == 1


MEMORY: dict[str, Callable[[np.random.Generator], np.ndarray[Any, Any]]] = {
    "some often": lambda rng: repeated(rng, 200_000, 70_000),
    "half are one row": lambda rng: STREAMS["half are one row"](rng)[:200_000],
    "sorted": lambda rng: np.sort((rng.random(200_000) ** 2 * 20).astype(int)),
    "in step with the sample": lambda rng: np.tile(np.arange(5), 5 * SAMPLE_ROWS // 5),
    "in step with half the sample": lambda rng: np.tile(np.arange(24), 400_000 // 24),
}


@pytest.mark.parametrize("kind", MEMORY)
def test_of_many_rows_in_memory_a_sample_tells(rng: np.random.Generator, kind: str) -> None:
    values = MEMORY[kind](rng)
    n = SAMPLE_ROWS

    for hold in (np.asarray, list, pl.Series):
        found = built({"a": hold(values)}, discrete=[]).row_collisions
        # Of pairs of the sample, a share with the standard deviation of a count.
        assert found == pytest.approx(share(values), rel=0.06, abs=5 * math.sqrt(share(values)) / n)


@settings(max_examples=20)
@given(st.integers(SAMPLE_ROWS + 1, 3 * SAMPLE_ROWS), st.integers(2, 300))
def test_of_rows_that_repeat_in_any_step_a_sample_tells(rows: int, step: int) -> None:
    values = np.tile(np.arange(step), rows // step + 1)[:rows]

    assert built({"a": values}, discrete=[]).row_collisions == pytest.approx(1 / step, rel=0.1)


def test_an_engine_is_asked_for_its_first_rows_and_the_columns_that_count(rng: np.random.Generator) -> None:
    rows = 2 * SAMPLE_ROWS
    columns = {"a": rng.integers(0, 50, rows), "b": rng.integers(0, 9, rows), "y": rng.random(rows)}
    expected = share(np.column_stack([columns["a"], columns["b"]])[:SAMPLE_ROWS])
    table = pa.table(columns)

    assert table.num_rows == rows
    assert build_baseline(pl.from_arrow(table).lazy(), "y").row_collisions == pytest.approx(expected)
    found = build_baseline(duckdb.from_arrow(table), "y").row_collisions
    assert found == pytest.approx(share(np.column_stack([columns["a"], columns["b"]])), rel=0.06)


def test_duckdb_has_the_rows_of_memory() -> None:
    columns = {"x": NUMBERS, "n": [number // 3 for number in range(40)], "t": TEXTS, "b": FLAGS}

    found = build_baseline(duckdb.from_arrow(pa.table(columns)))
    assert found.row_collisions == pytest.approx(brute_force(*columns.values()))


# --- the file --------------------------------------------------------------------------------------------------------

LINE = re.compile(r"^boxkite_baseline_row_collisions\{.*\} (.*)\n", re.MULTILINE)


@pytest.fixture
def path(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Return the file of a baseline."""
    path = tmp_path / "histogram.prom"
    ModelMonitoringService.export_text({"a": rng.integers(0, 5, 1000)}, rng.random(1000), path)
    return path


def test_the_file_keeps_it_to_the_last_digit(path: Path) -> None:
    made = Baseline.load(path)
    (number,) = LINE.findall(path.read_text())

    assert made.row_collisions == float(number)
    assert 0.19 < float(number) < 0.21
    for value in (0.0, 1.0, 5e-324, 1 / 3, None):
        other = replace(made, row_collisions=value)
        other.dump(path)
        assert Baseline.load(path) == other
        assert other.fingerprint == made.fingerprint


def test_a_file_of_before_does_not_know_it(path: Path) -> None:
    made = Baseline.load(path)
    text = re.sub(r"# (HELP|TYPE) boxkite_baseline_row_collisions .*\n", "", LINE.sub("", path.read_text()))
    assert "collisions" not in text
    path.write_text(text)

    assert Baseline.load(path) == replace(made, row_collisions=None)
    made.dump(path, names="boxkite")
    assert Baseline.load(path).row_collisions is None


@pytest.mark.parametrize("value", ["-0.1", "1.0000001", "NaN", "+Inf", "-Inf"])
def test_what_is_no_probability_is_refused_by_line(path: Path, value: str) -> None:
    lines = path.read_text().splitlines()
    number = next(n for n, line in enumerate(lines) if LINE.match(line + "\n"))
    lines[number] = f"{lines[number].rpartition(' ')[0]} {value}"
    path.write_text("\n".join(lines) + "\n")

    with pytest.raises(BaselineError) as caught:
        Baseline.load(path)
    assert caught.value.line == number + 1
    assert f"'boxkite_baseline_row_collisions' must be a probability, got {float(value)!r}." in str(caught.value)
    assert f"line {number + 1}" in str(caught.value)


# --- merging ---------------------------------------------------------------------------------------------------------


def test_merged_it_is_the_mean_by_rows(path: Path) -> None:
    made = Baseline.load(path)
    first, second = replace(made, row_collisions=0.1), replace(made, rows=3000, row_collisions=0.5)

    assert first.merge(second).row_collisions == pytest.approx(0.4)
    assert second.merge(first).row_collisions == pytest.approx(0.4)
    assert replace(first, rows=0).merge(replace(second, rows=0)).row_collisions == 0.0
    for unknown in (
        first.merge(replace(second, row_collisions=None)),
        replace(first, row_collisions=None).merge(second),
    ):
        assert unknown.row_collisions is None
