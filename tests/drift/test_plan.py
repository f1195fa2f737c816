"""The false-alarm probability is divided by weight, among what is judged."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite.baseline import Baseline, Discrete
from flask_boxkite.baseline.pairs import CELLS, Pair
from flask_boxkite.drift.plan import Plan
from flask_boxkite.drift.report import drift_report
from flask_boxkite.drift.statistics import chi_squared_limit
from flask_boxkite.exposition.gauges import VERDICTS

ALPHA = 1e-5
NAMES = ("a", "b", "c", "d")
FEATURES = tuple(Discrete(name, ("x", "y"), (500, 500)) for name in NAMES)
PAIRS = (Pair(0, 1, (50,) * CELLS), Pair(2, 3, (50,) * CELLS))
BASELINE = Baseline(FEATURES, (), 1000, pairs=PAIRS)
WEIGHTS = st.sampled_from([0.0, 1e-300, 1e-9, 0.3, 1.0, 3.0, 1e6, 1e12]) | st.floats(0, 1e12)


def plan(**weights: float) -> Plan:
    return Plan.of(BASELINE.with_policies({name: {"weight": weight} for name, weight in weights.items()}), ALPHA)


def test_without_policies_it_is_divided_by_the_number_of_tests() -> None:
    found = Plan.of(BASELINE, ALPHA)
    assert found.alphas.tolist() == [ALPHA / 6] * 4
    assert found.pair_alphas.tolist() == [ALPHA / 6] * 2
    assert found.unit == ALPHA / BASELINE.tests


def test_shares_are_by_weight_and_a_pair_has_the_geometric_mean() -> None:
    found = plan(a=4, b=9, c=2)
    total = 4 + 9 + 2 + 1 + 6 + math.sqrt(2)
    assert found.alphas.tolist() == pytest.approx([ALPHA * weight / total for weight in (4, 9, 2, 1)])
    assert found.pair_weights.tolist() == pytest.approx([6, math.sqrt(2)])
    assert found.pair_alphas.tolist() == pytest.approx([ALPHA * weight / total for weight in (6, math.sqrt(2))])
    assert found.unit == pytest.approx(ALPHA / total)


def test_what_is_ignored_leaves_its_share_to_the_others() -> None:
    """And so do its pairs."""
    ignored = Plan.of(BASELINE.with_policies({"a": {"ignore": True, "weight": 7}}), ALPHA)
    assert ignored.weights.tolist() == [0, 1, 1, 1]
    assert ignored.pair_weights.tolist() == [0, 1]
    assert ignored.alphas[1:].tolist() == pytest.approx([ALPHA / 4] * 3)
    assert plan(a=0).alphas.tolist() == ignored.alphas.tolist()


@given(st.tuples(*[WEIGHTS] * 4).filter(any))
def test_shares_of_any_weights_add_up(weights: tuple[float, ...]) -> None:
    found = plan(**dict(zip(NAMES, weights, strict=True)))
    judged = [*found.alphas[found.weights > 0], *found.pair_alphas[found.pair_weights > 0]]

    assert sum(judged) == pytest.approx(ALPHA)
    everything = np.array([*found.alphas, *found.pair_alphas, found.unit])
    assert ((everything > 0) & (everything <= ALPHA)).all()
    assert all(math.isfinite(chi_squared_limit(alpha, 9)) for alpha in everything.tolist())


@given(st.tuples(*[st.floats(1e-3, 1e3)] * 4), st.floats(1e-6, 1e6))
def test_only_ratios_of_weights_count_where_all_are_given(weights: tuple[float, ...], factor: float) -> None:
    one, other = (plan(**{name: own * by for name, own in zip(NAMES, weights, strict=True)}) for by in (1.0, factor))
    assert one.alphas.tolist() == pytest.approx(other.alphas.tolist())


def test_a_baseline_of_which_only_ignored_variables_are_left_has_verdicts_too() -> None:
    """As in `compare`, where others could not be compared."""
    policies = BASELINE.with_policies({"a": {"ignore": True}}).policies
    left = replace(BASELINE, features=FEATURES[:1], pairs=(), policies=policies)
    report = drift_report("m", left, [900, 100, 0, 0, 0, 0], alpha=ALPHA)

    assert [item.verdict for item in report] == ["ignored"]
    assert report.drifted_share == 0.0
    assert "0 of 0 variables drifted since the start, 1 is ignored." in str(report)


def test_ignored_has_a_number_below_all_others() -> None:
    assert VERDICTS["ignored"] == min(VERDICTS.values()) == -1
