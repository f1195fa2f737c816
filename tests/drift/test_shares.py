"""Shares of missing, invalid, out-of-range and unseen rows, and groups as sums of cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from flask_boxkite import Baseline
from flask_boxkite.baseline import Continuous, Discrete, Distribution
from flask_boxkite.drift.shares import Change, moved_most, special_changes
from flask_boxkite.drift.tables import GroupSums, degrees_of_freedom
from tests.baseline.strategies import baselines

JOBS = ("employed", "self-employed", "student", "__unseen__", "__missing__", "__invalid__")
NAMES = ("__below__", "(0.0,1.0]", "__above__", "__missing__", "__invalid__")


def test_shares_by_hand() -> None:
    found = special_changes(NAMES, [0, 16, 0, 3, 1], [1, 4, 2, 1, 2])

    assert found == {
        "missing": Change(0.15, 0.1),
        "invalid": Change(0.05, 0.2),
        "out_of_range": Change(0.0, 0.3),
        "unseen": Change(0.0, 0.0),
    }
    assert found["missing"].difference == pytest.approx(-0.05)


def test_unseen_categories() -> None:
    found = special_changes(["a", "__rare__", "__unseen__", "__missing__"], [9, 1, 0, 0], [5, 0, 5, 0])

    assert found["unseen"] == Change(0.0, 0.5)
    assert found["out_of_range"] == Change(0.0, 0.0)


def test_no_rows_have_no_share() -> None:
    assert set(special_changes(NAMES, [0] * 5, [0] * 5).values()) == {Change(0.0, 0.0)}


@given(baselines())
def test_groups_are_sums_of_cells(baseline: Baseline) -> None:
    variables = (*baseline.features, *baseline.outputs)
    cells = [cell for item in variables for cell in item.cells]
    expected = [sum(item.cells[group.start : group.stop]) for item in variables for group in item.groups]
    sums = GroupSums(baseline.variables)

    assert sums.of([*cells, 7, 7]).tolist() == expected
    assert sums.of(np.array([cells, cells], dtype=np.int64)).tolist() == [expected, expected]
    assert np.diff(sums.firsts, append=len(expected)).tolist() == [len(item.groups) for item in variables]


VALUES = Continuous("x", (0.0, 1.0, 2.0), (0, 5, 5, 0), (0.0, 1.0, 2.0))
WORDS = Discrete("x", ("a", "b"), (5, 5))


@pytest.mark.parametrize(
    ("item", "degrees"),
    [
        pytest.param(VALUES, 4, id="two intervals, below, above, missing"),
        pytest.param(replace(VALUES, missing=1), 4, id="with missing"),
        pytest.param(replace(VALUES, invalid=1), 5, id="with invalid"),
        pytest.param(replace(VALUES, counts=(0, 0, 5, 0)), 4, id="an empty interval"),
        pytest.param(WORDS, 3, id="two categories, unseen, missing"),
        pytest.param(replace(WORDS, rare=1), 4, id="with rare ones"),
        pytest.param(Discrete("x", tuple("abcdefghijk"), (5,) * 11), 10, id="more than eight categories"),
        pytest.param(Discrete("x", ("a",), (5,)), 2, id="a constant"),
        pytest.param(Discrete("x", (), (), missing=5), 1, id="always missing"),
        pytest.param(Discrete("x", (), ()), 1, id="no rows"),
    ],
)
def test_groups_that_stay_empty_give_no_degree_of_freedom(item: Distribution, degrees: int) -> None:
    assert degrees_of_freedom(item) == degrees


@given(baselines())
def test_there_is_a_degree_for_every_group_that_training_filled_but_one(baseline: Baseline) -> None:
    for item in (*baseline.features, *baseline.outputs):
        filled = sum(any(item.cells[group.start : group.stop]) for group in item.groups)
        assert max(filled - 1, 1) <= degrees_of_freedom(item) <= max(len(item.groups) - 1, 1)


# --- what moved most -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trained", "live", "name"),
    [
        pytest.param([700, 140, 160, 0, 0, 0], [700, 48, 172, 80, 0, 0], "__unseen__", id="a new text takes others"),
        pytest.param([700, 140, 160, 0, 0, 0], [640, 48, 232, 80, 0, 0], "__unseen__", id="most changed for the rest"),
        pytest.param([700, 140, 160, 0, 0, 0], [200, 637, 160, 3, 0, 0], "employed", id="few new texts, a large shift"),
        pytest.param([700, 140, 160, 0, 0, 0], [30, 5, 4, 1, 0, 0], "student", id="one new text may be chance"),
        pytest.param([700, 140, 160, 0, 0, 0], [650, 80, 150, 0, 0, 120], "__invalid__", id="invalid"),
        pytest.param([600, 100, 100, 0, 200, 0], [720, 140, 140, 0, 0, 0], "__missing__", id="no longer missing"),
        pytest.param([700, 140, 160, 0, 0, 0], [700, 140, 160, 0, 0, 0], "employed", id="nothing"),
        pytest.param([0] * 6, [0] * 6, "employed", id="no rows"),
    ],
)
def test_a_special_group_that_explains_the_others_moved_most(trained: list[int], live: list[int], name: str) -> None:
    assert JOBS[moved_most(JOBS, trained, live, dispersion=1.0, alpha=1e-5)] == name


def test_rows_that_repeat_each_other_prove_less() -> None:
    """Eight new texts that are one row again and again are no reason to name them."""
    trained, live = [7000, 1400, 1600, 0, 0, 0], [60, 12, 20, 8, 0, 0]
    assert JOBS[moved_most(JOBS, trained, live, dispersion=1.0, alpha=1e-5)] == "__unseen__"
    assert JOBS[moved_most(JOBS, trained, live, dispersion=8.0, alpha=1e-5)] == "employed"
