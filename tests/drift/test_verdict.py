"""Is it real, and is it big?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from flask_boxkite.drift.verdict import judge

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


def test_g_is_judged_after_division_by_the_dispersion() -> None:
    """G is 405.4 and its limit 39.3: 10.3 times as much."""
    found = [judge(EVEN, shifted(0.06, 10**4), alpha=ALPHA, dispersion=value) for value in (1.0, 10.0, 11.0)]

    assert [item.verdict for item in found] == ["shifted", "shifted", "stable"]
    assert [item.dispersion for item in found] == [1.0, 10.0, 11.0]
    assert len({(item.g, item.limit, item.psi, item.size) for item in found}) == 1


def test_size_is_never_negative() -> None:
    assert judge(EVEN, [3] * 10, alpha=ALPHA).size == 0
    assert judge(EVEN, [0] * 10, alpha=ALPHA).size == 0


def test_a_stable_population_is_called_stable(rng: np.random.Generator) -> None:
    """20,000 checks at 1e-3, with training counts from a sample too: about 20 false alarms, 60 at the most."""
    alarms = 0
    for _ in range(20_000):
        before, now = rng.multinomial(1000, [0.1] * 10), rng.multinomial(200, [0.1] * 10)
        alarms += judge(before, now, alpha=1e-3).verdict != "stable"

    assert alarms <= 60
