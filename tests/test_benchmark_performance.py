"""The bars of the benchmark of estimated quality, and what both sides are given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.benchmarks.performance.cases import MOST_OF_GROUP, case_of
from tests.benchmarks.performance.data import Data, made
from tests.benchmarks.performance.judging import LEAST_WINDOWS, MOST_ROWS, Cell, Key, mean_errors
from tests.benchmarks.performance.realised import realised

NAN = float("nan")


def cell(
    *, ours: float, theirs: float, corrected: float = NAN, half: float = 1.0, windows: int = LEAST_WINDOWS
) -> Cell:
    """Return a cell of windows in which every estimate is off by as much."""
    columns = (0.0, 2.0, ours, ours - half, ours + half, corrected, theirs, 0.5)
    return Cell(*([value] * windows for value in columns))


@pytest.mark.parametrize(
    ("found", "missed"),
    [
        (cell(ours=0.12, theirs=0.1), []),
        (cell(ours=0.13, theirs=0.1), ["error"]),
        (cell(ours=0.13, theirs=0.1, corrected=0.12), []),
        (cell(ours=0.1, theirs=0.1, corrected=0.13), ["error"]),
        (cell(ours=0.13, theirs=NAN), []),
        (cell(ours=0.1, theirs=0.1, half=0.05), ["coverage"]),
        (cell(ours=0.1, theirs=0.1, half=0.05, windows=LEAST_WINDOWS - 1), []),
        (cell(ours=NAN, theirs=0.1), ["error", "coverage"]),
    ],
    ids=["met", "missed", "corrected met", "corrected missed", "no peer", "coverage", "few windows", "no estimate"],
)
def test_a_cell_says_which_bars_it_misses(found: Cell, missed: list[str]) -> None:
    assert found.missed(Key("", "accuracy", "none", MOST_ROWS)) == missed


@pytest.mark.parametrize("key", [Key("", "f1", "natural", 200), Key("", "f1", "none", MOST_ROWS + 1)], ids=str)
def test_coverage_is_judged_in_small_windows_without_a_shift(key: Key) -> None:
    assert cell(ours=0.1, theirs=0.1, half=0.05).missed(key) == []


def test_errors_are_roots_of_mean_squares_of_known_windows() -> None:
    found = Cell(realised=[1.0, 2.0, NAN, 4.0], estimated=[4.0, 6.0, 1.0, NAN])

    assert found.error("estimated") == pytest.approx(np.sqrt((9 + 16) / 2))
    assert mean_errors([found, cell(ours=0.5, theirs=0.1)], "estimated") == pytest.approx((np.sqrt(12.5) + 0.5) / 2)
    assert np.isnan(Cell(realised=[1.0], theirs=[NAN]).error("theirs"))


def test_bands_cover_a_share_of_windows() -> None:
    found = Cell(
        realised=[0.0, 1.0, 2.0, NAN],
        low=[-1.0, 1.5, 1.0, 0.0],
        high=[1.0, 3.0, 2.0, 1.0],
        theirs=[1.9, 1.0, NAN, 1.0],
        their_error=[1.0, 0.1, 0.1, 0.1],
    )

    assert found.coverage == pytest.approx(2 / 3)
    assert found.their_coverage == 1.0


@pytest.fixture(scope="module")
def regions() -> Data:
    return made("regions")


def test_no_window_has_validation_rows(regions: Data) -> None:
    case = case_of(regions, {200: 3, 1000: 2}, seed=0)

    assert [(window.shift, window.rows.shape) for window in case.windows] == [
        (shift, shape) for shape in ((3, 200), (2, 1000)) for shift in ("none", "natural", "resampled")
    ]
    assert len(np.unique(case.validation)) == regions.reference // 2
    for window in case.windows:
        assert not np.isin(window.rows, case.validation).any()
        assert ((window.rows >= regions.reference) == (window.shift == "natural")).all()
        assert all(len(np.unique(rows)) == window.size for rows in window.rows)


def test_resampled_windows_are_mostly_of_one_group(regions: Data) -> None:
    case = case_of(regions, {200: 40}, seed=0)

    (rows,) = (window.rows for window in case.windows if window.shift == "resampled")
    shares = [np.unique(regions.features["region"][window], return_counts=True)[1].max() / 200 for window in rows]

    assert max(shares) >= MOST_OF_GROUP
    assert min(shares) < 0.6


def test_the_same_seed_gives_the_same_case(regions: Data) -> None:
    first, second = (case_of(regions, {200: 2}, seed=1) for _ in range(2))

    assert np.array_equal(first.validation, second.validation)
    assert not np.array_equal(first.validation, case_of(regions, {200: 2}, seed=2).validation)
    for one, other in zip(first.windows, second.windows, strict=True):
        assert np.array_equal(one.rows, other.rows)


@pytest.mark.parametrize(
    ("kind", "score", "actual", "metrics"),
    [
        ("binary", [0.5, 0.4, 0.9, 0.1], [1, 1, 0, 0], {"accuracy": 0.5, "f1": 0.5, "auc": 0.5}),
        ("binary", [0.5, 0.4], [1, 1], {"accuracy": 0.5, "f1": 2 / 3, "auc": NAN}),
        ("classes", [[0.6, 0.3, 0.1], [0.1, 0.2, 0.7]], [0, 1], {"accuracy": 0.5}),
        ("regression", [1.0, 5.0], [0.0, 2.0], {"mae": 2.0, "rmse": np.sqrt(5)}),
    ],
    ids=["binary", "one class", "classes", "regression"],
)
def test_realised_metrics_are_of_the_rows(kind: str, score: Any, actual: Any, metrics: dict[str, float]) -> None:
    data = Data("", kind, {}, np.array(score), np.array(actual), 0)

    found = realised(data, np.arange(len(actual)))

    assert {name: found[name] for name in metrics} == pytest.approx(metrics, nan_ok=True)
