"""The simulation of performance quality: its populations are what they say, and a missed bar is an error."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.benchmarks.performance_quality import __main__ as program
from tests.benchmarks.performance_quality import errors, naive, repeats, windows
from tests.benchmarks.performance_quality.scores import CHANGES, NO_CHANGE, POPULATIONS, SELECTIONS, Population

EVEN, SURE, WEAK, RARE, LOW = POPULATIONS


@pytest.mark.parametrize("population", POPULATIONS, ids=lambda population: population.name)
def test_cells_have_the_probabilities_of_rows(population: Population, rng: np.random.Generator) -> None:
    """400,000 rows; to 5 standard errors of the largest share."""
    scores = rng.beta(population.a, population.b, 400_000)
    is_positive = rng.random(400_000) < scores
    at = np.searchsorted(population.bounds, scores)
    cells = population.cells()
    counts = np.bincount(2 * at + is_positive, minlength=cells.size).reshape(cells.shape)

    assert cells.sum() == pytest.approx(1)
    assert counts / 400_000 == pytest.approx(cells, abs=5 * (cells.max() / 400_000) ** 0.5)
    assert np.array_equal(at >= population.first_positive, scores >= population.threshold)
    assert 11 <= len(population.bounds) + 1 <= 30


def test_changes_and_selections_are_what_they_say() -> None:
    flipped, _, _, more = CHANGES
    before, after = EVEN.cells(), EVEN.cells(flipped)
    unsure = EVEN.cells(selection=SELECTIONS[-1]).sum(axis=1)

    assert after == pytest.approx(0.95 * before + 0.05 * before[:, ::-1])
    assert np.all(EVEN.cells(more)[:-1, 1] > before[:-1, 1])  # above 1 there is nothing
    assert unsure.argmax() in (EVEN.first_positive - 1, EVEN.first_positive)
    assert unsure.sum() == pytest.approx(1)


def test_naive_tests_are_the_usual_ones(rng: np.random.Generator) -> None:
    one, other = rng.exponential(size=50), rng.exponential(1.5, size=80)
    peer = stats.ttest_ind(other, one, equal_var=False)
    mean_variance = np.array(one.var(ddof=1) / 50)
    sums = np.array(other.sum()), np.array((other**2).sum())
    squared = stats.chi2_contingency([[20, 80], [100, 900]], correction=False).statistic
    shares = [np.array(float(number)) for number in (20, 100, 100, 1000)]

    assert naive.welch(*sums, 80, np.array(one.mean()), mean_variance) == pytest.approx(peer.statistic)
    assert naive.score_test(*shares) == pytest.approx(squared**0.5)
    assert naive.wald(*shares) == pytest.approx(0.1 / (0.2 * 0.8 / 100 + 0.1 * 0.9 / 1000) ** 0.5)
    assert naive.wald(*shares[:1], shares[0], *shares[2:]) > 10  # all of 20 rows are wrong


def test_a_selection_deceives_naive_tests_only() -> None:
    """2,000 windows of 300 unsure rows, of which far more are wrong."""
    found = [each for each in windows.false_alarms(EVEN, 1000, 2000, seed=1) if each.rows == 300]
    at_random, unsure = found[0], found[-1]

    assert (at_random.selection, unsure.selection) == ("at random", "the unsure")
    assert (at_random.judged, unsure.judged) == (windows.OURS, windows.FIT_FOR_SELECTIONS)
    assert all(at_random.shares[test] < 0.005 for test in windows.OURS)
    assert all(unsure.shares[test] < 0.005 for test in windows.FIT_FOR_SELECTIONS)
    assert all(unsure.shares[test] > 0.99 for test in ("G", "AUC", "Wald", "score", "DeLong"))


def test_a_change_is_called() -> None:
    found = {(each.change, each.rows): each.shares for each in windows.power(EVEN, 10_000, 200, seed=1)}

    assert found["10 % flipped", 1000]["MH"] > 0.9
    assert found["10 % flipped", 1000]["verdict"] > 0.9
    assert found["more positives", 1000]["positives"] > 0.9
    assert found["more positives", 1000]["MH"] < 0.1


def test_the_verdict_of_a_window_is_the_packages() -> None:
    cells = np.round(1000 * EVEN.cells()).astype(int)

    assert not windows._is_worse(EVEN, 10 * cells, cells)
    assert windows._is_worse(EVEN, 10 * cells, np.round(1000 * EVEN.cells(CHANGES[1])).astype(int))


def test_rows_that_come_again_count_once() -> None:
    """2,000 windows; four times each, they would be called in several of 100."""
    found = list(repeats.repeats_of(WEAK, 10_000, 2000, seed=1))

    assert [(each.visits, each.times) for each in found] == [(v, t) for v in repeats.VISITS for t in repeats.TIMES]
    assert all(share < 0.01 for each in found for share in each.called)
    assert all(share > 0.01 for each in found if each.times == 4 for share in each.independent)


@pytest.mark.parametrize("name", errors.DISTRIBUTIONS)
def test_errors_are_drawn_from_their_distribution(name: str) -> None:
    distribution = errors.DISTRIBUTIONS[name]
    values, shares = errors._atoms(distribution)

    assert shares.sum() == pytest.approx(1)
    assert errors._below(distribution, errors._above(distribution, np.array([0.1, 0.5, 0.99]))) == pytest.approx(
        [0.1, 0.5, 0.99]
    )
    assert values @ shares == pytest.approx(abs(distribution.expect(abs, lb=-np.inf)), rel=0.01)


def test_larger_errors_are_called_and_equal_ones_are_not() -> None:
    found = {(each.factor, each.rows): each.ranks for each in errors.errors_of("normal", 10_000, 2000, seed=1)}

    assert max(found[1.0, rows] for rows in windows.ROWS) < 0.005
    assert found[1.25, 1000] > 0.95


@pytest.mark.parametrize(
    ("met", "status", "last"), [([None, True], 0, "All bars met."), ([True, False, False], 1, "2 bars missed.")]
)
def test_a_missed_bar_is_an_error(
    met: list[bool | None], status: int, last: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.printed(("a line", each) for each in met) == status
    assert capsys.readouterr().out == "a line\n" * len(met) + f"{last}\n"


def test_a_line_is_missed_if_a_judged_test_is_too_loud() -> None:
    quiet = dict.fromkeys((*windows.TESTS, "verdict"), 0.001)
    for selection, rows, test, share, met in (
        ("at random", 300, "AUC", 0.0019, True),
        ("at random", 300, "AUC", 0.0021, False),
        ("at random", 300, "Wald", 0.5, True),
        ("the unsure", 300, "AUC", 0.5, True),
        ("the unsure", 300, "MH", 0.0021, False),
        ("the unsure", 10_000, "MH", 0.0029, True),
        ("the unsure", 10_000, "MH", 0.0031, False),
        ("at random", 10_000, "MH", 0.0021, False),
    ):
        called = windows.Called("even", 1000, rows, selection, NO_CHANGE.name, quiet | {test: share})
        assert program.is_met(called) is met
