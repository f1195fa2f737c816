"""Each variable gets the partner that tells most about it, whatever form the training data have."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from scipy import stats

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.baseline.pairs import CELLS, NO_PART, PARTS, Pair
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.baseline.training.pairing import PAIRING, PairingLimits, chosen_pairs
from tests.baseline.training.building import built

# --- the choice ------------------------------------------------------------------------------------------------------


def tables_of(parts: Sequence[Sequence[int]]) -> Iterator[tuple[int, int, Counter[tuple[int, int]]]]:
    """Yield each two variables, with the rows by the parts of both."""
    for second in range(len(parts)):
        for first in range(second):
            both = zip(parts[first], parts[second], strict=True)
            yield first, second, Counter(each for each in both if NO_PART not in each)


def information(table: Counter[tuple[int, int]]) -> tuple[float, float]:
    """Return the mutual information of a table in nats, and its tail probability if there were none."""
    rows = table.total()
    firsts, seconds = (Counter[int]() for _ in range(2))
    for (first, second), count in table.items():
        firsts[first] += count
        seconds[second] += count
    nats = sum(
        count / rows * math.log(count * rows / (firsts[first] * seconds[second]))
        for (first, second), count in table.items()
    )
    degrees = (len(firsts) - 1) * (len(seconds) - 1)
    return nats, float(stats.chi2.sf(2 * rows * nats, degrees)) if degrees else 1.0


def expected_pairs(parts: Sequence[Sequence[int]], features: int, chance: float) -> tuple[Pair, ...]:
    """Return the pairs by comparing all variables with all others, row by row: Kruskal's forest, then the outputs."""
    alone = chance / (len(parts) * (len(parts) - 1) / 2)
    tables = {(first, second): table for first, second, table in tables_of(parts)}
    known = {both: information(table) for both, table in tables.items()}
    strongest = sorted((both for both, (_, tail) in known.items() if tail < alone), key=lambda both: -known[both][0])
    tree_of = {place: {place} for place in range(features)}
    found = set()
    for first, second in strongest:
        if second < features and tree_of[first] is not tree_of[second]:
            tree_of[first] |= tree_of[second]
            tree_of.update(dict.fromkeys(tree_of[first], tree_of[first]))
            found.add((first, second))
    for output in range(features, len(parts)):
        found |= set([both for both in strongest if both[1] == output and both[0] < features][:1])
    return tuple(
        Pair(*both, tuple(tables[both][first, second] for first in range(PARTS) for second in range(PARTS)))
        for both in sorted(found)
    )


def chained(variables: int, rows: int, rng: np.random.Generator, *, noise: float) -> NDArray[np.uint8]:
    """Return parts of variables of which every third is alone, and each other goes with the one before."""
    parts = rng.integers(0, PARTS, (variables, rows)).astype(np.uint8)
    for place in range(1, variables):
        if place % 3:
            kept = rng.random(rows) > noise * (1 + place / variables)
            parts[place, kept] = parts[place - 1, kept]
    parts[rng.random(parts.shape) < 0.05] = NO_PART
    return parts


@pytest.mark.parametrize("noise", [0.2, 0.5], ids=["strong", "weak"])
@pytest.mark.parametrize(("variables", "features"), [(2, 2), (2, 1), (7, 7), (7, 4), (70, 68)], ids=str)
def test_pairs_are_the_tree_of_most_information(
    variables: int, features: int, noise: float, rng: np.random.Generator
) -> None:
    """Of 70 variables there are several blocks."""
    parts = chained(variables, 500, rng, noise=noise)
    found = chosen_pairs(parts, features)

    assert found == expected_pairs(parts.tolist(), features, PAIRING.chance)
    assert found


def test_two_groups_that_tell_most_about_each_other_have_a_pair_between_them(rng: np.random.Generator) -> None:
    """A join between them would break unseen otherwise."""
    age = rng.normal(size=4000)
    income = age + rng.normal(size=4000)
    features = {"age": age, "twice": 2 * age, "income": income, "log": np.exp(income)}
    assert len(named_pairs(build_baseline(features))) == 3


