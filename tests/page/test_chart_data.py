"""Chart data: shares of rows in columns of equal width, none lost, none invented."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite.baseline import Continuous, Discrete, Distribution
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.page.chart_data import CELLS, Categories, Histogram, chart_data_of
from tests.baseline.strategies import continuous, discrete


def cells_of(variable: Distribution, draw: st.DrawFn) -> list[int]:
    size = len(variable.cells)
    return draw(st.lists(st.integers(0, 1000), min_size=size, max_size=size))


@st.composite
def variables(draw: st.DrawFn) -> tuple[Distribution, list[int]]:
    variable = draw(continuous() | discrete())
    return variable, cells_of(variable, draw)


@given(variables())
def test_no_row_is_lost_or_drawn_twice(drawn: tuple[Distribution, list[int]]) -> None:
    variable, live = drawn
    chart = chart_data_of(variable, live)

    for side, counts in (("before", variable.cells), ("now", live)):
        bars = sum(getattr(bar, side) for bar in chart.specials)
        if isinstance(chart, Histogram):
            cells = getattr(chart, side)
            assert (cells >= -1e-12).all()
            drawn_share = bars + cells.sum()
        else:
            drawn_share = bars + sum(getattr(bar, side) for bar in chart.bars)
        assert drawn_share == pytest.approx(1.0 if sum(counts) else 0.0, abs=1e-9)


@given(continuous())
def test_a_picture_has_an_extent_that_can_be_drawn(variable: Continuous) -> None:
    chart = chart_data_of(variable, variable.cells)

    assert isinstance(chart, Histogram)
    assert math.isfinite(chart.lower)
    assert math.isfinite(chart.upper)
    assert chart.lower <= chart.upper
    assert len(chart.before) == len(chart.now) == CELLS


def test_rows_of_a_bin_are_spread_over_its_width() -> None:
    """Beside brute force: every row put somewhere in its bin, and counted in cells of equal width."""
    bounds = (0.0, 1.0, 4.0, 5.0, 7.0, 8.0, 10.0)
    counts = (0, 10, 60, 5, 20, 7, 30, 0)
    chart = chart_data_of(Continuous("x", bounds, counts, (0.0, 10.0)), (*counts, 0, 0))
    values = np.concatenate(
        [
            lower + (upper - lower) * (np.arange(1000 * count) + 0.5) / (1000 * count)
            for lower, upper, count in zip(bounds, bounds[1:], counts[1:], strict=False)
        ]
    )
    expected = np.histogram(values, CELLS, (0.0, 10.0))[0] / len(values)

    assert isinstance(chart, Histogram)
    assert (chart.lower, chart.upper) == (0.0, 10.0)
    np.testing.assert_allclose(chart.before, expected, atol=2e-4)


def test_bins_too_narrow_for_the_scale_are_drawn_all_the_same() -> None:
    variable = Continuous("x", (0.0, 2e-156, 1.0, 8e167), (0, 0, 0, 0, 0), (-math.inf, 8e167))
    chart = chart_data_of(variable, [0, 1, 0, 0, 0, 0, 0])

    assert isinstance(chart, Histogram)
    assert chart.now.sum() == 1.0


def test_a_value_that_many_rows_have_stands_in_one_cell(rng: np.random.Generator) -> None:
    values = np.where(rng.random(5000) < 0.6, 0.0, rng.uniform(0, 100, 5000))
    (variable,) = build_baseline({"x": values}).features
    chart = chart_data_of(variable, variable.cells)

    assert isinstance(chart, Histogram)
    assert chart.before[0] == pytest.approx(0.6, abs=0.04)
    assert chart.before[1:].max() < 0.05


def test_a_long_tail_becomes_a_bar(rng: np.random.Generator) -> None:
    """Its bin is wider than all others together: drawn to scale, it would be all there is."""
    values = rng.lognormal(10, 1, 5000)
    (variable,) = build_baseline({"x": values}).features
    chart = chart_data_of(variable, variable.cells)

    assert isinstance(chart, Histogram)
    assert chart.upper < values.max() / 2
    (tail,) = chart.specials
    assert tail.label == f"over {chart.upper:,.0f}"
    assert tail.before == pytest.approx(float(np.mean(values > chart.upper)))


def test_what_is_outside_of_training_has_bars_of_its_own() -> None:
    variable = Continuous("x", (0.0, 1.0, 2.0), (0, 5, 5, 0), (0.0, 1.0, 2.0))
    chart = chart_data_of(variable, (1, 2, 3, 4, 5, 5))

    assert [(bar.label, bar.before, bar.now) for bar in chart.specials] == [
        ("below training", 0.0, 0.05),
        ("above training", 0.0, 0.2),
        ("missing", 0.0, 0.25),
        ("invalid", 0.0, 0.25),
    ]


@pytest.mark.parametrize(
    "bounds", [(-1.7e308, 1.7e308), (1e308, 1.7e308), (5e-324, 1e-323), (0.0,), (1e16, 1e16 + 2)], ids=str
)
def test_extreme_bounds_can_be_drawn(bounds: tuple[float, ...]) -> None:
    counts = tuple(range(1, len(bounds) + 2))
    chart = chart_data_of(Continuous("x", bounds, counts, (-math.inf, bounds[-1])), (*counts, 0, 0))

    assert isinstance(chart, Histogram)
    assert np.isfinite([chart.lower, chart.upper, *chart.before]).all()


def test_numbers_ascend_and_texts_stand_by_frequency() -> None:
    numbers = Discrete("visits", ("3.0", "1.0", "10.0"), (5, 4, 1))
    texts = Discrete("city", ("Ulm", "Bonn"), (5, 4))
    charts = [chart_data_of(item, item.cells) for item in (numbers, texts)]

    assert all(isinstance(chart, Categories) for chart in charts)
    assert [[bar.label for bar in chart.bars] for chart in charts if isinstance(chart, Categories)] == [
        ["1", "3", "10"],
        ["Ulm", "Bonn"],
    ]


def test_of_many_numbers_the_most_frequent_have_bars() -> None:
    counts = {f"{place}.0": 10 + place for place in range(30)}
    chart = chart_data_of(item := Discrete.grouped("x", counts), item.cells)

    assert isinstance(chart, Categories)
    assert [bar.label for bar in chart.bars] == [*map(str, range(10, 30)), "10 others"]


def test_many_categories_share_a_bar() -> None:
    labels = tuple(f"c{place:02}" for place in range(30))
    variable = Discrete("x", labels, (10,) * 30, rare=100)
    chart = chart_data_of(variable, (*(0,) * 29, 50, 30, 20, 0, 0))

    assert isinstance(chart, Categories)
    assert [(bar.label, bar.before, bar.now) for bar in chart.bars[20:]] == [
        ("10 others", 0.25, 0.5),
        ("rare", 0.25, 0.3),
    ]
    assert [(bar.label, bar.now) for bar in chart.specials] == [("unseen", 0.2)]
