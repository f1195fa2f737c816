"""Is it real, and is it big?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from flask_boxkite.drift.statistics import psi_error
from flask_boxkite.drift.verdict import (
    DOUBT,
    DRIFTED_SIZE,
    MAJOR_SIZE,
    Judgement,
    Verdict,
    judge,
    judgements,
    uncertainty,
)

EVEN = [1000] * 10
ALPHA = 1e-5


def shifted(share: float, rows: int) -> list[int]:
    """Return live counts of ten groups, with a share of the rows moved from the first to the last."""
    counts = [rows // 10] * 10
    moved = round(share * rows)
    return [counts[0] - moved, *counts[1:-1], counts[-1] + moved]


@pytest.mark.parametrize(
    ("before", "now", "verdict"),
    [
        (EVEN, [0] * 10, "not enough data"),
        (EVEN, [29, *[0] * 9], "not enough data"),
        ([29, *[0] * 9], EVEN, "not enough data"),
        (EVEN, [3] * 10, "stable"),
        (EVEN, [30, *[0] * 9], "major"),
        (EVEN, [10**6] * 10, "stable"),
        (EVEN, shifted(0.03, 10**5), "shifted"),
        (EVEN, shifted(0.07, 10**5), "drifted"),
        (EVEN, shifted(0.09, 10**5), "major"),
        (EVEN, shifted(0.06, 100), "stable"),
    ],
    ids=["none", "few", "few trained", "thirty", "thirty in one", "same", "small", "medium", "large", "few moved"],
)
def test_verdicts(before: Sequence[int], now: Sequence[int], verdict: str) -> None:
    assert judge(before, now, alpha=ALPHA).verdict == verdict


def test_a_judgement_says_what_it_was_made_from() -> None:
    found = judge(EVEN, shifted(0.06, 10**4), alpha=ALPHA)
    table = np.array([EVEN, shifted(0.06, 10**4)])

    assert found.g == pytest.approx(stats.chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic)
    assert found.limit == pytest.approx(stats.chi2.isf(ALPHA, 9))
    assert found.psi - found.size == pytest.approx(9 * (1 / 10**4 + 1 / 10**4))


def test_g_is_of_the_rows_that_count() -> None:
    """10,000 rows as far from training as these pass, also if ten count as one; a thousand do not if thirty do."""
    found = [judge(EVEN, shifted(0.06, 10**4), alpha=ALPHA, dispersion=value) for value in (1.0, 10.0, 30.0)]

    assert [item.verdict for item in found] == ["shifted", "shifted", "stable"]
    assert [item.dispersion for item in found] == [1.0, 10.0, 30.0]
    for item in found:
        table = np.array([EVEN, np.divide(shifted(0.06, 10**4), item.dispersion)])
        expected = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic
        assert item.g == pytest.approx(expected)
    assert len({(item.limit, item.psi) for item in found}) == 1
    assert [item.psi - item.size for item in found] == pytest.approx([0.0018, 0.0099, 0.0279])


def test_size_is_never_negative() -> None:
    assert judge(EVEN, [3] * 10, alpha=ALPHA).size == 0
    assert judge(EVEN, [0] * 10, alpha=ALPHA).size == 0


def judged(
    now: Sequence[int], verdict: Verdict | None = None, *, dispersion: float = 1.0, uncertain: float = 0.0
) -> Judgement:
    """Judge one variable, given what its rows say."""
    (found,) = judgements(
        np.array(EVEN),
        np.array(now),
        np.zeros(1, dtype=np.intp),
        [verdict],
        g=np.array([99.0]),
        dispersion=np.array([dispersion]),
        limit=np.array([40.0]),
        uncertain=np.array([uncertain]),
    )
    return found


def test_the_size_of_a_change_makes_its_verdict() -> None:
    shares = (0.01, 0.065, 0.068, 0.085, 0.0895, 0.1)
    found = [judged(shifted(share, 10**6)) for share in shares]

    assert [item.verdict for item in found] == ["shifted", "shifted", "drifted", "drifted", "major", "major"]
    assert DRIFTED_SIZE == 0.1
    assert MAJOR_SIZE == 0.25
    assert [item.size >= DRIFTED_SIZE for item in found] == [False, False, True, True, True, True]
    assert [item.size >= MAJOR_SIZE for item in found] == [False] * 4 + [True] * 2


@pytest.mark.parametrize("verdict", ["not enough data", "stable", "unclear"])
def test_where_nothing_has_changed_the_size_makes_no_verdict(verdict: Verdict) -> None:
    assert judged(shifted(0.09, 10**5), verdict).verdict == verdict
    assert judged(shifted(0.09, 10**5), verdict).size == judged(shifted(0.09, 10**5)).size


def test_in_doubt_the_size_is_what_it_is_at_least() -> None:
    of_both = 1 / sum(EVEN) + 1 / 500
    sure, doubtful = (judged(shifted(0.08, 500), uncertain=uncertain) for uncertain in (0.0, of_both))

    assert doubtful.error == sure.error == pytest.approx(psi_error(sure.psi - sure.noise, sure.noise, 10))
    assert sure.size == pytest.approx(sure.psi - sure.noise)
    assert doubtful.size == pytest.approx(sure.size - DOUBT * sure.error)
    assert (sure.verdict, doubtful.verdict) == ("drifted", "shifted")


def test_rows_that_recur_make_more_noise() -> None:
    """Four live rows that count as one: a fourth of them."""
    plain, fourfold = (judged(shifted(0.08, 1000), dispersion=phi) for phi in (1.0, 4.0))

    assert plain.noise == pytest.approx(9 * (1 / 10_000 + 1 / 1000))
    assert fourfold.noise == pytest.approx(9 * (1 / 10_000 + 4 / 1000))
    assert fourfold.psi == plain.psi
    assert fourfold.error > plain.error


def test_training_is_in_doubt_always_and_live_rows_after_an_hour() -> None:
    rows = (np.array([1000, 1000]), np.array([200, 200]), np.array([4.0, 4.0]))

    assert uncertainty(*rows, np.array([False, True])) == pytest.approx([1 / 1000, 1 / 1000 + 4 / 200])
    assert uncertainty(*(numbers[:1] * 0 for numbers in rows), np.array([True])).tolist() == [1.0]


@pytest.mark.parametrize("uncertain", [0.0, 1 / 10_000, 1 / 1000])
@pytest.mark.parametrize("rows", [2000, 10**4, 10**6])
def test_where_psi_is_at_its_limit_the_size_is(rows: int, uncertain: float) -> None:
    """The limit by bisection over shares, beside the closed form."""
    low, high = 0.0, 0.09999
    for _ in range(60):
        middle = (low + high) / 2
        now = np.full(10, 0.1) * rows
        now[0], now[-1] = now[0] - middle * rows, now[-1] + middle * rows
        found = judged(now.tolist(), uncertain=uncertain)
        low, high = (low, middle) if found.size >= DRIFTED_SIZE else (middle, high)

    assert found.size == pytest.approx(DRIFTED_SIZE, abs=1e-9)
    assert found.psi_limit == pytest.approx(found.psi, rel=1e-6)


def test_without_rows_there_is_no_size() -> None:
    nothing = judged([0] * 10, "not enough data", uncertain=float("inf"))

    assert (nothing.noise, nothing.error, nothing.psi_limit, nothing.size) == (float("inf"),) * 3 + (0.0,)
    assert judge([0] * 10, EVEN, alpha=ALPHA).noise == float("inf")


COUNTS = st.lists(st.tuples(st.integers(0, 10**5), st.integers(0, 10**5)), min_size=7, max_size=7)


@given(COUNTS, st.floats(1.0, 20.0), st.sampled_from([1e-5, 1e-2]))
def test_several_variables_are_judged_as_each_alone(
    counts: list[tuple[int, int]], dispersion: float, alpha: float
) -> None:
    before, now = np.array(counts).T
    firsts, stops = np.array([0, 2, 5], dtype=np.intp), [2, 5, 7]
    alone = [
        judge(before[start:stop], now[start:stop], alpha=alpha, dispersion=dispersion)
        for start, stop in zip(firsts, stops, strict=True)
    ]
    verdicts: list[Verdict | None] = [
        item.verdict if item.verdict in ("stable", "not enough data") else None for item in alone
    ]
    found = judgements(
        before,
        now,
        firsts,
        verdicts,
        g=np.array([item.g for item in alone]),
        dispersion=np.full(3, dispersion),
        limit=np.array([item.limit for item in alone]),
    )

    for one, other in zip(found, alone, strict=True):
        assert (one.verdict, one.g, one.dispersion, one.limit) == (
            other.verdict,
            other.g,
            other.dispersion,
            other.limit,
        )
        numbers = [(item.psi, item.noise, item.error, item.size, item.groups) for item in (one, other)]
        assert numbers[0] == pytest.approx(numbers[1], rel=1e-9, abs=1e-9)


def test_a_stable_population_is_called_stable(rng: np.random.Generator) -> None:
    """20,000 checks at 1e-3, with training counts from a sample too: about 20 false alarms, 60 at the most."""
    alarms = 0
    for _ in range(20_000):
        before, now = rng.multinomial(1000, [0.1] * 10), rng.multinomial(200, [0.1] * 10)
        alarms += judge(before, now, alpha=1e-3).verdict != "stable"

    assert alarms <= 60