def test_an_output_takes_no_partner_from_a_feature(rng: np.random.Generator) -> None:
    """It follows from the features, also from the ones of a wrong row."""
    age = rng.normal(size=4000)
    features = {"age": age, "income": age + rng.normal(size=4000)}
    pairs = named_pairs(build_baseline(features, {"score": 3 * age + features["income"]}))
    assert set(pairs) == {frozenset(("age", "income")), frozenset(("age", "score"))}


def test_fewer_parts_and_constants_are_compared_by_their_own_degrees(rng: np.random.Generator) -> None:
    parts = chained(8, 400, rng, noise=0.5)
    parts[0] = 2
    parts[1:3] = np.where(parts[1:3] == NO_PART, NO_PART, parts[1:3] // 2 * 3)
    parts[7] = NO_PART
    found = chosen_pairs(parts, 8)

    assert found == expected_pairs(parts.tolist(), 8, PAIRING.chance)
    assert {place for pair in found for place in (pair.first, pair.second)} <= set(range(1, 7))


@pytest.mark.parametrize("rows", [0, 1, 2, 50])
def test_few_rows_show_nothing(rows: int) -> None:
    """Not more than chance does: with no spare rows each variable seems to decide each other."""
    parts = np.random.default_rng(1).integers(0, PARTS, (20, rows)).astype(np.uint8)
    assert chosen_pairs(parts, 20) == ()


def test_independent_variables_are_pairs_about_as_often_as_the_limit_says(rng: np.random.Generator) -> None:
    limits = PairingLimits(chance=0.5)
    models = sum(bool(chosen_pairs(rng.integers(0, PARTS, (5, 300)).astype(np.uint8), 5, limits)) for _ in range(200))

    # 1 - exp(-0.5) of 200 is 79, with a standard deviation of 7; sparse tables have a little more than χ² says.
    assert 50 < models < 115


def test_a_search_that_would_take_long_takes_random_rows(rng: np.random.Generator) -> None:
    """But all rows are counted."""
    parts = chained(6, 900, rng, noise=0.2)
    found = chosen_pairs(parts, 6, PairingLimits(work=300 * 6**2))

    assert [(pair.first, pair.second) for pair in found] == [(0, 1), (1, 2), (3, 4), (4, 5)]
    counts = {(first, second): table for first, second, table in tables_of(parts.tolist())}
    for pair in found:
        assert pair.rows == counts[pair.first, pair.second].total() >= 800


def test_most_rows_are_limited_by_values() -> None:
    assert PAIRING.most_rows(2) == 50_000
    assert PAIRING.most_rows(1000) == 20_000
    assert PAIRING.most_rows(10**9) == 1


# --- training data ---------------------------------------------------------------------------------------------------

ROWS = 900
BEGIN = datetime(2024, 3, 1)


def columns() -> dict[str, Any]:
    """Return columns of every kind, of which most follow one of two hidden numbers."""
    rng = np.random.default_rng(8)
    one, two = rng.random((2, ROWS)).tolist()
    return {
        "number": one,
        "count": [int(3 * value) for value in two],
        "text": [("low", "middle", "high")[int(3 * value)] for value in one],
        "boolean": [value < 0.3 for value in two],
        "day": [BEGIN + timedelta(days=int(90 * value)) for value in one],
        "many texts": [f"t{int(40 * value**3)}" for value in two],
        "gaps": [None if index % 9 == 0 else value + value**2 for index, value in enumerate(one)],
        "constant": [1.0] * ROWS,
        "alone": rng.random(ROWS).tolist(),
        "score": [value**2 for value in two],
    }


COLUMNS = columns()
FEATURES = {name: values for name, values in COLUMNS.items() if name != "score"}
OUTPUT = {"score": COLUMNS["score"]}
KNOWN = build_baseline(FEATURES, OUTPUT)


def named_pairs(baseline: Baseline) -> dict[frozenset[str], Pair]:
    """Return the pairs by the names of both variables."""
    names = [item.name for item in baseline.distributions]
    return {frozenset((names[pair.first], names[pair.second])): pair for pair in baseline.pairs}


def test_variables_of_every_kind_are_paired_by_what_they_follow() -> None:
    pairs = named_pairs(KNOWN)
    of_one, of_two = {"number", "text", "day", "gaps"}, {"count", "boolean", "many texts", "score"}

    assert all(both <= of_one or both <= of_two for both in pairs)
    assert set().union(*pairs) == of_one | of_two
    assert frozenset(("number", "day")) in pairs


def part_by_rows(values: list[Any], places: dict[Any, int]) -> list[int]:
    """Return the part of each value, NO_PART for None."""
    return [NO_PART if value is None else places[value] for value in values]


@pytest.mark.parametrize(
    ("both", "firsts", "seconds"),
    [
        (("text", "day"), None, None),
        (("count", "boolean"), None, None),
    ],
    ids=["text and day", "count and boolean"],
)
def test_the_counts_are_of_the_rows_themselves(both: tuple[str, str], firsts: Any, seconds: Any) -> None:
    """By categories in the order of their frequency, and days in order, whose parts their shares decide."""
    first, second = (COLUMNS[name] for name in both)
    baseline = build_baseline({name: COLUMNS[name] for name in both})
    (pair,) = baseline.pairs
    by_frequency = {value: place for place, (value, _) in enumerate(Counter(first).most_common())}
    table = np.reshape(pair.counts, (PARTS, PARTS))

    assert pair.rows == ROWS
    for value, place in by_frequency.items():
        assert table[place].sum() == first.count(value)
    if both[1] == "boolean":
        for place, value in enumerate((False, True)):
            for label, row in by_frequency.items():
                assert table[row, place] == sum(x == label and y is value for x, y in zip(first, second, strict=True))
    else:
        # Later days have the higher labels, so that a sum of days by label grows in the order of the labels.
        order = [by_frequency[label] for label in ("low", "middle", "high")]
        means = [float(table[row] @ np.arange(PARTS)) / table[row].sum() for row in order]
        assert means == sorted(means)
        assert max(abs(number - ROWS / PARTS) for number in table.sum(axis=0)) < ROWS / 10


def test_missing_values_are_not_counted() -> None:
    pair = named_pairs(build_baseline({name: COLUMNS[name] for name in ("gaps", "number")}))[
        frozenset(("gaps", "number"))
    ]
    assert pair.rows == sum(value is not None for value in COLUMNS["gaps"]) < ROWS


FORMS = {
    "pandas": lambda: pd.DataFrame(COLUMNS),
    "polars": lambda: pl.DataFrame(COLUMNS),
    "pyarrow": lambda: pa.table(COLUMNS),
    "polars, lazy": lambda: pl.LazyFrame(COLUMNS),
    "pairs": lambda: list(COLUMNS.items()),
    "iterator of pairs": lambda: iter(COLUMNS.items()),
    "arrays": lambda: {name: np.array(values) for name, values in COLUMNS.items()},
}


@pytest.mark.parametrize("form", FORMS)
def test_any_form_of_the_same_data_gives_the_same_pairs(form: str) -> None:
    assert build_baseline(FORMS[form](), "score").pairs == KNOWN.pairs


def test_a_lazy_frame_of_duckdb_gives_the_same_pairs() -> None:
    import duckdb

    with duckdb.connect() as connection:
        table = pa.table(COLUMNS)
        relation = connection.from_arrow(table)
        assert build_baseline(relation, "score").pairs == KNOWN.pairs


@pytest.mark.parametrize("size", [ROWS, 250, 7])
def test_chunks_give_the_same_pairs(size: int) -> None:
    chunks = (
        {name: values[start : start + size] for name, values in COLUMNS.items()} for start in range(0, ROWS, size)
    )
    assert Baseline.from_chunks(chunks, "score").pairs == KNOWN.pairs


def test_chunks_that_can_be_read_only_once_give_the_same_pairs() -> None:
    chunks = (
        ((name, iter(values[start : start + 300])) for name, values in COLUMNS.items()) for start in (0, 300, 600)
    )
    assert Baseline.from_chunks(chunks, "score").pairs == KNOWN.pairs


def test_columns_that_can_be_read_only_once_give_the_same_pairs() -> None:
    def column(values: list[Any]) -> Iterator[Any]:
        yield from values

    generated = build_baseline({name: column(values) for name, values in FEATURES.items()}, column(OUTPUT["score"]))
    assert [(pair.counts, pair.first, pair.second) for pair in generated.pairs] == [
        (pair.counts, pair.first, pair.second) for pair in KNOWN.pairs
    ]


def test_outputs_of_other_rows_are_in_no_pair_with_features() -> None:
    both = {"score": OUTPUT["score"][:-1], "twice": [2 * value for value in OUTPUT["score"][:-1]]}
    baseline = build_baseline(FEATURES, both)
    alone = build_baseline(FEATURES)

    assert alone.pairs
    assert {pair for pair in baseline.pairs if pair.second < len(FEATURES)} == set(alone.pairs)
    assert all(pair.first >= len(FEATURES) for pair in baseline.pairs if pair.second >= len(FEATURES))


def test_a_model_may_have_outputs_alone_and_no_features() -> None:
    baseline = Baseline.from_chunks([{"low": COLUMNS["number"], "high": COLUMNS["gaps"]}], ["low", "high"])
    assert [(pair.first, pair.second) for pair in baseline.pairs] == [(0, 1)]


def test_pairs_can_be_left_out(tmp_path: Path) -> None:
    path = str(tmp_path / "histogram.prom")
    without = [
        build_baseline(FEATURES, OUTPUT, pairs=False),
        Baseline.from_chunks([COLUMNS], "score", pairs=False),
        ModelMonitoringService.export_text(FEATURES, OUTPUT, path, pairs=False),
        Baseline.load(path),
    ]
    for baseline in without:
        assert baseline.pairs == ()
        assert baseline.distributions == KNOWN.distributions
        assert baseline.tests == len(COLUMNS)
    assert ModelMonitoringService.export_text(FEATURES, OUTPUT, path).pairs == KNOWN.pairs
    assert Baseline.load(path).pairs == KNOWN.pairs


def test_pairs_stand_beside_actual_values() -> None:
    """The column of actual values is no variable."""
    actual = [value > 0.5 for value in COLUMNS["alone"]]
    whole = {**FEATURES, "score": COLUMNS["score"], "paid": actual}
    for judged in (
        build_baseline(whole, "score", actual="paid", threshold=0.5),
        Baseline.from_chunks([whole], "score", actual="paid", threshold=0.5),
    ):
        assert judged.validation is not None
        assert [item.name for item in judged.features] == [item.name for item in KNOWN.features]
        assert {both: pair.rows for both, pair in named_pairs(judged).items()} == {
            both: pair.rows for both, pair in named_pairs(KNOWN).items()
        }


def test_wide_data_are_paired_too(rng: np.random.Generator) -> None:
    hidden = rng.normal(size=(200, 300))
    wide = {f"x{place}": hidden[place // 2] + 0.3 * rng.normal(size=300) for place in range(400)}
    found = {(pair.first, pair.second) for pair in build_baseline(wide).pairs}

    assert {(place, place + 1) for place in range(0, 400, 2)} == found


def test_of_many_rows_a_random_sample_is_counted() -> None:
    """Every n-th row would fall in step with data that repeats itself."""
    day = np.arange(7 * PAIRING.rows) % 7
    (pair,) = build_baseline({"day": day, "shop": np.where(day < 5, "open", "closed")}).pairs

    assert pair.rows == PAIRING.rows
    table = np.array(pair.counts).reshape(PARTS, PARTS) / pair.rows
    assert table.sum() == pytest.approx(1)
    assert sorted(table.sum(axis=0))[-2:] == pytest.approx([2 / 7, 5 / 7], abs=0.01)


@pytest.mark.parametrize("size", [PAIRING.rows // 2, 3 * PAIRING.rows])
def test_of_many_rows_in_chunks_a_random_sample_is_counted(size: int) -> None:
    """Files are sorted."""
    rows = 3 * PAIRING.rows
    land = np.arange(rows) * 2 // rows
    weight = 100.0 * land + np.arange(rows) % 997 / 10
    chunks = ({"land": land[at : at + size], "weight": weight[at : at + size]} for at in range(0, rows, size))
    (pair,) = Baseline.from_chunks(chunks).pairs

    assert pair.rows == PAIRING.rows
    assert np.array(pair.counts).reshape(PARTS, PARTS).sum(axis=1)[:2] / pair.rows == pytest.approx(
        [0.5, 0.5], abs=0.01
    )


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_of_many_rows_of_a_lazy_frame_random_ones_are_counted(engine: str) -> None:
    rows = 3 * PAIRING.rows
    land = np.arange(rows) * 2 // rows
    frame = pl.DataFrame({"land": land, "weight": 100.0 * land + np.arange(rows) % 997 / 10})
    if engine == "polars":
        (pair,) = build_baseline(frame.lazy()).pairs
    else:
        import duckdb

        with duckdb.connect() as connection:
            (pair,) = build_baseline(connection.from_arrow(frame.to_arrow())).pairs

    assert pair.rows == pytest.approx(PAIRING.rows, rel=0.05)
    assert np.array(pair.counts).reshape(PARTS, PARTS).sum(axis=1)[:2] / pair.rows == pytest.approx(
        [0.5, 0.5], abs=0.02
    )


def test_dates_as_texts_are_paired_as_dates() -> None:
    texts = [day.isoformat() for day in COLUMNS["day"]]
    as_dates = build_baseline({"number": COLUMNS["number"], "day": texts})
    (pair,) = as_dates.pairs

    assert as_dates.features[1].is_time
    assert pair.counts == build_baseline({"number": COLUMNS["number"], "day": COLUMNS["day"]}).pairs[0].counts


def test_integers_beyond_all_floats_are_above_all_numbers() -> None:
    number = list(range(200))
    (pair,) = build_baseline({"a": [*number, 10**400], "b": [*number, 10**6]}).pairs

    assert pair.rows == 201
    assert pair.counts == build_baseline({"a": [*number, math.inf], "b": [*number, 10**6]}).pairs[0].counts


def test_integers_of_128_bits_are_paired() -> None:
    whole = pl.DataFrame({"a": pl.Series(range(200), dtype=pl.Int128), "b": range(200)})
    assert build_baseline(whole).pairs == build_baseline({"a": list(range(200)), "b": list(range(200))}).pairs


def test_values_that_training_names_missing_are_no_values() -> None:
    texts = ["?" if index % 4 == 0 else text for index, text in enumerate(COLUMNS["text"])]
    with_gaps = {"text": texts, "number": COLUMNS["number"]}
    pairs = [built(with_gaps, missing_texts=["?"]).pairs, built(with_gaps).pairs]

    assert [pair.rows for (pair,) in pairs] == [ROWS * 3 // 4, ROWS]
    assert len({sum(count > 0 for count in pair.counts) for (pair,) in pairs}) == 2


def test_a_pair_has_as_many_counts_as_the_file_holds() -> None:
    assert CELLS == PARTS**2 == len(KNOWN.pairs[0].counts)
